"""LangChain's embeddings and vector store: the vectors and hits are minnow's own."""

from __future__ import annotations

import asyncio
import datetime
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.network import forbid_network
from fakes.searching import contents_of, run_index, write_documents

from minnow.embedder import Embedder, TruncationWarning
from minnow.errors import BundleError, IndexFileError, InputError
from minnow.reranker import Reranker
from minnow.search import Index, Record, index_paths, open_index
from minnow.vectors import Similarity

pytest.importorskip("langchain_core", reason="needs pip install 'minnow-embed[langchain]'")
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore

from minnow.adapters.langchain import MinnowEmbeddings, MinnowReranker, MinnowVectorStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert", "langchain")

TEXTS = ["two small fish run in the river", "a red house", "the green river", "one old fish"]
METADATAS: list[dict[str, Any]] = [
    {"topic": "fish", "year": 2020}, {"topic": "home"}, {"topic": "water", "deep": True},
    {"topic": "fish", "year": 2021, "tags": ["old"]},
]  # fmt: skip
IDS = ["a", "b", "c", "d"]
QUERY = "small fish"


@pytest.fixture(scope="module")
def bundle(made: Tiny) -> Bundle:
    return made.bundle


@pytest.fixture(scope="module")
def embeddings(bundle: Bundle) -> Iterator[MinnowEmbeddings]:
    with MinnowEmbeddings(bundle, threads=1) as embeddings:
        yield embeddings


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_network(monkeypatch)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.index"


@pytest.fixture
def store(file: Path, embeddings: MinnowEmbeddings) -> Iterator[MinnowVectorStore]:
    with MinnowVectorStore.from_texts(TEXTS, embeddings, METADATAS, ids=IDS, file=file) as store:
        yield store


def found(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


class TestEmbeddings:
    def test_the_vectors_are_the_embedders(
        self, embeddings: MinnowEmbeddings, bundle: Bundle
    ) -> None:
        with Embedder.open(bundle, threads=1) as embedder:
            documents, query = embedder.encode_document(TEXTS), embedder.encode_query(QUERY)
        np.testing.assert_array_equal(embeddings.embed_documents(TEXTS), documents)
        np.testing.assert_array_equal(embeddings.embed_query(QUERY), query)
        assert not np.allclose(embeddings.embed_documents([QUERY])[0], query)
        assert embeddings.embed_documents([]) == []

    def test_asynchronously(self, embeddings: MinnowEmbeddings) -> None:
        async def both() -> Any:
            return await asyncio.gather(
                embeddings.aembed_documents(TEXTS), embeddings.aembed_query(QUERY)
            )

        documents, query = asyncio.run(both())
        assert documents == embeddings.embed_documents(TEXTS)
        assert query == embeddings.embed_query(QUERY)

    def test_what_is_too_long_is_not_cut_off_in_silence(
        self, embeddings: MinnowEmbeddings, bundle: Bundle
    ) -> None:
        texts = ["fish", "fish " * 99]
        with pytest.raises(InputError, match=r"Text 1 is longer than 24 tokens.*Split it"):
            embeddings.embed_documents(texts)
        with pytest.warns(TruncationWarning):
            embeddings.embed_query(texts[1])
        with MinnowEmbeddings(bundle, threads=1, on_truncate="ignore") as lenient:
            assert len(lenient.embed_documents(texts)) == 2

    def test_a_splitter_can_count(self, embeddings: MinnowEmbeddings) -> None:
        model = embeddings.model
        assert model.tokens("two fish") == ["two", "fish"]
        embeddings.embed_documents(["fish " * model.most_tokens])
        with pytest.raises(InputError):
            embeddings.embed_documents(["fish " * (model.most_tokens + 1)])


class TestSearching:
    @pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
    def test_the_hits_are_the_indexs(
        self, store: MinnowVectorStore, file: Path, bundle: Bundle, mode: Any
    ) -> None:
        with Index.open(file, bundle, threads=1) as index:
            hits = index.search(QUERY, 3, mode=mode)
        scored = store.similarity_search_with_score(QUERY, 3, mode=mode)
        assert [doc.page_content for doc, _ in scored] == [hit.text for hit in hits]
        assert [doc.metadata for doc, _ in scored] == [hit.metadata for hit in hits]
        np.testing.assert_allclose([score for _, score in scored], [hit.score for hit in hits])

    def test_langchains_own_store_finds_the_same(
        self, store: MinnowVectorStore, embeddings: MinnowEmbeddings
    ) -> None:
        other = InMemoryVectorStore.from_texts(TEXTS, embeddings, METADATAS, ids=IDS)
        ours, theirs = (s.similarity_search_with_score(QUERY, 4) for s in (store, other))
        assert [doc for doc, _ in ours] == [doc for doc, _ in theirs]
        np.testing.assert_allclose([s for _, s in ours], [s for _, s in theirs], atol=1e-3)
        for options in ({"k": 3}, {"k": 2, "lambda_mult": 0.1}, {"k": 9, "lambda_mult": 0.9}):
            chosen = [s.max_marginal_relevance_search(QUERY, **options) for s in (store, other)]
            assert found(chosen[0]) == found(chosen[1])

    def test_by_vector(self, store: MinnowVectorStore, embeddings: MinnowEmbeddings) -> None:
        vector = embeddings.embed_query(QUERY)
        documents = store.similarity_search(QUERY, 4)
        assert store.similarity_search_by_vector(vector, 4) == documents
        chosen = store.max_marginal_relevance_search_by_vector(vector, 2, filter={"topic": "fish"})
        assert set(found(chosen)) == {"a", "d"}
        with pytest.raises(InputError, match=r"finite and of shape \(queries, 32\)"):
            store.similarity_search_by_vector([1.0, 2.0])

    @pytest.mark.parametrize(
        ("options", "ids"),
        [
            ({"filter": {"topic": "fish"}}, {"a", "d"}),
            ({"filter": {"topic": "fish", "year": 2021}}, {"d"}),
            ({"filter": {"deep": True}}, {"c"}),
            ({"filter": {"year": None}}, {"b", "c"}),
            ({"filter": {}}, {"a", "b", "c", "d"}),
            ({"where": "metadata->>'year' > 2020"}, {"d"}),
            ({"where": "name IN (?, ?)", "params": ["a", "b"], "filter": {"topic": "home"}}, {"b"}),
            ({"where": "name = :n", "params": {"n": "a"}, "filter": {"topic": "fish"}}, {"a"}),
            ({"filter": {"topic": "none"}}, set()),
        ],
    )
    def test_filters(self, store: MinnowVectorStore, options: Any, ids: set[str]) -> None:
        assert set(found(store.similarity_search(QUERY, 9, **options))) == ids

    def test_an_empty_query_lists_documents(self, store: MinnowVectorStore) -> None:
        """As with other stores: with a filter it is the usual way to list."""
        listed = store.similarity_search("", 9, filter={"topic": "fish"})
        assert set(found(listed)) == {"a", "d"}

    def test_what_can_be_asked_is_checked(self, store: MinnowVectorStore) -> None:
        for options, message in (
            ({"filter": {"tags": ["old"]}}, "'tags' to equal a list.*SQL"),
            ({"filter": lambda doc: True}, "filter is function; give a dict"),
            ({"where": "topic = 'fish'"}, "no such column: topic. Columns are"),
            ({"mode": "magic"}, "mode should be vector, keyword, hybrid"),
            ({"k": 0}, "k should be from 1 to 1000"),
        ):
            with pytest.raises(InputError, match=message):
                store.similarity_search(QUERY, **options)
        with pytest.raises(TypeError, match="fliter"):
            store.similarity_search(QUERY, fliter={"topic": "fish"})

    def test_retrievers(self, store: MinnowVectorStore) -> None:
        plain = store.as_retriever(search_kwargs={"k": 2, "filter": {"topic": "fish"}})
        assert found(plain.invoke(QUERY)) == found(asyncio.run(plain.ainvoke(QUERY)))
        diverse = store.as_retriever(search_type="mmr", search_kwargs={"k": 2})
        assert len(diverse.invoke(QUERY)) == 2
        scored = store.similarity_search_with_score(QUERY, 4)
        threshold = (scored[1][1] + scored[2][1]) / 2
        near = store.as_retriever(
            search_type="similarity_score_threshold", search_kwargs={"score_threshold": threshold}
        )
        expected = found([doc for doc, _ in scored[:2]])
        assert found(near.invoke(QUERY)) == found(asyncio.run(near.ainvoke(QUERY))) == expected


class TestRelevance:
    def test_it_is_the_cosine_and_never_below_0(
        self, file: Path, embeddings: MinnowEmbeddings
    ) -> None:
        vector = np.array(embeddings.embed_query(QUERY), np.float32)
        with MinnowVectorStore(file, embeddings) as store:
            store.collection.put([Record("near", "x", vector=vector)])
            store.collection.put([Record("far", "y", vector=-vector)])
            scored = store.similarity_search_with_relevance_scores(QUERY)
        scores = {doc.id: score for doc, score in scored}
        assert scores == {"near": pytest.approx(1, abs=1e-3), "far": 0}
        assert max(scores.values()) <= 1

    def test_what_has_no_scale(
        self, store: MinnowVectorStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ask = store.similarity_search_with_relevance_scores
        assert all(0 <= score <= 1 for _, score in ask(QUERY, mode="hybrid"))
        with pytest.raises(InputError, match="BM25 has no scale"):
            ask(QUERY, mode="keyword")
        embedder = type(store.embeddings.model.embedder)
        monkeypatch.setattr(embedder, "similarity_kind", Similarity.DOT)
        with pytest.raises(InputError, match="dot similarity of this model has no scale"):
            ask(QUERY)


class TestAdding:
    def test_ids_given_and_made(self, store: MinnowVectorStore) -> None:
        documents = [Document("one fish", id="x"), Document("two fish"), Document("red", id="a")]
        ids = store.add_documents(documents)
        assert (ids[0], ids[2], len(set(ids))) == ("x", "a", 3)
        texts = [doc.page_content for doc in store.get_by_ids(ids)]
        assert texts == ["one fish", "two fish", "red"]
        assert documents[1].id is None

    def test_all_or_nothing(self, store: MinnowVectorStore, file: Path) -> None:
        before = contents_of(file)
        for texts, options, message in (
            (["new", "fish " * 99], {}, r"takes 2\d. Split it first"),
            (["new"], {"metadatas": [{"when": datetime.date(2020, 1, 1)}]}, "'when' is no JSON"),
            (["new"], {"metadatas": []}, "1 texts, and 0 metadatas"),
            (["new"], {"ids": ["x", "y"]}, "1 texts, and 2 ids"),
            (["new", "new"], {"ids": ["x", "x"]}, "Two records have the id 'x'"),
            ("new", {}, "one string"),
        ):
            with pytest.raises(InputError, match=message):
                store.add_texts(texts, **options)
        assert contents_of(file) == before

    def test_deleting(self, store: MinnowVectorStore) -> None:
        assert store.delete(["a", "unknown"]) is True
        assert found(store.get_by_ids(["a", "b"])) == ["b"]
        store.delete([])
        assert len(store.similarity_search(QUERY, 9)) == 3
        store.delete()
        assert store.similarity_search(QUERY, 9) == []

    def test_langchains_indexing(self, file: Path, embeddings: MinnowEmbeddings) -> None:
        from langchain_core.indexing import InMemoryRecordManager, index

        manager = InMemoryRecordManager("fish")
        manager.create_schema()
        documents = [Document(text, metadata={"source": text}) for text in TEXTS]
        options: Any = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
        with MinnowVectorStore(file, embeddings) as store:
            assert index(documents, manager, store, **options)["num_added"] == 4
            again = index(documents[:3], manager, store, **options)
            assert (again["num_skipped"], again["num_deleted"]) == (3, 1)
            assert len(store.similarity_search(QUERY, 9)) == 3


class TestFiles:
    def test_what_minnow_indexed_is_found(
        self, file: Path, bundle: Bundle, embeddings: MinnowEmbeddings, tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        write_documents(Path("docs"), {
            "a.md": "# Fish\n\nFish run in the river.\n",
            "b.jsonl": '{"id": "x", "text": "two red fish", "metadata": {"lang": "en"}}\n',
        })  # fmt: skip
        disk = open_index(file, embeddings.model, max_tokens=16)
        index_paths([Path("docs")], disk, embeddings.model)
        disk.close()
        with MinnowVectorStore(file, embeddings) as store:
            documents = {str(doc.id): doc for doc in store.similarity_search(QUERY)}
            assert documents["docs/a.md#1"] == Document(
                "Fish run in the river.", id="docs/a.md#1",
                metadata={
                    "source": "docs/a.md", "heading": "Fish", "modified": "2001-09-09T01:46:40Z",
                },
            )  # fmt: skip
            assert documents["docs/b.jsonl#x#1"].metadata == {
                "source": "docs/b.jsonl#x", "lang": "en",
            }  # fmt: skip
            assert store.get_by_ids(list(documents)) == list(documents.values())
            store.add_texts(["one fish"], ids=["mine"])
            store.delete()
            assert len(store.similarity_search(QUERY)) == 2

    def test_collections_do_not_see_each_other(
        self, file: Path, embeddings: MinnowEmbeddings
    ) -> None:
        options: Any = {"file": file, "embedding": embeddings}
        with MinnowVectorStore(collection="ann", **options) as ann:
            ann.add_texts(["one fish"], ids=["1"])
            with MinnowVectorStore(collection="bob", **options) as bob:
                bob.add_texts(["two fish"], ids=["1"])
                assert [doc.page_content for doc in ann.similarity_search(QUERY)] == ["one fish"]
                assert [doc.page_content for doc in bob.get_by_ids(["1"])] == ["two fish"]
                bob.delete()
                assert len(ann.similarity_search(QUERY)) == 1

    def test_what_cannot_be_opened(
        self, file: Path, embeddings: MinnowEmbeddings, tmp_path: Path
    ) -> None:
        run_index(file, write_documents(tmp_path / "docs"))
        with pytest.raises(IndexFileError, match=r"another model \(made/words.*Use a bundle"):
            MinnowVectorStore(file, embeddings)
        with pytest.raises(InputError, match="needs MinnowEmbeddings, not DeterministicFake"):
            MinnowVectorStore(file, DeterministicFakeEmbedding(size=3))
        with pytest.raises(InputError, match="Name the index with file="):
            MinnowVectorStore.from_texts(["x"], embeddings)

    def test_from_several_threads(self, store: MinnowVectorStore) -> None:
        def work(number: int) -> int:
            store.add_texts([f"fish {number}"], ids=[str(number)])
            assert store.get_by_ids([str(number)])
            store.delete([str(number)])
            return len(store.similarity_search(QUERY, 4))

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(work, range(12))) == [4] * 12

    def test_asynchronously(self, store: MinnowVectorStore) -> None:
        async def work() -> None:
            (id_,) = await store.aadd_documents([Document("three fish")])
            assert found(await store.aget_by_ids([id_])) == [id_]
            scored = await store.asimilarity_search_with_relevance_scores(QUERY, 2)
            assert scored == store.similarity_search_with_relevance_scores(QUERY, 2)
            assert len(await store.amax_marginal_relevance_search(QUERY, 3)) == 3
            await store.adelete([id_])

        asyncio.run(work())


class TestReranker:
    def test_it_keeps_the_best_documents(self, store: MinnowVectorStore, ranker: Bundle) -> None:
        found = store.similarity_search(QUERY, 4)
        with Reranker.open(ranker) as plain:
            rows = plain.rank(QUERY, [document.page_content for document in found])
        with MinnowReranker(ranker, top_n=2, threads=1) as reranker:
            best = reranker.compress_documents(found, QUERY)
            assert best == asyncio.run(reranker.acompress_documents(found, QUERY))
            assert reranker.compress_documents([], QUERY) == []
        assert [document.id for document in best] == [found[r["corpus_id"]].id for r in rows[:2]]
        for document, row in zip(best, rows, strict=False):
            before = found[row["corpus_id"]]
            score = document.metadata.pop("relevance_score")
            assert score == pytest.approx(row["score"], abs=1e-5)
            assert document == before
            assert "relevance_score" not in before.metadata

    def test_in_a_chain(self, store: MinnowVectorStore, ranker: Bundle) -> None:
        with MinnowReranker(ranker, top_n=None) as reranker:
            retriever = store.as_retriever(search_kwargs={"k": 4})
            both = RunnablePassthrough.assign(
                best=lambda row: reranker.compress_documents(retriever.invoke(row["q"]), row["q"])
            )
            best = both.invoke({"q": QUERY})["best"]
        scores = [document.metadata["relevance_score"] for document in best]
        assert len(scores) == 4
        assert scores == sorted(scores, reverse=True)

    def test_what_is_refused(self, bundle: Bundle, ranker: Bundle) -> None:
        with pytest.raises(BundleError, match="is an embedding model"):
            MinnowReranker(bundle)
        with pytest.raises(ValueError, match="top_n"):
            MinnowReranker(ranker, top_n=0)
        with (
            MinnowReranker(ranker, on_truncate="error") as reranker,
            pytest.raises(InputError, match="Pair 0 is longer than 40 tokens"),
        ):
            reranker.compress_documents([Document("fish " * 99)], QUERY)


class TestDocumentsOfLoaders:
    """PDF loaders give U+0000 for ligatures, and halves of pairs for letters that fonts lack."""

    @pytest.mark.parametrize(
        ("text", "kept"),
        [
            ("The o\0ce closes at four.", "The oce closes at four."),
            ("Set \ud835 to zero.", "Set \ufffd to zero."),
        ],
    )
    def test_one_character_costs_no_page(
        self, store: MinnowVectorStore, embeddings: MinnowEmbeddings, text: str, kept: str
    ) -> None:
        pages = [
            Document("Ferries leave at noon.", metadata={"source": "a.pdf", "page": 1}),
            Document(text, metadata={"source": "a.pdf", "page": 2, "title": "half \ud83d\0"}),
        ]
        ids = store.add_documents(pages)
        first, second = store.get_by_ids(ids)
        assert (first.page_content, second.page_content) == (pages[0].page_content, kept)
        assert second.metadata == {"source": "a.pdf", "page": 2, "title": "half \ufffd"}
        assert embeddings.embed_documents([text]) == embeddings.embed_documents([kept])
        assert embeddings.embed_query(text) == embeddings.embed_query(kept)

    def test_messages_name_the_users_document(self, store: MinnowVectorStore) -> None:
        pages = [
            Document("fish", metadata={"source": "handbook.pdf", "page": 1}),
            Document("fish " * 90, metadata={"source": "handbook.pdf", "page": 2}),
        ]
        with pytest.raises(
            InputError,
            match=r"texts\[1\], source 'handbook.pdf', page 2, \('fish fish .*has 92 tok",
        ):
            store.add_documents(pages)
        pages[1] = Document("fish", metadata={"source": "b.pdf", "made": datetime.date(2026, 1, 2)})
        with pytest.raises(InputError, match=r"metadata of texts\[1\], source 'b.pdf', .*'made'"):
            store.add_documents(pages)
        with pytest.raises(InputError, match=r"texts\[0\], id 'mine', .*92 tokens"):
            store.add_texts(["fish " * 90], ids=["mine"])

    def test_splitters_count_tokens_of_any_text(self, embeddings: MinnowEmbeddings) -> None:
        assert embeddings.model.tokens("fish \ud83d") == embeddings.model.tokens("fish \ufffd")
