"""The cache of vectors: reads return what was written, for several processes too."""

from __future__ import annotations

import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from minnow.caches import cache_folder
from minnow.errors import InputError, OutputError
from minnow.evaluate.cache import VectorCache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


TEXTS = ["fish", "", "Füße 鱼 🐟", "fish "]
SYSTEM = "ab" * 32


def vectors_of(
    texts: list[str], width: int = 5
) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(len(texts)).normal(size=(len(texts), width)).astype(np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    with VectorCache(tmp_path, SYSTEM) as cache:
        yield cache


def test_vectors_come_out_as_they_went_in(cache: VectorCache) -> None:
    vectors = vectors_of(TEXTS)
    cache.put("document", TEXTS, vectors)

    found = cache.get("document", [*TEXTS[::-1], TEXTS[0]])
    assert found.dtype == np.float32
    assert np.array_equal(found, vectors[[3, 2, 1, 0, 0]])


def test_roles_and_texts_and_systems_are_apart(cache: VectorCache, tmp_path: Path) -> None:
    cache.put("query", ["fish"], vectors_of(["fish"]))

    assert cache.missing("query", ["fish", "fish ", "b", "b"]) == ["fish ", "b"]
    assert cache.missing("document", ["fish"]) == ["fish"]
    with VectorCache(tmp_path, "cd" * 32) as other:
        assert other.missing("query", ["fish"]) == ["fish"]
    with VectorCache(tmp_path, SYSTEM) as again:
        assert again.missing("query", ["fish"]) == []


def test_a_vector_that_is_not_there_is_no_vector(cache: VectorCache) -> None:
    cache.put("query", ["fish"], vectors_of(["fish"]))
    with pytest.raises(InputError, match="damaged"):
        cache.get("query", ["fish", "ship"])


def test_vectors_of_two_widths_are_damage(cache: VectorCache) -> None:
    cache.put("query", ["fish"], vectors_of(["fish"], 5))
    cache.put("query", ["ship"], vectors_of(["ship"], 6))
    with pytest.raises(InputError, match="Delete it"):
        cache.get("query", ["fish", "ship"])


def test_usage_is_that_of_all_runs_with_so_many_threads(cache: VectorCache) -> None:
    assert cache.usage(2) is None
    for load, texts, seconds, peak in ((1.0, 10, 1.0, 70), (9.0, 30, 3.0, 90), (2.0, 0, 0.0, 80)):
        cache.add_run(threads=2, load_seconds=load, texts=texts, seconds=seconds, peak_bytes=peak)
    cache.add_run(threads=1, load_seconds=5.0, texts=0, seconds=0.0, peak_bytes=60)

    usage, alone = cache.usage(2), cache.usage(1)
    assert usage is not None
    assert alone is not None
    assert (usage.threads, usage.load_seconds, usage.peak_bytes) == (2, 2.0, 90)
    assert usage.texts_per_second == pytest.approx(10.0)
    assert math.isnan(alone.texts_per_second)


def test_facts_and_forgetting(cache: VectorCache) -> None:
    assert cache.fact("similarity") is None
    cache.put_fact("similarity", "dot")
    cache.put_fact("similarity", "cosine")
    cache.put("query", ["fish"], vectors_of(["fish"]))
    assert cache.fact("similarity") == "cosine"

    cache.clear()
    assert cache.fact("similarity") is None
    assert cache.missing("query", ["fish"]) == ["fish"]


def test_several_writers_at_once(tmp_path: Path) -> None:
    def write(number: int) -> None:
        texts = [f"text {i}" for i in range(number, number + 60)]
        with VectorCache(tmp_path, SYSTEM) as cache:
            for text in texts:
                cache.put("document", [text], np.full((1, 3), float(text.split()[1]), np.float32))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(0, 60, 10)))
    with VectorCache(tmp_path, SYSTEM) as cache:
        found = cache.get("document", [f"text {i}" for i in range(110)])
    assert np.array_equal(found[:, 0], np.arange(110, dtype=np.float32))


def test_a_file_that_is_no_database_is_reported(tmp_path: Path) -> None:
    with VectorCache(tmp_path, SYSTEM) as cache:
        path = cache.path
    path.write_bytes(b"no database at all, but as long as one" * 40)

    with pytest.raises(InputError, match=r"is damaged .* Delete it, and run again"):
        VectorCache(tmp_path, SYSTEM)


def test_a_half_written_page_is_reported(tmp_path: Path) -> None:
    with VectorCache(tmp_path, SYSTEM) as cache:
        path = cache.path
        cache.put("document", [str(i) for i in range(500)], vectors_of([""] * 500, 384))
    content = bytearray(path.read_bytes())
    content[4096:8192] = bytes(4096)
    content[40_000:90_000] = bytes(50_000)
    path.write_bytes(content)

    with pytest.raises(InputError, match="damaged"), VectorCache(tmp_path, SYSTEM) as cache:
        cache.get("document", [str(i) for i in range(500)])


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"Cannot create the cache folder .* `cache=`"):
        VectorCache(tmp_path / "file" / "cache", SYSTEM)


def test_a_database_that_somebody_else_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minnow.evaluate.cache._LOCK_TIMEOUT", 0.1)
    with VectorCache(tmp_path, SYSTEM) as cache:
        other = sqlite3.connect(cache.path)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(OutputError, match="locked"):
            cache.put("query", ["fish"], vectors_of(["fish"]))
        other.close()


def test_where_vectors_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"
    monkeypatch.delenv("MINNOW_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "minnow"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "minnow"
