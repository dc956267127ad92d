"""A GGUF file in llama.cpp's memory, through the C interface of llama-cpp-python."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.forks import ForkSafeLock, RuntimeThreads
from minnow.engines.sizes import NetworkSizes, check_room
from minnow.errors import EngineError, MissingExtraError

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
_RANKINGS = {4: "rank"}
_ERROR = 4

threads_of_runtime = RuntimeThreads()
"""llama.cpp's OpenMP threads, for all engines of this process."""


def stated_prompts(file: Path) -> tuple[str, str] | None:
    """Read the prompts for queries and documents that a GGUF file states; None if it states none.

    Both may be empty: then the file says that its model has no prompts. The weights are not read.

    Raises:
        EngineError: llama.cpp refuses the file.
        MissingExtraError: The extra `llama-cpp` is not installed.
    """
    llama = _import_llama_cpp()
    handle = _load(llama, file, only_vocabulary=True)
    query, document = (_metadata(llama, handle, key) for key in (QUERY_PROMPT, DOCUMENT_PROMPT))
    llama.llama_model_free(handle)
    return None if query is None or document is None else (query, document)


class GgufModel:
    """A file in memory, and the context that it runs in; for one thread at a time.

    Attributes:
        width: Length of a vector.
        max_tokens: The longest text in tokens, special tokens included.
        pooling: "mean", "cls" or "last".
    """

    def __init__(self, file: Path, threads: int, *, ranks: bool = False) -> None:
        """Load a file.

        Args:
            file: The file.
            threads: CPU threads of a forward pass.
            ranks: Whether it is a reranker's; `width` is then the number of its labels.

        Raises:
            EngineError: llama.cpp refuses the file, or it is not an embedding model.
            MissingExtraError: The extra `llama-cpp` is not installed.
        """
        self._llama = llama = _import_llama_cpp()
        self._threads = threads
        self._context: Any = None
        self._context_tokens = 0
        self._handle = _load(llama, file)
        try:
            self._vocabulary = llama.llama_model_get_vocab(self._handle)
            sizes = (llama.llama_model_n_embd_out, llama.llama_model_n_cls_out)
            self.width = sizes[ranks](self._handle)
            positions = llama.llama_model_n_ctx_train(self._handle)
            limit = self.metadata(MAX_TOKENS)
            self.max_tokens = min(positions, int(limit or positions))
            self._closing = 0 if limit is None else 1
            self._reserve(BATCH_TOKENS)
            known = _RANKINGS if ranks else _POOLINGS
            self.pooling = known.get(llama.llama_pooling_type(self._context), "")
            if not self.pooling:
                if ranks:
                    raise EngineError(f"{file} is no reranker: it has no classifier.")
                raise EngineError(
                    f"{file} is not an embedding model: {self.metadata('general.architecture')} "
                    "with no pooling of its token states to one vector (mean, cls or last)."
                )
        except BaseException:
            self.free()
            raise

    def metadata(self, key: str) -> str | None:
        """Return the value of a key as text, or None where the file has no such key."""
        return _metadata(self._llama, self._handle, key)

    def vocabulary(self) -> list[str]:
        """Return the text of every token, in the order of their ids."""
        count = self._llama.llama_vocab_n_tokens(self._vocabulary)
        texts = (self._llama.llama_vocab_get_text(self._vocabulary, i) for i in range(count))
        return [text.decode("utf-8", errors="replace") for text in texts]

    @property
    def labels(self) -> list[str]:
        """The names of a reranker's labels."""
        names = (self._llama.llama_model_cls_label(self._handle, i) for i in range(self.width))
        return [(name or b"").decode("utf-8", errors="replace") for name in names]

    def pair(self, query: str, document: str) -> list[int]:
        """Return the ids of a pair as llama.cpp's server writes it.

        Source: `format_rerank` in llama.cpp's tools/server.
        """
        llama, words = self._llama, self._vocabulary
        begins = [llama.llama_vocab_bos(words)] * llama.llama_vocab_get_add_bos(words)
        ends = [llama.llama_vocab_eos(words)] * llama.llama_vocab_get_add_eos(words)
        divides = [llama.llama_vocab_sep(words)] * llama.llama_vocab_get_add_sep(words)
        one, two = (self.tokenize(text, alone=False) for text in (query, document))
        return [*begins, *one, *ends, *divides, *two, *ends]

    def tokenize(self, text: str, *, alone: bool = True) -> list[int]:
        """Return all ids of a text.

        Args:
            text: The text.
            alone: Add the special tokens around it, and read those that it names as such.
        """
        content = text.encode("utf-8")
        size = len(content) + 8
        while True:
            ids = (ctypes.c_int32 * size)()
            count = self._llama.llama_tokenize(
                self._vocabulary, content, len(content), ids, size, alone, alone
            )
            if count >= 0:
                return list(ids[:count])
            size = -count

    def cut(self, ids: list[int]) -> list[int]:
        """Return the ids of a text, or of its beginning where it is too long."""
        if len(ids) <= self.max_tokens:
            return ids
        return ids[: self.max_tokens - self._closing] + ids[len(ids) - self._closing :]

    def run(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Return pooled states of the texts of one batch: float32 of shape (texts, width)."""
        llama = self._llama
        if not all(rows):
            raise EngineError("llama.cpp's tokenizer makes no token at all of an empty text.")
        self._reserve(sum(map(len, rows)))
        memory = llama.llama_get_memory(self._context)
        if memory:
            llama.llama_memory_clear(memory, True)
        batch, _arrays = _batch(llama, rows)
        _errors.clear()
        code = llama.llama_decode(self._context, batch)
        if code != 0:
            raise EngineError(f"llama.cpp failed with code {code}: {_first_error()}.")
        return np.stack([self._vector(i) for i in range(len(rows))])

    def _vector(self, text: int) -> NDArray[np.float32]:
        pointer = self._llama.llama_get_embeddings_seq(self._context, text)
        if not pointer:
            raise EngineError("llama.cpp ran, but returned no vector.")
        return np.ctypeslib.as_array(pointer, (self.width,)).copy()

    def _reserve(self, tokens: int) -> None:
        """Make a context for batches of `tokens` tokens; its buffers grow with the square."""
        tokens = -(-max(tokens, BATCH_TOKENS) // BATCH_TEXTS) * BATCH_TEXTS
        if tokens <= self._context_tokens:
            return
        self._check_room(tokens)
        self._free_context()
        settings = self._llama.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = tokens
        settings.n_seq_max = BATCH_TEXTS
        settings.kv_unified = True  # a text may fill all of the context
        settings.n_threads = settings.n_threads_batch = self._threads
        settings.embeddings = True
        _errors.clear()
        self._context = self._llama.llama_init_from_model(self._handle, settings)
        if not self._context:
            raise EngineError(
                f"llama.cpp cannot make a context of {tokens} tokens: {_first_error()}."
            )
        self._context_tokens = tokens
        threads_of_runtime.started = threads_of_runtime.started or self._threads > 1

    def _check_room(self, tokens: int) -> None:
        """Refuse a context whose buffers for all attention scores would not fit into memory."""
        kind = self.metadata("general.architecture")
        keys = ("embedding_length", "feed_forward_length", "attention.head_count")
        sizes = [self.metadata(f"{kind}.{key}") or "" for key in keys]
        if all(size.isdigit() for size in sizes):
            check_room((1, tokens), NetworkSizes(*map(int, sizes)), heads_apart=False)

    def after_fork(self) -> None:
        """Abandon the context, whose threads did not survive; the next batch makes another."""
        self._context, self._context_tokens, self._threads = None, 0, 1

    def _free_context(self) -> None:
        if self._context:
            self._llama.llama_free(self._context)
        self._context, self._context_tokens = None, 0

    def free(self) -> None:
        """Free llama.cpp's memory."""
        self._free_context()
        if self._handle:
            self._llama.llama_model_free(self._handle)
        self._handle = None


def _batch(llama: Any, rows: Sequence[Sequence[int]]) -> tuple[Any, list[NDArray[Any]]]:
    """Return the tokens of several texts in a row, and the arrays that hold them."""
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
        _errors.clear()
        handle = llama.llama_model_load_from_file(os.fsencode(file), settings)
        if not handle:
            raise EngineError(f"llama.cpp cannot load {file}: {_first_error()}.")
    return handle


def _metadata(llama: Any, handle: Any, key: str) -> str | None:
    """Return the value of a key; see `GgufModel.metadata`."""
    size = 256
    while True:
        value = ctypes.create_string_buffer(size)
        length = llama.llama_model_meta_val_str(handle, key.encode(), value, size)
        if length < size:
            return None if length < 0 else value.value.decode("utf-8", errors="replace")
        size = length + 1


# --- the library -------------------------------------------------------------------------

_errors: deque[str] = deque(maxlen=100)
_loading = ForkSafeLock()
_callbacks: list[Any] = []


def _import_llama_cpp() -> Any:
    """Import llama_cpp, and collect what llama.cpp would print on stderr."""
    try:
        llama = importlib.import_module("llama_cpp")
    except ImportError as error:
        raise MissingExtraError("The engine llama.cpp", "llama-cpp") from error
    except (OSError, RuntimeError) as error:  # its library is missing, or for another machine
        raise EngineError(
            f"llama.cpp cannot be imported: {' '.join(str(error).split())}"
        ) from error
    if not _callbacks:
        _callbacks.append(llama.llama_log_callback(_collect_error))
        llama.llama_backend_init()
    llama.llama_log_set(_callbacks[0], ctypes.c_void_p(0))
    return llama


def _collect_error(level: int, text: bytes, _: object) -> None:
    if level == _ERROR:
        _errors.append(" ".join(text.decode("utf-8", errors="replace").split()))


def _first_error() -> str:
    """Return the first error since they were cleared, without the C function that printed it."""
    return _errors[0].split(": ", 1)[-1].rstrip(".") if _errors else "it does not say why"
