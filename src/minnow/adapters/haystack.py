"""Bundles as Haystack's components: embedders of texts and documents, and a ranker of documents.

```python
from minnow.adapters.haystack import MinnowRanker, MinnowTextEmbedder

pipeline.add_component("embedder", MinnowTextEmbedder("minilm.minnow"))
pipeline.add_component("ranker", MinnowRanker("ms-marco.minnow", top_k=3))
```

Their names, arguments and results are those of Haystack's own components for sentence-transformers,
as far as they mean something here. A component opens its bundle in `warm_up`, which a pipeline
calls, or when it first runs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from minnow.characters import clean_text
from minnow.embedder import Embedder
from minnow.engines import AUTO
from minnow.errors import InputError, MissingExtraError
from minnow.indexfile.reranking import rank_texts
from minnow.options import OnTruncate  # noqa: TC001  Haystack reads the annotations
from minnow.reranker import Reranker

try:
    from haystack import Document, component
except ImportError as error:
    raise MissingExtraError("The Haystack adapter", "haystack") from error

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from minnow.reranker import RankedDocument

__all__ = ["MinnowDocumentEmbedder", "MinnowRanker", "MinnowTextEmbedder"]


class _Opens:
    """A component that opens its bundle once.

    Haystack serializes a component from the attributes that have the names of its arguments.
    """

    _kind: ClassVar[type[Embedder] | type[Reranker]] = Embedder

    def _set(
        self, bundle: str | Path, engine: str, threads: int | None, on_truncate: OnTruncate
    ) -> None:
        """Keep the arguments; super() does not work in the classes that `component` makes."""
        self.bundle, self.engine, self.threads = str(bundle), engine, threads
        self.on_truncate: OnTruncate = on_truncate
        self._open: Any = None

    def warm_up(self) -> None:
        """Open the bundle, unless it is open.

        Raises:
            BundleError, EngineError, SourceError, ParityError, MissingExtraError: As
                `Embedder.open` and `Reranker.open`.
        """
        if self._open is None:
            self._open = self._kind.open(
                self.bundle,
                on_truncate=self.on_truncate,
                engine=self.engine,
                threads=self.threads,
            )

    def close(self) -> None:
        """Free the runtime's memory; running opens the bundle again."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _opened(self) -> Any:
        self.warm_up()
        return self._open


@component
class MinnowTextEmbedder(_Opens):
    """Embedder of queries by a bundle, with the model's prompt for queries."""

    def __init__(
        self,
        bundle: str | Path,
        *,
        on_truncate: OnTruncate = "warn",
        engine: str = AUTO,
        threads: int | None = None,
    ) -> None:
        """Name the bundle; `warm_up` opens it.

        Args:
            bundle: The directory that `minnow convert` wrote.
            on_truncate: What to do about queries over the limit: warn, refuse, or say nothing.
            engine: As in `Embedder.open`.
            threads: As in `Embedder.open`.
        """
        self._set(bundle, engine, threads, on_truncate)
        component.set_output_types(self, embedding=list[float])

    def run(self, text: str) -> dict[str, Any]:
        """Embed a query.

        Returns:
            `embedding`: the vector, as a list of numbers.

        Raises:
            InputError: It is no string, or over the limit and `on_truncate` is "error".
        """
        if not isinstance(text, str):
            raise InputError(
                "MinnowTextEmbedder takes one string. For documents use MinnowDocumentEmbedder."
            )
        return {"embedding": self._opened().encode_query(clean_text(text)).tolist()}


@component
class MinnowDocumentEmbedder(_Opens):
    """Embedder of documents by a bundle, with the model's prompt for documents."""

    def __init__(
        self,
        bundle: str | Path,
        *,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        on_truncate: OnTruncate = "error",
        engine: str = AUTO,
        threads: int | None = None,
    ) -> None:
        """Name the bundle; `warm_up` opens it.

        Args:
            bundle: The directory that `minnow convert` wrote.
            meta_fields_to_embed: Names of metadata whose values stand before the content.
            embedding_separator: What stands between them.
            on_truncate: What to do about documents over the limit: refuse, warn, or say nothing.
            engine: As in `Embedder.open`.
            threads: As in `Embedder.open`.
        """
        self._set(bundle, engine, threads, on_truncate)
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator
        component.set_output_types(self, documents=list[Document])

    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Embed documents.

        Returns:
            `documents`: copies with their vectors as `embedding`, in the same order.

        Raises:
            InputError: One is no document, or is over the limit and `on_truncate` is "error".
        """
        texts = _texts(documents, self.meta_fields_to_embed, self.embedding_separator)
        vectors = self._opened().encode_document(texts)
        pairs = zip(documents, vectors, strict=True)
        return {"documents": [replace(each, embedding=row.tolist()) for each, row in pairs]}


@component
class MinnowRanker(_Opens):
    """Ranker of documents by a reranker's bundle, which reads each together with the query."""

    _kind = Reranker

    def __init__(
        self,
        bundle: str | Path,
        *,
        top_k: int = 10,
        scale_score: bool = True,
        score_threshold: float | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        on_truncate: OnTruncate = "warn",
        engine: str = AUTO,
        threads: int | None = None,
    ) -> None:
        """Name the bundle; `warm_up` opens it.

        Args:
            bundle: The directory that `minnow convert` wrote.
            top_k: Most documents to keep.
            scale_score: Scores are sigmoids of the logits, or the logits.
            score_threshold: Keep no document of a lower score.
            meta_fields_to_embed: Names of metadata whose values stand before the content.
            embedding_separator: What stands between them.
            on_truncate: What to do about pairs over the limit: warn, refuse, or say nothing.
            engine: As in `Reranker.open`.
            threads: As in `Reranker.open`.

        Raises:
            InputError: `top_k` is less than 1.
        """
        self._set(bundle, engine, threads, on_truncate)
        self.top_k, self.scale_score = _checked(top_k), scale_score
        self.score_threshold = score_threshold
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.embedding_separator = embedding_separator
        component.set_output_types(self, documents=list[Document])

    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, Any]:
        """Rank documents by a query; of those with one id, only that of the best score.

        Args:
            query: The query.
            documents: The documents.
            top_k: In place of the component's; likewise the others.
            scale_score: See there.
            score_threshold: See there.

        Returns:
            `documents`: copies of the best with their scores, the best first.

        Raises:
            InputError: `top_k` is less than 1, one is no document, or a pair is over the limit and
                `on_truncate` is "error".
            EngineError: The runtime failed, or gave NaN.
        """
        top_k = self.top_k if top_k is None else _checked(top_k)
        scales = self.scale_score if scale_score is None else scale_score
        least = self.score_threshold if score_threshold is None else score_threshold
        texts = _texts(documents, self.meta_fields_to_embed, self.embedding_separator)
        best: dict[str, int] = {}
        for i, document in enumerate(documents):
            if document.id not in best or _score(document) > _score(documents[best[document.id]]):
                best[document.id] = i
        kept = list(best.values())
        order = rank_texts(_Scaled(self._opened(), scales), query, [texts[i] for i in kept])
        ranked = [replace(documents[kept[place]], score=score) for place, score in order]
        return {"documents": [d for d in ranked if least is None or _score(d) >= least][:top_k]}


class _Scaled:
    """A reranker whose scores are sigmoids, or logits."""

    def __init__(self, reranker: Reranker, scales: bool) -> None:
        self._reranker, self._activation = reranker, "sigmoid" if scales else "identity"

    def rank(self, query: str, documents: list[str]) -> Sequence[RankedDocument]:
        return self._reranker.rank(query, documents, activation_fn=self._activation)


def _texts(documents: Sequence[Document], fields: Sequence[str], separator: str) -> list[str]:
    """Return what is read of each document: values of its metadata, and its content."""
    for i, document in enumerate(documents):
        if not isinstance(document, Document):
            raise InputError(
                f"Document {i} should be a haystack.Document, not {type(document).__name__}."
            )
    rows = [
        [str(d.meta[name]) for name in fields if d.meta.get(name) is not None] for d in documents
    ]
    return [
        clean_text(separator.join([*row, document.content or ""]))
        for row, document in zip(rows, documents, strict=True)
    ]


def _checked(top_k: int) -> int:
    if isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1:
        raise InputError(f"top_k should be 1 or more, not {top_k!r}.")
    return top_k


def _score(document: Document) -> float:
    return -math.inf if document.score is None else document.score
