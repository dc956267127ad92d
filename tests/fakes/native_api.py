"""The C API of the library in C++, called through ctypes."""

from __future__ import annotations

import ctypes
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fakes.core_cases import ShortestFirst
from fakes.memory_cases import NOW, essence_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from fakes.searching import FakeModel
    from minnow.indexfile.reranking import TextRanker

ERROR_BYTES = 1000


class Text(ctypes.Structure):
    """`minnow_text`."""

    _fields_ = (("bytes", ctypes.c_char_p), ("size", ctypes.c_size_t))

    @classmethod
    def of(cls, text: str) -> Text:
        """Return a text; it is kept alive by the structure."""
        encoded = text.encode()
        return cls(encoded, len(encoded))


ENCODE = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.POINTER(Text),
    ctypes.c_size_t,
    ctypes.c_int32,
    ctypes.POINTER(ctypes.c_float),
)


class Encoder(ctypes.Structure):
    """`minnow_encoder`."""

    _fields_ = (("context", ctypes.c_void_p), ("encode", ENCODE))


SCORE = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    Text,
    ctypes.POINTER(Text),
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_float),
)


class Scorer(ctypes.Structure):
    """`minnow_scorer`."""

    _fields_ = (("context", ctypes.c_void_p), ("score", SCORE))


class NativeError(Exception):
    """A function of the library failed."""


class Library:
    """The shared library."""

    def __init__(self, path: Path) -> None:
        self.functions = ctypes.CDLL(str(path))

    def call(self, name: str, *arguments: Any, result: Any = ctypes.c_void_p) -> Any:
        """Call a function that takes a buffer for an error last; raise what it writes there."""
        error = ctypes.create_string_buffer(ERROR_BYTES)
        function = self.functions[name]
        function.restype = result
        found = function(*arguments, error, ctypes.c_size_t(ERROR_BYTES))
        if error.value:
            raise NativeError(error.value.decode())
        return found

    def answer(self, name: str, *arguments: Any) -> Any:
        """Call a function that answers with JSON, and free the answer."""
        found = self.call(name, *arguments)
        try:
            return json.loads(ctypes.string_at(found))
        finally:
            self.close("minnow_free", found)

    def close(self, name: str, handle: int | None) -> None:
        """Call a function that frees something."""
        function = self.functions[name]
        function.restype = None
        function(ctypes.c_void_p(handle))


class Handle:
    """Something open in the library."""

    closing = ""

    def __init__(self, library: Library, handle: int) -> None:
        self._library, self._handle = library, ctypes.c_void_p(handle)

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.close(self.closing, self._handle.value)


class NativeEmbedder(Handle):
    """An embedder of the library."""

    closing = "minnow_close"

    @property
    def handle(self) -> ctypes.c_void_p:
        """The embedder, as functions of the library take it."""
        return self._handle


class NativeModel(NativeEmbedder):
    """A model in Python, wrapped as an embedder of the library."""

    def __init__(self, library: Library, model: FakeModel) -> None:
        facts = json.dumps(vars(model.fingerprint)).encode()
        self._callback = ENCODE(self._encode)  # which the library calls later
        encoder = Encoder(None, self._callback)
        super().__init__(library, library.call("minnow_wrap", ctypes.byref(encoder), facts))
        self._model = model

    def _encode(self, _: Any, texts: Any, count: int, role: int, vectors: Any) -> int:
        try:
            asked = [ctypes.string_at(texts[i].bytes, texts[i].size).decode() for i in range(count)]
            encode = self._model.encode_queries if role == 1 else self._model.encode_documents
            rows = encode(asked)
            ctypes.memmove(vectors, np.ascontiguousarray(rows).ctypes.data, rows.nbytes)
        except Exception:
            return 1
        return 0


class NativeBundle(NativeEmbedder):
    """An open bundle."""

    def __init__(self, library: Library, folder: Path) -> None:
        super().__init__(library, library.call("minnow_open", bytes(folder), None))
        self.width: int = library.call("minnow_width", self._handle, result=ctypes.c_int32)

    def encode(self, query: str) -> NDArray[np.float32]:
        """Return the vector of a query."""
        vector = np.empty(self.width, np.float32)
        numbers = vector.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        text = ctypes.byref(Text.of(query))
        arguments = (self._handle, text, ctypes.c_size_t(1), ctypes.c_int32(1), numbers)
        self._library.call("minnow_encode", *arguments, result=ctypes.c_int32)
        return vector


class NativeRanker(Handle):
    """A reranker of the library: a bundle, or a ranker in Python, wrapped."""

    closing = "minnow_close_reranker"

    def __init__(self, library: Library, ranker: TextRanker | Path) -> None:
        if isinstance(ranker, Path):
            super().__init__(library, library.call("minnow_open_reranker", bytes(ranker), None))
            return
        self._ranker = ranker
        self._callback = SCORE(self._score)
        scorer = Scorer(None, self._callback)
        super().__init__(library, library.call("minnow_wrap_reranker", ctypes.byref(scorer)))

    @property
    def handle(self) -> ctypes.c_void_p:
        """The reranker, as functions of the library take it."""
        return self._handle

    def _score(self, _: Any, query: Text, texts: Any, count: int, scores: Any) -> int:
        try:
            asked = ctypes.string_at(query.bytes, query.size).decode()
            given = [ctypes.string_at(texts[i].bytes, texts[i].size).decode() for i in range(count)]
            for row in self._ranker.rank(asked, given):
                scores[row["corpus_id"]] = row["score"]
        except Exception:
            return 1
        return 0


class NativeIndex(Handle):
    """`Index` of the library."""

    closing = "minnow_close_index"

    def __init__(
        self,
        library: Library,
        file: Path,
        model: NativeEmbedder | None = None,
        *,
        makes: bool = False,
    ) -> None:
        embedder = model.handle if model else None
        function = "minnow_make_index" if makes else "minnow_open_index"
        super().__init__(library, library.call(function, bytes(file), embedder))

    def __len__(self) -> int:
        found: int = self._library.call("minnow_count", self._handle, result=ctypes.c_int64)
        return found

    def put(self, records: str, collection: str | None = None) -> int:
        """Put the records of a JSON array into a collection; return how many were embedded."""
        return self._change("minnow_put", records.encode(), collection)

    def remove(self, ids: Sequence[str] | None, collection: str | None = None) -> int:
        """Remove records, all without ids; return how many there were."""
        return self._change("minnow_remove", None if ids is None else _encoded(ids), collection)

    def _change(self, function: str, argument: bytes | None, collection: str | None) -> int:
        name = None if collection is None else collection.encode()
        arguments = (self._handle, name, argument)
        count: int = self._library.call(function, *arguments, result=ctypes.c_int64)
        return count

    def search(
        self,
        query: str,
        k: int = 10,
        *,
        options: Mapping[str, Any] | None = None,
        vector: Sequence[float] | None = None,
        reranker: NativeRanker | None = None,
    ) -> list[dict[str, Any]]:
        """Return hits as `Hit.facts` has them."""
        width = 0 if vector is None else len(vector)
        numbers = None if vector is None else (ctypes.c_float * width)(*vector)
        text = None if options is None else json.dumps(options).encode()
        found: list[dict[str, Any]] = self._library.answer(
            "minnow_search_reranked",
            self._handle,
            reranker.handle if reranker else None,
            Text.of(query),
            ctypes.c_int32(k),
            text,
            numbers,
            ctypes.c_size_t(width),
        )
        return found


class NativeMemory(Handle):
    """`Memory` of the library, called by the steps of `fakes.memory_cases`."""

    closing = "minnow_close_memory"

    def __init__(
        self,
        library: Library,
        file: Path,
        model: NativeEmbedder | None = None,
        **options: Any,
    ) -> None:
        embedder = model.handle if model else None
        opened = library.call("minnow_open_memory", bytes(file), embedder, _encoded(options))
        super().__init__(library, opened)

    def take(self, step: Mapping[str, Any]) -> Any:
        """Take a step; return its answer as `essence_of` has it."""
        ranker = NativeRanker(self._library, ShortestFirst())
        with local_zone(step.get("zone")), ranker:
            return essence_of(self._library.answer(*self._call(step, ranker)))

    def _call(self, step: Mapping[str, Any], ranker: NativeRanker) -> tuple[Any, ...]:
        """Return the name of a function and its arguments."""
        if "remember" in step:
            return "minnow_remember", self._handle, _encoded(step["remember"])
        if "items" in step:
            return "minnow_items", self._handle, _encoded(step["items"])
        if "forget" in step:
            ids = (ctypes.c_int64 * len(step["forget"]))(*step["forget"])
            return "minnow_forget", self._handle, ids, ctypes.c_size_t(len(ids))
        zone = {"time_zone": "local"} if "zone" in step else {}
        options = _encoded({"now": NOW, **zone, **step.get("options", {})})
        question, k = Text.of(step["recall"]), ctypes.c_int32(step.get("k", 5))
        if not step.get("reranked"):
            return "minnow_recall", self._handle, question, k, options
        return "minnow_recall_reranked", self._handle, ranker.handle, question, k, options


@contextmanager
def local_zone(zone: str | None) -> Iterator[None]:
    """Make a zone, as POSIX writes it, that of this process for a while; None changes nothing."""
    if zone is None:
        yield
        return
    before = os.environ.get("TZ")
    os.environ["TZ"] = zone
    try:
        yield
    finally:
        del os.environ["TZ"]
        os.environ.update({} if before is None else {"TZ": before})
        time.tzset()


def _encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()
