"""ASGI middleware: host and key checks, limits on bodies, metrics and the log."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.responses import Response

from minnow.serve.errors import JSON, ApiError, unauthorized
from minnow.serve.settings import ANY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from minnow.serve.metrics import Metrics
    from minnow.serve.settings import Limits, Settings

log = logging.getLogger("minnow.serve")

_UNSENT = 499
"""Status of a request whose client went away; the number is nginx's."""


class GoneError(Exception):
    """The client has closed its connection."""


def answer_of(error: ApiError) -> Response:
    """Return the response for an error."""
    return Response(error.content, error.status, dict(error.headers), media_type=JSON)


class Watched:
    """Middleware that counts and times requests, and logs bugs without the texts of a request.

    A slash at the end of a path means nothing: what is inside never sees it.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, route: Callable[[str], str], *, access_log: bool
    ) -> None:
        """Wrap an application; `route` returns a path of the table of endpoints."""
        self._app, self._metrics, self._route = app, metrics, route
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), _UNSENT
        scope = {**scope, "path": _without_slash(scope["path"])}

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except GoneError:
            status = _UNSENT
        except Exception as error:
            if status == _UNSENT:
                raise
            log.error("%s failed at:\n%s", self._route(scope["path"]), _where(error))
        finally:
            self._record(scope, status, time.perf_counter() - started)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._route(scope["path"])
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if status == _UNSENT:
            self._metrics.cancelled.inc()
        if self._access_log:
            log.info("%s %s %d %.1f ms", _method(scope), route, status, 1000 * seconds)


def _without_slash(path: str) -> str:
    """Return a path without one slash at its end."""
    shorter = path.removesuffix("/")
    return path if not shorter or shorter.endswith("/") else shorter


def _method(scope: Scope) -> str:
    """Return the method, or "?" for one that HTTP does not know: a client may send any text."""
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "?"


def _where(error: Exception) -> str:
    """Return an error's traceback and type; not its message, which may hold a text."""
    lines = [f"  {frame.filename}:{frame.lineno} {frame.name}"
             for frame in traceback.extract_tb(error.__traceback__)]  # fmt: skip
    return "\n".join([*lines, f"  {type(error).__name__}"])


class Guarded:
    """Middleware that lets requests through that use an allowed host name and have the key."""

    def __init__(self, app: ASGIApp, settings: Settings, is_public: Callable[[str], bool]) -> None:
        """Wrap an application; `is_public` says which paths need no key."""
        self._app, self._is_public = app, is_public
        self._hosts = settings.hosts
        self._key = settings.api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI event."""
        if scope["type"] == "http" and (error := self._refuse(scope)) is not None:
            await answer_of(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refuse(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        if ANY not in self._hosts and _host_name(headers.get("host", "")) not in self._hosts:
            return ApiError(
                HTTPStatus.FORBIDDEN,
                "The Host header is not a name of this server. If it should be one, the server's "
                "operator has to add it to the allowed hosts.",
                "host_not_allowed",
            )
        if self._key and not self._is_public(scope["path"]):
            given = headers.get("authorization", "").encode("latin-1")
            scheme, _, key = given.partition(b" ")
            same = hmac.compare_digest(key.strip(), self._key)
            if not (same and scheme.lower() == b"bearer"):
                return unauthorized(given=bool(given))
        return None


def _host_name(header: str) -> str:
    """Return the name in a Host header, without port and IPv6 brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


async def read_body(
    scope: Scope, receive: Receive, limits: Limits, hold: Callable[[int], None]
) -> bytes:
    """Read a JSON body, up to the limit.

    Args:
        scope: The ASGI scope.
        receive: The ASGI function that returns its parts.
        limits: The largest size, and the longest time.
        hold: Called with the size of each part; raises where there is no room for it.

    Raises:
        ApiError: It is not declared as JSON, is too large, or does not arrive in time.
        GoneError: The client closed its connection.
    """
    headers = Headers(scope=scope)
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != JSON or headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "The body should be plain JSON: send the header `Content-Type: application/json`, and "
            "no Content-Encoding.",
            "unsupported_media_type",
        )
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.max_body_bytes:
        raise _too_large(limits)
    try:
        return await asyncio.wait_for(_all_of(receive, limits, hold), limits.max_body_seconds)
    except asyncio.TimeoutError as error:
        raise ApiError(
            HTTPStatus.REQUEST_TIMEOUT,
            f"The body did not arrive within {limits.max_body_seconds:g} s.",
            "request_timeout",
            headers={"Connection": "close"},
        ) from error


async def _all_of(receive: Receive, limits: Limits, hold: Callable[[int], None]) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise GoneError
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limits.max_body_bytes:
            raise _too_large(limits)
        hold(len(parts[-1]))
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limits: Limits) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than {limits.max_body_bytes} bytes, the limit of this server. Send "
        "fewer texts in a request.",
        "request_too_large",
    )


async def unless_gone(receive: Receive, work: Awaitable[Response]) -> Response:
    """Await the response to a request, and cancel it if the client goes away.

    Raises:
        GoneError: The client closed its connection.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(receive())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise GoneError
        return task.result()
    finally:
        gone.cancel()
        task.cancel()
