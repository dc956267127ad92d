"""Evaluation of one system, and comparison of several with a baseline, on one data set."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.caches import cache_folder
from minnow.engines.base import default_threads
from minnow.errors import InputError
from minnow.evaluate.bootstrap import paired_bootstrap, verdict
from minnow.evaluate.metrics import MEASURES, import_measures, score
from minnow.evaluate.ranking import search, to_rankings
from minnow.evaluate.reranking import rerank
from minnow.evaluate.results import (
    DEPTH,
    Against,
    Comparison,
    DatasetFacts,
    Difference,
    Fidelity,
    RankChange,
    Reranking,
    SystemResult,
)
from minnow.evaluate.run import TIMEOUT, Embedded, embed_dataset
from minnow.model.spec import RolePrompts
from minnow.options import CANDIDATES
from minnow.systems import System, find_system, with_unique_labels
from minnow.vectors import Similarity, normalize, rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from minnow.datasets import Dataset
    from minnow.evaluate.run import RunArguments

    Floats = NDArray[np.float32]
    Progress = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

MARGIN = 0.01
"""The default of the largest difference of a measure that does not matter."""

_SAME_MODEL = 0.2  # the lowest mean cosine at which two systems can run the same model


def _no_progress(_: str, __: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


@dataclass(frozen=True)
class RunOptions:
    """Options of an evaluation.

    Attributes:
        threads: CPU threads of each system; by default those of the machine, four at most.
        cache: The folder of cached vectors; by default `cache_folder()`.
        fresh: Ignore cached vectors, and embed all texts again.
        offline: Make no network call.
        prompts: Prompts for systems whose files do not state any (GGUF); by default those of the
            first system that has some.
        progress: Called with a system's label and the number of texts to embed. The function that
            it yields is called with the number of texts after each block.
        timeout: Seconds in which a system has to open, and to embed a block of texts; after that
            it is killed.
        candidates: How many documents of each query a reranker scores, 100 at most.
    """

    threads: int | None = None
    cache: Path | None = None
    fresh: bool = False
    offline: bool = False
    prompts: RolePrompts | None = None
    progress: Progress = _no_progress
    timeout: float = TIMEOUT
    candidates: int = CANDIDATES


def evaluate(system: str, dataset: Dataset, options: RunOptions = RunOptions()) -> SystemResult:
    """Measure one system.

    Args:
        system: A bundle's folder, or another form that `minnow.systems` lists.
        dataset: The data set to search.
        options: How to run it.

    Raises:
        MinnowError: As `compare`.
    """
    _check(options)
    (found,), _ = _find([system], options)
    return _measure(_embed(found, dataset, options), dataset, options)


def compare(
    systems: Sequence[str],
    dataset: Dataset,
    options: RunOptions = RunOptions(),
    *,
    margin: float = MARGIN,
    across_models: bool = False,
) -> Comparison:
    """Compare systems with the first of them, the baseline.

    Args:
        systems: The baseline first; each a bundle's folder, or another form that `minnow.systems`
            lists.
        dataset: The data set to search.
        options: How to run them.
        margin: The largest difference of a measure that does not matter.
        across_models: Allow systems that run different models; their vectors are not compared.

    Raises:
        InputError: There are fewer than two systems, one is misspelt, the margin is negative, or
            they run different models.
        EngineError: A system failed, crashed or gave NaN.
        MissingExtraError: A library that runs a system, or the extra `evaluate`, is not installed.
        MinnowError: A system cannot be found or loaded.
    """
    if len(systems) < 2:
        raise InputError("A comparison needs at least two systems, the baseline first.")
    _check(options)
    if not margin >= 0:
        raise InputError(f"The margin should be at least 0, not {margin}.")
    found, notes = _find(systems, options)
    first = _embed(found[0], dataset, options)
    ran = {first.system.fingerprint} if first.ran else set()
    results = [_measure(first, dataset, options)]
    for system in found[1:]:
        embedded = _embed(system, dataset, options)
        ran |= {system.fingerprint} if embedded.ran else set()
        related = _is_related(embedded, first, dataset, across_models=across_models)
        fidelity = _fidelity(embedded, first, dataset) if related else (None, None)
        result = _measure(embedded, dataset, options)
        against = _against(result, results[0], fidelity, dataset, margin)
        results.append(replace(result, against=against))
    earlier = [r for s, r in zip(found, results, strict=True) if s.fingerprint not in ran]
    notes = (*notes, *_note_earlier_runs(earlier, alone=not ran))
    return Comparison(DatasetFacts.of(dataset), margin, tuple(results), notes)


def embed(system: str, dataset: Dataset, options: RunOptions = RunOptions()) -> Embedded:
    """Embed a data set with one system; vectors in the cache are not computed again.

    Raises:
        MinnowError: As `compare`.
    """
    (found,), _ = _find([system], options)
    return _embed(found, dataset, options)


# --- finding and running -----------------------------------------------------------------


def _check(options: RunOptions) -> None:
    """Check what would otherwise fail after the texts are embedded."""
    import_measures()
    if not 1 <= options.candidates <= DEPTH:
        raise InputError(f"candidates should be 1 to {DEPTH}, not {options.candidates}.")


def _find(names: Sequence[str], options: RunOptions) -> tuple[list[System], tuple[str, ...]]:
    """Find the systems, with unique labels, and notes on the prompts that they were given."""
    found = [find_system(name, offline=options.offline) for name in names]
    stated = (system.prompts for system in found if system.prompts is not None)
    prompts = options.prompts or next(stated, None)
    notes = []
    for i, system in enumerate(found):
        if system.prompts is None and prompts is not None:
            found[i] = find_system(names[i], offline=True, prompts=prompts)
            if prompts.query or prompts.document:
                notes.append(
                    f"{system.label} states no prompts; it was given {prompts.query!r} for queries "
                    f"and {prompts.document!r} for documents."
                )
    return with_unique_labels(found), tuple(notes)


def _embed(system: System, dataset: Dataset, options: RunOptions) -> Embedded:
    return embed_dataset(system, dataset, **_arguments(system, options))


def _arguments(system: System, options: RunOptions) -> RunArguments:
    return {
        "cache": options.cache or cache_folder(),
        "threads": options.threads or default_threads(),
        "fresh": options.fresh,
        "timeout": options.timeout,
        "progress": lambda count: options.progress(system.label, count),
    }


def _note_earlier_runs(earlier: Sequence[SystemResult], *, alone: bool) -> list[str]:
    """Return a note if some speeds were not measured in the same run as the others."""
    if not earlier or (alone and len({result.usage.measured for result in earlier}) == 1):
        return []
    labels = (f"{result.label} ({result.usage.measured})" for result in earlier)
    return [
        f"Load time, texts/s and memory of {', '.join(labels)} were measured in an "
        "earlier run. Give `fresh=True` to measure all of them now."
    ]


# --- one system --------------------------------------------------------------------------


def _measure(embedded: Embedded, dataset: Dataset, options: RunOptions) -> SystemResult:
    system, reranker = embedded.system, embedded.system.reranker
    indices = search(dataset, *search_vectors(embedded), k=DEPTH)
    reranking = None
    if reranker is not None:
        indices, usage = rerank(
            reranker, dataset, indices, options.candidates, **_arguments(reranker, options)
        )
        reranking = Reranking(reranker.name, reranker.runtime, options.candidates, usage)
    return SystemResult(
        name=system.name if reranker is None else f"{system.name}+{reranker.name}",
        label=system.label,
        runtime=system.runtime,
        size=system.size + (0 if reranker is None else reranker.size),
        scores=score(dataset, to_rankings(dataset, indices)),
        gold_cosine=_gold_cosine(embedded, dataset),
        ranks=_first_ranks(dataset, indices),
        usage=embedded.usage,
        reranking=reranking,
    )


def search_vectors(embedded: Embedded) -> tuple[Floats, Floats]:
    """Return queries and documents whose dot products rank as the model's similarity does."""
    queries, documents = embedded.queries, embedded.documents
    if embedded.similarity is Similarity.COSINE:
        return normalize(queries), normalize(documents)
    if embedded.similarity is Similarity.DOT:
        return queries, documents
    if embedded.similarity is Similarity.EUCLIDEAN:  # -|q - d|^2 is 2 q.d - |d|^2 and a constant
        lengths = (documents.astype(np.float64) ** 2).sum(1, keepdims=True).astype(np.float32)
        ones = np.ones((len(queries), 1), np.float32)
        return np.hstack([2 * queries, ones]), np.hstack([documents, -lengths])
    raise InputError(
        f"{embedded.system.name} compares its vectors by {embedded.similarity.value} distance, "
        "which minnow cannot search by."
    )


def _gold_cosine(embedded: Embedded, dataset: Dataset) -> float:
    """Return the mean over the queries of the mean cosine with their relevant documents.

    Documents that the data set lacks, and queries without any other, are left out.
    """
    place = {name: i for i, name in enumerate(dataset.documents)}
    means = []
    for vector, query in zip(embedded.queries, dataset.queries, strict=True):
        gold = [place[name] for name in dataset.relevant_documents(query)]
        if not gold:
            continue
        documents = embedded.documents[gold]
        means.append(rowwise_cosine(np.broadcast_to(vector, documents.shape), documents).mean())
    return float(np.mean(means))


def _first_ranks(dataset: Dataset, indices: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Return the rank of each query's first relevant document, from 1; 0 beyond the depth."""
    names = list(dataset.documents)
    ranks = np.zeros(len(indices), np.int64)
    for row, (query, found) in enumerate(zip(dataset.queries, indices, strict=True)):
        gains = dataset.qrels[query]
        relevant = (n for n, i in enumerate(found, start=1) if gains.get(names[i], 0) > 0)
        ranks[row] = next(relevant, 0)
    return ranks


# --- two systems -------------------------------------------------------------------------


def _is_related(
    candidate: Embedded, baseline: Embedded, dataset: Dataset, *, across_models: bool
) -> bool:
    """Return whether the vectors of two systems can be compared one by one.

    Raises:
        InputError: They cannot, and `across_models` is False.
    """
    width, expected = candidate.documents.shape[1], baseline.documents.shape[1]
    if width != expected:
        reason = f"vectors of width {width}, the baseline of width {expected}"
    else:
        mean = float(np.nanmean(rowwise_cosine(candidate.documents, baseline.documents)))
        if mean >= _SAME_MODEL:
            return True
        reason = f"vectors with a mean cosine of {mean:.3f} to the baseline's on {dataset.name}"
    if not across_models:
        raise InputError(
            f"{candidate.system.name} has {reason}: it runs another model than "
            f"{baseline.system.name}, or is badly broken. Give `across_models=True` to "
            "compare what different models find, without their vectors."
        )
    return False


def _fidelity(
    candidate: Embedded, baseline: Embedded, dataset: Dataset
) -> tuple[Fidelity, Fidelity]:
    """Return the cosines of the documents, and of the queries."""
    documents = rowwise_cosine(candidate.documents, baseline.documents)
    queries = rowwise_cosine(candidate.queries, baseline.queries)
    return (
        Fidelity(tuple(dataset.documents), documents),
        Fidelity(tuple(dataset.queries), queries),
    )


def _against(
    candidate: SystemResult,
    baseline: SystemResult,
    fidelity: tuple[Fidelity | None, Fidelity | None],
    dataset: Dataset,
    margin: float,
) -> Against:
    differences = {}
    for measure in MEASURES:
        interval = paired_bootstrap(
            candidate.scores.weighted(measure), baseline.scores.weighted(measure)
        )
        differences[measure] = Difference(interval, verdict(interval, margin))
    changes = [
        RankChange(query, text, int(before) or None, int(after) or None)
        for (query, text), before, after in zip(
            dataset.queries.items(), baseline.ranks, candidate.ranks, strict=True
        )
        if before != after
    ]
    changes.sort(key=lambda change: change.gain)
    return Against(differences, *fidelity, tuple(changes))
