"""The yardsticks of the proof, each on a path of its own from text to vector."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from minnow.engines.base import default_threads
from minnow.model.reference import ReferenceModel, pool_one
from minnow.model.source import author_graph
from minnow.model.tokenizer import load_whole_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from minnow.model.original import Original
    from minnow.proof.verdict import Reference


class _SourceTokens:
    """Token ids from the source's own tokenizer.json, whole, then cut with plain slices."""

    def __init__(self, original: Original) -> None:
        self._tokenizer = load_whole_tokenizer(original.source.file("tokenizer.json"))
        self._embedding = original.embedding
        specials = self._tokenizer.get_added_tokens_decoder().values()
        self._special = re.compile(f"({'|'.join(re.escape(t.content) for t in specials)})")

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, special tokens included, cut off at the limit."""
        return [self._ids(text) for text in texts]

    def _ids(self, text: str) -> list[int]:
        if self._embedding.lowercase:
            parts = self._special.split(text)
            text = "".join(part if i % 2 else _lower(part) for i, part in enumerate(parts))
        encoding = self._tokenizer.encode(text)
        ids, special = list(encoding.ids), list(encoding.special_tokens_mask)
        limit = self._embedding.max_tokens
        if len(ids) <= limit:
            return ids
        closing = next(n for n in range(len(ids)) if not special[-1 - n])
        return ids[: limit - closing] + ids[len(ids) - closing :]


def _lower(text: str) -> str:
    """Lowercase character by character: unlike `str.lower`, without Greek's final sigma."""
    return "".join(character.lower() for character in text)


class CheckpointReference(_SourceTokens):
    """The plain NumPy forward pass over the source's tensors, one text at a time."""

    def __init__(self, original: Original, numbers: str = "the checkpoint's") -> None:
        super().__init__(original)
        self.name = f"{numbers} forward pass in NumPy, float64"
        self._original = original

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One vector per text: float64 of shape (texts, width)."""
        from threadpoolctl import threadpool_limits

        original = self._original
        model = ReferenceModel(original.network, original.head, original.tensors)
        # A thread per text, each with a BLAS of one thread: BLAS threads that share out one small
        # product wait for each other, for seconds where the machine is busy.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(default_threads()) as threads:
            return np.stack(list(threads.map(model.vector, self.token_ids(texts))))


class AuthorGraphReference(_SourceTokens):
    """The author's own ONNX file in ONNX Runtime, one text at a time, pooled here."""

    def __init__(self, original: Original) -> None:
        from minnow.engines.onnxruntime import OnnxRuntimeEngine

        super().__init__(original)
        path = author_graph(original.source)
        self.name = f"the author's {path.parent.name}/{path.name} in ONNX Runtime"
        self._engine = OnnxRuntimeEngine(path, original.encoder)
        self._encoder = original.encoder

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One vector per text: float64 of shape (texts, width)."""
        from minnow.engines.base import TokenBatch

        rows = []
        for ids in self.token_ids(texts):
            hidden = self._engine.run(TokenBatch.pad([ids], self._encoder.pad_token_id))[0]
            rows.append(pool_one(hidden.astype(np.float64), self._embedding.head))
        return np.stack(rows)


class SentenceTransformersReference:
    """sentence-transformers on the source's folder, one text at a time."""

    def __init__(self, original: Original) -> None:
        from minnow.engines.sentence_transformers import SentenceTransformersEmbedder

        self._model = SentenceTransformersEmbedder(original.source.folder)
        self.name = self._model.name

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, special tokens included, cut off at the limit."""
        return self._model.token_ids(texts)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per text: float32 of shape (texts, width)."""
        return self._model.encode(texts, batch_size=1)


REFERENCES: dict[str, Callable[[Original], Reference]] = {
    "checkpoint": CheckpointReference,
    "sentence-transformers": SentenceTransformersReference,
    "author-onnx": AuthorGraphReference,
}
