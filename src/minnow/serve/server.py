"""The server: a socket, the application on it, and how both come to an end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

import uvicorn

from minnow.errors import ServeError
from minnow.serve.app import build_app
from minnow.serve.connection import Connection
from minnow.serve.service import Service
from minnow.signals import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from minnow.bundle import Bundle
    from minnow.engines import EngineOptions
    from minnow.serve.settings import Settings

_SPARE_SECONDS = 5.0
"""For answers that say that there was no more time."""

_IDLE_SECONDS = 75
"""A connection that has sent no whole head by then is closed: later than clients of Python do it
(5 s), so that none is closed in the moment in which it is used again."""


class _Server(uvicorn.Server):
    """Opens the models when it listens; on a signal finishes what it has begun."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._tell_ready = service, ready
        self.failure: Exception | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Have a terminal that goes away end it too, unless that is ignored, as under `nohup`."""
        number = getattr(signal, "SIGHUP", None)
        with super().capture_signals():
            if number is None or threading.current_thread() is not threading.main_thread():
                yield
                return
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:
                signal.signal(number, self.handle_exit)
            try:
                yield
            finally:
                signal.signal(number, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal; a second one ends it at once."""
        self._service.stop_taking()
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and begin to open the models."""
        await super().startup(sockets)
        self._opening = asyncio.create_task(self._open())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse what is new; give what is begun its time; free everything."""
        self._service.stop_taking()
        grace = 0.0 if self.force_exit else self._service.settings.grace_seconds
        timer = asyncio.get_running_loop().call_later(grace, self._service.abandon)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
            await self._opening
            await self._service.close()

    async def _open(self) -> None:
        try:
            await self._service.start()
            if self._service.state == "ready":
                self._tell_ready()
        except Exception as error:
            self.failure = error
            self.should_exit = True


def serve(
    bundles: Mapping[str, Bundle],
    settings: Settings,
    options: EngineOptions,
    index: Path | None = None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve bundles until a signal says stop: SIGTERM or Ctrl-C.

    Args:
        bundles: By the names that clients call them by; see `find_bundles`.
        settings: Where, for whom, and how much.
        options: How the bundles are run.
        index: A file that `minnow index` wrote with one of them, to answer POST /search.
        ready: Called with the server's address when it takes requests.

    Raises:
        ServeError: The address cannot be listened at.
        InputError, IndexFileError: The index is not there, or of none of the bundles.
        BundleError, EngineError, SourceError, MissingExtraError: A bundle cannot be opened.
    """
    service = Service(settings, bundles, options, index)
    listener = listen(settings.host, settings.port)
    config = uvicorn.Config(
        build_app(service),
        http=Connection,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=int(settings.grace_seconds + _SPARE_SECONDS),
    )
    server = _Server(config, service, lambda: ready(address(listener)))
    with contextlib.closing(listener), contextlib.suppress(Stopped):
        server.run([listener])
    if server.failure is not None:
        raise server.failure


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ServeError: The name is not known, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(place[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not the name of a host"
        why = str(said).partition(" (while")[0]
        raise ServeError(f"Cannot listen at {host}, port {port}: {why}.") from error


def address(listener: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def log_to_stderr() -> None:
    """Have what is logged told on stderr, a line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    ours = logging.getLogger("minnow.serve")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    theirs = logging.getLogger("uvicorn")
    theirs.setLevel(logging.ERROR)
