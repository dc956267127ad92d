"""A bundle as LangChain's document compressor: it keeps the documents that answer best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_core.documents import BaseDocumentCompressor
from pydantic import Field, PrivateAttr

from minnow.characters import clean_text
from minnow.indexfile.reranking import rank_texts
from minnow.reranker import Reranker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import Document
    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineArguments
    from minnow.options import OnTruncate


class MinnowReranker(BaseDocumentCompressor):
    """Reranker of documents by their `page_content`, such as those that a retriever found.

    Each gets its score as `relevance_score` in its metadata, as from LangChain's other rerankers.

    ```python
    with MinnowReranker("ms-marco.minnow", top_n=3) as reranker:
        found = store.similarity_search(query, k=50)
        best = reranker.compress_documents(found, query)
    ```
    """

    top_n: int | None = Field(3, ge=1)
    _reranker: Reranker = PrivateAttr()

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        top_n: int | None = 3,
        on_truncate: OnTruncate = "warn",
        **engine: Unpack[EngineArguments],
    ) -> None:
        """Open a bundle; `close` frees its memory.

        Args:
            bundle: The directory that `minnow convert` wrote.
            top_n: Most documents to keep; None keeps all.
            on_truncate: What to do about pairs over the limit: warn, refuse, or say nothing.
            **engine: Which engine runs it, and how, as in `Reranker.open`.

        Raises:
            BundleError, EngineError, SourceError, ParityError, MissingExtraError:
                As `Reranker.open`.
        """
        fields = {"top_n": top_n}
        super().__init__(**fields)
        self._reranker = Reranker.open(bundle, on_truncate=on_truncate, **engine)

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Return copies of the documents that answer best, the best first.

        Args:
            documents: Documents that a first search found.
            query: The question.
            callbacks: Not used.

        Raises:
            InputError: A pair is over the limit and `on_truncate` is "error".
            EngineError: The runtime failed, or gave NaN.
        """
        texts = [clean_text(document.page_content) for document in documents]
        return [
            documents[i].model_copy(
                update={"metadata": {**documents[i].metadata, "relevance_score": score}}
            )
            for i, score in rank_texts(self._reranker, query, texts)[: self.top_n]
        ]

    def close(self) -> None:
        """Free the runtime's memory."""
        self._reranker.close()

    def __enter__(self) -> MinnowReranker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
