"""The sentence-transformers text engine: its own tokenizer, batching and pooling, on the CPU."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.base import check_threads
from minnow.errors import EngineError, MissingExtraError
from minnow.model.tokenizer import check_texts
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class SentenceTransformersEmbedder:
    """A model in a folder, as sentence-transformers runs it in float32."""

    def __init__(
        self,
        folder: Path,
        *,
        threads: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
    ) -> None:
        """Load the model; nothing is downloaded.

        Args:
            folder: A sentence-transformers model with its weights.
            threads: CPU threads, of all of torch in this process; by default torch's own choice.
            query_prompt: Put before queries, whatever the model's files say.
            document_prompt: Put before documents, likewise.

        Raises:
            EngineError: sentence-transformers refuses the folder.
            MissingExtraError: The extra `sentence-transformers` is not installed.
        """
        check_threads(threads)
        try:
            import torch
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError(
                "The engine sentence-transformers", "sentence-transformers"
            ) from error
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            self._model: Any = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"sentence-transformers cannot load {folder}: {error}") from error
        self._query_prompt, self._document_prompt = query_prompt, document_prompt
        self.name = f"sentence-transformers {version('sentence-transformers')}"

    @property
    def similarity_kind(self) -> Similarity:
        """How the model's vectors are meant to be compared."""
        return Similarity(self._open().similarity_fn_name)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text as the model is given them, special tokens included."""
        model = self._open()
        limit = model.max_seq_length
        rows = [model.tokenizer(t, truncation=True, max_length=limit) for t in texts]
        return [list(row["input_ids"]) for row in rows]

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> NDArray[np.float32]:
        """Vectors of texts as they are, without a prompt: float32 of shape (texts, width)."""
        return self._rows(self._open().encode, texts, prompt="", batch_size=batch_size)

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of questions, behind the query prompt if there is one."""
        return self._rows(self._open().encode_query, texts, prompt=self._query_prompt)

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of passages, behind the document prompt if there is one."""
        return self._rows(self._open().encode_document, texts, prompt=self._document_prompt)

    def close(self) -> None:
        """Let go of the model; encoding fails from then on."""
        self._model = None

    def _open(self) -> Any:
        if self._model is None:
            raise EngineError("This engine is closed.")
        return self._model

    def _rows(
        self, encode: Callable[..., object], texts: Sequence[str], **options: object
    ) -> NDArray[np.float32]:
        check_texts(texts)
        if not texts:
            return np.empty((0, self._open().get_embedding_dimension()), dtype=np.float32)
        rows: NDArray[np.float32] = np.asarray(encode(list(texts), **options), dtype=np.float32)
        return rows
