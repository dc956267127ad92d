"""A data set through a system: vectors from the cache, and from a process for those it lacks."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

import minnow.errors
from minnow.errors import EngineError, InputError
from minnow.evaluate.cache import VectorCache
from minnow.evaluate.results import Usage
from minnow.evaluate.systems import System
from minnow.evaluate.worker import SIMILARITY, Event, Request
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from minnow.evaluate.datasets import Dataset
    from minnow.options import Role

    Progress = Callable[[int], None]

_TAIL = 400

# Whatever modules lie in the user's folder, they are none of the worker's.
_CHILD = "import sys; sys.path[:] = filter(None, sys.path); import minnow.evaluate.worker as worker"
_CHILD += "; sys.exit(worker.main())"


@dataclass(frozen=True)
class Embedded:
    """A data set as vectors.

    Attributes:
        system: What made them.
        queries: float32 of shape (queries, width), in the data set's order.
        documents: float32 of shape (documents, width).
        similarity: How they are meant to be compared.
        usage: What making them took.
        ran: Whether a process ran for it; else all is from the cache.
    """

    system: System
    queries: NDArray[np.float32]
    documents: NDArray[np.float32]
    similarity: Similarity
    usage: Usage
    ran: bool = True


def embed_dataset(
    system: System,
    dataset: Dataset,
    *,
    cache: Path,
    threads: int,
    fresh: bool = False,
    progress: Callable[[int], AbstractContextManager[Progress]],
) -> Embedded:
    """Embed a data set's texts, each once, in a process of its own.

    What the cache holds is not made again; what was made before a stop is in the cache.

    Args:
        system: What to embed with.
        dataset: Its queries and documents.
        cache: The folder of the caches.
        threads: CPU threads.
        fresh: Forget the vectors and times that the cache holds of this system.
        progress: Told how many texts are to be embedded; what it yields is told of each block.

    Raises:
        EngineError: The system failed, crashed, or gave NaN; the message names it and the text.
        MinnowError: It cannot be loaded.
        OutputError: The cache cannot be written.
    """
    with VectorCache(cache, system.fingerprint) as vectors:
        if fresh:
            vectors.clear()
        missing = {
            "query": _missing(vectors, "query", dataset.queries),
            "document": _missing(vectors, "document", dataset.documents),
        }
        runs = any(missing.values()) or vectors.usage(threads) is None
        if runs:
            request = Request(
                system=system.name,
                fingerprint=system.fingerprint,
                cache=str(cache),
                threads=threads,
                prompts=system.prompts,
                **missing,
            )
            with progress(sum(map(len, missing.values()))) as advance:
                _run(system, request, advance)
        usage, similarity = vectors.usage(threads), vectors.fact(SIMILARITY)
        if usage is None or similarity is None:
            raise InputError(f"The cache {vectors.path} is damaged. Delete it, and run again.")
        return Embedded(
            system=system,
            queries=vectors.get("query", list(dataset.queries.values())),
            documents=vectors.get("document", list(dataset.documents.values())),
            similarity=Similarity(similarity),
            usage=usage,
            ran=runs,
        )


def _missing(cache: VectorCache, role: Role, texts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Id and text of each text without a vector; of equal texts only the first."""
    first = {text: name for name, text in reversed(list(texts.items()))}
    return [(first[text], text) for text in cache.missing(role, list(texts.values()))]


def _run(system: System, request: Request, progress: Progress) -> None:
    """Have a process do what the request says, and raise what it could not do."""
    with tempfile.TemporaryFile() as printed:
        with subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
        ) as process:
            try:
                error = _listen(process, request, progress)
                code = process.wait()
            finally:
                process.kill()
        if error is not None:
            raise error
        if code < 0:
            raise EngineError(
                f"The process of {system.name} was ended by {_signal_name(-code)}: "
                f"{system.runtime} may not be built for this machine.{_tail(printed)}"
            )
        if code:
            raise EngineError(f"The process of {system.name} failed.{_tail(printed)}")


def _listen(
    process: subprocess.Popen[bytes], request: Request, progress: Progress
) -> Exception | None:
    """Send the request and follow the events; the error that ended it, if one did."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin as channel:
            channel.write(msgspec.json.encode(request))
    except BrokenPipeError:
        return None
    decoder = msgspec.json.Decoder(Event)
    for line in process.stdout:
        event = decoder.decode(line)
        if event.error is not None:
            error: Exception = getattr(minnow.errors, event.error)(*event.arguments)
            return error
        progress(event.embedded)
    return None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _tail(printed: IO[bytes]) -> str:
    """The last line that the process printed on stderr, if any."""
    printed.seek(0)
    lines = printed.read().decode(errors="replace").strip().splitlines()
    return f" It printed last: {lines[-1][-_TAIL:]}" if lines else ""
