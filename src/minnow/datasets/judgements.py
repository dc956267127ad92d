"""Relevance judgements (qrels) as benchmarks publish them, faults included.

A faulty line costs only itself: it is counted, and the first one is named in a note. What counts
follows trec_eval, as BEIR and MTEB call it, so that figures compare with published ones.
"""

from __future__ import annotations

import csv
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from minnow.datasets.lines import GZIP, line_error, read_lines, read_rows
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    Row = tuple[str, str, str]
    Qrels = dict[str, dict[str, float]]

_COLUMNS = (
    ("query-id", "query_id", "queryid", "qid", "query", "topic"),
    ("corpus-id", "corpus_id", "corpusid", "doc-id", "doc_id", "docid", "did", "pid", "document"),
    ("score", "relevance", "rel", "label"),
)
"""Names of the three columns in published files; BEIR's are the first of each."""

_TREC = ("0", "Q0")
"""The second of four columns in TREC's own format, which means nothing."""

_DECIMALS = 4


@dataclass
class Faults:
    """Counts of faults by kind, and the first of each.

    Attributes:
        counts: How often each kind was found.
        first: Where each was found first, such as "line 7: 'd9' for 'q1'".
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, where: str) -> None:
        """Count a fault."""
        self.counts[kind] += 1
        self.first.setdefault(kind, where)

    def note(self, kind: str, text: str, singular: str = "") -> list[str]:
        """Return a sentence on a kind of fault, in a list; an empty list if there is none.

        Args:
            kind: The kind.
            text: The sentence, with `{}` for their number, used with "are"; `singular` for one.
            singular: The sentence for a single one.
        """
        count = self.counts[kind]
        if not count:
            return []
        sentence = (singular if count == 1 and singular else text).format(count)
        return [sentence.replace("@", self.first[kind])]


def read_judgements(
    paths: Sequence[Path], documents: Collection[str], queries: Collection[str]
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Read the judgements of a split.

    Its file has the columns query, document and score, divided by tabs, under a header or without
    one; or the four columns of TREC. Ids may be quoted as in CSV, as BEIR's own files are. MTEB's
    files are objects with the keys query-id, corpus-id and score, as JSON lines or in parquet.

    Args:
        paths: The file, perhaps compressed; or the parts of one.
        documents: Ids of the corpus.
        queries: Ids of the queries.

    Returns:
        Scores by query and document, of judged queries that exist; and notes on what is unusual.

    Raises:
        InputError: The file cannot be read, holds no judgement of these queries and documents, or
            finds none of them relevant.
    """
    qrels: Qrels = {}
    faults = Faults()
    path = paths[0]
    for number, judgement in (row for part in paths for row in _read(part, queries)):
        score = _number(judgement[2]) if judgement else None
        if judgement is None or score is None:
            faults.add("broken", f"line {number}")
            continue
        query, document = _known(judgement[0], queries), _known(judgement[1], documents)
        if query not in queries:
            faults.add("query", f"{query!r} in line {number}")
            continue
        scores = qrels.setdefault(query, {})
        if document in scores:
            kind = "repeated" if scores[document] == score else "contradicted"
            faults.add(kind, f"line {number}: {document!r} for {query!r}")
        scores[document] = score
        if document not in documents:
            faults.add("document", f"{document!r} for {query!r} in line {number}")
    _check(path, qrels, documents, faults)
    whole, scaled = _whole_scores(qrels)
    return whole, [*_notes(path, faults), *scaled, *_note_unanswered(whole)]


# --- lines -------------------------------------------------------------------------------


class _Object(msgspec.Struct, rename="kebab"):
    query_id: str | int
    corpus_id: str | int
    score: str | float


def _read(path: Path, queries: Collection[str]) -> Iterator[tuple[int, Row | None]]:
    """Yield the number of each line and what it judges; None if it is broken."""
    if not path.name.endswith((".tsv", ".tsv" + GZIP)):
        for number, row in read_rows(path, _Object, '"query-id", "corpus-id" and "score"'):
            yield number, (str(row.query_id), str(row.corpus_id), str(row.score))
        return
    order = (0, 1, 2)
    for row_number, (number, line) in enumerate(read_lines(path)):
        fields = _split(line)
        if row_number == 0 and (named := _header(fields, queries)):
            order = named
        else:
            yield number, _pick(fields, order)


def _split(line: bytes) -> list[str]:
    """Return the columns of a line; none if it is not UTF-8."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return []
    return text.split("\t") if "\t" in text else text.split()


def _header(fields: list[str], queries: Collection[str]) -> tuple[int, int, int] | None:
    """Return the places of query, document and score if a line is a header; else None."""
    names = [name.strip().strip('"').lower() for name in fields]
    places = [next((names.index(n) for n in known if n in names), -1) for known in _COLUMNS]
    if min(places) >= 0:
        return places[0], places[1], places[2]
    if len(fields) == 3 and _number(fields[2]) is None and fields[0] not in queries:
        return 0, 1, 2
    return None


def _pick(fields: list[str], order: tuple[int, int, int]) -> Row | None:
    if len(fields) == 4 and fields[1] in _TREC and order == (0, 1, 2):
        fields = [fields[0], fields[2], fields[3]]
    if len(fields) <= max(order) or (len(fields) > 3 and order == (0, 1, 2)):
        return None
    query, document, score = (fields[place] for place in order)
    return (query, document, score) if query and document else None


def _number(text: str) -> float | None:
    try:
        value = float(text.strip().strip('"'))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _known(id_: str, ids: Collection[str]) -> str:
    """Return an id as the other file spells it: unquoted, if BEIR's writer put it in quotes."""
    if id_ in ids or not id_.startswith('"'):
        return id_
    unquoted = next(csv.reader([id_], delimiter="\t"), [id_])[0]
    return unquoted if unquoted in ids else id_


# --- all of them -------------------------------------------------------------------------


def _check(path: Path, qrels: Qrels, documents: Collection[str], faults: Faults) -> None:
    if not qrels:
        if faults.counts["broken"] and not faults.counts["query"]:
            number = int(faults.first["broken"].removeprefix("line "))
            problem = "should have the columns query-id, corpus-id, score, with a number as score"
            raise line_error(path, number, problem)
        if faults.counts["query"]:
            raise InputError(
                f"{path} judges none of the queries in queries.jsonl; the first that it names is "
                f"{faults.first['query']}."
            )
        raise InputError(f"{path} holds no judgements.")
    judged = ((d, score) for scores in qrels.values() for d, score in scores.items())
    if not any(score > 0 for _, score in judged):
        raise InputError(f"{path} has no score above 0: no document is relevant to any query.")
    if not any(d in documents for scores in qrels.values() for d, s in scores.items() if s > 0):
        raise InputError(
            f"{path} finds no document of corpus.jsonl relevant; the first that it names is "
            f"{faults.first['document']}."
        )


def _whole_scores(qrels: Qrels) -> tuple[dict[str, dict[str, int]], list[str]]:
    """Return scores as whole numbers, multiplied by a power of ten where they have decimals.

    nDCG divides by the ideal ranking's gain, so that a common factor does not change it.
    """
    values = {score for scores in qrels.values() for score in scores.values()}
    factor = 1
    while factor < 10**_DECIMALS and any(
        abs(v * factor - round(v * factor)) > 1e-9 for v in values
    ):
        factor *= 10
    whole = {
        query: {
            document: max(round(score * factor), 1) if score > 0 else round(score * factor)
            for document, score in scores.items()
        }
        for query, scores in qrels.items()
    }
    if factor == 1:
        return whole, []
    return whole, [
        f"Scores have decimals; they are multiplied by {factor}, which changes no measure "
        f"(beyond {_DECIMALS} decimals they are rounded)."
    ]


def _notes(path: Path, faults: Faults) -> list[str]:
    name = path.name
    return [
        *faults.note(
            "document",
            f"{{}} judgements in {name} are of documents that corpus.jsonl lacks (first: @). They "
            "count in recall and in the ideal ranking, as trec_eval counts them.",
            f"A judgement in {name} is of a document that corpus.jsonl lacks (@). It counts in "
            "recall and in the ideal ranking, as trec_eval counts it.",
        ),
        *faults.note(
            "query",
            f"{{}} judgements in {name} are of queries that queries.jsonl lacks (first: @). They "
            "are left out.",
            f"A judgement in {name} is of a query that queries.jsonl lacks (@). It is left out.",
        ),
        *faults.note(
            "repeated",
            f"{{}} lines of {name} repeat an earlier one (first: @).",
            f"A line of {name} repeats an earlier one (@).",
        ),
        *faults.note(
            "contradicted",
            f"{{}} lines of {name} give another score than an earlier one (first: @). The last "
            "counts, as in BEIR.",
            f"A line of {name} gives another score than an earlier one (@). The last counts, as "
            "in BEIR.",
        ),
        *faults.note(
            "broken",
            f"{{}} lines of {name} do not have a query, a document and a number (first: @). They "
            "are left out.",
            f"A line of {name} does not have a query, a document and a number (@). It is left out.",
        ),
    ]


def _note_unanswered(qrels: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Note the queries without a relevant document."""
    without = [query for query, scores in qrels.items() if max(scores.values()) <= 0]
    if not without:
        return []
    if len(without) == 1:
        return [
            f"The query {without[0]!r} has no relevant document. It counts as 0 in every mean, as "
            "trec_eval counts it."
        ]
    return [
        f"{len(without)} queries have no relevant document (first: {without[0]!r}). They count as "
        "0 in every mean, as trec_eval counts them."
    ]
