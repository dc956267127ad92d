"""LlamaIndex's node postprocessor: the order is the reranker's own."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING

import pytest

from minnow import Reranker
from minnow.errors import BundleError, InputError

pytest.importorskip("llama_index.core", reason="needs pip install 'minnow-embed[llama-index]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pydantic, on LlamaIndex's classes
    from llama_index.core import MockEmbedding, VectorStoreIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

    from minnow.adapters.llama_index import MinnowReranker

if TYPE_CHECKING:
    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert", "llama-index")

QUERY = "small fish"
TEXTS = ("two small fish run in the river", "a red house", "the green river", "one old fish")
NODES = [TextNode(id_=f"n{i}", text=text, metadata={"n": i}) for i, text in enumerate(TEXTS)]


def found() -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=0.5) for node in NODES]


def test_it_keeps_the_best_nodes(ranker: Bundle) -> None:
    with Reranker.open(ranker) as plain:
        rows = plain.rank(QUERY, [node.get_content(MetadataMode.EMBED) for node in NODES])
    reranker, given = MinnowReranker(ranker, top_n=3, threads=1), found()
    best = reranker.postprocess_nodes(given, query_str=QUERY)
    assert [row.node_id for row in best] == [f"n{row['corpus_id']}" for row in rows[:3]]
    scores = [row["score"] for row in rows[:3]]
    assert [row.score for row in best] == pytest.approx(scores, abs=1e-5)
    assert given == found()
    assert best == asyncio.run(reranker.apostprocess_nodes(given, QueryBundle(QUERY)))
    assert reranker.postprocess_nodes([], query_str=QUERY) == []
    again = MinnowReranker.from_dict(reranker.to_dict())
    assert (again.top_n, again.threads, again.bundle) == (3, 1, str(ranker.folder))
    for each in (reranker, again):
        each.close()


def test_in_a_query_engine(ranker: Bundle) -> None:
    reranker = MinnowReranker(str(ranker.folder), top_n=2)
    index = VectorStoreIndex(NODES, embed_model=MockEmbedding(4))
    engine = index.as_query_engine(
        llm=MockLLM(), similarity_top_k=4, node_postprocessors=[reranker]
    )
    scores = [row.score for row in engine.query(QUERY).source_nodes]
    expected = [row.score for row in reranker.postprocess_nodes(found(), query_str=QUERY)]
    assert scores == pytest.approx(expected, abs=1e-5)
    reranker.close()


def test_what_is_refused(made: Tiny, ranker: Bundle) -> None:
    with pytest.raises(BundleError, match="is an embedding model"):
        MinnowReranker(made.bundle)
    with pytest.raises(ValueError, match="top_n"):
        MinnowReranker(ranker, top_n=0)
    reranker = MinnowReranker(ranker, on_truncate="error")
    with pytest.raises(InputError, match="give query_str="):
        reranker.postprocess_nodes(found())
    long = [NodeWithScore(node=TextNode(text="fish " * 99))]
    with pytest.raises(InputError, match="Pair 0 is longer than 40 tokens"):
        reranker.postprocess_nodes(long, query_str=QUERY)
    reranker.close()
