"""A reranker as CrossEncoder of sentence-transformers runs it, on torch and the CPU."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray


class SentenceTransformersReranker:
    """A cross-encoder in a folder, as sentence-transformers runs it, in float32."""

    def __init__(self, folder: Path, *, threads: int | None = None) -> None:
        """Load the model.

        Args:
            folder: Its files.
            threads: CPU threads of torch in this process; by default torch's own choice.

        Raises:
            EngineError: sentence-transformers refuses the folder.
            MissingExtraError: The extra `sentence-transformers` is not installed.
        """
        try:
            import torch
            from sentence_transformers import CrossEncoder
        except ImportError as error:
            raise MissingExtraError("CrossEncoder", "sentence-transformers") from error
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            self._model: Any = CrossEncoder(
                str(folder),
                device="cpu",
                local_files_only=True,
                model_kwargs={"dtype": "float32"},
            )
        except Exception as error:  # whatever transformers raises
            raise EngineError(f"sentence-transformers cannot load {folder}: {error}") from error
        self._identity = torch.nn.Identity()
        self.name = f"sentence-transformers {version('sentence-transformers')}"

    @property
    def num_labels(self) -> int:
        """How many logits a pair has."""
        return int(self._model.num_labels)

    def token_row(self, pair: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return a pair's ids and token types; the types are empty where the network gets none."""
        features = self._model.preprocess([list(pair)])
        types = features.get("token_type_ids")
        ids: list[int] = features["input_ids"][0].tolist()
        return ids, [] if types is None else types[0].tolist()

    def logits(self, pairs: Sequence[Sequence[str]], *, batch_size: int = 1) -> NDArray[np.float32]:
        """Compute the logits of pairs: float32 of shape (pairs, labels)."""
        found = self._model.predict(
            [list(pair) for pair in pairs],
            batch_size=batch_size,
            activation_fn=self._identity,
            show_progress_bar=False,
        )
        return np.asarray(found, dtype=np.float32).reshape(len(pairs), -1)
