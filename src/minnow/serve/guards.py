"""What stands before the endpoints: who may ask, how much is read, and what is told of it."""

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
"""What is counted for a request whose client did not wait; the number is nginx's."""


class GoneError(Exception):
    """The client has closed its connection."""


def answer_of(error: ApiError) -> Response:
    """An error as it is sent."""
    return Response(error.content, error.status, dict(error.headers), media_type=JSON)


class Watched:
    """Counts and times every request, and logs faults of ours without what was sent."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, route: Callable[[str], str], *, access_log: bool
    ) -> None:
        """Watch an application; `route` gives a path's name, which is never a client's own."""
        self._app, self._metrics, self._route = app, metrics, route
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), _UNSENT

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, told)
        except GoneError:
            status = _UNSENT
        except Exception as error:
            if status == _UNSENT:
                raise
            log.error("%s failed at:\n%s", self._route(scope["path"]), _where(error))
        finally:
            self._tell(scope, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._route(scope["path"])
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        if status == _UNSENT:
            self._metrics.cancelled.inc()
        if self._access_log:
            log.info("%s %s %d %.1f ms", _method(scope), route, status, 1000 * seconds)


def _method(scope: Scope) -> str:
    """A method that HTTP knows, or none: it is the client's own word."""
    known = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    return scope["method"] if scope["method"] in known else "?"


def _where(error: Exception) -> str:
    """The lines that an error came by, and its kind; not its message, which may hold a text."""
    lines = [f"  {frame.filename}:{frame.lineno} {frame.name}"
             for frame in traceback.extract_tb(error.__traceback__)]  # fmt: skip
    return "\n".join([*lines, f"  {type(error).__name__}"])


class Guarded:
    """Lets through what calls the server by a name of its own, and has the key."""

    def __init__(self, app: ASGIApp, settings: Settings, is_public: Callable[[str], bool]) -> None:
        """Guard an application; `is_public` says which paths need no key."""
        self._app, self._is_public = app, is_public
        self._hosts = settings.hosts
        self._key = settings.api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
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
    """The name in a Host header, without the port and without the brackets of IPv6."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


async def read_body(
    scope: Scope, receive: Receive, limits: Limits, hold: Callable[[int], None]
) -> bytes:
    """A JSON body, read no further than the limit.

    Args:
        scope: Of the request.
        receive: Gives its parts.
        limits: How large it may be, and how long it may take.
        hold: Told the bytes of each part; raises where there is no room for them.

    Raises:
        ApiError: It is not said to be JSON, is too large, or does not come to an end in time.
        GoneError: The client went away.
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
    """Do the work of a request that is read, unless its client goes away.

    Raises:
        GoneError: It did; the work was cancelled.
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
