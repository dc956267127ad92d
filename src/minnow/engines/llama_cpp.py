"""The llama.cpp text engine: a GGUF file through llama-cpp-python, on the CPU.

llama.cpp tokenises and pools as the file says. A text that is longer than the model's positions is
cut off bluntly, as llama-cpp-python does. Where a file states minnow's own limit, the text keeps
its closing token, as with the tokenizer that the model was published with.
"""

from __future__ import annotations

import threading
import weakref
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from minnow.engines.base import check_threads, default_threads
from minnow.engines.llama_cpp_model import (
    BATCH_TEXTS,
    BATCH_TOKENS,
    DOCUMENT_PROMPT,
    NORMALIZE,
    QUERY_PROMPT,
    SIMILARITY,
    GgufModel,
    threads_of_runtime,
)
from minnow.errors import EngineError
from minnow.model.tokenizer import check_texts
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


def engine_name() -> str:
    """Name the runtime and its version."""
    return f"llama.cpp (llama-cpp-python {version('llama-cpp-python')})"


class LlamaCppEmbedder:
    """A GGUF embedding model: texts in, vectors out, without Hugging Face's tokenizer.

    Safe to call from several threads, which take turns. A child forked from a process that ran
    llama.cpp with several threads gets one thread.

    Attributes:
        name: The runtime and its version.
        threads: CPU threads of a forward pass.
        width: Length of a vector.
        max_tokens: The longest text in tokens, special tokens included; the rest is cut off. By
            default all positions that the model has.
        pooling: "mean", "cls" or "last".
        normalize: Whether vectors are scaled to length 1; True where the file does not say.
        similarity_kind: How to compare vectors; cosine where the file does not say.
        query_prompt: Prefix of every query.
        document_prompt: Prefix of every document.
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
            query_prompt: Prefix of queries, in place of the file's.
            document_prompt: Prefix of documents, in place of the file's.

        Raises:
            EngineError: llama.cpp refuses the file, or it is not an embedding model.
            MissingExtraError: The extra `llama-cpp` is not installed.
        """
        check_threads(threads)
        self.threads = 1 if threads_of_runtime.lost else threads or default_threads()
        self._lock = threading.Lock()
        model = GgufModel(file, self.threads)
        self._model: GgufModel | None = model
        self._free = weakref.finalize(self, model.free)
        self._free.atexit = False  # the system frees it too, and no thread may still be inside
        self.name = engine_name()
        self.width, self.max_tokens, self.pooling = model.width, model.max_tokens, model.pooling
        self.normalize = model.metadata(NORMALIZE) != "false"
        self.similarity_kind = Similarity(model.metadata(SIMILARITY) or Similarity.COSINE)
        own = model.metadata(QUERY_PROMPT), model.metadata(DOCUMENT_PROMPT)
        self.query_prompt = own[0] or "" if query_prompt is None else query_prompt
        self.document_prompt = own[1] or "" if document_prompt is None else document_prompt
        threads_of_runtime.engines.add(self)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as the model reads them, special tokens included.

        Raises:
            EngineError: The engine is closed.
            InputError: A text is not a string; the message names it.
        """
        texts = check_texts(texts)
        with self._lock:
            model = self._opened()
            return [model.cut(model.tokenize(text)) for text in texts]

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts without a prompt: float32 of shape (texts, width).

        Raises:
            EngineError: llama.cpp failed, a vector is not finite, or the engine is closed.
            InputError: A text is not a string; the message names it.
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
        """Embed queries behind the query prompt; raises as `encode` does."""
        return self.encode(_with_prompt(self.query_prompt, texts))

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed documents behind the document prompt; raises as `encode` does."""
        return self.encode(_with_prompt(self.document_prompt, texts))

    def vocabulary(self) -> list[str]:
        """Return the text of every token in the file, in the order of their ids."""
        with self._lock:
            return self._opened().vocabulary()

    def close(self) -> None:
        """Free llama.cpp's memory; all other methods fail from then on."""
        with self._lock:
            self._model = None
            self._free()

    def _opened(self) -> GgufModel:
        if self._model is None:
            raise EngineError("This engine is closed.")
        return self._model

    def after_fork(self) -> None:
        """Continue with one thread: the parent's threads do not exist here."""
        self._lock = threading.Lock()
        if self._model is not None and threads_of_runtime.lost:
            self.threads = 1
            self._model.after_fork()


def _with_prompt(prompt: str, texts: Sequence[str]) -> list[str]:
    return [prompt + text for text in check_texts(texts)]


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Return the indices of the texts of each batch, in order; a text over BATCH_TOKENS is alone.

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
