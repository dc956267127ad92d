"""Kill indexing at random moments, or search while another process writes.

    python benchmarks/search_robust.py kill BUNDLE FOLDER [TIMES]
    python benchmarks/search_robust.py two BUNDLE FOLDER [SECONDS]

FOLDER contains documents. `kill` indexes them once without interruption. Then it starts
`minnow index` 50 times and kills it (-9) at a random moment, and reads the whole file after each
kill. Finally it lets the last run end and compares all rows with the uninterrupted ones. If a run
ends before its kill, the file is deleted. `two` indexes copies of the documents, which come and go
for a minute, while it searches for a document that stays.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minnow.errors import IndexFileError
from minnow.search import Index, open_store

ROWS = (
    "SELECT p.file, p.name, p.number, p.heading, p.text, p.start, p.metadata, d.digest "
    "FROM passages AS p JOIN vectors AS v ON v.id = p.id JOIN documents AS d ON d.id = "
    "(SELECT document FROM chunks WHERE id = p.id) ORDER BY 1, 2, 3"
)
VECTORS = "SELECT p.source, p.number, v.vector FROM passages AS p JOIN vectors AS v ON v.id = p.id"


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """Run `minnow index` with these arguments."""
    command = [sys.executable, "-m", "minnow", "index", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(child: subprocess.Popen[bytes]) -> None:
    """Wait for the process, and exit if it failed."""
    _, errors = child.communicate()
    if child.returncode:
        raise SystemExit(errors.decode())


def rows(file: Path) -> tuple[list[object], dict[object, object]]:
    """Return all rows of an index and its vectors by chunk; exit if something is wrong."""
    store = open_store(file, writable=True)
    try:
        if faults := store.check():
            raise SystemExit(f"{file}: {faults}")
        with store.reading() as database:
            vectors = {row[:2]: row[2] for row in database.execute(VECTORS)}
            return database.execute(ROWS).fetchall(), vectors
    finally:
        store.close()


def kill(bundle: Path, folder: Path, times: int) -> None:
    """Kill indexing at random moments, and compare the result."""
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        whole, file = Path(name, "whole.index"), Path(name, "killed.index")
        started = time.monotonic()
        finish(start(folder, "-b", bundle, "-o", whole))
        lasted = time.monotonic() - started
        expected, _ = rows(whole)
        print(f"unbroken: {len(expected)} chunks in {lasted:.1f} s", flush=True)
        kills = ended = empty = 0
        while kills < times:
            child = start(folder, "-b", bundle, "-o", file)
            try:
                child.wait(chance.uniform(0, 0.6 * lasted))
            except subprocess.TimeoutExpired:
                child.kill()
                kills += 1
            child.communicate()
            if not file.exists():
                continue
            try:
                found, _ = rows(file)
            except IndexFileError as error:
                if "is empty" not in str(error):
                    raise
                empty += 1
                continue
            if not set(found) <= set(expected):
                raise SystemExit("there are rows that an unbroken run does not make")
            if child.returncode == 0:
                ended += 1
                compare(file, expected)
                file.unlink()
        finish(start(folder, "-b", bundle, "-o", file))
        compare(file, expected)
    print(f"{kills} kills, {ended} runs that ended before, {empty} files not started: all whole")


def compare(file: Path, expected: list[object]) -> None:
    """Exit unless the rows are those of an uninterrupted run."""
    found, _ = rows(file)
    if found != expected:
        raise SystemExit("the finished run differs from the unbroken one")


def two(bundle: Path, folder: Path, seconds: float) -> None:
    """Search while another process writes."""
    words = "the minnow stays where the river bends"
    with tempfile.TemporaryDirectory() as name:
        docs, file = Path(name, "docs"), Path(name, "two.index")
        docs.mkdir()
        (docs / "stays.txt").write_text(words, encoding="utf-8")
        finish(start(docs, "-b", bundle, "-o", file))
        sources = sorted(path for path in folder.rglob("*.md"))
        searches = writes = 0
        ends = time.monotonic() + seconds
        with Index.open(file, bundle) as index:
            while time.monotonic() < ends:
                for path in sources[writes % 5 : 12 + writes % 5]:
                    shutil.copy(path, docs / f"{writes % 3}-{path.name}")
                for path in list(docs.glob(f"{(writes + 1) % 3}-*"))[:8]:
                    path.unlink()
                child = start(docs, "-b", bundle, "-o", file)
                while child.poll() is None:
                    for mode in ("vector", "keyword", "hybrid"):
                        hits = index.search(words, 5, mode=mode)
                        if hits[0].text != words:
                            raise SystemExit(f"{mode}: the document that stays was not found")
                        searches += 1
                finish(child)
                writes += 1
            names = {hit.source for hit in index.search("a", 1000, mode="vector")}
        rows(file)
        with Index.open(file) as index, index.store.reading() as database:
            indexed = {path for (path,) in database.execute("SELECT source FROM sources")}
        there = {str(path) for path in docs.iterdir()}
        if indexed != there or not names <= there:
            raise SystemExit("a document was lost, or a deleted one is still there")
    print(f"{seconds:.0f} s: {writes} runs of indexing, {searches} searches, no error, no lost row")


def main() -> None:
    """Run what the first argument names."""
    kind, bundle, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if kind == "kill":
        kill(bundle, folder, int(sys.argv[4]) if len(sys.argv) > 4 else 50)
    else:
        two(bundle, folder, float(sys.argv[4]) if len(sys.argv) > 4 else 60)


if __name__ == "__main__":
    main()
