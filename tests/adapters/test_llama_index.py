"""LlamaIndex's embedding and vector store: the vectors and hits are minnow's own."""

from __future__ import annotations

import asyncio
import json
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.network import forbid_network
from fakes.searching import contents_of, run_index, write_documents
from hypothesis import given
from hypothesis import strategies as st

from minnow.embedder import Embedder, TruncationWarning
from minnow.errors import IndexFileError, InputError
from minnow.search import Index, Record, index_paths, open_index

pytest.importorskip("llama_index.core", reason="needs pip install 'minnow-embed[llama-index]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of pydantic, on LlamaIndex's classes
    from llama_index.core import Document, MockEmbedding, StorageContext, VectorStoreIndex
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.ingestion import IngestionPipeline
    from llama_index.core.node_parser import SentenceSplitter
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
    from llama_index.core.storage.kvstore import SimpleKVStore
    from llama_index.core.vector_stores import SimpleVectorStore
    from llama_index.core.vector_stores.types import (
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
        VectorStoreQuery,
        VectorStoreQueryMode,
    )
    from llama_index.core.vector_stores.utils import build_metadata_filter_fn

    from minnow.adapters.llama_index import MinnowEmbedding, MinnowVectorStore
    from minnow.adapters.llama_index_filters import conditions_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert", "llama-index")

QUERY = "small fish"


def node(id_: str, text: str, ref: str = "", **metadata: Any) -> TextNode:
    """A node of a document."""
    relationships: Any = {NodeRelationship.SOURCE: RelatedNodeInfo(node_id=ref)} if ref else {}
    return TextNode(id_=id_, text=text, metadata=metadata, relationships=relationships)


NODES = [
    node("a", "two small fish run in the river", "one", topic="fish", year=2020),
    node("b", "a red house", "one", topic="home"),
    node("c", "the green river", "two", topic="water", tags=["deep", "cold"]),
    node("d", "one old fish", "two", topic="fish", year=2021),
]


@pytest.fixture(scope="module")
def bundle(made: Tiny) -> Bundle:
    return made.bundle


@pytest.fixture(scope="module")
def embedding(bundle: Bundle) -> Iterator[MinnowEmbedding]:
    embedding = MinnowEmbedding(bundle, threads=1, on_truncate="ignore")
    yield embedding
    embedding.close()


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_network(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.index"


@pytest.fixture
def store(file: Path, embedding: MinnowEmbedding) -> Iterator[MinnowVectorStore]:
    store = MinnowVectorStore(file, embedding)
    yield store
    store.close()


@pytest.fixture
def index(store: MinnowVectorStore, embedding: MinnowEmbedding) -> VectorStoreIndex:
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex(NODES, storage_context=context, embed_model=embedding)


def found(index: VectorStoreIndex, k: int = 9, **options: Any) -> list[str]:
    nodes = index.as_retriever(similarity_top_k=k, **options).retrieve(QUERY)
    return [scored.node.node_id for scored in nodes]


class TestEmbedding:
    def test_the_vectors_are_the_embedders(
        self, embedding: MinnowEmbedding, bundle: Bundle
    ) -> None:
        texts = [node.text for node in NODES]
        with Embedder.open(bundle, threads=1) as embedder:
            documents, query = embedder.encode_document(texts), embedder.encode_query(QUERY)
            alone = embedder.encode_document(texts[0])
        np.testing.assert_array_equal(embedding.get_text_embedding_batch(texts), documents)
        np.testing.assert_array_equal(embedding.get_text_embedding(texts[0]), alone)
        np.testing.assert_array_equal(embedding.get_query_embedding(QUERY), query)
        assert not np.allclose(embedding.get_text_embedding(QUERY), query)

    def test_asynchronously(self, embedding: MinnowEmbedding) -> None:
        async def all_() -> Any:
            return await asyncio.gather(
                embedding.aget_text_embedding_batch(["one fish", "two"]),
                embedding.aget_text_embedding("one fish"),
                embedding.aget_query_embedding(QUERY),
            )

        batch, text, query = asyncio.run(all_())
        assert batch == embedding.get_text_embedding_batch(["one fish", "two"])
        assert text == embedding.get_text_embedding("one fish")
        assert query == embedding.get_query_embedding(QUERY)

    def test_what_is_too_long_is_not_cut_off_in_silence(self, bundle: Bundle) -> None:
        embedding = MinnowEmbedding(bundle, threads=1)
        with pytest.raises(InputError, match=r"Text 1 is longer than 24 tokens.*Split it"):
            embedding.get_text_embedding_batch(["fish", "fish " * 99])
        with pytest.warns(TruncationWarning):
            embedding.get_query_embedding("fish " * 99)
        model = embedding.model
        splitter = SentenceSplitter(
            chunk_size=model.most_tokens, chunk_overlap=0, tokenizer=model.tokens
        )
        nodes = splitter.get_nodes_from_documents([Document(text="One fish. " * 40)])
        assert len(embedding(nodes)) == len(nodes) > 3
        embedding.close()

    def test_slips_of_the_pen(self, bundle: Bundle) -> None:
        with pytest.raises(InputError, match="MinnowEmbedding takes no thread"):
            MinnowEmbedding(bundle, thread=1)
        wrong: Any = "silently"
        with pytest.raises(ValueError, match="on_truncate"):
            MinnowEmbedding(bundle, on_truncate=wrong)

    def test_a_cache_that_mixes_queries_and_texts_is_refused(self, bundle: Bundle) -> None:
        with pytest.raises(InputError, match=r"one vector for a text.*Leave it out"):
            MinnowEmbedding(bundle, embeddings_cache=SimpleKVStore())

    def test_another_process_opens_it_again(self, embedding: MinnowEmbedding) -> None:
        copy = pickle.loads(pickle.dumps(embedding))
        assert copy.get_query_embedding(QUERY) == embedding.get_query_embedding(QUERY)
        assert copy.on_truncate == "ignore"
        copy.close()

    def test_what_it_says_of_itself(self, embedding: MinnowEmbedding, bundle: Bundle) -> None:
        facts = embedding.to_dict()
        assert json.loads(embedding.to_json()) == facts
        assert embedding.model_dump()["bundle"] == str(bundle.folder)
        assert (facts["class_name"], facts["model_name"]) == (
            "MinnowEmbedding", embedding.model.fingerprint.shown,
        )  # fmt: skip
        copy = MinnowEmbedding.from_dict(facts)
        assert isinstance(copy, BaseEmbedding)
        assert copy.get_query_embedding(QUERY) == embedding.get_query_embedding(QUERY)
        copy.close()

    def test_in_a_pipeline(self, embedding: MinnowEmbedding, store: MinnowVectorStore) -> None:
        splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0)
        pipeline = IngestionPipeline(transformations=[splitter, embedding], vector_store=store)
        nodes = pipeline.run(documents=[Document(text="One old fish.", id_="1")])
        assert [n.get_embedding() for n in nodes] == [embedding.get_text_embedding("One old fish.")]
        assert [n.ref_doc_id for n in store.get_nodes()] == ["1"]


class TestFinding:
    def test_nodes_come_back_as_they_were(
        self, index: VectorStoreIndex, store: MinnowVectorStore
    ) -> None:
        nodes = {node.node_id: node for node in store.get_nodes()}
        for original in NODES:
            assert nodes[original.node_id] == original
        assert found(index, 1) == [store.client.search(QUERY, 1, mode="vector")[0].source[-1:]]

    def test_llamaindexs_own_store_finds_the_same(
        self, index: VectorStoreIndex, embedding: MinnowEmbedding
    ) -> None:
        context = StorageContext.from_defaults(vector_store=SimpleVectorStore())
        other = VectorStoreIndex(NODES, storage_context=context, embed_model=embedding)
        ours, theirs = (i.as_retriever(similarity_top_k=4).retrieve(QUERY) for i in (index, other))
        assert [s.node for s in ours] == [s.node for s in theirs]
        scores = np.array([[s.get_score() for s in scored] for scored in (ours, theirs)])
        np.testing.assert_allclose(scores[0], scores[1], atol=1e-3)
        for threshold in (0.0, 0.2, 1.0):  # at 0.5 two of them tie
            options: Any = {
                "vector_store_query_mode": "mmr",
                "vector_store_kwargs": {"mmr_threshold": threshold},
            }
            # Of three, LlamaIndex's own function holds the last against the second only.
            count = 3 if threshold == 1 else 2
            assert found(index, count, **options) == found(other, count, **options)

    @pytest.mark.parametrize(
        ("name", "mode"),
        [("text_search", "keyword"), ("sparse", "keyword"), ("hybrid", "hybrid")],
    )
    def test_words(
        self, index: VectorStoreIndex, file: Path, bundle: Bundle, name: str, mode: Any
    ) -> None:
        retriever = index.as_retriever(similarity_top_k=3, vector_store_query_mode=name)
        scored = retriever.retrieve(QUERY)
        with Index.open(file, bundle, threads=1) as plain:
            hits = plain.search(QUERY, 3, mode=mode)
        assert [s.node.get_content() for s in scored] == [hit.text for hit in hits]
        np.testing.assert_allclose([s.get_score() for s in scored], [hit.score for hit in hits])

    def test_among_which(self, index: VectorStoreIndex, store: MinnowVectorStore) -> None:
        fish = MetadataFilters(filters=[MetadataFilter(key="topic", value="fish")])
        assert set(found(index, filters=fish)) == {"a", "d"}
        assert set(found(index, doc_ids=["two"])) == {"c", "d"}
        assert found(index, doc_ids=["two"], filters=fish) == ["d"]
        sql = {"where": "metadata->>'year' > ?", "params": [2020]}
        assert found(index, vector_store_kwargs=sql) == ["d"]
        vector = index._embed_model.get_query_embedding(QUERY)
        query = VectorStoreQuery(vector, similarity_top_k=9, node_ids=["b", "x"])
        assert store.query(query).ids == ["b"]

    def test_what_can_be_asked_is_checked(self, store: MinnowVectorStore) -> None:
        vector = [1.0] * 32
        for query, message in (
            (VectorStoreQuery(vector, mode=VectorStoreQueryMode.SVM), "should be default, mmr"),
            (VectorStoreQuery(vector, alpha=0.5), "alpha cannot be set"),
            (VectorStoreQuery(), "default needs the query's embedding"),
            (VectorStoreQuery([1.0]), r"finite and of shape \(queries, 32\)"),
            (VectorStoreQuery(vector, similarity_top_k=1001), "k should be from 1 to 1000"),
        ):
            with pytest.raises(InputError, match=message):
                store.query(query)


class TestChanging:
    def test_a_document_is_deleted(self, index: VectorStoreIndex, store: MinnowVectorStore) -> None:
        index.delete_ref_doc("one")
        assert {node.node_id for node in store.get_nodes()} == {"c", "d"}

    def test_nodes_go(self, index: VectorStoreIndex, store: MinnowVectorStore) -> None:
        fish = MetadataFilters(filters=[MetadataFilter(key="topic", value="fish")])
        index.delete_nodes(["a", "unknown"])
        store.delete_nodes(["c", "d"], filters=fish)
        assert [node.node_id for node in store.get_nodes(["b", "c", "d"])] == ["b", "c"]
        assert store.get_nodes(["b", "c"], filters=fish) == []
        with pytest.raises(InputError, match="Say which nodes"):
            store.delete_nodes()
        with pytest.raises(InputError, match="Say which nodes"):
            store.delete_nodes(filters=MetadataFilters(filters=[]))
        store.clear()
        assert store.get_nodes() == []

    def test_documents_are_inserted_and_replaced(
        self, index: VectorStoreIndex, store: MinnowVectorStore
    ) -> None:
        index.insert(Document(text="three red fish", id_="new"))
        assert len(found(index, doc_ids=["new"])) == 1
        index.insert_nodes([node("a", "a blue house", "one")])
        assert store.get_nodes(["a"])[0].get_content() == "a blue house"
        assert len(store.get_nodes()) == 5

    def test_all_or_nothing(self, store: MinnowVectorStore, file: Path) -> None:
        store.add([TextNode(id_="x", text="fish", embedding=[1.0] * 32)])
        before = contents_of(file)
        good = TextNode(id_="y", text="two", embedding=[1.0] * 32)
        for bad, message in (
            ({"text": "x"}, r"nodes\[1\], id 'bad', has no embedding"),
            (
                {"text": "x", "embedding": [1.0] * 31},
                "'bad', .* should be 32 finite numbers",
            ),
            ({"text": "x", "embedding": [float("nan")] * 32}, "32 finite numbers"),
            ({"text": "x", "embedding": [1.0] * 32, "metadata": {"o": object()}}, "'bad', cannot"),
            ({"text": "x", "embedding": [1.0] * 32, "metadata": {"n": float("inf")}}, "'n' is no"),
        ):
            with pytest.raises(InputError, match=message):
                store.add([good, TextNode(id_="bad", **bad)])
        assert contents_of(file) == before

    def test_characters_of_broken_fonts_cost_no_page(
        self, store: MinnowVectorStore, embedding: MinnowEmbedding
    ) -> None:
        """PDF readers give U+0000 and halves of pairs, in texts and in metadata."""
        text = "The o\0ce closes."
        page = Document(text=text, metadata={"file_name": "a\0.pdf", "page_label": "2"})
        pipeline = IngestionPipeline(transformations=[embedding], vector_store=store)
        (added,) = pipeline.run(documents=[page])
        (kept,) = store.get_nodes([added.node_id])
        assert (kept.get_content(), kept.metadata["file_name"]) == ("The oce closes.", "a.pdf")
        assert embedding.get_text_embedding("fish \ud835") == embedding.get_text_embedding(
            "fish \ufffd"
        )
        chunk = node("part", "fish\0 \ud83d", "whole", title="half \ud83d")
        source: Any = RelatedNodeInfo(node_id="whole", metadata={"title": "half \ud83d"})
        chunk.relationships = {NodeRelationship.SOURCE: source}
        chunk.embedding = [1.0] * 32
        store.add([chunk])
        (again,) = store.get_nodes(["part"])
        assert (again.get_content(), again.ref_doc_id) == ("fish \ufffd", "whole")
        assert again.metadata == {"title": "half \ufffd"}

    def test_a_page_is_named_by_its_document(
        self, store: MinnowVectorStore, embedding: MinnowEmbedding
    ) -> None:
        pages = [
            Document(text=text, metadata={"file_name": "handbook.pdf", "page_label": "7"})
            for text in ("fish", "fish " * 90)
        ]
        strict = embedding.model_copy(update={"on_truncate": "error"})
        with pytest.raises(InputError, match=r"Text 0 is longer .* it begins '.*handbook\.pdf"):
            IngestionPipeline(transformations=[strict], vector_store=store).run(documents=pages)
        wrong = TextNode(text="fish", metadata={"file_name": "handbook.pdf", "page_label": "7"})
        with pytest.raises(
            InputError, match=r"nodes\[0\], .*'handbook.pdf', page_label '7', has no"
        ):
            store.add([wrong])

    def test_asynchronously(self, index: VectorStoreIndex, store: MinnowVectorStore) -> None:
        async def work() -> None:
            await index.ainsert_nodes([node("e", "three fish", "three")])
            assert [n.node_id for n in await store.aget_nodes(["e"])] == ["e"]
            scored = await index.as_retriever(similarity_top_k=9).aretrieve(QUERY)
            assert [s.node.node_id for s in scored] == found(index)
            await store.adelete("three")
            await store.adelete_nodes(["a"])
            assert len(await store.aget_nodes()) == 3
            await store.aclear()

        asyncio.run(work())
        assert store.get_nodes() == []

    def test_asynchronously_a_subclass_is_not_passed_over(
        self, file: Path, embedding: MinnowEmbedding
    ) -> None:
        class Mine(MinnowVectorStore):
            def query(self, query: VectorStoreQuery, **_: Any) -> Any:
                return "mine"

        opened: Any = Mine  # mypy takes a pydantic model's fields for its parameters
        store = opened(file, embedding)
        assert asyncio.run(store.aquery(VectorStoreQuery())) == "mine"
        store.close()

    def test_from_several_threads(self, index: VectorStoreIndex, store: MinnowVectorStore) -> None:
        def work(number: int) -> int:
            index.insert_nodes([node(str(number), f"fish {number}", f"doc {number}")])
            assert store.get_nodes([str(number)])
            store.delete(f"doc {number}")
            return len(found(index, 4))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(12))) == [4] * 12


class TestFiles:
    def test_what_minnow_indexed_is_found(
        self, file: Path, embedding: MinnowEmbedding, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        write_documents(Path("docs"), {"a.md": "# Fish\n\nFish run in the river.\n"})
        disk = open_index(file, embedding.model, max_tokens=16)
        index_paths([Path("docs")], disk, embedding.model)
        disk.close()
        store = MinnowVectorStore(file, embedding)
        index = VectorStoreIndex.from_vector_store(store, embed_model=embedding)
        (scored,) = index.as_retriever().retrieve(QUERY)
        assert (scored.node.node_id, scored.node.get_content()) == (
            "docs/a.md#1", "Fish run in the river.",
        )  # fmt: skip
        assert scored.node.metadata == {
            "source": "docs/a.md", "heading": "Fish", "modified": "2001-09-09T01:46:40Z"
        }  # fmt: skip
        assert store.get_nodes(["docs/a.md#1"]) == [scored.node]
        query = VectorStoreQuery([1.0] * 32, node_ids=["docs/a.md#1"])
        assert store.query(query).ids == ["docs/a.md#1"]
        store.clear()
        assert len(store.get_nodes()) == 1
        store.close()

    def test_collections_do_not_see_each_other(
        self, file: Path, embedding: MinnowEmbedding
    ) -> None:
        ann, bob = (MinnowVectorStore(file, embedding, collection=n) for n in ("ann", "bob"))
        ann.add([TextNode(id_="1", text="one", embedding=[1.0] * 32)])
        assert bob.get_nodes() == []
        assert bob.query(VectorStoreQuery([1.0] * 32)).ids == []
        ann.close()
        bob.close()

    def test_records_of_others_are_nodes(self, store: MinnowVectorStore) -> None:
        store._collection.put([Record("r", "one fish", {"lang": "en"})])
        (other,) = store.get_nodes()
        assert (other.node_id, other.get_content(), other.metadata) == (
            "r", "one fish", {"lang": "en"},
        )  # fmt: skip

    def test_what_cannot_be_opened(
        self, file: Path, embedding: MinnowEmbedding, tmp_path: Path
    ) -> None:
        run_index(file, write_documents(tmp_path / "docs"))
        with pytest.raises(IndexFileError, match=r"another model \(made/words"):
            MinnowVectorStore(file, embedding)
        mock: Any = MockEmbedding(embed_dim=3)
        with pytest.raises(InputError, match="needs a MinnowEmbedding, not MockEmbedding"):
            MinnowVectorStore(file, mock)


# --- filters ---------------------------------------------------------------------------------

KEYS = st.sampled_from(["a", "b.c", "ü"])
STRINGS = st.sampled_from(["", "a", "ab", "B", "é"])
NUMBERS = st.one_of(st.integers(-2, 2), st.sampled_from([0.5, -1.5]))
LISTS = st.one_of(st.lists(STRINGS, max_size=3), st.lists(st.integers(-2, 2), max_size=3))
ORDERED = [FilterOperator.GT, FilterOperator.GTE, FilterOperator.LT, FilterOperator.LTE]


def compared(operator: FilterOperator, values: Any) -> Any:
    return st.builds(MetadataFilter, key=KEYS, value=values, operator=st.just(operator))


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], MetadataFilters]:
    """Metadata, and filters whose operators LlamaIndex defines on it."""
    kinds = {key: draw(st.sampled_from([STRINGS, NUMBERS, LISTS])) for key in ("a", "b.c", "ü")}
    metadata = {
        key: draw(st.one_of(st.none(), kind)) for key, kind in kinds.items() if draw(st.booleans())
    }
    filters = []
    for _ in range(draw(st.integers(1, 3))):
        key = draw(KEYS)
        kind = kinds[key]
        if kind is LISTS:
            operators = [FilterOperator.CONTAINS, FilterOperator.ANY, FilterOperator.ALL]
            value: Any = draw(st.one_of(STRINGS, st.integers(-2, 2)))
        else:
            operators = [FilterOperator.EQ, FilterOperator.NE, *ORDERED, FilterOperator.IN,
                         FilterOperator.NIN]  # fmt: skip
            if kind is STRINGS:
                operators.append(FilterOperator.TEXT_MATCH)
            value = draw(kind)
        operator = draw(st.sampled_from([*operators, FilterOperator.IS_EMPTY]))
        if operator.value in ("any", "all", "in", "nin"):
            value = draw(LISTS)
        filters.append(MetadataFilter(key=key, value=value, operator=operator))
    condition = draw(st.sampled_from(list(FilterCondition)))
    return metadata, MetadataFilters(filters=filters, condition=condition)  # type: ignore[arg-type]


def is_true(filters: MetadataFilters, metadata: dict[str, Any]) -> bool:
    import sqlite3

    (condition,) = conditions_of(filters)
    text = json.dumps(metadata, ensure_ascii=False)
    database = sqlite3.connect(":memory:")
    question = f"SELECT count(*) FROM (SELECT ? AS metadata) WHERE {condition.sql}"
    try:
        row = database.execute(question, (text, *condition.values)).fetchone()
    finally:
        database.close()
    return bool(row[0])


class TestFilters:
    @given(cases())
    def test_they_mean_what_llamaindex_makes_of_them(
        self, case: tuple[dict[str, Any], MetadataFilters]
    ) -> None:
        metadata, filters = case
        expected = build_metadata_filter_fn(lambda _: metadata, filters)("x")
        assert is_true(filters, metadata) == expected

    def test_nested(self) -> None:
        either = MetadataFilters(
            filters=[MetadataFilter(key="a", value=1), MetadataFilter(key="a", value=2)],
            condition=FilterCondition.OR,
        )
        both = MetadataFilters(filters=[either, MetadataFilter(key="b", value="x")])
        assert is_true(both, {"a": 2, "b": "x"})
        assert not is_true(both, {"a": 3, "b": "x"})
        assert not is_true(both, {"a": 2})
        assert conditions_of(MetadataFilters(filters=[])) == conditions_of(None) == []

    def test_strings_are_not_above_numbers(self) -> None:
        above = MetadataFilter(key="a", value=5, operator=FilterOperator.GT)
        assert not is_true(MetadataFilters(filters=[above]), {"a": "x"})

    def test_without_case(self) -> None:
        match = FilterOperator.TEXT_MATCH_INSENSITIVE
        kettle = MetadataFilter(key="a", value="KETTLE", operator=match)
        assert is_true(MetadataFilters(filters=[kettle]), {"a": "my Kettle é"})
        with pytest.raises(InputError, match="ASCII letters only"):
            conditions_of(
                MetadataFilters(filters=[MetadataFilter(key="a", value="é", operator=match)])
            )

    @pytest.mark.parametrize(
        ("operator", "value", "message"),
        [
            ("in", "ab", "'in' on 'a' takes a list, not 'ab'"),
            ("==", ["a"], "takes a string or a number"),
            ("text_match", 5, "takes a string"),
        ],
    )
    def test_values_that_do_not_fit(self, operator: str, value: Any, message: str) -> None:
        filter_ = MetadataFilter(key="a", value=value, operator=FilterOperator(operator))
        with pytest.raises(InputError, match=message):
            conditions_of(MetadataFilters(filters=[filter_]))
