"""A bundle as LlamaIndex's node postprocessor: it keeps the nodes that answer best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

from minnow.bundle import Bundle
from minnow.characters import clean_text
from minnow.errors import InputError
from minnow.indexfile.reranking import rank_texts
from minnow.options import OnTruncate  # noqa: TC001  pydantic reads it
from minnow.reranker import Reranker

if TYPE_CHECKING:
    from pathlib import Path


class MinnowReranker(BaseNodePostprocessor):
    """Reranker of nodes by what LlamaIndex embeds of them: their metadata and text.

    ```python
    reranker = MinnowReranker("ms-marco.minnow", top_n=3)
    engine = index.as_query_engine(similarity_top_k=50, node_postprocessors=[reranker])
    ```
    """

    bundle: str
    top_n: int = Field(2, ge=1)
    engine: str = "auto"
    source: str | None = None
    threads: int | None = None
    on_truncate: OnTruncate = "warn"
    _reranker: Reranker = PrivateAttr()

    def __init__(
        self,
        bundle: str | Path | Bundle,
        *,
        top_n: int = 2,
        engine: str = "auto",
        source: str | None = None,
        threads: int | None = None,
        on_truncate: OnTruncate = "warn",
    ) -> None:
        """Open a bundle; `close` frees its memory.

        Args:
            bundle: The directory that `minnow convert` wrote.
            top_n: Most nodes to keep.
            engine: As in `Reranker.open`.
            source: As in `Reranker.open`.
            threads: As in `Reranker.open`.
            on_truncate: What to do about pairs over the limit: "warn", "error" or "ignore".

        Raises:
            BundleError, EngineError, SourceError, ParityError, MissingExtraError:
                As `Reranker.open`.
        """
        fields: dict[str, Any] = {
            "bundle": str(bundle.folder if isinstance(bundle, Bundle) else bundle),
            "top_n": top_n,
            "engine": engine,
            "source": source,
            "threads": threads,
            "on_truncate": on_truncate,
        }
        super().__init__(**fields)
        self._reranker = Reranker.open(
            bundle, on_truncate=on_truncate, engine=engine, source=source, threads=threads
        )

    @classmethod
    def class_name(cls) -> str:
        """Return the name for LlamaIndex's serialization."""
        return "MinnowReranker"

    def close(self) -> None:
        """Free the runtime's memory."""
        self._reranker.close()

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        """Return the nodes that answer best, with the reranker's scores.

        Raises:
            InputError: There is no question; or as `Reranker.rank`.
        """
        if query_bundle is None:
            raise InputError("A reranker needs the question: give query_str= or query_bundle=.")
        texts = [clean_text(found.node.get_content(MetadataMode.EMBED)) for found in nodes]
        order = rank_texts(self._reranker, query_bundle.query_str, texts)[: self.top_n]
        return [NodeWithScore(node=nodes[i].node, score=score) for i, score in order]
