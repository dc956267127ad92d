"""Measure that folding of repeats finds copies and never drops an answer.

    python benchmarks/search_folding.py DATASET [DATASET ...]

DATASET is a directory in BEIR's layout. Its documents are indexed, and of every third one two more
texts: a copy in other case, white space and quotation marks, and an edited copy that says something
else: another number, a "not" more, or two names that change places. Searches are by keyword, and
vectors are made up, because folding looks at texts alone.

Printed are, for 100 of its questions: how many hits of the data set alone are folded; how many
copies are; how many edited copies are, which should be none; and how many answers (relevant
documents among the first ten without folding) neither stay nor are named by a hit that stays.
"""

from __future__ import annotations

import random
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from search_words import DEPTH, write

from minnow.datasets import Dataset, read_beir
from minnow.search import Hit, Index, open_store

EVERY = 3
QUESTIONS = 100


def copy(text: str) -> str:
    """Return a text with another surface."""
    return re.sub(r"(?<!\S)(\w+)(?!\S)", r"“\1”", text.upper(), count=1).replace(" ", "  \n")


def edit(text: str) -> str:
    """Return a text that says something else, by one small change."""
    if number := re.search(r"\d", text):
        other = str((int(number[0]) + 1) % 10)
        return text[: number.start()] + other + text[number.end() :]
    names = re.findall(r"(?<=[a-z] )[A-Z][a-z]+", text)
    if len(set(names)) > 1:
        first, second = names[0], next(name for name in names if name != names[0])
        swapped = re.sub(rf"\b{first}\b", "\0", text)
        return re.sub(rf"\b{second}\b", first, swapped).replace("\0", second)
    return text.replace(" is ", " is not ", 1)


def name_of(source: str) -> str:
    """Return the id of a document."""
    return source.split("#", 1)[1]


def main() -> None:
    """Print the counts for each data set."""
    for source in map(Path, sys.argv[1:]):
        dataset = read_beir(source)
        drawn = random.Random(0).sample(list(dataset.queries), QUESTIONS)
        dataset = replace(
            dataset,
            queries={query: dataset.queries[query] for query in drawn},
            qrels={query: dataset.qrels[query] for query in drawn},
        )
        with tempfile.TemporaryDirectory() as folder:
            plain, _ = search(dataset, Path(folder, "a.index"), fold=True)
            print(f"{dataset.name}: {folded(plain)} of {total(plain)} hits folded", flush=True)
            print_with_copies(dataset, Path(folder, "b.index"))


def print_with_copies(dataset: Dataset, file: Path) -> None:
    """Print what becomes of copies, edited copies and answers."""
    documents = dict(dataset.documents)
    for key in list(documents)[::EVERY]:
        documents[f"{key}+copy"] = copy(documents[key])
        if (other := edit(documents[key])).split() != documents[key].split():
            documents[f"{key}+edit"] = other
    whole = replace(dataset, documents=documents)
    after, before = search(whole, file, fold=True)
    copies = kept = edits = lost = answers = 0
    for query, hits in after.items():
        there = {name_of(hit.source) for hit in before[query]}
        stay = {name_of(hit.source) for hit in hits}
        named = stay | {name_of(repeat.source) for hit in hits for repeat in hit.folded}
        for hit in hits:
            group = [name_of(repeat.source) for repeat in hit.folded]
            copies += len(group)
            own = name_of(hit.source).split("+")[0]
            edits += sum(
                ("+edit" in other) != ("+edit" in hit.source) or other.split("+")[0] != own
                for other in group
            )
        kept += sum(f"{name.split('+')[0]}+copy" in stay and name in stay for name in stay
                    if "+" not in name)  # fmt: skip
        right = there & set(dataset.relevant_documents(query))
        answers += len(right)
        lost += len(right - named)
    print(
        f"  with copies: {copies} hits folded, {edits} of them into a text that is not its copy; "
        f"{kept} copies beside their original; {lost} of {answers} answers lost",
        flush=True,
    )


def search(
    dataset: Dataset, file: Path, *, fold: bool
) -> tuple[dict[str, list[Hit]], dict[str, list[Hit]]]:
    """Return the hits of each question with folding and without."""
    write(file, dataset)
    with Index(open_store(file)) as index:
        return (
            {
                query: index.search(text, DEPTH, mode="keyword", fold=fold)
                for query, text in dataset.queries.items()
            },
            {
                query: index.search(text, DEPTH, mode="keyword")
                for query, text in dataset.queries.items()
            },
        )


def total(found: dict[str, list[Hit]]) -> int:
    """Count hits, with those that are folded."""
    return sum(len(hits) for hits in found.values()) + folded(found)


def folded(found: dict[str, list[Hit]]) -> int:
    """Count folded hits."""
    return sum(len(hit.folded) for hits in found.values() for hit in hits)


if __name__ == "__main__":
    main()
