"""Comparison of the ways to search an index, on its user's own questions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.chunks import Chunk
from minnow.datasets.dataset import Dataset
from minnow.datasets.documents import read_questions
from minnow.datasets.places import ChunkLocator, CutDocument
from minnow.errors import InputError
from minnow.evaluate.bootstrap import Interval, Verdict, paired_bootstrap, verdict
from minnow.evaluate.comparison import MARGIN
from minnow.evaluate.metrics import HEADLINE, Scores, import_measures, score
from minnow.search.choice import SearchChoice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from minnow.indexfile.reranking import TextRanker
    from minnow.options import SearchMode
    from minnow.search import Hit, Index

DEPTH = 10
BASELINE: SearchMode = "hybrid"
"""The mode of a search that names none; another mode has to be better than this."""

_MODES: tuple[SearchMode, ...] = (BASELINE, "vector", "keyword")


@dataclass(frozen=True)
class ModeResult:
    """What a way of searching finds.

    Attributes:
        choice: The way.
        scores: Its measures for each question.
        milliseconds: The median time of a question.
        interval: Its nDCG@10 less that of hybrid search, with the 95 % confidence interval; None
            for hybrid search itself.
        verdict: What that says; None for hybrid search itself.
    """

    choice: SearchChoice
    scores: Scores
    milliseconds: float
    interval: Interval | None = None
    verdict: Verdict | None = None

    def facts(self) -> dict[str, object]:
        """Return the fields as JSON values."""
        interval = self.interval
        return {
            "mode": self.choice.mode,
            "reranker": self.choice.reranker or None,
            "measures": self.scores.means,
            "milliseconds": self.milliseconds,
            "difference": None
            if interval is None
            else {"mean": interval.difference, "low": interval.low, "high": interval.high},
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class ModeComparison:
    """Ways of searching an index side by side.

    Attributes:
        results: Hybrid search first.
        questions: How many were asked.
    """

    results: Sequence[ModeResult]
    questions: int

    @property
    def best(self) -> ModeResult | None:
        """Of the ways that are better than hybrid search the one with the highest nDCG@10."""
        better = [result for result in self.results if result.verdict == "better"]
        return max(better, key=lambda result: result.choice.ndcg, default=None)

    def facts(self) -> dict[str, object]:
        """Return the fields as JSON values, with the best way; null where none is better."""
        best = self.best
        return {
            "questions": self.questions,
            "ways": [result.facts() for result in self.results],
            "best": None
            if best is None
            else {"mode": best.choice.mode, "reranker": best.choice.reranker or None},
        }


def read_index_questions(index: Index, queries: Path) -> Dataset:
    """Read questions about the documents of an index, with the places of their answers.

    Args:
        index: The index; the data set's documents are its chunks.
        queries: A file as `minnow.datasets.read_docs` reads it; a `document` is named as hits name
            it, `Hit.source`.

    Raises:
        InputError: The index is empty, a line is broken, or a place is not found or ambiguous.
        IndexFileError: The file is damaged.
    """
    groups: dict[str, list[Hit]] = {}
    for hit in index.select("1"):
        groups.setdefault(hit.source, []).append(hit)
    if not groups:
        raise InputError(f"{index.store.path} holds no documents to ask about.")
    repeats = index.settings.overlap > 0
    cut = [_join(source, hits, repeats=repeats) for source, hits in groups.items()]
    texts, qrels = read_questions(queries, ChunkLocator(cut))
    documents = {chunk.id: chunk.text for document in cut for chunk in document.chunks}
    return Dataset(index.store.path.name, documents, texts, qrels)


def _join(source: str, hits: Sequence[Hit], *, repeats: bool) -> CutDocument:
    """Join the pieces of a document's chunks to a text in which quotations can be looked up.

    The file does not have the document's own text. What a chunk repeats of the one before is
    left out, so that a quotation may begin in one and end in the other.
    """
    text, chunks, end = "", [], 0
    for hit in hits:
        known = max(0, end - hit.start) if repeats else 0
        start = len(text) - known
        text += hit.piece[known:]
        end = hit.start + len(hit.piece)
        chunks.append(Chunk(source, hit.number, hit.headings, hit.text, start, len(text), hit.body))
        text += "\n"
    return CutDocument(source, text, [hit.headings for hit in hits], chunks)


def compare_modes(
    index: Index,
    dataset: Dataset,
    *,
    reranker: TextRanker | None = None,
    reranker_name: str = "",
    candidates: int | None = None,
    margin: float = MARGIN,
    progress: Callable[[int], None] = lambda _: None,
) -> ModeComparison:
    """Compare the ways of searching an index with hybrid search, on the user's own questions.

    Args:
        index: The index, open with its model.
        dataset: Questions as `read_index_questions` reads them.
        reranker: Orders what hybrid search found, as one way more.
        reranker_name: Its name.
        candidates: How many hits it reads; see `Index.search`.
        margin: The largest difference of nDCG@10 that does not matter.
        progress: Receives the number of questions answered since the last call.

    Raises:
        InputError: There is no model, or an argument is out of range.
        EngineError: The model or the reranker failed.
        MissingExtraError: The extra `evaluate` is not installed.
    """
    import_measures()
    ways: list[tuple[SearchMode, TextRanker | None]] = [(mode, None) for mode in _MODES]
    if reranker is not None:
        ways.append((BASELINE, reranker))
    results: list[ModeResult] = []
    for mode, second in ways:
        rankings: dict[str, list[str]] = {}
        seconds = []
        depth = None if second is None else candidates
        for name, question in dataset.queries.items():
            start = time.perf_counter()
            hits = index.search(question, DEPTH, mode=mode, reranker=second, candidates=depth)
            seconds.append(time.perf_counter() - start)
            rankings[name] = [f"{hit.source}#{hit.number}" for hit in hits]
            progress(1)
        scores = score(dataset, rankings)
        choice = SearchChoice(
            mode, reranker_name if second else "", scores.means[HEADLINE], len(rankings)
        )
        interval = said = None
        if results:
            interval = paired_bootstrap(scores.table[HEADLINE], results[0].scores.table[HEADLINE])
            said = verdict(interval, margin)
        results.append(
            ModeResult(choice, scores, 1000 * statistics.median(seconds), interval, said)
        )
    return ModeComparison(results, len(dataset.queries))
