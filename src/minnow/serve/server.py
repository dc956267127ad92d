"""Server: its socket, its start and its shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
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
"""Time after the grace period for responses which say that it is over."""

_IDLE_SECONDS = 75
"""Timeout of an idle connection, longer than that of Python's clients (5 s), so that the server
closes none at the moment in which a client uses it again."""


class _Server(uvicorn.Server):
    """uvicorn server that opens the models once it listens, and drains on a signal."""

    def __init__(self, config: uvicorn.Config, service: Service, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._service, self._announce = service, ready
        self.failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reloading: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGHUP too, unless it is ignored, as under `nohup`."""
        number = getattr(signal, "SIGHUP", None)
        with super().capture_signals():
            if number is None or threading.current_thread() is not threading.main_thread():
                yield
                return
            before = signal.getsignal(number)
            if before != signal.SIG_IGN:
                signal.signal(number, self.handle_hangup)
            try:
                yield
            finally:
                signal.signal(number, before)

    def handle_hangup(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGHUP: reload what was replaced; but stop where a terminal was closed."""
        if os.isatty(0):
            self.handle_exit(sig, frame)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._reload)

    def _reload(self) -> None:
        if self._service.state == "ready" and (self._reloading is None or self._reloading.done()):
            self._reloading = asyncio.create_task(self._service.reload())

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal: stop gracefully, and at once on a second signal."""
        self._service.stop_taking()
        if self.should_exit:
            self.force_exit = True
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and start to open the models."""
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._opening = asyncio.create_task(self._open())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Refuse new requests, give open ones the grace period, and free everything."""
        self._service.stop_taking()
        grace = 0.0 if self.force_exit else self._service.settings.grace_seconds
        timer = asyncio.get_running_loop().call_later(grace, self._service.abandon)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()
            await self._opening
            if self._reloading is not None:
                await self._reloading
            await self._service.close()

    async def _open(self) -> None:
        try:
            await self._service.start()
            if self._service.state == "ready":
                self._announce()
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
        bundles: By the names that clients use; see `find_bundles`.
        settings: Address, access and limits.
        options: The engine of the bundles.
        index: A file that `minnow index` wrote with one of them, for POST /search.
        ready: Called with the server's URL when it accepts requests.

    Raises:
        ServeError: The server cannot listen at the address.
        InputError, IndexFileError: The index does not exist, or belongs to none of the bundles.
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
    """Open a listening socket.

    Raises:
        ServeError: The host is unknown, or the port is taken or not allowed.
    """
    try:
        family, _, _, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(place[:2], family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not the name of a host"
        why = str(said).partition(" (while")[0]
        raise ServeError(f"Cannot listen at {host}, port {port}: {why}.") from error
    # Connections inherit it. asyncio sets it only where the socket names its protocol, which this
    # one does not; a response's body would wait 40 ms for the client to acknowledge its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL of a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def log_to_stderr() -> None:
    """Write the log to stderr, one line for each record."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    ours = logging.getLogger("minnow.serve")
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    theirs = logging.getLogger("uvicorn")
    theirs.setLevel(logging.ERROR)
