"""The models that other engines than MNN run: made of a bundle's numbers, kept in the cache."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.cached_folders import sealed_once
from minnow.caches import ENGINES
from minnow.errors import BundleError, EngineError, OutputError
from minnow.manifest import TOKENIZER
from minnow.model.families import network_of
from minnow.model.parameters import tensor_shapes
from minnow.origin import find_origin, rebuild_graph
from minnow.record_json import to_json
from minnow.resources import require_memory, shown_bytes
from minnow.sealing import sha256, stamp_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from minnow.bundle import Bundle

    Floats = NDArray[np.float32]

MOST_BYTES = 4 << 30
"""Of all models in the cache; the one that was used longest ago is deleted first."""
_LARGEST = 2**31 - 2**20
"""Bytes of a model in one ONNX file."""
_COPIES = 3
"""Numbers, the graph with them, and its serialised form."""
_GRAPH, _ANSWERS = "model.onnx", "answers.npy"


@dataclass(frozen=True)
class RebuiltModel:
    """A bundle's network for other engines than MNN.

    Attributes:
        graph: An ONNX file, or its content where the cache cannot be written.
        answers: What the bundle itself answers, to compare the engines with; float32.
    """

    graph: Path | bytes
    answers: Floats


def rebuild(bundle: Bundle, source: str | None, answers: Callable[[], Floats]) -> RebuiltModel:
    """Return the model of a bundle's own numbers, from the cache or made now.

    The cache key is the hash of the manifest, which has those of all files of the bundle.

    Args:
        bundle: The bundle.
        source: Where the model is now; see `minnow.origin.rebuild_graph`.
        answers: Computes what the bundle itself answers.

    Raises:
        SourceError, BundleError, MissingExtraError: As `rebuild_graph`.
        EngineError: The model is too large for this form, or for the memory that is left.
    """
    if source is not None:
        find_origin(bundle, source, offline=True)

    def write(folder: Path) -> None:
        (folder / _GRAPH).write_bytes(_graph(bundle, source))
        np.save(folder / _ANSWERS, answers())
        _check_unchanged(bundle)

    try:
        folder = sealed_once(f"{ENGINES}/{_key(bundle)}", write, MOST_BYTES)
    except OutputError:
        return RebuiltModel(_graph(bundle, source), answers())
    return RebuiltModel(folder / _GRAPH, np.load(folder / _ANSWERS))


def _key(bundle: Bundle) -> str:
    digest = hashlib.sha256(stamp_record(to_json(bundle.manifest)))
    for name in ("minnow-embed", "mnn"):
        digest.update(f"{name} {version(name)}\n".encode())
    return digest.hexdigest()[:32]


def _graph(bundle: Bundle, source: str | None) -> bytes:
    network = network_of(bundle.manifest.encoder)
    size = 4 * sum(math.prod(shape) for shape in tensor_shapes(network).values())
    if size > _LARGEST:
        raise EngineError(
            f"{bundle.folder} has {shown_bytes(size)} of numbers, and other engines than MNN take "
            "less than 2.1 GB. Take the engine mnn."
        )
    advice = "Take the engine mnn."
    require_memory(_COPIES * size, f"Rebuilding {bundle.folder}", advice, EngineError)
    _check_unchanged(bundle)
    return rebuild_graph(bundle, source)


def _check_unchanged(bundle: Bundle) -> None:
    manifest = bundle.manifest
    for name, record in (*manifest.encoder_files.items(), (TOKENIZER, manifest.files[TOKENIZER])):
        if sha256(bundle.folder / name) != record.sha256:
            raise BundleError(f"{bundle.folder} was replaced since it was opened. Open it again.")
