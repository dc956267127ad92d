"""Processes killed at any moment, and writes during reads: the index stays intact."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from fakes.programs import start_python
from fakes.searching import contents_of, open_fake, run_index, write_documents

from minnow.search import open_store

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

KILLS = 6

_INDEX = """
import sys, time
from pathlib import Path
from minnow.search import indexing
from fakes.searching import FakeModel, run_index
indexing._BATCH, indexing._LONG, indexing._QUICK = 5, 20, 0.0

class Slow(FakeModel):
    def encode_documents(self, texts):
        time.sleep(0.01)
        return super().encode_documents(texts)

print("ready", flush=True)
run_index(Path(sys.argv[1]), Path(sys.argv[2]), model=Slow())
"""

_EDIT = """
import sys
from pathlib import Path
from fakes.searching import run_index, write_documents
file, folder = map(Path, sys.argv[1:3])
print("ready", flush=True)
for round in range(int(sys.argv[3])):
    texts = {f"{n}.txt": f"fish {round} {n} " + "river " * 60 for n in range(round % 3, 12)}
    run_index(file, write_documents(folder, texts | {"always.txt": "the minnow stays"}))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """The file opens, is whole, and finishing the run gives what an unbroken one gives."""
    documents = {f"{n}.txt": " ".join(f"w{n * i}" for i in range(40 * n)) for n in range(1, 12)}
    folder = write_documents(tmp_path / "docs", documents)
    started = time.monotonic()
    child = start_python(_INDEX, tmp_path / "whole.index", folder)
    _, errors = child.communicate()
    assert child.returncode == 0, errors
    lasted = time.monotonic() - started
    expected = contents_of(tmp_path / "whole.index")
    chance, file, cut = random.Random(4), tmp_path / "a.index", 0
    for _ in range(KILLS):
        child = start_python(_INDEX, file, folder)
        time.sleep(chance.uniform(0, 0.5 * lasted))
        child.kill()
        child.communicate()
        cut += child.returncode == -signal.SIGKILL
        if file.exists() and file.stat().st_size:
            try:
                found = contents_of(file)
            except Exception as error:
                assert "is empty" in str(error)  # noqa: PT017
                continue
            assert {row[:11] for row in found} <= {row[:11] for row in expected}
    assert cut > 0
    run_index(file, folder)
    assert contents_of(file) == expected


class TestTwoProcesses:
    ROUNDS = 8

    @pytest.fixture
    def writer(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        run_index(
            tmp_path / "a.index",
            write_documents(tmp_path / "docs", {"always.txt": "the minnow stays"}),
        )
        child = start_python(_EDIT, tmp_path / "a.index", tmp_path / "docs", self.ROUNDS)
        yield child
        child.kill()
        child.communicate()

    def test_one_writes_and_one_searches(
        self, tmp_path: Path, writer: subprocess.Popen[str]
    ) -> None:
        searches = 0
        with open_fake(tmp_path / "a.index") as index:
            while writer.poll() is None:
                for mode in ("vector", "keyword", "hybrid"):
                    hits = index.search("minnow stays", 3, mode=mode)
                    assert hits[0].text == "the minnow stays"
                    searches += 1
                hits = index.search("fish river", 50)
                assert all(
                    "fish" in hit.text or "minnow" in hit.text for hit in hits if hit.rank == 1
                )
            assert writer.returncode == 0, writer.communicate()[1]
            last = {hit.source.rsplit("/", 1)[1] for hit in index.search("fish", 50)}
        assert searches > 0
        assert len(last) == 12 - (self.ROUNDS - 1) % 3 + 1
        assert contents_of(tmp_path / "a.index")

    def test_two_write(self, tmp_path: Path, writer: subprocess.Popen[str]) -> None:
        other = write_documents(tmp_path / "other", {f"{n}.txt": f"boat {n}" for n in range(20)})
        for _ in range(3):
            run_index(tmp_path / "a.index", other)
        assert writer.wait() == 0, writer.communicate()[1]
        files = {row[0] for row in contents_of(tmp_path / "a.index")}
        assert {f"{other}/{n}.txt" for n in range(20)} <= files
        assert f"{tmp_path}/docs/always.txt" in files

    def test_an_open_transaction_sees_one_state(
        self, tmp_path: Path, writer: subprocess.Popen[str]
    ) -> None:
        store = open_store(tmp_path / "a.index")
        with store.reading() as database:
            counts = set()
            while writer.poll() is None:
                counts.add(database.execute("SELECT count(*) FROM chunks").fetchone())
        store.close()
        assert len(counts) == 1
