"""Hostile requests to a running server: an answer in HTTP, and the vectors stay right."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from faults_base import MINNOW, TEXTS, Kind, Outcome, World

if TYPE_CHECKING:
    import random

CLOSE = 2e-5
_MODEL = "old"


class Server:
    """`minnow serve` in a process of its own."""

    def __init__(self, world: World) -> None:
        """Start it, and wait until it answers."""
        with socket.create_server(("127.0.0.1", 0)) as found:
            self.port = int(found.getsockname()[1])
        self.process = subprocess.Popen(
            [*MINNOW, "serve", "old.minnow", "--port", str(self.port)], cwd=world.folder,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until = time.monotonic() + 60
        ready = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        while self.send(ready)[0] != 200:
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the server did not start")
            time.sleep(0.1)

    def send(self, request: bytes, *, wait: bool = True, whole: bool = True) -> tuple[int, bytes]:
        """Send bytes; return the status and the body, or 0 where the connection was just closed.

        Behind a request that is not `whole`, say that no more will come.
        """
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 15) as line:
            line.sendall(request)
            if not wait:
                return 0, b""
            if not whole:
                line.shutdown(socket.SHUT_WR)
            answer = b""
            while block := line.recv(1 << 16):
                answer += block
            head, _, body = answer.partition(b"\r\n\r\n")
            parts = head.split(b" ", 2)
            return (int(parts[1]), body) if len(parts) > 1 and parts[1].isdigit() else (0, answer)
        return 0, b""

    def embed(self, texts: list[str]) -> Any:
        """Return vectors by the server."""
        status, body = self.send(_post("/v1/embeddings", {"model": _MODEL, "input": texts}))
        if status != 200:
            raise OSError(f"status {status}: {body[:100]!r}")
        return np.array([row["embedding"] for row in json.loads(body)["data"]], np.float32)

    def close(self) -> None:
        """Stop it."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise SystemExit("SIGTERM did not end the server") from None


def _post(path: str, content: object, **headers: str) -> bytes:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    lines = {
        "Host": "localhost", "Content-Type": "application/json", "Connection": "close",
        "Content-Length": str(len(body)), **headers,
    }  # fmt: skip
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1", "replace") + body


_VALUES: list[Any] = [
    None, "", "a", -1, 0, 1e308, 2**70, [], {}, [[]], [["a"]], [[1, 2]], [[-1]], [[10**12]], True,
    "x" * 50_000, "\ud800", "\0", ["a"] * 3000, {"a": {"b": 1}}, [None], [[2, 10, 3]], "query",
]  # fmt: skip


def hostile_request(world: World, rng: random.Random) -> Outcome:
    """Send a request that no client should: no status of 500 and above, and right vectors after."""
    world.server = world.server or Server(world)
    server: Server = world.server
    path = rng.choice(["/v1/embeddings", "/tokenize", "/similarity", "/search", "/v1/models", "/x"])
    content: dict[str, Any] = {"model": _MODEL, "input": "fish"}
    for _ in range(rng.randrange(1, 4)):
        names = ["model", "input", "dimensions", "encoding_format", "input_type", "truncate", "odd"]
        content[rng.choice(names)] = rng.choice(_VALUES)
    body = json.dumps(content).encode()
    kind = rng.choice(["fields", "fields", "bytes", "cut", "length", "head", "nested", "gone"])
    if kind == "bytes":
        at = rng.randrange(len(body))
        body = body[:at] + rng.randbytes(rng.randrange(1, 9)) + body[at + 1 :]
    elif kind == "nested":
        body = b'{"input": ' + b"[" * rng.randrange(2, 100_000)
    request = _post(path, body)
    if kind == "cut":
        request = request[: rng.randrange(len(request))]
    elif kind == "length":
        length = rng.choice(["-1", "x", "99999999999", "1"])
        request = _post(path, body, **{"Content-Length": length})
    elif kind == "head":
        request = rng.randbytes(rng.randrange(1, 400)) + b"\r\n\r\n"
    whole = kind not in ("cut", "length", "head")
    status, answer = server.send(request, wait=kind != "gone", whole=whole)
    fault = f"{kind} to {path}: {body[:50]!r}"
    if status >= 500 and status != 503:
        return Outcome(fault, f"status {status}: {answer[:200]!r}")
    if status >= 400 and kind == "fields":
        try:
            message = json.loads(answer)["error"]["message"]
        except (ValueError, KeyError, TypeError):
            return Outcome(fault, f"status {status} without an error in JSON: {answer[:200]!r}")
        if not message or "Traceback" in message:
            return Outcome(fault, f"the message is {message[:200]!r}")
    rows = sorted(rng.sample(range(len(TEXTS)), 3))
    try:
        found = server.embed([TEXTS[row] for row in rows])
    except (OSError, ValueError) as error:
        return Outcome(fault, f"afterwards: {error}")
    distance = np.abs(found - world.expected["old"][rows]).max()
    return Outcome(fault, "" if distance < CLOSE else f"vectors are {distance} off afterwards")


KINDS: dict[str, tuple[int, Kind]] = {"hostile-request": (150, hostile_request)}
