"""Binary codes: made with the vectors, never wrong, and search by them finds nearly all."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.searching import FINGERPRINT, FakeModel, run_index, write_documents

from minnow.chunks import Chunk
from minnow.errors import IndexFileError
from minnow.indexfile import codes as codes_module
from minnow.migration.running import migrate_store
from minnow.search import Collection, Index, IndexSettings, Record, make_store, open_store
from minnow.search import nearest as nearest_module
from minnow.search.binary import _count_bits, _distances, _nearest, count_to_compare
from minnow.search.writer import DocumentKey, Entry, Writer
from minnow.vectors import VectorEncoding, normalize

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.options import SidecarUse
    from minnow.search import Store

    Floats = NDArray[np.float32]

WORDS = "red green blue one two three fish river boat sleep".split()  # noqa: SIM905
DOCS = {
    f"{n}.txt": f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {WORDS[n * 7 % 10]} w{n}"
    for n in range(120)
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs", DOCS))
    return tmp_path / "a.index"


def open_(file: Path, sidecar: SidecarUse = "codes") -> Index:
    return Index(open_store(file), FakeModel(), sidecar=sidecar)


def found(
    index: Index, query: str = "red fish w5", where: str | None = None
) -> list[tuple[str, float]]:
    hits = index.search(query, 10, mode="vector", where=where)
    return [(hit.source, round(hit.score, 5)) for hit in hits]


def stored_codes(file: Path, width: int, dtype: str = "<f2") -> dict[int, tuple[str, str]]:
    """Return the code of each chunk as the file has it, and as its definition says; plain SQL."""
    with closing(sqlite3.connect(file)) as database:
        rows = dict(database.execute("SELECT id, codes FROM codes ORDER BY id"))
        vectors = dict(database.execute("SELECT id, vector FROM vectors"))
    centre = np.frombuffer(rows.pop(0), "<f4")
    size = (width + 7) // 8
    found = {}
    for first, content in rows.items():
        assert len(content) % size == 0
        assert len(content) // size <= 1024
        for i in range(len(content) // size):
            code = content[i * size : (i + 1) * size]
            if first + i in vectors:
                numbers = np.frombuffer(vectors[first + i], dtype).astype(np.float32)
                bits = "".join("1" if a > b else "0" for a, b in zip(numbers, centre, strict=True))
                found[first + i] = ("".join(f"{byte:08b}" for byte in code)[:width], bits)
    assert found.keys() == vectors.keys()
    return found


def write_vectors(
    file: Path, vectors: Floats, encoding: VectorEncoding = VectorEncoding.FLOAT16
) -> Store:
    """Write an index of these vectors in documents of 100 chunks; return it open."""
    width = vectors.shape[1]
    model = FakeModel(width=width).fingerprint
    store = make_store(file, model, IndexSettings(64, encoding=encoding))
    writer = Writer(store)
    rows = writer.rows(vectors)
    for start in range(0, len(rows), 100):
        chunks = [Chunk(f"t{start}", i + 1, (), f"w{start + i}", 0, 0) for i in range(100)]
        entry = Entry(DocumentKey(f"{start}.txt"), b"")
        writer.put([(entry, zip(chunks, rows[start : start + 100], strict=False))])
    return store


class TestInTheFile:
    def test_a_code_is_what_its_definition_says(self, file: Path) -> None:
        codes = stored_codes(file, FINGERPRINT.width)
        assert len(codes) == len(DOCS)
        assert all(code == expected for code, expected in codes.values())
        assert len({code for code, _ in codes.values()}) > 80

    @pytest.mark.parametrize("width", [5, 24, 67])
    def test_any_width(self, tmp_path: Path, width: int) -> None:
        vectors = normalize(np.random.default_rng(1).normal(size=(300, width)).astype(np.float32))
        write_vectors(tmp_path / "a.index", vectors).close()
        codes = stored_codes(tmp_path / "a.index", width)
        assert all(code == expected for code, expected in codes.values())

    def test_codes_of_int8_are_those_of_the_stored_numbers(self, tmp_path: Path) -> None:
        vectors = normalize(np.random.default_rng(1).normal(size=(100, 24)).astype(np.float32))
        write_vectors(tmp_path / "a.index", vectors, encoding=VectorEncoding.INT8).close()
        with Index(open_store(tmp_path / "a.index"), sidecar="codes") as index:
            (hits,) = index.search_vectors(vectors[7], 1)
        assert hits[0].text == "w7"

    def test_they_change_with_the_documents(self, file: Path) -> None:
        write_documents(file.parent / "docs", {**DOCS, "3.txt": "another text", "new.txt": "new"})
        run_index(file, file.parent / "docs")
        codes = stored_codes(file, FINGERPRINT.width)
        assert len(codes) == len(DOCS) + 1
        assert all(code == expected for code, expected in codes.values())

    def test_records_have_codes_at_once(self, file: Path) -> None:
        with Collection(file, FakeModel(), "songs") as songs:
            songs.put([Record(str(n), f"record {n}") for n in range(9)])
        assert len(stored_codes(file, FINGERPRINT.width)) == len(DOCS) + 9

    def test_the_centre_is_chosen_again_as_the_file_grows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(codes_module, "_SETTLED", (250,))
        generator = np.random.default_rng(1)
        vectors = normalize(generator.normal(size=(600, 24)).astype(np.float32) + 1)
        write_vectors(tmp_path / "a.index", vectors).close()
        with closing(sqlite3.connect(tmp_path / "a.index")) as database:
            ((content,),) = database.execute("SELECT codes FROM codes WHERE id = 0")
        mean = vectors[:300].astype(np.float16).astype(np.float64).mean(axis=0)
        assert np.allclose(np.frombuffer(content, "<f4"), mean, atol=1e-6)
        codes = stored_codes(tmp_path / "a.index", 24)
        assert all(code == expected for code, expected in codes.values())

    def test_codes_of_deleted_chunks_do_not_gather(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("minnow.search.binary._VECTORS_AT_A_TIME", 0)
        for text in "abc":
            docs = {name: f"{text} {content}" for name, content in DOCS.items()}
            run_index(file, write_documents(file.parent / "docs", docs))
        with closing(sqlite3.connect(file)) as database:
            (size,) = database.execute("SELECT sum(length(codes)) FROM codes WHERE id").fetchone()
        assert size <= 2 * 3 * len(DOCS)
        assert len(stored_codes(file, FINGERPRINT.width)) == len(DOCS)

    @pytest.mark.parametrize("similarity", ["dot", "euclidean", "manhattan"])
    def test_other_similarities_have_none(self, tmp_path: Path, similarity: str) -> None:
        model = FakeModel(similarity=similarity)
        run_index(tmp_path / "a.index", write_documents(tmp_path / "docs"), model=model)
        with Index(open_store(tmp_path / "a.index"), model, sidecar="codes") as index:
            assert index.search("fish sleep", mode="vector")[0].source.endswith("fish.md")
            assert index.store.database.execute(
                "SELECT count(*) FROM sqlite_master WHERE name = 'codes'"
            ).fetchone() == (0,)

    def test_another_model_makes_its_own(self, file: Path) -> None:
        other = FakeModel(weights_sha256="c" * 64, width=40)
        run_index(file, file.parent / "docs", model=other, rebuild=True)
        codes = stored_codes(file, 40)
        assert all(code == expected for code, expected in codes.values())

    def test_a_migration_makes_those_of_the_new_model(self, file: Path) -> None:
        other = FakeModel(weights_sha256="c" * 64, width=40)
        with closing(open_store(file, writable=True)) as store:
            assert migrate_store(store, other).is_finished
        codes = stored_codes(file, 40)
        assert all(code == expected for code, expected in codes.values())
        near, exact = (Index(open_store(file), other, sidecar=how) for how in ("codes", "never"))
        with near, exact:
            assert found(near) == found(exact)


class TestSearch:
    def test_it_finds_what_exact_search_finds(self, file: Path) -> None:
        with open_(file) as index:
            near = found(index)
            assert index._vectors.matrix.ids.size == 0  # vectors were not read
        with open_(file, "never") as index:
            assert near == found(index)

    def test_hybrid_search_is_the_same(self, file: Path) -> None:
        with open_(file) as index:
            near = [(hit.source, hit.score) for hit in index.search("red fish", 10)]
        with open_(file, "never") as index:
            exact = [(hit.source, hit.score) for hit in index.search("red fish", 10)]
        assert [row[0] for row in near] == [row[0] for row in exact]
        assert np.allclose([row[1] for row in near], [row[1] for row in exact], atol=1e-6)

    @pytest.mark.parametrize("where", ["source LIKE '%/1__.txt'", "source LIKE '%/7.txt'", "0"])
    def test_with_a_filter(self, file: Path, where: str) -> None:
        with open_(file) as index:
            filtered = found(index, where=where)
        with open_(file, "never") as index:
            assert found(index, where=where) == filtered

    def test_it_is_used_for_large_indexes(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with open_(file, "auto") as index:
            found(index)
            assert index._vectors.matrix.ids.size == len(DOCS)
        monkeypatch.setattr(nearest_module, "LARGE", len(DOCS))
        with open_(file, "auto") as index:
            found(index)
            assert index._vectors.matrix.ids.size == 0

    def test_it_follows_the_file(self, file: Path) -> None:
        with open_(file) as index:
            found(index)
            write_documents(file.parent / "docs", {**DOCS, "new.txt": "red fish w5 new"})
            run_index(file, file.parent / "docs")
            assert found(index, "red fish w5 new")[0][0].endswith("new.txt")
            (file.parent / "docs/new.txt").unlink()
            run_index(file, file.parent / "docs")
            assert not any(name.endswith("new.txt") for name, _ in found(index, "red fish w5 new"))
            with open_(file) as fresh:
                assert found(index) == found(fresh)

    @pytest.mark.parametrize("rows", ["id > 0", "1"])
    def test_vectors_without_codes_are_found(self, file: Path, rows: str) -> None:
        """Another program may add vectors, and a file may be older than codes."""
        with open_(file) as index:
            expected = found(index)
        with closing(sqlite3.connect(file)) as database:
            database.execute(f"DELETE FROM codes WHERE {rows}")
            database.commit()
        with open_(file) as index:
            assert found(index) == expected
        run_index(file, file.parent / "docs")
        assert len(stored_codes(file, FINGERPRINT.width)) == len(DOCS)

    @pytest.mark.parametrize("row", [0, 1])
    def test_a_damaged_code_is_an_error_until_it_is_repaired(self, file: Path, row: int) -> None:
        with closing(sqlite3.connect(file)) as database:
            (content,) = database.execute("SELECT codes FROM codes WHERE id = ?", (row,)).fetchone()
            changed = bytes([content[0] ^ 1]) + content[1:]
            database.execute("UPDATE codes SET codes = ? WHERE id = ?", (changed, row))
            database.commit()
        with open_(file) as index:
            assert any("codes" in line for line in index.check())
            with pytest.raises(IndexFileError, match=f"row {row} of codes has changed"):
                found(index)
        run_index(file, file.parent / "docs")
        codes = stored_codes(file, FINGERPRINT.width)
        assert all(code == expected for code, expected in codes.values())

    def test_recall_where_the_mean_is_long(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Vectors of some models all point in one direction; signs around 0 would be alike."""
        generator = np.random.default_rng(5)
        topics = generator.normal(size=(200, 64))
        spread = topics[generator.integers(0, 200, 8000)] + generator.normal(size=(8000, 64))
        vectors = normalize((spread / 8 + generator.normal(size=64) / 4).astype(np.float32))
        write_vectors(tmp_path / "a.index", vectors).close()
        shares, compared = [], []
        with Index.open(tmp_path / "a.index", sidecar="codes") as index:
            nearness = index._vectors.nearness

            def count_compared(vector: Floats, ids: NDArray[np.int64]) -> NDArray[np.float64]:
                compared.append(len(ids))
                return nearness(vector, ids)

            monkeypatch.setattr(index._vectors, "nearness", count_compared)
            for query in vectors[:100]:
                best = np.argsort(-(vectors @ query))[:10] + 1
                hits = index.search_vectors(query, 10)[0]
                shares.append(np.isin(best, [hit.id for hit in hits]).mean())
        assert np.mean(shares) >= 0.985
        assert sum(compared) <= 100 * 256


@pytest.mark.parametrize("count", [1, 10, 500])
def test_candidates_are_compared_until_no_other_can_be_a_hit(count: int) -> None:
    sums = np.linspace(9, 0, 900, dtype=np.float32)
    assert count_to_compare(sums, np.empty(0), count) == min(900, max(64, 2 * count))
    done = max(64, 2 * count) if count < 500 else 900
    line = 5 * sums[:done].astype(np.float64)
    assert count_to_compare(sums, line, count) == done
    flat = np.full(done, 0.5)
    assert count_to_compare(sums, flat, count) == min(900, 2 * done)  # sums tell nothing
    noisy = line + np.random.default_rng(0).normal(size=done) / 9
    assert done <= count_to_compare(sums, noisy, count) <= min(900, 2 * done)


def test_no_candidates_are_compared_where_there_are_none() -> None:
    assert count_to_compare(np.empty(0, np.float32), np.empty(0), 10) == 0


@pytest.mark.parametrize("codes_per_thread", [1000, 1_000_000])
def test_distances_are_those_of_bits(
    codes_per_thread: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minnow.search.binary._CODES_PER_THREAD", codes_per_thread)
    generator = np.random.default_rng(0)
    columns = generator.integers(0, 2**63, (7, 70_000), np.uint64)
    columns[:, 1] = 0
    own = np.full(7, 2**64 - 1, np.uint64)
    distances = _distances(columns, own)
    for place in (0, 1, 65_535, 65_536, 69_999):
        expected = sum(
            (int(a) ^ int(b)).bit_count() for a, b in zip(columns[:, place], own, strict=True)
        )
        assert distances[place] == expected


def test_bits_are_counted_with_an_old_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.array([0, 1, 2**64 - 1, 2**63, 0x0123456789ABCDEF], np.uint64)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert _count_bits(words).tolist() == [int(word).bit_count() for word in words.tolist()]


@pytest.mark.parametrize("count", [1, 5, 40, 100])
def test_the_least_distances(count: int) -> None:
    distances = np.random.default_rng(count).integers(0, 30, 100).astype(np.uint16)
    near = _nearest(distances, count)
    assert count <= len(near) <= 2 * count
    kept = np.sort(distances[near])[:count]
    assert kept.tolist() == np.sort(distances)[:count].tolist()
    assert _nearest(np.full(1000, 7, np.uint16), 5).tolist() == list(range(10))


@pytest.mark.parametrize("count", [1, 700, 30_000])
@pytest.mark.parametrize("zeros", [0, 3, 4])
def test_the_least_of_many_distances(count: int, zeros: int) -> None:
    """Also where those of the sample, each fourth, are the nearest, and too few."""
    distances = np.random.default_rng(count).integers(90, 200, 70_000).astype(np.uint16)
    distances[:: zeros or len(distances)] = 0
    border = np.sort(distances)[count - 1]
    inner = np.flatnonzero(distances < border)
    expected = [*inner, *np.flatnonzero(distances == border)[: 2 * count - len(inner)]]
    assert _nearest(distances, count).tolist() == expected
