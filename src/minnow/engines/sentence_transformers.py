"""The sentence-transformers text engine: its own tokenizer, batching and pooling, on the CPU."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class SentenceTransformersEmbedder:
    """A model in a folder, as sentence-transformers runs it in float32."""

    def __init__(self, folder: Path) -> None:
        """Load the model; nothing is downloaded.

        Args:
            folder: A sentence-transformers model with its weights.

        Raises:
            EngineError: sentence-transformers refuses the folder.
            MissingExtraError: The extra `sentence-transformers` is not installed.
        """
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise MissingExtraError(
                "The engine sentence-transformers", "sentence-transformers"
            ) from error
        try:
            self._model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"sentence-transformers cannot load {folder}: {error}") from error
        self.name = f"sentence-transformers {version('sentence-transformers')}"

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text as the model is given them, special tokens included."""
        limit = self._model.max_seq_length
        rows = [self._model.tokenizer(t, truncation=True, max_length=limit) for t in texts]
        return [list(row["input_ids"]) for row in rows]

    def encode(self, texts: Sequence[str], *, batch_size: int = 32) -> NDArray[np.float32]:
        """Vectors of texts as they are, without a prompt: float32 of shape (texts, width)."""
        return self._rows(self._model.encode(list(texts), prompt="", batch_size=batch_size))

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of questions, behind the model's query prompt if it has one."""
        return self._rows(self._model.encode_query(list(texts)))

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of passages, behind the model's document prompt if it has one."""
        return self._rows(self._model.encode_document(list(texts)))

    @staticmethod
    def _rows(vectors: object) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = np.asarray(vectors, dtype=np.float32)
        return rows
