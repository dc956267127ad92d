"""A graph of nearest neighbours beside a large index, in a file of its own: usearch's HNSW.

`FILE.usearch` may be deleted at any time. It begins with a header that names the index and its
state, followed by what usearch writes.
"""

from __future__ import annotations

import json
import mmap
import warnings
import zlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import MissingExtraError, OutputError
from minnow.files import whole_file
from minnow.resources import require_memory
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.store import Store


LARGE = 100_000
"""Indexes with as many chunks get a sidecar, where usearch is installed."""

_HEADER = 4096
_MAGIC = "minnow usearch 3"
_EXPANSION_ADD = 128
_LEAST_EXPANSION = 128
_CHUNKS_PER_EXPANSION = 600
_CONNECTIVITY = 16
_CANDIDATES = 64
_NEIGHBOUR_BYTES = 200
_LARGEST = 127
_METRICS = {Similarity.COSINE: "cos", Similarity.DOT: "ip", Similarity.EUCLIDEAN: "l2sq"}


@dataclass(frozen=True)
class _State:
    """The state of an index that a sidecar was built from.

    Ids only grow and rows never change, so the last id and the number of rows identify a state.
    """

    index: str
    last: int
    count: int
    width: int
    metric: str
    dtype: str


@dataclass(frozen=True)
class _Numbers:
    """The conversion of vectors to what the graph holds, float16 or int8.

    usearch itself would scale every vector to the same length when it makes int8 of it, which is
    right for cosine alone; with one scale for all vectors, lengths are kept.

    Attributes:
        dtype: "f16" or "i8".
        largest: The largest magnitude of a number in the vectors of the index, for "i8".
    """

    dtype: str
    largest: float

    def of(self, vectors: Floats) -> Floats | NDArray[np.int8]:
        if self.dtype == "f16":
            return vectors
        scaled = np.rint(vectors * (_LARGEST / self.largest))
        rows: NDArray[np.int8] = np.clip(scaled, -_LARGEST, _LARGEST).astype(np.int8)
        return rows


def sidecar_path(path: Path) -> Path:
    """Return the path of the sidecar of an index."""
    return path.with_name(f"{path.name}.usearch")


class Sidecar:
    """Approximate nearest neighbours in a large index, without reading all vectors."""

    def __init__(self, graph: Any, numbers: _Numbers, content: mmap.mmap | None) -> None:
        """Take over a graph of usearch; `open_sidecar` and `build_sidecar` make one."""
        self._graph, self._numbers, self._content = graph, numbers, content

    def candidates(self, query: Floats, count: int) -> Ids:
        """Return the ids of more than `count` chunks near a query, for an exact comparison.

        The query is float32 of shape (width,).
        """
        found = self._graph.search(self._numbers.of(query), max(_CANDIDATES, 2 * count))
        return np.array(found.keys, np.int64)

    def __len__(self) -> int:
        return len(self._graph)


def is_installed() -> bool:
    """Return whether usearch is installed."""
    try:
        import usearch.index  # noqa: F401
    except ImportError:
        return False
    return True


def open_sidecar(store: Store, ids: Ids, width: int, kind: Similarity) -> Sidecar | None:
    """Open the sidecar of an index; None if there is none of its present state, its chunks' ids."""
    path = sidecar_path(store.path)
    if kind not in _METRICS or not path.is_file() or not is_installed():
        return None
    try:
        with path.open("rb") as file:
            header = json.loads(file.read(_HEADER).rstrip(b"\0 "))
            state = _State(**header["state"]) if header["magic"] == _MAGIC else None
            if state is None or state != _state(store, ids, width, kind, state.dtype):
                return None
            numbers = _Numbers(state.dtype, float(header["largest"]))
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        body = memoryview(content)[_HEADER:]
        if zlib.crc32(body) != header["crc32"]:  # usearch would crash on a damaged one
            return None
        graph = _new_graph(state)
        graph.view(body)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None
    if len(graph) != len(ids):
        return None
    # The larger the graph, the more of it has to be visited for the same recall.
    graph.expansion_search = max(_LEAST_EXPANSION, len(ids) // _CHUNKS_PER_EXPANSION)
    return Sidecar(graph, numbers, content)


def build_sidecar(
    store: Store,
    ids: Ids,
    read: Callable[[], Iterable[tuple[Ids, Floats]]],
    width: int,
    kind: Similarity,
    *,
    dtype: str = "f16",
    progress: Callable[[int], None] = lambda _: None,
) -> bool:
    """Write the sidecar of an index.

    Args:
        store: The index.
        ids: Ids of all its chunks, ascending.
        read: Reads the ids in blocks, with their vectors: float32 of shape (ids, width).
        width: Length of a vector.
        kind: Similarity of vectors.
        dtype: "f16" or "i8": numbers within the graph.
        progress: Receives the number of vectors added since the last call.

    Returns:
        Whether there is one now; for Manhattan distance there is none.

    Raises:
        MissingExtraError: The extra `search-large` is not installed.
        OutputError: It cannot be written.
    """
    if kind not in _METRICS:
        return False
    if not is_installed():
        raise MissingExtraError("A sidecar", "search-large")
    row_bytes = width * (1 if dtype == "i8" else 2)
    require_memory(  # usearch's graph, and the same once more as bytes to write
        len(ids) * (row_bytes + _NEIGHBOUR_BYTES) * 2,
        f"A sidecar of {len(ids)} vectors of {width} numbers",
        "Search without one, or divide the index.",
        OutputError,
    )
    graph = _new_graph(_State("", 0, 0, width, _METRICS[kind], dtype))
    numbers = _Numbers(dtype, _largest(read()) if dtype == "i8" else 0.0)
    for some, vectors in read():
        graph.add(some.astype(np.uint64), numbers.of(vectors))
        progress(len(vectors))
    state = _state(store, ids, width, kind, dtype)
    path = sidecar_path(store.path)
    with whole_file(path) as staged, staged.open("xb") as file:
        body = graph.save()
        facts = {"magic": _MAGIC, "state": asdict(state), "largest": numbers.largest}
        facts["crc32"] = zlib.crc32(body)
        file.write(json.dumps(facts).encode().ljust(_HEADER, b"\0"))
        file.write(body)
    return True


def _largest(blocks: Iterable[tuple[Ids, Floats]]) -> float:
    """Return the largest magnitude of a number in vectors, or 1 where all are zero."""
    return max((float(np.abs(vectors).max(initial=0)) for _, vectors in blocks), default=0) or 1.0


def _state(store: Store, ids: Ids, width: int, kind: Similarity, dtype: str) -> _State:
    last = int(ids[-1]) if len(ids) else 0
    return _State(store.id, last, len(ids), width, _METRICS[kind], dtype)


def _new_graph(state: _State) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from usearch.index import Index

    return Index(
        ndim=state.width,
        metric=state.metric,
        dtype=state.dtype,
        connectivity=_CONNECTIVITY,
        expansion_add=_EXPANSION_ADD,
    )
