"""A bundle as LlamaIndex's embedding, and an index file as its vector store.

```python
from llama_index.core import VectorStoreIndex
from minnow.adapters.llama_index import MinnowEmbedding, MinnowVectorStore

embedding = MinnowEmbedding("bge-small.minnow")
store = MinnowVectorStore("docs.index", embedding)
index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
nodes = index.as_retriever(similarity_top_k=3).retrieve("how do fish sleep?")
```
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.adapters.diversity import diverse
from minnow.bundle import Bundle
from minnow.characters import clean_text, clean_values
from minnow.engines import EngineOptions
from minnow.errors import InputError, MissingExtraError
from minnow.indexfile.conditions import Condition, all_of, has_value, is_one_of, join_where
from minnow.options import OnTruncate  # noqa: TC001  pydantic reads it
from minnow.search import BundleModel, Collection, Record, open_model
from minnow.search.options import MOST_HITS
from minnow.search.records import label_of

try:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.schema import MetadataMode, TextNode
    from llama_index.core.vector_stores.types import (
        BasePydanticVectorStore,
        VectorStoreQueryMode,
        VectorStoreQueryResult,
    )
    from llama_index.core.vector_stores.utils import metadata_dict_to_node, node_to_metadata_dict

    from minnow.adapters.llama_index_filters import conditions_of
    from minnow.adapters.llama_index_reranker import MinnowReranker
except ImportError as error:
    raise MissingExtraError("The LlamaIndex adapter", "llama-index") from error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llama_index.core.schema import BaseNode
    from llama_index.core.vector_stores.types import MetadataFilters, VectorStoreQuery

    from minnow.indexfile.filters import Parameters
    from minnow.options import SearchMode
    from minnow.search import Hit, Index

__all__ = ["MinnowEmbedding", "MinnowReranker", "MinnowVectorStore"]

_WORDED: dict[VectorStoreQueryMode, SearchMode] = {
    VectorStoreQueryMode.TEXT_SEARCH: "keyword",
    VectorStoreQueryMode.SPARSE: "keyword",
    VectorStoreQueryMode.HYBRID: "hybrid",
}
_FIELDS = ("_node_content", "_node_type", "document_id", "doc_id", "ref_doc_id")
_BATCH = 256
_MMR_FACTOR = 4
"""Number of candidates for each result of MMR, as in LlamaIndex's own stores."""


def _in_thread(method: Callable[..., Any]) -> Any:
    """Make a coroutine method that runs a method, or a subclass's override, in a thread."""

    @wraps(method)
    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(getattr(self, method.__name__), *args, **kwargs)

    return call


class MinnowEmbedding(BaseEmbedding):
    """Embeddings of texts and queries by a bundle, with the model's prompts for each."""

    bundle: str
    engine: str = "auto"
    source: str | None = None
    threads: int | None = None
    on_truncate: OnTruncate = "error"
    _model: BundleModel = PrivateAttr()
    _stack: ExitStack = PrivateAttr()

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        engine: str = "auto",
        source: str | None = None,
        threads: int | None = None,
        on_truncate: OnTruncate = "error",
        embed_batch_size: int = _BATCH,
        **kwargs: Any,
    ) -> None:
        """Open a bundle; `close` frees its memory.

        Args:
            bundle: The directory that `minnow convert` wrote.
            engine: As in `Embedder.open`.
            source: As in `Embedder.open`.
            threads: As in `Embedder.open`.
            on_truncate: What to do with texts over the limit: "error", "warn" or "ignore". Queries
                are truncated with a warning.
            embed_batch_size: Number of texts in a batch of LlamaIndex.
            **kwargs: Arguments of `BaseEmbedding`, except `embeddings_cache`.

        Raises:
            InputError: There is no such argument; or a cache is given, which would mix up queries
                and texts.
            BundleError, EngineError, SourceError, ParityError, MissingExtraError:
                As `Embedder.open`.
        """
        if unknown := kwargs.keys() - type(self).model_fields.keys():
            raise InputError(f"MinnowEmbedding takes no {', '.join(sorted(unknown))}.")
        if kwargs.get("embeddings_cache") is not None:
            raise InputError(
                "MinnowEmbedding takes no embeddings_cache: LlamaIndex's keeps one vector for a "
                "text, so a query gets that of an equal document, and one model that of another. "
                "Leave it out."
            )
        with ExitStack() as stack:
            opened = open_model(
                bundle, EngineOptions(engine=engine, source=source, threads=threads)
            )
            model = stack.enter_context(opened)
            fields: dict[str, Any] = {
                "model_name": model.fingerprint.shown,
                "bundle": str(bundle.folder if isinstance(bundle, Bundle) else bundle),
                "engine": engine,
                "source": source,
                "threads": threads,
                "on_truncate": on_truncate,
                "embed_batch_size": embed_batch_size,
            }
            super().__init__(**{**fields, **kwargs})
            self._model, self._stack = model, stack.pop_all()

    @classmethod
    def class_name(cls) -> str:
        """Return the name for LlamaIndex's serialization."""
        return "MinnowEmbedding"

    def __reduce__(self) -> tuple[Callable[[], MinnowEmbedding], tuple[()]]:
        """Pickle the arguments, so that LlamaIndex's worker processes open the bundle again."""
        left = ("callback_manager", "rate_limiter")
        fields = {name: value for name, value in self.__dict__.items() if name not in left}
        return partial(MinnowEmbedding, **fields), ()

    @property
    def model(self) -> BundleModel:
        """The open bundle; `model.tokens` and `model.most_tokens` are for text splitters."""
        return self._model

    def close(self) -> None:
        """Free the runtime's memory."""
        self._stack.close()

    def _get_query_embedding(self, query: str) -> list[float]:
        row: list[float] = self._model.embedder.encode_query(clean_text(query)).tolist()
        return row

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = self._model.embedder.encode_document(
            list(map(clean_text, texts)), on_truncate=self.on_truncate
        ).tolist()
        return rows

    _aget_query_embedding = _in_thread(_get_query_embedding)
    _aget_text_embedding = _in_thread(_get_text_embedding)
    _aget_text_embeddings = _in_thread(_get_text_embeddings)


class MinnowVectorStore(BasePydanticVectorStore):
    """An index file whose nodes are found by vectors, words, or both.

    Without a collection, documents of `minnow index` in the file are found too. Such
    nodes have `source` and `heading` in their metadata, and ids such as "docs/fish.md#2".

    Query modes are "default" (vectors), "text_search" and "sparse" (words), "hybrid" (both) and
    "mmr". Scores are what `Index.search` gives, the higher the better: cosines by default. Queries
    take `where` and `params`, a condition in SQL as in `Index.search`:
    `as_retriever(vector_store_kwargs={"where": "source LIKE 'docs/%'"})`.
    """

    stores_text: bool = True
    _collection: Collection = PrivateAttr()

    def __init__(
        self, file: str | Path, embedding: MinnowEmbedding, *, collection: str | None = None
    ) -> None:
        """Open an index file, or make it where there is none.

        Args:
            file: The index file.
            embedding: The model that it was made with, or is to be made with. Pass it to
                `VectorStoreIndex` as `embed_model` too.
            collection: A name for the nodes added here; with one nothing else is found.

        Raises:
            InputError: `embedding` is not minnow's, or the collection cannot have that name.
            IndexFileError: The file is something else, or of another model.
            OutputError: It cannot be made.
        """
        if not isinstance(embedding, MinnowEmbedding):
            raise InputError(
                f"An index knows its model, so it needs a MinnowEmbedding, not "
                f"{type(embedding).__name__}."
            )
        super().__init__(stores_text=True)
        self._collection = Collection(file, embedding.model, collection)

    @classmethod
    def class_name(cls) -> str:
        """Return the name for LlamaIndex's serialization."""
        return "MinnowVectorStore"

    @property
    def client(self) -> Index:
        """The open index."""
        return self._collection.index

    def add(self, nodes: Sequence[BaseNode], **_: Any) -> list[str]:
        """Add nodes with their embeddings, or replace those with the same ids: all, or none.

        Raises:
            InputError: A node has no embedding, or one of another model's width; or as
                `minnow.search.put_records`. The message calls a node by its place and its metadata.
            OutputError: The index cannot be written.
        """
        self._collection.put(_record(node, i) for i, node in enumerate(nodes))
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **_: Any) -> None:
        """Delete the nodes of a document that were added here."""
        where, params = join_where([has_value("ref_doc_id", ref_doc_id)], None)
        self._collection.remove(where=where, params=params)

    def delete_nodes(
        self,
        node_ids: list[str] | None = None,
        filters: MetadataFilters | None = None,
        **_: Any,
    ) -> None:
        """Delete the nodes added here that have these ids and fulfil the filters.

        Raises:
            InputError: Neither is given, or filters without a condition: `clear` deletes all.
        """
        where, params = join_where(conditions_of(filters), None)
        if node_ids is None and where is None:
            raise InputError(
                "Say which nodes: give node_ids, filters, or both. clear() deletes all."
            )
        self._collection.remove(node_ids, where=where, params=params)

    def clear(self) -> None:
        """Delete all nodes that were added here; documents of `minnow index` stay."""
        self._collection.remove()

    def get_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """Return the nodes that have these ids and fulfil the filters."""
        where, params = join_where(conditions_of(filters), None)
        if node_ids is None:
            return [self._node(hit) for hit in self._collection.select(where, params)]
        hits = self._collection.get(node_ids)
        if where is not None:
            allowed = {hit.id for hit in self._collection.select(where, params)}
            hits = [hit for hit in hits if hit.id in allowed]
        return [self._node(hit) for hit in hits]

    def query(
        self,
        query: VectorStoreQuery,
        *,
        where: str | None = None,
        params: Parameters = (),
        **kwargs: Any,
    ) -> VectorStoreQueryResult:
        """Find nodes.

        Args:
            query: The query, with its mode and filters.
            where: A condition in SQL, as in `Index.search`.
            params: Its values.
            **kwargs: `mmr_threshold`, as LlamaIndex's own stores take it.

        Raises:
            InputError: The mode or a filter is unknown, or a number is out of range.
            IndexFileError, OutputError: The file is damaged, or cannot be read.
        """
        conditions = conditions_of(query.filters)
        if query.doc_ids:
            conditions.append(is_one_of("metadata->>'ref_doc_id'", query.doc_ids))
        if query.node_ids:
            conditions.append(self._among(query.node_ids))
        where, params = join_where(conditions, where, params)
        hits = self._hits(query, where, params, kwargs.get("mmr_threshold"))
        return VectorStoreQueryResult(
            nodes=[self._node(hit) for hit in hits],
            similarities=[hit.score for hit in hits],
            ids=[self._collection.id_of(hit) for hit in hits],
        )

    async_add = _in_thread(add)
    adelete = _in_thread(delete)
    adelete_nodes = _in_thread(delete_nodes)
    aclear = _in_thread(clear)
    aget_nodes = _in_thread(get_nodes)
    aquery = _in_thread(query)

    def close(self) -> None:
        """Close the file; the embedding stays open."""
        self._collection.close()

    def _hits(
        self,
        query: VectorStoreQuery,
        where: str | None,
        params: Parameters,
        mmr_threshold: float | None,
    ) -> list[Hit]:
        mode, k = query.mode, query.similarity_top_k
        if query.alpha is not None:
            raise InputError("alpha cannot be set: hybrid search has its weights.")
        if mode in _WORDED:
            words = query.query_str or ""
            count = query.hybrid_top_k or k if mode is VectorStoreQueryMode.HYBRID else k
            return self._collection.search(
                words, count, mode=_WORDED[mode], where=where, params=params
            )
        if mode not in (VectorStoreQueryMode.DEFAULT, VectorStoreQueryMode.MMR):
            raise InputError(f"The mode should be default, mmr, {', '.join(_WORDED)}, not {mode}.")
        if query.query_embedding is None:
            raise InputError(f"The mode {mode.value} needs the query's embedding.")
        vector = np.asarray(query.query_embedding, np.float32)
        if mode is VectorStoreQueryMode.DEFAULT:
            return self._collection.search_vector(vector, k, where=where, params=params)
        threshold = mmr_threshold if query.mmr_threshold is None else query.mmr_threshold
        near = self._collection.search_vector(
            vector, min(_MMR_FACTOR * k, MOST_HITS), where=where, params=params
        )
        vectors = self._collection.index.vectors([hit.id for hit in near])
        chosen = diverse(vector, vectors, k, 0.5 if threshold is None else threshold)
        return [near[i] for i in chosen]

    def _among(self, ids: list[str]) -> Condition:
        """Match nodes with some ids."""
        own = all_of([Condition("file = ?", (self._collection.path,)), is_one_of("name", ids)])
        if not any("#" in id_ for id_ in ids):
            return own
        return all_of([own, is_one_of("source || '#' || number", ids)], "OR")

    def _node(self, hit: Hit) -> BaseNode:
        if "_node_content" in hit.metadata:
            return metadata_dict_to_node(dict(hit.metadata), text=hit.text)
        id_, metadata = self._collection.id_of(hit), self._collection.metadata_of(hit)
        return TextNode(id_=id_, text=hit.piece, metadata=metadata)


def _record(node: BaseNode, number: int) -> Record:
    label = label_of(f"nodes[{number}]", node.metadata, node.node_id)
    if node.embedding is None:
        raise InputError(
            f"{label} has no embedding. VectorStoreIndex and IngestionPipeline make them, with the "
            "MinnowEmbedding."
        )
    node = _cleaned(node)
    try:
        known = node_to_metadata_dict(node, remove_text=True)
    except ValueError as error:  # from pydantic, for values that are no JSON
        raise InputError(f"{label} cannot be kept: {error}.") from error
    # The original values, so that those that are no JSON are refused and not converted.
    metadata = {**node.metadata, **{name: known[name] for name in _FIELDS}}
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    return Record(node.node_id, text, metadata, node.embedding, label)


def _cleaned(node: BaseNode) -> BaseNode:
    """Return the node if a file can hold it, else a copy without half surrogates and NUL."""
    text = clean_text(node.get_content(metadata_mode=MetadataMode.NONE))
    try:
        metadata = clean_values(node.metadata)
        related = {kind: _cleaned_relation(other) for kind, other in node.relationships.items()}
    except RecursionError:  # `put_records` names it
        return node
    parts = (node.get_content(metadata_mode=MetadataMode.NONE), node.metadata, node.relationships)
    if (text, metadata, related) == parts:
        return node
    copy = node.model_copy(update={"metadata": metadata, "relationships": related})
    copy.set_content(text)
    return copy


def _cleaned_relation(relation: Any) -> Any:
    """Clean the metadata of the nodes that a node refers to."""
    if isinstance(relation, list):
        return [_cleaned_relation(each) for each in relation]
    return relation.model_copy(update={"metadata": clean_values(relation.metadata)})
