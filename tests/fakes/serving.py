"""A server in a process of its own, and requests to it by the standard library."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fakes.programs import MINNOW, USUAL

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = {"Content-Type": "application/json"}
KEY = "sesam-oeffne-dich"


@dataclass(frozen=True)
class Answer:
    """A response of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)

    def error(self, status: int) -> dict[str, Any]:
        """Return the error of a refusal, after checking that it has OpenAI's form."""
        assert self.status == status, self.body
        assert set(self.json) == {"error"}
        error: dict[str, Any] = self.json["error"]
        assert list(error) == ["message", "type", "param", "code"]
        assert isinstance(error["message"], str)
        assert isinstance(error["type"], str)
        return error


@dataclass(frozen=True)
class Running:
    """A server that takes requests."""

    url: str
    process: subprocess.Popen[str]
    log: Path

    def connect(self, timeout: float = 30) -> http.client.HTTPConnection:
        place = urlsplit(self.url)
        assert place.hostname is not None
        return http.client.HTTPConnection(place.hostname, place.port, timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | dict[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        line = self.connect()
        content = json.dumps(body) if isinstance(body, dict) else body
        sent = {**(JSON if body is not None else {}), **(headers or {})}
        try:
            line.request(method, path, content, sent)
            return read(line)
        finally:
            line.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: bytes | str | dict[str, Any], **headers: str) -> Answer:
        return self.ask("POST", path, body, headers)

    def embed(self, **body: Any) -> Answer:
        return self.post("/v1/embeddings", {"model": "tiny", **body})


def read(line: http.client.HTTPConnection) -> Answer:
    """Read the response on a connection."""
    found = line.getresponse()
    headers = {name.lower(): value for name, value in found.getheaders()}
    return Answer(found.status, headers, found.read())


@contextmanager
def serving(
    folder: Path, *arguments: object, env: Mapping[str, str] | None = None, code: str = ""
) -> Iterator[Running]:
    """Run `minnow serve` on a free port, and stop it at the end.

    Args:
        folder: For its log.
        *arguments: Of the command.
        env: More of the environment.
        code: Python that runs in the server's process first.
    """
    program = (
        [sys.executable, "-c", f"{code}\nfrom minnow.__main__ import main\nmain()"]
        if code
        else list(MINNOW)
    )
    engine = () if "--engine" in arguments else ("--engine", "mnn")
    command = [*program, "serve", *map(str, arguments), *engine, "--port", "0"]
    log = folder / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**USUAL, **(env or {})},
        )
    assert process.stdout is not None
    with process:
        try:
            url = _first_line(process.stdout)
            assert url.startswith("http://"), log.read_text()
            yield Running(url, process, log)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _first_line(stream: IO[str]) -> str:
    return stream.readline().strip()
