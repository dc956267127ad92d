"""Reader of a ranking's hits and their neighbours from the file; folding and reranking of hits."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import check_rows, read_checked
from minnow.indexfile.documents import CHUNKS
from minnow.indexfile.reranking import count_candidates, rank_texts
from minnow.search.folding import fold
from minnow.search.options import MOST_HITS
from minnow.search.passages import passages
from minnow.search.results import Hit, Neighbour, beginning
from minnow.search.writer import read_headings

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from minnow.indexfile.encodings import Ids
    from minnow.indexfile.matrix import Ranking
    from minnow.indexfile.reranking import TextRanker
    from minnow.search.options import Search

    _Row = tuple[str, int, tuple[str, ...], str, int, int, dict[str, Any]]

_PASSAGE_WORDS = 40
_QUESTION = (
    "SELECT source, number, headings, text, body, start, metadata FROM passages WHERE id = ?"
)


def read_hits(
    database: sqlite3.Connection,
    ranking: Ranking,
    query: str,
    *,
    vector: Ranking | None = None,
    keyword: Ranking | None = None,
) -> list[Hit]:
    """Return the hits of a ranking.

    The query selects the passages, and may be empty. `vector` and `keyword` are the rankings by
    similarity and by BM25, if those were computed.
    """
    rows = [_row(database, id_) for id_ in ranking.ids.tolist()]
    pieces = [text[body:] for _, _, _, text, body, _, _ in rows]
    shown = passages(pieces, query, _PASSAGE_WORDS)
    near = None if vector is None else scores_of(vector, ranking.ids).tolist()
    words = None if keyword is None else scores_of(keyword, ranking.ids).tolist()
    return [
        Hit(
            i + 1, int(ranking.ids[i]), float(ranking.scores[i]),
            None if near is None else near[i], None if words is None else words[i],
            source, number, headings, text, body, start,
            " ".join((shown[i] or beginning(pieces[i])).split()), metadata,
        )
        for i, (source, number, headings, text, body, start, metadata) in enumerate(rows)
    ]  # fmt: skip


def _row(database: sqlite3.Connection, id_: int) -> _Row:
    check_rows(database, CHUNKS, read_checked(database, CHUNKS, "WHERE id = ?", (id_,)))
    with reading_rows(f"Chunk {id_}"):
        source, number, headings, text, body, start, metadata = database.execute(
            _QUESTION, (id_,)
        ).fetchone()
        names, values = read_headings(headings, text, body), json.loads(metadata)
        if not isinstance(text, str) or not isinstance(values, dict):
            raise TypeError("its text or metadata is something else")
        return str(source), int(number), names, text, int(body), int(start), values


def with_neighbours(database: sqlite3.Connection, hits: Sequence[Hit], count: int) -> list[Hit]:
    """Return hits with up to so many chunks before and after each, of its document.

    Raises:
        IndexFileError: Such a chunk is damaged.
    """
    pairs = [(hit, _neighbours(database, hit, count)) for hit in hits]
    return [replace(hit, before=before, after=after) for hit, (before, after) in pairs]


def _neighbours(
    database: sqlite3.Connection, hit: Hit, count: int
) -> tuple[tuple[Neighbour, ...], tuple[Neighbour, ...]]:
    found = database.execute(
        "SELECT first_chunk, chunks FROM documents WHERE id = "
        "(SELECT document FROM chunks WHERE id = ?)",
        (hit.id,),
    ).fetchone()
    if found is None:  # another process removed the document after the search
        return (), ()
    with reading_rows(f"The chunks of {hit.source}"):
        first, last = int(found[0]), int(found[0]) + int(found[1]) - 1
    before = range(max(first, hit.id - count), hit.id)
    after = range(hit.id + 1, min(last, hit.id + count) + 1)
    return (
        tuple(_neighbour(database, id_) for id_ in before),
        tuple(_neighbour(database, id_) for id_ in after),
    )


def _neighbour(database: sqlite3.Connection, id_: int) -> Neighbour:
    _, number, headings, text, body, start, _ = _row(database, id_)
    return Neighbour(id_, number, headings, text, body, start)


def refine(find: Callable[[int], list[Hit]], query: str, k: int, asked: Search) -> list[Hit]:
    """Find hits for one question, fold those that repeat others, and rerank, as far as asked for.

    Args:
        find: Returns the best hits, at most as many as its argument. It is called again with a
            larger number if folding leaves too few.
        query: The question.
        k: The most hits.
        asked: The checked options.
    """
    count = count_candidates(asked.reranker, asked.candidates, k)
    hits, depth = find(count), count
    if asked.fold:
        folded = fold(hits)
        while len(folded) < count and len(hits) == depth < MOST_HITS:
            depth = min(2 * depth, MOST_HITS)
            hits = find(depth)
            folded = fold(hits)
        hits = folded[:count]
    return hits if asked.reranker is None else rerank(asked.reranker, query, hits, k)


def rerank(reranker: TextRanker, query: str, hits: Sequence[Hit], k: int) -> list[Hit]:
    """Return the best k hits in a reranker's order; see `rank_texts`.

    It reads `Hit.text`, which the index embedded: a piece often names its subject only in the
    headings that it stands under.
    """
    return reordered(hits, rank_texts(reranker, query, [hit.text for hit in hits])[:k])


def reordered(hits: Sequence[Hit], order: Sequence[tuple[int, float]]) -> list[Hit]:
    """Return hits in a reranker's order: the place of each among `hits`, and its score."""
    return [
        replace(hits[i], rank=rank, score=score, rerank_score=score, first_rank=hits[i].rank)
        for rank, (i, score) in enumerate(order, start=1)
    ]


def scores_of(ranking: Ranking, ids: Ids) -> NDArray[np.float64]:
    """Return the scores of chunks in a ranking: float64 of shape (ids,), 0 for those not in it."""
    order = np.argsort(ranking.ids)
    known, scores = ranking.ids[order], ranking.scores[order]
    places = np.minimum(np.searchsorted(known, ids), max(0, len(known) - 1))
    there = known[places] == ids if len(known) else np.zeros(len(ids), bool)
    return np.where(there, scores[places] if len(known) else 0.0, 0.0)
