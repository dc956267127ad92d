"""Put a server under load with many clients, and compare it with embedding in one process.

    python benchmarks/serve_load.py BUNDLE DATASET [--seconds 180] [--clients 64] [--texts 1]
        [--questions] [--limit 400] [--llama-server PROGRAM --gguf FILE]

DATASET is a directory in BEIR's layout. In one run, one after the other: `minnow embed` on its
texts, `minnow serve` under the clients, `minnow embed` again, and llama.cpp's server with the same
model under the same clients. Each client keeps a connection, sends a request, waits for the answer,
and sends the next. The clients are one process beside the server, on the same CPUs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.bundle import Bundle
from minnow.datasets import read_beir
from minnow.engines.base import default_threads
from minnow.manifest import TOKENIZER
from minnow.model.tokenizer import TextTokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator

MINNOW = (sys.executable, "-m", "minnow")
SAMPLES = 6


@dataclass
class Load:
    """The clients' measurements of a server.

    Attributes:
        seconds: Time from the first request to the last answer.
        latencies: Seconds of each successful request.
        statuses: Number of answers by status; 0 is a broken connection.
        tokens: Tokens of the texts that were answered.
        memory: The server's resident memory at intervals, in MB.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    tokens: int = 0
    memory: list[float] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """Return plain values."""
        errors = sum(n for status, n in self.statuses.items() if status != 200)
        return {
            "seconds": round(self.seconds, 1),
            "requests": len(self.latencies),
            "errors": errors,
            "statuses": {str(status): n for status, n in self.statuses.items()},
            "tokens_per_second": round(self.tokens / self.seconds, 1),
            "p50_ms": round(1000 * float(np.percentile(self.latencies or [0], 50)), 1),
            "p99_ms": round(1000 * float(np.percentile(self.latencies or [0], 99)), 1),
            "memory_mb": self.memory,
        }


def embed_seconds(bundle: Path, texts: list[str], threads: int) -> float:
    """Return the seconds that `minnow embed` reports for texts from a file."""
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "texts.txt"
        lines.write_text("\n".join(" ".join(text.split()) for text in texts), encoding="utf-8")
        done = subprocess.run(
            [*MINNOW, "embed", str(bundle), "--input", str(lines), "--output",
             str(Path(folder) / "vectors.npy"), "--threads", str(threads), "--on-truncate",
             "ignore", "--json"],
            capture_output=True, check=True,
        )  # fmt: skip
    return float(json.loads(done.stdout)["seconds"])


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def running(command: list[str], port: int, ready: str) -> Iterator[int]:
    """Run a server in its own process, and yield its process id once it answers."""
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(600):
                if answers(port, ready):
                    break
                if server.poll() is not None:
                    log.seek(0)
                    sys.exit(f"{command[0]} ended: {log.read()[-2000:].decode(errors='replace')}")
                time.sleep(0.1)
            yield server.pid
        finally:
            server.terminate()
            server.wait(60)


def answers(port: int, path: str) -> bool:
    """Return whether GET of a path gives 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as line:
            line.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return line.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def requests_of(texts: list[str], counts: list[int], size: int) -> list[tuple[bytes, int]]:
    """Return the bytes of requests of `size` texts each, and their tokens."""
    found = []
    for start in range(0, len(texts) - size + 1, size):
        body = json.dumps(
            {"model": "model", "input": texts[start : start + size], "encoding_format": "base64"}
        ).encode()
        head = (
            "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        found.append((head.encode() + body, sum(counts[start : start + size])))
    return found


async def client(
    port: int, requests: list[tuple[bytes, int]], turn: Iterator[int], end: float, load: Load
) -> None:
    """Send requests on one connection, one after the other, until the time is over."""
    reader = writer = None
    while time.monotonic() < end:
        request, tokens = requests[next(turn) % len(requests)]
        started = time.monotonic()
        try:
            if writer is None or reader is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
            await reader.readexactly(int(length[1]) if length else 0)
            status = int(head[9:12])
            if re.search(rb"connection: *close", head, re.IGNORECASE):
                writer.close()
                writer = None
        except (OSError, asyncio.IncompleteReadError, ValueError):
            status, writer = 0, None
        load.statuses[status] += 1
        if status == 200:
            load.latencies.append(time.monotonic() - started)
            load.tokens += tokens
    if writer is not None:
        writer.close()


def resident(pid: int) -> float:
    """Return a process's resident memory in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


async def watch(pid: int, seconds: float, load: Load) -> None:
    """Sample the server's memory."""
    for _ in range(SAMPLES):
        await asyncio.sleep(0.98 * seconds / SAMPLES)
        load.memory.append(resident(pid))


def under_load(
    port: int, pid: int, requests: list[tuple[bytes, int]], clients: int, seconds: float
) -> Load:
    """Put a server under load."""

    async def all_clients() -> Load:
        load, turn = Load(), count()
        started = time.monotonic()
        watching = asyncio.create_task(watch(pid, seconds, load))
        await asyncio.gather(
            *(client(port, requests, turn, started + seconds, load) for _ in range(clients))
        )
        load.seconds = time.monotonic() - started
        await watching
        return load

    return asyncio.run(all_clients())


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--texts", type=int, default=1, help="texts in a request")
    parser.add_argument("--questions", action="store_true", help="embed queries, not documents")
    parser.add_argument("--limit", type=int, help="number of texts to use")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument(
        "--option", action="append", default=[], help="of minnow serve, such as --option=--lean"
    )
    parser.add_argument("--llama-server", type=Path)
    parser.add_argument("--gguf", type=Path)
    options = parser.parse_args()
    dataset = read_beir(options.dataset)
    texts = list((dataset.queries if options.questions else dataset.documents).values())[
        : options.limit
    ]
    embedding = Bundle.open(options.bundle).manifest.embedding
    tokenizer = TextTokenizer(options.bundle / TOKENIZER, max_tokens=embedding.max_tokens)
    counted = [(text, row) for text, row in zip(texts, tokenizer.tokenize(texts), strict=True)]
    kept = [(text, len(row.ids)) for text, row in counted if not row.truncated]
    texts, counts = [text for text, _ in kept], [length for _, length in kept]
    requests = requests_of(texts, counts, options.texts)
    print(f"{len(texts)} texts, {sum(counts)} tokens; load {os.getloadavg()[0]:.2f}", flush=True)

    def embedded() -> float:
        rate = sum(counts) / embed_seconds(options.bundle, texts, options.threads)
        print(f"minnow embed: {rate:.0f} tokens/s", flush=True)
        return rate

    rates = [embedded()]
    port = free_port()
    threads = str(options.threads)
    command = [
        *MINNOW,
        "serve",
        f"model={options.bundle}",
        "--port",
        str(port),
        "--threads",
        threads,
        *options.option,
    ]
    with running(command, port, "/health/ready") as pid:
        ours = under_load(port, pid, requests, options.clients, options.seconds)
    print(f"minnow serve: {json.dumps(ours.facts())}", flush=True)
    rates.append(embedded())
    mine = ours.tokens / ours.seconds
    print(f"minnow serve / minnow embed: {mine / np.mean(rates):.3f}", flush=True)
    if options.llama_server is None:
        return
    port = free_port()
    slots = min(options.clients, 64)
    command = [str(options.llama_server), "-m", str(options.gguf), "--embedding", "--pooling",
               "mean", "--port", str(port), "-t", threads, "-np", str(slots), "-c",
               str(slots * 512), "-b", "2048", "-ub", "2048"]  # fmt: skip
    with running(command, port, "/health") as pid:
        theirs = under_load(port, pid, requests, options.clients, options.seconds)
    print(f"llama-server: {json.dumps(theirs.facts())}", flush=True)
    print(f"minnow serve / llama-server: {mine / (theirs.tokens / theirs.seconds):.2f}")


if __name__ == "__main__":
    main()
