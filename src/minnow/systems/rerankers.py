"""Rerankers that can be measured: the part behind `+` in `SYSTEM+RERANKER`, found, and opened.

| written | runtime |
|---|---|
| `FOLDER` | MNN, on a reranker's bundle |
| `st:SOURCE` | sentence-transformers' CrossEncoder, on torch in float32 |
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from minnow.bundle import Bundle
from minnow.errors import InputError, MissingExtraError
from minnow.manifest import MANIFEST
from minnow.options import BATCH_SIZE
from minnow.systems.found import FoundSystem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

_PEER = "st:"


class PairScorer(Protocol):
    """What scores pairs of a query and a document."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return a logit for each pair, float32 of shape (pairs,): larger is more relevant."""
        ...


def split_reranker(name: str) -> tuple[str, str | None]:
    """Divide `SYSTEM+RERANKER` at its last plus; a path with a plus in it stays whole."""
    system, plus, reranker = name.rpartition("+")
    if not plus or Path(name).exists():
        return name, None
    if not system or not reranker:
        raise InputError(f"{name!r} lacks a system before, or a reranker behind the plus.")
    return system, reranker


def find_reranker(name: str, offline: bool) -> tuple[str, FoundSystem]:
    """Find a reranker's files; return the name of its runtime with its version, and the files.

    Raises:
        BundleError: It is not a reranker's bundle, or a file in it has changed.
        SourceError: There is no such model.
        MissingExtraError: sentence-transformers is not installed.
        InputError: The model gives more than one score for a pair.
    """
    if name.startswith(_PEER):
        return _find_peer(name, offline)
    bundle = Bundle.open(name)
    bundle.check_kind(reranks=True)
    bundle.check_files()
    assert bundle.manifest.reranking is not None
    _check_labels(name, len(bundle.manifest.reranking.labels))
    return f"MNN {version('mnn')}", FoundSystem(
        files=tuple(bundle.folder / file for file in (*bundle.manifest.files, MANIFEST)),
        prompts=None,
        tokenizer=None,
        variant=f", {bundle.manifest.recipe.precision.value}",
    )


def open_reranker(name: str, threads: int) -> PairScorer:
    """Load a reranker; nothing is downloaded."""
    return _Peer(name, threads) if name.startswith(_PEER) else _OfBundle(name, threads)


def _find_peer(name: str, offline: bool) -> tuple[str, FoundSystem]:
    from minnow.model.source import resolve
    from minnow.systems.sources import model_files

    try:
        runtime = f"sentence-transformers {version('sentence-transformers')}"
    except PackageNotFoundError as error:
        raise MissingExtraError(f"The reranker {name}", "sentence-transformers") from error
    source = resolve(name.removeprefix(_PEER), offline=offline)
    return runtime, FoundSystem(model_files(source, weights=True), None, None)


def _check_labels(name: str, labels: int) -> None:
    if labels != 1:
        raise InputError(
            f"{name} gives {labels} scores for a pair, of which none orders documents."
        )


class _OfBundle:
    def __init__(self, name: str, threads: int) -> None:
        from minnow.reranker import Reranker

        self._reranker = Reranker.open(
            name, threads=threads, on_truncate="ignore", check_files=False
        )

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._reranker.predict(
            pairs, activation_fn="identity", show_progress_bar=False
        )
        return logits


class _Peer:
    def __init__(self, name: str, threads: int) -> None:
        from minnow.engines.cross_encoder import SentenceTransformersReranker
        from minnow.model.source import resolve

        folder = resolve(name.removeprefix(_PEER), offline=True).folder
        self._reranker = SentenceTransformersReranker(folder, threads=threads)
        _check_labels(name, self._reranker.num_labels)

    def score(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        return self._reranker.logits(pairs, batch_size=BATCH_SIZE)[:, 0]
