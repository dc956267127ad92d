"""Start of a server: its messages before it is ready, and settings that prevent a start."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import typer
from fakes.programs import USUAL, refused, run_minnow
from fakes.serving import JSON, read, serving

from minnow.cli import app

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

FISH = {"model": "tiny", "input": "fish"}

STOPPED = """
import os, signal
from minnow.serve import service
def open_model(*arguments):
    os.kill(os.getpid(), signal.SIGTERM)
    return real(*arguments)
real, service.open_model = service.open_model, open_model
"""
"""Runs in the server's process, which is asked to stop while it opens a model."""


def test_it_lives_before_it_is_ready(served: Tiny, tmp_path: Path) -> None:
    slow = "import time\nfrom minnow.serve import service\nopen_model = service.open_model\n"
    slow += "service.open_model = lambda *a: (time.sleep(1.5), open_model(*a))[1]\n"
    slow += "from minnow.serve import server\nlisten = server.listen\n"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    slow += f"server.listen = lambda host, _: listen(host, {port})\n"
    seen = []

    def look() -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        for method, path in (("GET", "/health"), ("GET", "/health/ready"),
                             ("GET", "/v1/models"), ("POST", "/v1/embeddings")):  # fmt: skip
            line.request(method, path, json.dumps(FISH), JSON)
            seen.append(read(line))
        line.close()

    def keep_looking() -> None:
        for _ in range(200):
            try:
                look()
                return
            except OSError:
                time.sleep(0.05)
        return

    thread = threading.Thread(target=keep_looking)
    thread.start()
    with serving(tmp_path, served.bundle.folder, code=slow) as server:
        thread.join()
        assert server.get("/health/ready").status == 200
    live, ready, models, embeddings = seen
    assert (live.status, live.json["status"]) == (200, "starting")
    assert (ready.status, ready.json["status"]) == (503, "starting")
    assert models.error(503)["code"] == "not_ready"
    assert embeddings.error(503)["code"] == "not_ready"


def test_it_may_be_stopped_before_it_is_ready(served: Tiny, tmp_path: Path) -> None:
    """Then it never says that it takes requests."""
    program = f"{STOPPED}\nfrom minnow.__main__ import main\nmain()"
    command = [sys.executable, "-c", program, "serve", str(served.bundle.folder), "--port", "0"]
    command += ["--engine", "mnn"]  # another engine logs why it runs
    done = subprocess.run(
        command, capture_output=True, text=True, env=USUAL, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_bundle_that_is_moved_away_is_still_served(served: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(served.bundle.folder, folder)
    with serving(tmp_path, folder) as server:
        shutil.rmtree(folder)
        assert server.get("/v1/models/tiny").status == 200
        assert server.embed(input="fish").status == 200


def test_a_bundle_that_cannot_be_opened(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(run_minnow("serve", tmp_path), 6)


def test_a_bundle_that_was_changed(served: Tiny, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(served.bundle.folder, folder)
    with (folder / "encoder.mnn").open("ab") as file:
        file.write(b"x")
    refused(run_minnow("serve", folder, "--port", "0"), 6)


def test_a_port_that_is_taken(served: Tiny) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_minnow("serve", served.bundle.folder, "--port", port)
    assert f"port {port}: Address already in use" in refused(done, 12)


def test_a_response_does_not_wait_until_the_client_acknowledges_its_head() -> None:
    """Head and body are two writes, and a client acknowledges the first up to 40 ms later."""
    from minnow.serve.server import listen

    with listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("host", ["no..host", "x" * 70, "[::1]"])
def test_an_invalid_host(served: Tiny, host: str) -> None:
    done = run_minnow("serve", served.bundle.folder, "--host", host, "--port", "0")
    assert done.code == 12
    assert done.stderr.splitlines()[-1].startswith(f"error: Cannot listen at {host}, port 0: ")


def test_an_invalid_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_PORT", "99999")
    assert "'--port' (env var: 'MINNOW_PORT')" in refused(run_minnow("serve", "none"), 2)
    monkeypatch.setenv("MINNOW_PORT", "0")
    monkeypatch.setenv("MINNOW_GRACE_SECONDS", "inf")
    shown = "error: --grace-seconds inf should be a finite number of at least 0."
    assert refused(run_minnow("serve", "none"), 12) == shown


def test_every_option_has_a_variable_but_help(monkeypatch: pytest.MonkeyPatch) -> None:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    others = ("help", "quiet", "bundles")  # the last is read as a shell would read it
    variables = {each.name: each.envvar for each in command.params if each.name not in others}
    assert variables == {name: f"MINNOW_{name.upper()}" for name in variables}
    monkeypatch.setenv("MINNOW_HELP", "1")
    monkeypatch.setenv("MINNOW_PORT", "x")
    warned, error = run_minnow("serve", "none").stderr.splitlines()
    assert warned == "warning: Nothing reads the variable MINNOW_HELP."
    assert error.startswith("error: Invalid value for '--port' (env var: 'MINNOW_PORT')")


def test_two_of_one_name(served: Tiny) -> None:
    folder = served.bundle.folder
    assert "Two bundles are called tiny" in refused(run_minnow("serve", folder, folder), 12)


def test_open_to_all_without_a_key_it_warns(served: Tiny, tmp_path: Path) -> None:
    with serving(tmp_path, served.bundle.folder, "--host", "0.0.0.0") as server:
        assert "no key is set" in server.log.read_text()
        assert server.get("/health", Host="any.example").status == 200
