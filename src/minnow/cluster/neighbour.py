"""The process beside a local run that embeds samples again, on MNN, in a session of its own.

It answers each `SampleRequest` with a `SampleReply`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minnow.cluster.job import Job
from minnow.processes import python_command
from minnow.workers import Parent, Worker, serve_requests

_PROGRAM = "from minnow.cluster.neighbour import main; raise SystemExit(main())"
_TIMEOUT = 900.0


@dataclass(frozen=True)
class SampleRequest:
    """Texts to embed again, and the job that says how, as `msgspec.to_builtins` gives it."""

    job: dict[str, Any]
    texts: list[str]


@dataclass(frozen=True)
class SampleReply:
    """Their vectors, float32 of shape (texts, width) as bytes, and what made them.

    Attributes:
        vectors: The bytes.
        engine: The engine.
        host: The machine and the process, as `HOST/PID`.
    """

    vectors: bytes
    engine: str
    host: str


def neighbour_process() -> Worker:
    """Start the process; the first request opens the bundle."""
    command = python_command(_PROGRAM)
    return Worker(
        "The process that checks samples", command, timeout=_TIMEOUT, folder=Path(),
        own_session=True,
    )  # fmt: skip


def main() -> int:
    """Answer requests; see `serve_requests`."""
    return serve_requests(_serve)


def _serve(parent: Parent) -> None:
    from minnow.cluster.publishing import embed_sample
    from minnow.cluster.runner import runner_of

    for request in parent.requests(SampleRequest):
        parent.reply(embed_sample(runner_of(Job.of_values(request.job)), request.texts))
