"""The llama.cpp text engine: a GGUF file through llama-cpp-python, on the CPU.

llama.cpp tokenises and pools by itself, as the file says. A text over all positions that the model
has is cut off bluntly, as llama-cpp-python does. Where a file states a limit of minnow's own, its
closing token is kept, as by the tokenizer that the model was published with.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
import weakref
from collections import deque
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.base import check_threads, default_threads
from minnow.errors import EngineError, MissingExtraError
from minnow.model.tokenizer import check_texts
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

QUERY_PROMPT = "minnow.prompt.query"
DOCUMENT_PROMPT = "minnow.prompt.document"
MAX_TOKENS = "minnow.max_tokens"
NORMALIZE = "minnow.normalize"
SIMILARITY = "minnow.similarity"

BATCH_TOKENS = 512
BATCH_TEXTS = 32
"""The fastest of 256 to 2048 tokens and 1 to 256 texts: attention is computed over the whole
batch, and what belongs to other texts masked out. llama.cpp wants a multiple of the texts."""

_POOLINGS = {1: "mean", 2: "cls", 3: "last"}
_ERROR = 4


def stated_prompts(file: Path) -> tuple[str, str] | None:
    """The prompts that a GGUF file states, of queries and of documents; None if it does not.

    Both may be empty: then the file says that its model has none. The weights are not read.

    Raises:
        EngineError: llama.cpp refuses the file.
        MissingExtraError: The extra `llama-cpp` is not installed.
    """
    llama = _import_llama_cpp()
    handle = _load(llama, file, only_vocabulary=True)
    query, document = (_metadata(llama, handle, key) for key in (QUERY_PROMPT, DOCUMENT_PROMPT))
    llama.llama_model_free(handle)
    return None if query is None or document is None else (query, document)


class LlamaCppEmbedder:
    """A GGUF embedding model: texts in, vectors out, without Hugging Face's tokenizer.

    Safe to call from several threads, which take turns. A child forked from a process that ran
    llama.cpp with several threads gets one thread.

    Attributes:
        name: The runtime and its version.
        threads: CPU threads of a forward pass.
        width: Length of a vector.
        max_tokens: The longest text in tokens, special tokens included; the rest is cut off. What
            the file says, else all positions that the model has.
        pooling: "mean", "cls" or "last".
        normalize: Whether vectors are scaled to length 1: what the file says, else True.
        similarity_kind: How they are meant to be compared: what the file says, else cosine.
        query_prompt: Put before every query.
        document_prompt: Put before every document.
    """

    def __init__(
        self,
        file: Path,
        *,
        threads: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
    ) -> None:
        """Load a file.

        Args:
            file: The GGUF file.
            threads: CPU threads of a forward pass; by default those of the machine, four at most.
            query_prompt: Put before queries, whatever the file says.
            document_prompt: Put before documents, likewise.

        Raises:
            EngineError: llama.cpp refuses the file, or it is not an embedding model.
            MissingExtraError: The extra `llama-cpp` is not installed.
        """
        check_threads(threads)
        llama = _import_llama_cpp()
        self.threads = 1 if _ThreadPool.lost else threads or default_threads()
        self._lock = threading.Lock()
        model = _Model(llama, file, self.threads)
        self._model: _Model | None = model
        self._free = weakref.finalize(self, model.free)
        self._free.atexit = False  # the system frees it too, and no thread may still be inside
        self.name = f"llama.cpp (llama-cpp-python {version('llama-cpp-python')})"
        self.width, self.max_tokens, self.pooling = model.width, model.max_tokens, model.pooling
        self.normalize = model.metadata(NORMALIZE) != "false"
        self.similarity_kind = Similarity(model.metadata(SIMILARITY) or Similarity.COSINE)
        own = model.metadata(QUERY_PROMPT), model.metadata(DOCUMENT_PROMPT)
        self.query_prompt = own[0] or "" if query_prompt is None else query_prompt
        self.document_prompt = own[1] or "" if document_prompt is None else document_prompt
        _engines.add(self)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text as the model is given them, special tokens included.

        Raises:
            EngineError: The engine is closed.
            InputError: A text is not a string or holds a lone surrogate; the message names it.
        """
        check_texts(texts)
        with self._lock:
            model = self._opened()
            return [model.cut(model.tokenize(text)) for text in texts]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of texts as they are, without a prompt: float32 of shape (texts, width).

        Raises:
            EngineError: llama.cpp failed, a vector is not finite, or the engine is closed.
            InputError: A text is not a string or holds a lone surrogate; the message names it.
        """
        rows = self.token_ids(texts)
        vectors = np.empty((len(rows), self.width), dtype=np.float32)
        for batch in batches([len(row) for row in rows]):
            with self._lock:
                vectors[batch] = self._opened().run([rows[i] for i in batch])
        broken = np.flatnonzero(~np.isfinite(vectors).all(1))
        if broken.size:
            raise EngineError(f"llama.cpp gives NaN or infinity for text {broken[0]}.")
        return normalize(vectors) if self.normalize else vectors

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of queries, behind the query prompt; raises as `encode` does."""
        return self.encode(_behind(self.query_prompt, texts))

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents, behind the document prompt; raises as `encode` does."""
        return self.encode(_behind(self.document_prompt, texts))

    def vocabulary(self) -> list[str]:
        """The text of every token in the file, in the order of their ids."""
        with self._lock:
            return self._opened().vocabulary()

    def close(self) -> None:
        """Free llama.cpp's memory; everything else fails from then on."""
        with self._lock:
            self._model = None
            self._free()

    def _opened(self) -> _Model:
        if self._model is None:
            raise EngineError("This engine is closed.")
        return self._model

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        if self._model is not None and _ThreadPool.lost:
            self.threads = 1
            self._model.after_fork()


def _behind(prompt: str, texts: Sequence[str]) -> list[str]:
    check_texts(texts)
    return [prompt + text for text in texts]


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of the texts of each batch, in order; a text over the size of a batch is alone.

    Args:
        lengths: Tokens of each text.
    """
    found: list[list[int]] = []
    room = 0
    for i, length in enumerate(lengths):
        if not found or length > room or len(found[-1]) == BATCH_TEXTS:
            found.append([])
            room = BATCH_TOKENS
        found[-1].append(i)
        room -= length
    return found


# --- what llama.cpp loaded ---------------------------------------------------------------


class _Model:
    """A file in memory, and the context that it runs in."""

    def __init__(self, llama: Any, file: Path, threads: int) -> None:
        self._llama, self._threads = llama, threads
        self._context: Any = None
        self._context_tokens = 0
        self._handle = _load(llama, file)
        try:
            self._vocabulary = llama.llama_model_get_vocab(self._handle)
            self.width = llama.llama_model_n_embd_out(self._handle)
            positions = llama.llama_model_n_ctx_train(self._handle)
            limit = self.metadata(MAX_TOKENS)
            self.max_tokens = min(positions, int(limit or positions))
            self._closing = 0 if limit is None else 1
            self._reserve(BATCH_TOKENS)
            self.pooling = _POOLINGS.get(llama.llama_pooling_type(self._context), "")
            if not self.pooling:
                raise EngineError(
                    f"{file} is not an embedding model: {self.metadata('general.architecture')} "
                    "with no pooling of its token states to one vector (mean, cls or last)."
                )
        except BaseException:
            self.free()
            raise

    def metadata(self, key: str) -> str | None:
        return _metadata(self._llama, self._handle, key)

    def vocabulary(self) -> list[str]:
        count = self._llama.llama_vocab_n_tokens(self._vocabulary)
        texts = (self._llama.llama_vocab_get_text(self._vocabulary, i) for i in range(count))
        return [text.decode("utf-8", errors="replace") for text in texts]

    def tokenize(self, text: str) -> list[int]:
        """All ids, special tokens included; those named in the text count, as in its tools."""
        content = text.encode("utf-8")
        size = len(content) + 8
        while True:
            ids = (ctypes.c_int32 * size)()
            count = self._llama.llama_tokenize(
                self._vocabulary, content, len(content), ids, size, True, True
            )
            if count >= 0:
                return list(ids[:count])
            size = -count

    def cut(self, ids: list[int]) -> list[int]:
        """The ids of a text, or of its beginning where it is too long."""
        if len(ids) <= self.max_tokens:
            return ids
        return ids[: self.max_tokens - self._closing] + ids[len(ids) - self._closing :]

    def run(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Pooled states of the texts of one batch: float32 of shape (texts, width)."""
        llama = self._llama
        if not all(rows):
            raise EngineError("llama.cpp's tokenizer makes no token at all of an empty text.")
        self._reserve(sum(map(len, rows)))
        memory = llama.llama_get_memory(self._context)
        if memory:
            llama.llama_memory_clear(memory, True)
        batch, _arrays = _batch(llama, rows)
        _log.clear()
        code = llama.llama_decode(self._context, batch)
        if code != 0:
            raise EngineError(f"llama.cpp failed with code {code}: {_heard()}.")
        return np.stack([self._vector(i) for i in range(len(rows))])

    def _vector(self, text: int) -> NDArray[np.float32]:
        pointer = self._llama.llama_get_embeddings_seq(self._context, text)
        if not pointer:
            raise EngineError("llama.cpp ran, but gave no vector.")
        return np.ctypeslib.as_array(pointer, (self.width,)).copy()

    def _reserve(self, tokens: int) -> None:
        """Have a context for batches of so many tokens: its buffers grow with their square."""
        tokens = -(-max(tokens, BATCH_TOKENS) // BATCH_TEXTS) * BATCH_TEXTS
        if tokens <= self._context_tokens:
            return
        self._free_context()
        settings = self._llama.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = tokens
        settings.n_seq_max = BATCH_TEXTS
        settings.kv_unified = True  # a text may fill all of the context
        settings.n_threads = settings.n_threads_batch = self._threads
        settings.embeddings = True
        _log.clear()
        self._context = self._llama.llama_init_from_model(self._handle, settings)
        if not self._context:
            raise EngineError(f"llama.cpp cannot make a context of {tokens} tokens: {_heard()}.")
        self._context_tokens = tokens
        _ThreadPool.started = _ThreadPool.started or self._threads > 1

    def after_fork(self) -> None:
        """Leave the context, whose threads are gone, as it is; another is made when need be."""
        self._context, self._context_tokens, self._threads = None, 0, 1

    def _free_context(self) -> None:
        if self._context:
            self._llama.llama_free(self._context)
        self._context, self._context_tokens = None, 0

    def free(self) -> None:
        self._free_context()
        if self._handle:
            self._llama.llama_model_free(self._handle)
        self._handle = None


def _batch(llama: Any, rows: Sequence[Sequence[int]]) -> tuple[Any, list[NDArray[Any]]]:
    """The tokens of several texts, one after the other, and the memory that they are in."""
    lengths = [len(row) for row in rows]
    texts = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
    places = texts.ctypes.data + texts.itemsize * np.arange(texts.size)
    pointer = ctypes.POINTER(ctypes.c_int32)
    fields: dict[str, tuple[NDArray[Any], Any]] = {
        "token": (np.concatenate(rows).astype(np.int32), pointer),
        "pos": (np.concatenate([np.arange(n, dtype=np.int32) for n in lengths]), pointer),
        "n_seq_id": (np.ones_like(texts), pointer),
        "seq_id": (places.astype(np.uintp), ctypes.POINTER(pointer)),
        "logits": (np.ones(texts.size, np.int8), ctypes.POINTER(ctypes.c_int8)),
    }
    pointers = {name: array.ctypes.data_as(kind) for name, (array, kind) in fields.items()}
    batch = llama.llama_batch(n_tokens=texts.size, **pointers)
    return batch, [texts, *(array for array, _ in fields.values())]


def _load(llama: Any, file: Path, *, only_vocabulary: bool = False) -> Any:
    if not file.is_file():
        raise EngineError(f"llama.cpp cannot load {file}: there is no such file.")
    settings = llama.llama_model_default_params()
    settings.n_gpu_layers, settings.vocab_only = 0, only_vocabulary
    with _loading:
        _log.clear()
        handle = llama.llama_model_load_from_file(os.fsencode(file), settings)
        if not handle:
            raise EngineError(f"llama.cpp cannot load {file}: {_heard()}.")
    return handle


def _metadata(llama: Any, handle: Any, key: str) -> str | None:
    """The value of a key as text, or None where the file has no such key."""
    size = 256
    while True:
        value = ctypes.create_string_buffer(size)
        length = llama.llama_model_meta_val_str(handle, key.encode(), value, size)
        if length < size:
            return None if length < 0 else value.value.decode("utf-8", errors="replace")
        size = length + 1


# --- the library -------------------------------------------------------------------------

_log: deque[str] = deque(maxlen=100)
_loading = threading.Lock()
_callbacks: list[Any] = []


def _import_llama_cpp() -> Any:
    """Import llama_cpp, and hear what llama.cpp has to say instead of seeing it on stderr."""
    try:
        llama = importlib.import_module("llama_cpp")
    except ImportError as error:
        raise MissingExtraError("The engine llama.cpp", "llama-cpp") from error
    except (OSError, RuntimeError) as error:  # its library is missing, or for another machine
        raise EngineError(
            f"llama.cpp cannot be imported: {' '.join(str(error).split())}"
        ) from error
    if not _callbacks:
        _callbacks.append(llama.llama_log_callback(_listen))
        llama.llama_backend_init()
    llama.llama_log_set(_callbacks[0], ctypes.c_void_p(0))
    return llama


def _listen(level: int, text: bytes, _: object) -> None:
    if level == _ERROR:
        _log.append(" ".join(text.decode("utf-8", errors="replace").split()))


def _heard() -> str:
    """The first complaint since the log was cleared, without the C function that it is from."""
    return _log[0].split(": ", 1)[-1].rstrip(".") if _log else "it does not say why"


class _ThreadPool:
    """llama.cpp's OpenMP threads. They do not survive a fork: whoever waits for them hangs."""

    started = False
    lost = False


_engines: weakref.WeakSet[LlamaCppEmbedder] = weakref.WeakSet()


def _after_fork() -> None:
    global _loading
    _loading = threading.Lock()
    _ThreadPool.lost = _ThreadPool.lost or _ThreadPool.started
    for engine in _engines:
        engine._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
