"""SIGHUP: bundles that were replaced are opened, and no request is dropped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.programs import MINNOW, USUAL, run_minnow
from fakes.serving import serving

from minnow import Embedder
from minnow.bundle import Bundle
from minnow.manifest import ENCODER

if TYPE_CHECKING:
    from collections.abc import Callable

    from fakes.bundles import BundleStore
    from fakes.serving import Running

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

TEXT = "two small fish run in the river"


def put(bundle: Path, place: Path) -> None:
    """Put a copy of a bundle in a place, as `minnow convert` does."""
    copy = shutil.copytree(bundle, place.with_suffix(".new"))
    if place.exists():
        place.rename(place.with_suffix(f".old{time.monotonic_ns()}"))
    copy.rename(place)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within 20 s")


def hang_up(server: Running, said: str) -> None:
    before = server.log.read_text().count(said)
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: server.log.read_text().count(said) > before)


def vector_of(bundle: Path) -> list[float]:
    with Embedder.open(bundle, engine="mnn") as embedder:
        found: list[float] = embedder.encode(TEXT).tolist()
        return found


@pytest.fixture
def two(bundle_store: BundleStore, tmp_path: Path) -> tuple[Path, Path]:
    bundle_store.copy_two(tmp_path)
    return tmp_path / "tiny.minnow", tmp_path / "other.minnow"


def test_a_bundle_is_replaced_while_clients_ask(two: tuple[Path, Path], tmp_path: Path) -> None:
    place, wanted = tmp_path / "served.minnow", [vector_of(bundle) for bundle in two]
    put(two[0], place)
    seen: list[int] = []
    stop = threading.Event()

    def ask(server: Running) -> None:
        while not stop.is_set():
            found = server.post("/v1/embeddings", {"model": "served", "input": TEXT}).json
            vector = found["data"][0]["embedding"]
            seen.append([np.allclose(vector, each, atol=1e-5) for each in wanted].index(True))

    with serving(tmp_path, place) as server:
        at_first = count_encoders(server)
        clients = [threading.Thread(target=ask, args=(server,)) for _ in range(3)]
        for client in clients:
            client.start()
        try:
            for bundle in (two[1], two[0], two[1]):
                put(bundle, place)
                hang_up(server, "reloaded")
            count = len(seen)
            wait_for(lambda: len(seen) > count + 10)
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert {0, 1} == set(seen)
        assert set(seen[-3:]) == {1}
        wait_for(lambda: count_encoders(server) == at_first)


def count_encoders(server: Running) -> int:
    """Count the files of encoders that a server holds open, where the system says so."""
    folder = Path(f"/proc/{server.process.pid}/fd")
    return sum(ENCODER in os.path.realpath(link) for link in folder.glob("*"))


def test_a_broken_bundle_leaves_the_old_one(two: tuple[Path, Path], tmp_path: Path) -> None:
    place, (first, second) = tmp_path / "served.minnow", two
    put(first, place)
    with serving(tmp_path, place) as server:
        put(second, place)
        (place / ENCODER).write_bytes(b"no encoder")
        hang_up(server, "served is not reloaded: ")
        found = server.post("/v1/embeddings", {"model": "served", "input": TEXT}).json
        close = found["data"][0]["embedding"]
        np.testing.assert_allclose(close, vector_of(first), atol=1e-5)
        server.process.send_signal(signal.SIGHUP)
        assert server.get("/health/ready").status == 200


def test_another_model_does_not_take_an_index(
    two: tuple[Path, Path], index_file: Path, tmp_path: Path
) -> None:
    place, (first, second) = tmp_path / "served.minnow", two
    put(first, place)
    assert Bundle.open(first).manifest.source.weights_sha256
    with serving(tmp_path, place, "--index", index_file) as server:
        put(second, place)
        hang_up(server, "served is not reloaded: ")
        assert server.post("/search", {"query": "fish"}).json["hits"]


def test_an_index_is_replaced(two: tuple[Path, Path], index_file: Path, tmp_path: Path) -> None:
    """It was answered with 500 until a restart, and with a traceback in the log each time."""
    file = shutil.copy(index_file, tmp_path / "served.index")
    asked = {"query": "heron", "mode": "keyword"}
    with serving(tmp_path, two[0], "--index", file) as server:
        assert server.post("/search", asked).json["hits"] == []
        (tmp_path / "heron.md").write_text("The heron eats fish.")
        copy = shutil.copy(index_file, tmp_path / "new.index")
        done = run_minnow("index", "heron.md", "-b", two[0], "-o", copy, cwd=tmp_path)
        assert done.code == 0, done.stderr
        Path(copy).replace(file)
        assert server.post("/search", asked).error(503)["code"] == "index_unavailable"
        assert "was replaced or removed while it was open" in server.log.read_text()
        assert "Error\n" not in server.log.read_text()
        hang_up(server, "served.index is another index now: reloaded")
        (hit,) = server.post("/search", asked).json["hits"]
        assert hit["source"] == "heron.md"
        Path(file).unlink()
        hang_up(server, "served.index is not reloaded: There is no file")
        assert server.post("/search", asked).status == 503
        assert server.post("/v1/embeddings", {"model": "tiny", "input": TEXT}).status == 200


def test_the_end_of_a_terminal_stops_it(two: tuple[Path, Path]) -> None:
    ours, theirs = os.openpty()
    command = [*MINNOW, "serve", str(two[0]), "--port", "0", "--engine", "mnn"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=USUAL
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"http://")
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 0
    os.close(ours)
    os.close(theirs)
