"""A bundle as LangChain's embeddings, and an index file as its vector store.

```python
from minnow.adapters.langchain import MinnowEmbeddings, MinnowVectorStore

with MinnowEmbeddings("bge-small.minnow") as embeddings:
    store = MinnowVectorStore("docs.index", embeddings)
    store.add_texts(["Fish sleep with open eyes."], [{"topic": "fish"}])
    retriever = store.as_retriever(search_kwargs={"k": 3, "filter": {"topic": "fish"}})
    documents = retriever.invoke("how do fish sleep?")
```
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from minnow.characters import clean_text
from minnow.engines import EngineOptions
from minnow.errors import InputError, MissingExtraError
from minnow.indexfile.conditions import has_value, join_where
from minnow.search import Collection, Record, open_model
from minnow.search.records import label_of
from minnow.vectors import Similarity

try:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import run_in_executor
    from langchain_core.vectorstores import VectorStore
    from langchain_core.vectorstores.utils import maximal_marginal_relevance

    from minnow.adapters.langchain_reranker import MinnowReranker
except ImportError as error:
    raise MissingExtraError("The LangChain adapter", "langchain") from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineArguments
    from minnow.indexfile.filters import Parameters
    from minnow.options import OnTruncate, SearchMode
    from minnow.search import Hit

    Scored = list[tuple[Document, float]]

__all__ = ["MinnowEmbeddings", "MinnowReranker", "MinnowVectorStore"]


class MinnowEmbeddings(Embeddings):
    """Embeddings of documents and queries by a bundle, with the model's prompts for each.

    Attributes:
        model: The open bundle; `model.tokens` and `model.most_tokens` are for text splitters.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        on_truncate: OnTruncate = "error",
        **engine: Unpack[EngineArguments],
    ) -> None:
        """Open a bundle; `close` frees its memory.

        Args:
            bundle: The directory that `minnow convert` wrote.
            on_truncate: What to do about documents over the limit: refuse, warn, or say nothing.
                Queries are cut off with a warning.
            **engine: Which engine runs it, and how, as in `Embedder.open`.

        Raises:
            BundleError, EngineError, SourceError, ParityError, MissingExtraError:
                As `Embedder.open`.
        """
        self._stack, self._on_truncate = ExitStack(), on_truncate
        opened = open_model(bundle, EngineOptions(**engine))
        self.model = self._stack.enter_context(opened)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents with `Embedder.encode_document`.

        Raises:
            InputError: A text is too long, and `on_truncate` is "error"; or it is no string.
        """
        embedder = self.model.embedder
        rows: list[list[float]] = embedder.encode_document(
            _cleaned(texts), on_truncate=self._on_truncate
        ).tolist()
        return rows

    def embed_query(self, text: str) -> list[float]:
        """Embed a query with `Embedder.encode_query`."""
        row: list[float] = self.model.embedder.encode_query(*_cleaned([text])).tolist()
        return row

    def close(self) -> None:
        """Free the runtime's memory."""
        self._stack.close()

    def __enter__(self) -> MinnowEmbeddings:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class MinnowVectorStore(VectorStore):
    """An index file whose texts are found by vectors, words, or both.

    Without a collection, documents of `minnow index` in the file are found too. They
    have `source` and `heading` in their metadata, and ids such as "docs/fish.md#2".

    Every search takes `filter`, a mapping of metadata that has to be equal; `where` and `params`, a
    condition in SQL as in `Index.search`; and `mode`. Scores are what `Index.search` gives, the
    higher the better: the cosine in mode "vector" (or what else the model compares with), BM25 in
    "keyword", and from 0 to 1 in "hybrid".
    """

    def __init__(
        self,
        file: str | Path,
        embedding: Embeddings,
        *,
        collection: str | None = None,
        mode: SearchMode = "vector",
    ) -> None:
        """Open an index file, or make it where there is none.

        Args:
            file: The index file.
            embedding: The model that it was made with, or is to be made with.
            collection: A name for the texts added here; with one nothing else is found.
            mode: The default mode of searches: "vector", "keyword" or "hybrid".

        Raises:
            InputError: `embedding` is not minnow's, or the collection cannot have that name.
            IndexFileError: The file is something else, or of another model.
            OutputError: It cannot be made.
        """
        if not isinstance(embedding, MinnowEmbeddings):
            raise InputError(
                f"An index knows its model, so it needs MinnowEmbeddings, not "
                f"{type(embedding).__name__}."
            )
        self._embedding, self._mode = embedding, mode
        self.collection = Collection(file, embedding.model, collection)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        file: str | Path | None = None,
        **kwargs: Any,
    ) -> MinnowVectorStore:
        """Open an index file and add texts to it.

        The arguments are those of `add_texts` and `MinnowVectorStore`; `file` is required.

        Raises:
            InputError, IndexFileError, OutputError: As there.
        """
        if file is None:
            raise InputError("Name the index with file=..., such as file='docs.index'.")
        store = cls(file, embedding, **kwargs)
        try:
            store.add_texts(texts, metadatas, ids=ids)
        except BaseException:
            store.close()
            raise
        return store

    @property
    def embeddings(self) -> MinnowEmbeddings:
        """The model that makes the vectors."""
        return self._embedding

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        **_: Any,
    ) -> list[str]:
        """Add texts, or replace those with the same ids: all of them, or none if that fails.

        Args:
            texts: Texts, none of them longer than the model takes.
            metadatas: JSON values by name, for each text.
            ids: An id for each text; for None one is generated.
            **_: Ignored; LangChain's indexing passes `batch_size`.

        Returns:
            The ids.

        Raises:
            InputError: As `minnow.search.put_records`; or the lists differ in length. The message
                calls a text by its place and its metadata.
            OutputError: The index cannot be written.
        """
        if isinstance(texts, str):
            raise InputError("texts is one string; give a list.")
        rows = list(texts)
        for name, values in (("metadatas", metadatas), ("ids", ids)):
            if values is not None and len(values) != len(rows):
                raise InputError(f"There are {len(rows)} texts, and {len(values)} {name}.")
        chosen = ids or [None] * len(rows)
        named = [str(uuid4()) if id_ is None else id_ for id_ in chosen]
        metadata = [{} for _ in rows] if metadatas is None else metadatas
        labels = [label_of(f"texts[{i}]", metadata[i], id_) for i, id_ in enumerate(chosen)]
        self.collection.put(
            Record(id_, text, facts, label=label)
            for id_, text, facts, label in zip(named, rows, metadata, labels, strict=True)
        )
        return named

    def delete(self, ids: list[str] | None = None, **_: Any) -> bool:
        """Delete texts that were added here by id; all of them if no ids are given.

        Documents of `minnow index` stay; `remove_paths()` deletes those.
        """
        self.collection.remove(ids)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the documents with these ids, in their order; unknown ids are ignored."""
        return [self._document(hit) for hit in self.collection.get(ids)]

    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Find the documents that answer a query; see `similarity_search_with_score`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, **kwargs)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        *,
        filter: Mapping[str, object] | None = None,  # noqa: A002
        where: str | None = None,
        params: Parameters = (),
        mode: SearchMode | None = None,
    ) -> Scored:
        """Find the documents that answer a query, with their scores; higher is better.

        Args:
            query: The question.
            k: The most documents, from 1 to 1000.
            filter: Metadata that has to be equal: strings, numbers, booleans, None.
            where: A condition in SQL, as in `Index.search`.
            params: Its values.
            mode: The mode of this search; by default the store's.

        Raises:
            InputError: An argument is out of range, or a filter cannot be used.
            IndexFileError, OutputError: The file is damaged, or cannot be read.
        """
        where, params = _condition(filter, where, params)
        hits = self.collection.search(query, k, mode=mode or self._mode, where=where, params=params)
        return [(self._document(hit), hit.score) for hit in hits]

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """Find the documents nearest to a vector; takes `filter`, `where` and `params`."""
        return [self._document(hit) for hit in self._near(embedding, k, **kwargs)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """Find documents that answer a query and differ from each other.

        See `max_marginal_relevance_search_by_vector`.
        """
        vector = self._embedding.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(
            vector, k, fetch_k, lambda_mult, **kwargs
        )

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        **kwargs: Any,
    ) -> list[Document]:
        """Find documents near to a vector that differ from each other.

        Args:
            embedding: The vector.
            k: The most documents.
            fetch_k: Number of nearest documents to choose from, up to 1000.
            lambda_mult: From 0 for the most diverse to 1 for the nearest.
            **kwargs: `filter`, `where` and `params`.
        """
        hits = self._near(embedding, max(k, fetch_k), **kwargs)
        vectors = list(self.collection.index.vectors([hit.id for hit in hits]))
        query = np.asarray(embedding, np.float32)
        chosen = maximal_marginal_relevance(query, vectors, lambda_mult, k)
        return [self._document(hits[i]) for i in chosen]

    def close(self) -> None:
        """Close the file; the embeddings stay open."""
        self.collection.close()

    def __enter__(self) -> MinnowVectorStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _similarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> Scored:
        """Return scores from 0 to 1: cosines, with negative ones as 0, or those of "hybrid"."""
        mode = kwargs.get("mode") or self._mode
        kind = self._embedding.model.embedder.similarity_kind
        if mode == "keyword" or (mode == "vector" and kind is not Similarity.COSINE):
            score = "BM25" if mode == "keyword" else f"The {kind.value} similarity of this model"
            raise InputError(
                f"{score} has no scale from 0 to 1; use similarity_search_with_score, or "
                "another mode."
            )
        found = self.similarity_search_with_score(query, k, **kwargs)
        return [(document, min(1.0, max(0.0, score))) for document, score in found]

    async def _asimilarity_search_with_relevance_scores(
        self, query: str, k: int = 4, **kwargs: Any
    ) -> Scored:
        """Run the same in a thread."""
        search = self._similarity_search_with_relevance_scores
        return await run_in_executor(None, search, query, k, **kwargs)

    def _near(
        self,
        embedding: Sequence[float],
        k: int,
        *,
        filter: Mapping[str, object] | None = None,  # noqa: A002
        where: str | None = None,
        params: Parameters = (),
    ) -> list[Hit]:
        where, params = _condition(filter, where, params)
        vector = np.asarray(embedding, np.float32)
        return self.collection.search_vector(vector, k, where=where, params=params)

    def _document(self, hit: Hit) -> Document:
        known = {"id": self.collection.id_of(hit), "metadata": self.collection.metadata_of(hit)}
        return Document(hit.piece, **known)


def _cleaned(texts: Sequence[str]) -> list[str]:
    """Clean texts as the vector store does, so that both embed the same."""
    return [clean_text(text) if isinstance(text, str) else text for text in texts]


def _condition(
    wanted: Mapping[str, object] | None, where: str | None, params: Parameters
) -> tuple[str | None, Parameters]:
    """Join LangChain's filter and a condition in SQL."""
    try:
        conditions = [has_value(key, value) for key, value in (wanted or {}).items()]
    except AttributeError as error:
        raise InputError(
            f"filter is {type(wanted).__name__}; give a dict such as {{'lang': 'de'}}, or SQL with "
            "where=."
        ) from error
    return join_where(conditions, where, params)
