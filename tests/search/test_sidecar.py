"""The sidecar: used when it is of the present state, never needed, never wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.searching import FakeModel, open_fake, run_index, write_documents

from minnow.errors import InputError, MissingExtraError
from minnow.search import Index, open_store
from minnow.search import nearest as nearest_module
from minnow.search import sidecar as sidecar_module
from minnow.search.sidecar import build_sidecar, open_sidecar, sidecar_path
from minnow.vectors import Similarity, normalize
from minnow.vectors import similarity as similarity_of

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.options import SidecarUse

WORDS = "red green blue one two three fish river boat sleep".split()  # noqa: SIM905
DOCS = {
    f"{n}.txt": f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {WORDS[n * 7 % 10]} w{n}"
    for n in range(120)
}

with_usearch = pytest.mark.extra("search-large")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs", DOCS))
    return tmp_path / "a.index"


def open_(file: Path, sidecar: SidecarUse) -> Index:
    return Index(open_store(file), FakeModel(), sidecar=sidecar)


def found(
    index: Index, query: str = "red fish w5", where: str | None = None
) -> list[tuple[str, float]]:
    hits = index.search(query, 10, mode="vector", where=where)
    return [(hit.source, round(hit.score, 5)) for hit in hits]


@with_usearch
class TestWithUsearch:
    @pytest.mark.parametrize("dtype", ["f16", "i8"])
    def test_it_finds_what_exact_search_finds(self, file: Path, dtype: str) -> None:
        with open_(file, "always") as index:
            assert index.build_sidecar(dtype=dtype)
            near = found(index)
            assert index._vectors.matrix.ids.size == 0  # vectors were not read
        with open_(file, "never") as index:
            assert near == found(index)

    @pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
    def test_int8_keeps_the_lengths_of_vectors(
        self, file: Path, tmp_path: Path, similarity: str
    ) -> None:
        """usearch by itself would give all the same length."""
        generator = np.random.default_rng(3)
        vectors = normalize(1 + generator.normal(scale=0.3, size=(300, 24)).astype(np.float32))
        if similarity != "cosine":
            vectors *= np.linspace(0.2, 5, 300, dtype=np.float32)[:, None]
        query, ids, kind = vectors[150], np.arange(300), Similarity(similarity)
        store = open_store(file)

        assert build_sidecar(store, ids, lambda: [(ids, vectors)], 24, kind, dtype="i8")

        graph = open_sidecar(store, ids, 24, kind)
        assert graph is not None
        best = similarity_of(query, vectors, kind)[0].argsort()[::-1][:5]
        found = graph.candidates(query, 5)[:16]
        assert np.isin(best, found).sum() >= 4  # threads build a graph that may miss one

    def test_hybrid_search_is_the_same(self, file: Path) -> None:
        with open_(file, "always") as index:
            index.build_sidecar()
            near = [(hit.source, hit.vector_score) for hit in index.search("red fish", 10)]
        with open_(file, "never") as index:
            exact = [(hit.source, hit.vector_score) for hit in index.search("red fish", 10)]
        assert [row[0] for row in near] == [row[0] for row in exact]
        assert np.allclose([row[1] or 0 for row in near], [row[1] or 0 for row in exact], atol=1e-5)

    def test_with_a_filter_search_is_exact(self, file: Path) -> None:
        where = "source LIKE '%/1__.txt'"
        with open_(file, "always") as index:
            index.build_sidecar()
            filtered = found(index, where=where)
        with open_(file, "never") as index:
            assert found(index, where=where) == filtered
            assert len(filtered) == 10

    def test_a_stale_one_is_not_used(self, file: Path) -> None:
        with open_(file, "always") as index:
            index.build_sidecar()
            write_documents(file.parent / "docs", {**DOCS, "new.txt": "red fish w5 new"})
            run_index(file, file.parent / "docs")
            with pytest.warns(UserWarning, match="no sidecar of its present state"):
                hits = found(index, "red fish w5 new")
            assert hits[0][0].endswith("new.txt")
            assert index.build_sidecar()
            assert found(index, "red fish w5 new") == hits
            (file.parent / "docs/new.txt").unlink()
            run_index(file, file.parent / "docs")
            assert not any(name.endswith("new.txt") for name, _ in found(index, "red fish w5 new"))

    def test_a_missing_sidecar_is_reported_once(self, file: Path) -> None:
        with open_(file, "always") as index:
            with pytest.warns(UserWarning, match="search is slower"):
                found(index)
            found(index)

    def test_that_of_another_index_is_not_used(self, file: Path, tmp_path: Path) -> None:
        with open_(file, "always") as index:
            index.build_sidecar()
        other = tmp_path / "b.index"
        run_index(other, file.parent / "docs")
        sidecar_path(file).rename(sidecar_path(other))
        with open_(other, "always") as index, pytest.warns(UserWarning, match="no sidecar"):
            found(index)

    @pytest.mark.parametrize("keep", [0, 10, 4096, 6000])
    def test_half_of_one_is_not_used(self, file: Path, keep: int) -> None:
        with open_(file, "always") as index:
            index.build_sidecar()
        path = sidecar_path(file)
        path.write_bytes(path.read_bytes()[:keep])
        with open_(file, "always") as index, pytest.warns(UserWarning, match="no sidecar"):
            found(index)

    @pytest.mark.parametrize("place", [4096, 4200, 9000, -1])
    def test_one_with_a_bit_turned_over_is_not_used(self, file: Path, place: int) -> None:
        """The library would read what is not there, and end the process."""
        with open_(file, "always") as index:
            index.build_sidecar()
        content = bytearray(sidecar_path(file).read_bytes())
        content[place] ^= 1
        sidecar_path(file).write_bytes(content)
        with open_(file, "always") as index, pytest.warns(UserWarning, match="no sidecar"):
            found(index)

    def test_one_that_is_there_is_not_made_again(self, file: Path) -> None:
        with open_(file, "always") as index:
            index.build_sidecar()
            before = sidecar_path(file).stat().st_mtime_ns
            assert index.build_sidecar()
        assert sidecar_path(file).stat().st_mtime_ns == before
        assert sorted(path.name for path in file.parent.iterdir()) == [
            "a.index", "a.index.usearch", "docs",
        ]  # fmt: skip

    def test_it_is_used_for_large_indexes(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_(file, "auto") as index:
            index.build_sidecar()
            found(index)
            assert index._vectors.matrix.ids.size == len(DOCS)
        monkeypatch.setattr(nearest_module, "LARGE", len(DOCS))
        with open_(file, "auto") as index:
            found(index)
            assert index._vectors.matrix.ids.size == 0

    def test_manhattan_distance_has_none(self, tmp_path: Path) -> None:
        model = FakeModel(similarity="manhattan")
        run_index(tmp_path / "m.index", write_documents(tmp_path / "docs"), model=model)
        with Index(open_store(tmp_path / "m.index"), model, sidecar="never") as index:
            assert not index.build_sidecar()
            assert index.search("fish sleep", mode="vector")[0].source.endswith("fish.md")


def test_without_usearch_search_goes_on(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sidecar_module, "is_installed", lambda: False)
    sidecar_path(file).write_bytes(b"")
    with open_(file, "always") as index:
        with pytest.warns(UserWarning, match=r"pip install 'minnow-embed\[search-large\]'"):
            assert found(index)
        with pytest.raises(MissingExtraError, match=r"minnow-embed\[search-large\]"):
            index.build_sidecar()


def test_another_word_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match="sidecar should be auto, always, codes, never"):
        open_(file, "perhaps")  # type: ignore[arg-type]
    with open_fake(file) as index:
        assert len(index) == len(DOCS)
