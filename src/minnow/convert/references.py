"""The yardsticks of the proof, each on a path of its own from text to vector."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from minnow.engines.mnn import default_threads
from minnow.errors import SourceNotFoundError
from minnow.model.reference import ReferenceModel, pool_one
from minnow.model.tokenizer import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.convert.verify import Reference
    from minnow.model.source import ModelSource
    from minnow.model.spec import EmbeddingSpec, EncoderSpec

    Tensors = Mapping[str, NDArray[np.float32]]


class _SourceTokens:
    """Token ids from the source's own tokenizer.json, whole, then cut with plain slices."""

    def __init__(self, source: ModelSource, embedding: EmbeddingSpec) -> None:
        self._tokenizer = load_tokenizer(source.file("tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._embedding = embedding
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

    def __init__(
        self,
        source: ModelSource,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        tensors: Tensors,
    ) -> None:
        super().__init__(source, embedding)
        self.name = "the checkpoint's forward pass in NumPy, float64"
        self._model = ReferenceModel(encoder, embedding, tensors)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One vector per text: float64 of shape (texts, width)."""
        from threadpoolctl import threadpool_limits

        # A thread per text, each with a BLAS of one thread: BLAS threads that share out one small
        # product wait for each other, for seconds where the machine is busy.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(default_threads()) as threads:
            return np.stack(list(threads.map(self._model.vector, self.token_ids(texts))))


class AuthorGraphReference(_SourceTokens):
    """The author's own ONNX file in ONNX Runtime, one text at a time, pooled here."""

    def __init__(
        self,
        source: ModelSource,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        tensors: Tensors,
    ) -> None:
        from minnow.engines.onnxruntime import OnnxRuntimeEngine

        del tensors
        super().__init__(source, embedding)
        path = author_graph(source)
        self.name = f"the author's {path.parent.name}/{path.name} in ONNX Runtime"
        self._engine = OnnxRuntimeEngine(path, encoder)
        self._encoder = encoder

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """One vector per text: float64 of shape (texts, width)."""
        from minnow.engines.base import TokenBatch

        rows = []
        for ids in self.token_ids(texts):
            hidden = self._engine.run(TokenBatch.pad([ids], self._encoder.pad_token_id))[0]
            rows.append(pool_one(hidden.astype(np.float64), self._embedding))
        return np.stack(rows)


class SentenceTransformersReference:
    """sentence-transformers on the source's folder, one text at a time."""

    def __init__(
        self,
        source: ModelSource,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        tensors: Tensors,
    ) -> None:
        from minnow.engines.sentence_transformers import SentenceTransformersEmbedder

        del encoder, embedding, tensors
        self._model = SentenceTransformersEmbedder(source.folder)
        self.name = self._model.name

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, special tokens included, cut off at the limit."""
        return self._model.token_ids(texts)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One vector per text: float32 of shape (texts, width)."""
        return self._model.encode(texts, batch_size=1)


REFERENCES: dict[str, Callable[[ModelSource, EncoderSpec, EmbeddingSpec, Tensors], Reference]] = {
    "checkpoint": CheckpointReference,
    "sentence-transformers": SentenceTransformersReference,
    "author-onnx": AuthorGraphReference,
}


def author_graph(source: ModelSource) -> Path:
    """The author's ONNX file: onnx/model.onnx, or model.onnx.

    Raises:
        SourceNotFoundError: The source carries none.
    """
    path = source.optional_file("onnx/model.onnx") or source.optional_file("model.onnx")
    if path is None:
        raise SourceNotFoundError(
            f"{source.name} carries no ONNX graph of its own (onnx/model.onnx). "
            "Use --graph canonical and --reference checkpoint."
        )
    return path
