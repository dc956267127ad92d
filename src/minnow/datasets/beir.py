"""Folders in BEIR's layout, as benchmarks publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from minnow.characters import clean_text
from minnow.datasets.dataset import Dataset, join
from minnow.datasets.judgements import Faults, read_judgements
from minnow.datasets.lines import GZIP, PARQUET, line_error, read_rows
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_DEFAULT_SPLIT = "test"
_TEXT_FILES = ("corpus.jsonl", "queries.jsonl")
_SAME_WORDS = 0.8


def read_beir(folder: Path, split: str | None = None) -> Dataset:
    """Read a folder in the layout of BEIR.

    It holds corpus.jsonl (`_id`, `text`, and optionally `title`), queries.jsonl (`_id`, `text`)
    and qrels/<split>.tsv (query-id, corpus-id, score). Each may be compressed, with .gz appended
    to its name, or as MTEB publishes it: qrels/<split>.jsonl, or parquet files in corpus/, queries/
    and qrels/. Queries that the split does not judge are left out.

    Faults that published benchmarks have cost only the line that has them, and conventions are
    those of the field, so that figures compare with published ones. `Dataset.notes` counts and
    explains them:

    - A document that is judged but missing counts in recall and in the ideal ranking; a query
      whose judgements are all 0 or less counts as 0 (trec_eval).
    - Judgements of missing queries are left out, and of repeated ones the last counts.
    - Where the queries are documents of the corpus, under the same ids, a query's own document is
      left out of its results, as BEIR and MTEB do for ArguAna.
    - Empty documents stay in the corpus.
    - A folder of such folders, as CQADupStack is, gives one data set whose parts are searched
      alone, and whose measures are the means of theirs.

    Args:
        folder: Where the files are; its name and the split's become the data set's.
        split: Which of the files in qrels/; by default the only one, else "test", as in BEIR.

    Raises:
        InputError: A file is missing, a line of corpus.jsonl or queries.jsonl is not such an
            object, the judgements fit neither queries nor documents, or there are several splits,
            none of them "test". The message names the file and the line.

    Source: https://github.com/beir-cellar/beir/wiki/Load-your-custom-dataset
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    if parts := _find_parts(folder):
        return _join_parts(folder, parts, split)
    chosen, judged, notes = _find_split(folder, split)
    documents, of_documents = _read_texts(_find(folder, "corpus", chosen), "documents")
    queries, of_queries = _read_texts(_find(folder, "queries", chosen), "queries")
    qrels, of_qrels = read_judgements(judged, documents, queries)
    asked = {query: text for query, text in queries.items() if query in qrels}
    own, of_own = _find_own_documents(asked, documents, qrels)
    return Dataset(
        name=f"{folder.resolve().name}/{chosen}",
        documents=documents,
        queries=asked,
        qrels={query: qrels[query] for query in asked},
        own_documents=own,
        notes=(*notes, *of_documents, *of_queries, *of_qrels, *of_own),
    )


# --- files -------------------------------------------------------------------------------


def _find(folder: Path, name: str, split: str) -> list[Path]:
    """Return the file of texts; or the parquet files of its directory, those of the split alone."""
    for path in (folder / f"{name}.jsonl", folder / f"{name}.jsonl{GZIP}"):
        if path.is_file():
            return [path]
    parts = sorted((folder / name).glob(f"*{PARQUET}"))
    of_split = [path for path in parts if path.name.startswith(f"{split}-")]
    if not parts:
        raise InputError(
            f"{folder} has no file {name}.jsonl, nor {name}.jsonl{GZIP}, nor {name}/*{PARQUET}."
        )
    return of_split or parts


def _find_parts(folder: Path) -> list[Path]:
    """Return the data sets in a folder that is none itself, such as CQADupStack's twelve forums."""
    if any((folder / f"corpus.jsonl{end}").is_file() for end in ("", GZIP)):
        return []
    return sorted({path.parent for path in folder.glob("*/corpus.jsonl*")})


def _join_parts(folder: Path, parts: list[Path], split: str | None) -> Dataset:
    joined = {part.name: read_beir(part, split) for part in parts}
    note = (
        f"{folder.name} holds {len(parts)} data sets: {', '.join(joined)}. Each is searched alone, "
        "and a figure is the mean of theirs, as published for CQADupStack."
    )
    chosen = {part.name.rpartition("/")[2] for part in joined.values()}
    return join(f"{folder.resolve().name}/{' '.join(sorted(chosen))}", joined, (note,))


def _find_split(folder: Path, split: str | None) -> tuple[str, list[Path], list[str]]:
    """Return a split, its files of judgements, and a note if it was chosen among several."""
    found = _splits(folder)
    if split is not None:
        if split not in found:
            there = f"; it has {', '.join(found)}" if found else ""
            raise InputError(f"{folder / 'qrels'} has no file {split}.tsv{there}.")
        return split, found[split], []
    if not found:
        raise InputError(
            f"{folder / 'qrels'} has no .tsv file with judgements, nor JSON lines or parquet."
        )
    if len(found) == 1:
        return *next(iter(found.items())), []
    if _DEFAULT_SPLIT not in found:
        raise InputError(f"{folder / 'qrels'} has the splits {', '.join(found)}: name one of them.")
    note = f"qrels has the splits {', '.join(found)}; {_DEFAULT_SPLIT} is taken, as in BEIR."
    return _DEFAULT_SPLIT, found[_DEFAULT_SPLIT], [note]


def _splits(folder: Path) -> dict[str, list[Path]]:
    """Return the files of judgements by split, from the first directory that has some."""
    for place in (folder / "qrels", folder / "data", folder / "default", folder):
        found: dict[str, list[Path]] = {}
        for path in sorted(place.glob("*")):
            name = path.name.removesuffix(GZIP)
            if name.endswith((".tsv", ".jsonl")) and name not in _TEXT_FILES:
                split = name.rpartition(".")[0]
                found[split] = found.get(split) or [path]
            elif name.endswith(PARQUET):
                found.setdefault(name.partition("-")[0], []).append(path)
        if found:
            return found
    return {}


# --- texts -------------------------------------------------------------------------------


class _Row(msgspec.Struct):
    text: str | int | float | None
    beir_id: str | int | UnsetType = msgspec.field(name="_id", default=UNSET)
    id: str | int | UnsetType = UNSET
    title: str | int | float | None = None


def _read_texts(paths: list[Path], kind: str) -> tuple[dict[str, str], list[str]]:
    """Return texts by id, in the files' order, and notes on what is unusual."""
    texts: dict[str, str] = {}
    faults = Faults()
    path = paths[0]
    rows = ((path, *row) for path in paths for row in read_rows(path, _Row, '"_id" and "text"'))
    for path, number, row in rows:
        id_ = row.id if row.beir_id is UNSET else row.beir_id
        if id_ is UNSET or id_ == "":
            raise line_error(path, number, 'has an empty id, or no "_id"')
        name, where = str(id_), f"{id_!r} in line {number}"
        title, text = ("" if part is None else str(part) for part in (row.title, row.text))
        text = clean_text(f"{title} {text}".strip())
        if name in texts:
            faults.add("repeated" if texts[name] == text else "changed", where)
        if not text:
            faults.add("empty", where)
        texts[name] = text
    if not texts:
        raise InputError(f"{path} holds no {kind}.")
    return texts, [
        *faults.note(
            "empty",
            f"{{}} {kind} of {path.name} are empty (first: @). They stay in.",
            f"A text of {path.name} is empty (@). It stays in.",
        ),
        *faults.note(
            "repeated",
            f"{{}} lines of {path.name} repeat an earlier one (first: @).",
            f"A line of {path.name} repeats an earlier one (@).",
        ),
        *faults.note(
            "changed",
            f"{{}} lines of {path.name} repeat an id with another text (first: @). The last "
            "counts, as in BEIR.",
            f"A line of {path.name} repeats an id with another text (@). The last counts, as in "
            "BEIR.",
        ),
    ]


def _find_own_documents(
    queries: Mapping[str, str],
    documents: Mapping[str, str],
    qrels: Mapping[str, Mapping[str, int]],
) -> tuple[frozenset[str], list[str]]:
    """Return the ids of queries that are documents themselves, and a note if there are any.

    Equal ids alone do not say that: files often count both queries and documents from 1. So query
    and document have to be the same text, for most of the queries that share an id; and a document
    that is judged relevant to the query of its id is an answer.
    """
    shared = [query for query in queries if query in documents and qrels[query].get(query, 0) <= 0]
    same = sum(_is_same_text(documents[query], queries[query]) for query in shared)
    if not shared or 2 * same < len(shared):
        return frozenset(), []
    count = f"{len(shared)} queries are" if len(shared) > 1 else f"The query {shared[0]!r} is"
    return frozenset(shared), [
        f"{count} in the corpus too, under the same id. A query's own document is left out of its "
        "results, as BEIR and MTEB do."
    ]


def _is_same_text(document: str, query: str) -> bool:
    """Return whether a document is the query, perhaps behind a title, in nearly the same words."""
    words = set(query.casefold().split())
    shared = words & set(document.casefold().split())
    alike = query in document or len(shared) >= _SAME_WORDS * len(words)
    return bool(words) and alike and 2 * len(query) >= len(document)
