"""Several index files searched as one: the same hits as one file with everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.searching import FakeModel

from minnow.errors import IndexFileError, InputError
from minnow.options import Fusion
from minnow.search import Index, Record, ShardedIndex, open_index, put_records
from minnow.search.shards import index_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from minnow.reranker import RankedDocument

NOUNS = ("fish", "ship", "keel", "sea", "net", "sail", "harbour", "whale")
TEXTS = {
    f"d{n}": f"{NOUNS[n % 8]} {NOUNS[n * 3 % 7]} {' '.join(NOUNS[: n % 5])} number{n}"
    for n in range(60)
}


def write(file: Path, ids: list[str], **model: object) -> None:
    model_ = FakeModel(**model)
    store = open_index(file, model_)
    put_records(store, model_, [Record(i, TEXTS[i], {"even": int(i[1:]) % 2 == 0}) for i in ids])
    store.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    ids = list(TEXTS)
    write(folder / "whole", ids)
    for n in range(3):
        write(folder / f"{n}.index", ids[n::3])
    return folder


@pytest.fixture
def shards(folder: Path) -> Iterator[ShardedIndex]:
    model = FakeModel()
    opened = [open_fake_shard(file, model) for file in index_files(folder)]
    with ShardedIndex(opened, model) as index:
        yield index


@pytest.fixture
def whole(folder: Path) -> Iterator[Index]:
    with open_fake_shard(folder / "whole", FakeModel()) as index:
        yield index


def open_fake_shard(file: Path, model: FakeModel) -> Index:
    from minnow.search import open_store

    return Index(open_store(file), model)


QUESTIONS = ("fish and ships", "a whale in the harbour", '"net sail"', "number17 keel")


class TestOneAnswer:
    @pytest.mark.parametrize("question", QUESTIONS)
    def test_by_vectors_the_hits_are_those_of_one_file(
        self, shards: ShardedIndex, whole: Index, question: str
    ) -> None:
        found = shards.search(question, 12, mode="vector")
        expected = whole.search(question, 12, mode="vector")
        assert [hit.rank for hit in found] == list(range(1, 13))
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in expected])
        vectors = FakeModel().encode_queries([question])
        again = shards.search_vectors(vectors, 12)[0]
        assert [hit.score for hit in again] == pytest.approx([hit.score for hit in found])

    @pytest.mark.parametrize("fusion", list(Fusion))
    def test_both_ways_nearly_so(self, shards: ShardedIndex, whole: Index, fusion: Fusion) -> None:
        found = shards.search("number17 whale", 5, fusion=fusion)
        expected = whole.search("number17 whale", 5, fusion=fusion)
        assert found[0].source == expected[0].source
        assert len({hit.source for hit in found} & {hit.source for hit in expected}) >= 3

    def test_keywords_conditions_and_counts(self, shards: ShardedIndex, whole: Index) -> None:
        assert len(shards) == len(whole) == 60
        found = shards.search("number17", 5, mode="keyword")
        assert [hit.source.rpartition("#")[2] for hit in found] == ["d17"]
        even = shards.search("fish", 20, mode="vector", where="metadata->>'even'")
        assert len(even) == 20
        assert all(hit.metadata["even"] for hit in even)

    def test_folding_context_and_reranking(self, shards: ShardedIndex) -> None:
        class Longest:
            def rank(self, query: str, documents: list[str]) -> list[RankedDocument]:
                order = sorted(range(len(documents)), key=lambda i: -len(documents[i]))
                return [{"corpus_id": i, "score": float(len(documents[i]))} for i in order]

        plain = shards.search("fish", 10, mode="vector")
        hits = shards.search(
            "fish",
            3,
            mode="vector",
            reranker=Longest(),
            candidates=10,
            context=1,
            fold=True,
        )
        longest = max(len(hit.text) for hit in plain)
        assert len(hits[0].text) == longest
        assert hits[0].before == hits[0].after == ()

    def test_folding_goes_on_until_there_are_enough_hits(self, tmp_path: Path) -> None:
        model, repeated = FakeModel(), "fish ship keel"
        opened = []
        for n in range(2):
            store = open_index(tmp_path / f"{n}.index", model)
            texts = [*[repeated] * 9, f"fish ship net{n}", f"fish sail sea{n}"]
            put_records(store, model, [Record(f"{n}-{i}", text) for i, text in enumerate(texts)])
            store.close()
            opened.append(open_fake_shard(tmp_path / f"{n}.index", model))
        with ShardedIndex(opened, model) as index:
            hits = index.search(repeated, 5, mode="vector", fold=True)
        assert [len(hit.folded) for hit in hits] == [17, 0, 0, 0, 0]


class TestOpening:
    def test_a_list_of_files_opens_as_one(self, folder: Path) -> None:
        files = index_files(folder)
        with Index.open(files) as index:
            assert isinstance(index, ShardedIndex)
            assert len(index.search("fish", 4, mode="keyword")) == 4

    def test_files_of_different_models_are_refused(self, folder: Path, tmp_path: Path) -> None:
        write(tmp_path / "other", ["d1"], weights_sha256="0" * 64)
        with pytest.raises(IndexFileError, match="was made with another model"):
            Index.open([folder / "0.index", tmp_path / "other"])

    def test_folders_and_lists_without_files(self, tmp_path: Path) -> None:
        assert index_files(tmp_path) == [tmp_path]
        with pytest.raises(InputError, match="the list is empty"):
            Index.open(list[str]())
