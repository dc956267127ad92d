"""The application: endpoints behind guards, and errors in one form."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from minnow.serve.errors import JSON, ApiError, busy, internal_error, of_http, unknown_field
from minnow.serve.guards import Guarded, Watched, answer_of, read_body, unless_gone
from minnow.serve.handlers import IGNORED, TRUNCATED
from minnow.serve.inputs import unknown_fields
from minnow.serve.openapi import document
from minnow.serve.routes import ENDPOINTS, endpoints
from minnow.serve.settings import ANY

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp

    from minnow.serve.routes import Endpoint
    from minnow.serve.service import Service

DOCUMENT = "/openapi.json"

_NAMES = {DOCUMENT: DOCUMENT, **{path: each.path for each in ENDPOINTS for path in each.paths}}
_WITH_NAME = ("/v1/models/", "/models/")


def build_app(service: Service) -> ASGIApp:
    """Build the ASGI application of a service, which the caller starts and closes."""
    settings = service.settings
    table = endpoints(indexed=service.is_indexed, metrics_public=settings.metrics_public)
    public = {DOCUMENT, *(path for each in table if each.public for path in each.paths)}
    middleware = [Middleware(Guarded, settings=settings, is_public=public.__contains__)]
    if settings.cors_origins:
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST"],
            allow_headers=[ANY],
            allow_private_network=True,  # browsers ask before a page may reach this machine
            expose_headers=["Retry-After", TRUNCATED, IGNORED],
        )
        middleware.insert(0, cors)
    described = document(service, table)

    async def describe(_: Request) -> Response:
        return Response(described, media_type=JSON)

    inner = Starlette(
        routes=[
            Route(DOCUMENT, describe),
            *(_route(service, each, path) for each in table for path in each.paths),
        ],
        middleware=middleware,
        exception_handlers={
            ApiError: _answer_error,
            HTTPException: _answer_http,
            Exception: _answer_internal_error,
        },
    )
    inner.router.redirect_slashes = False
    return Watched(inner, service.metrics, _name_of, access_log=settings.access_log)


def _route(service: Service, endpoint: Endpoint, path: str) -> Route:
    handler = _answer_post if endpoint.request is not None else _answer_get
    place = path.replace("{model}", "{model:path}")
    return Route(place, partial(handler, service, endpoint), methods=[endpoint.method])


async def _answer_get(service: Service, endpoint: Endpoint, request: Request) -> Response:
    return await endpoint.handle(service, b"", request.path_params)


async def _answer_post(service: Service, endpoint: Endpoint, request: Request) -> Response:
    """Read a request's body and answer it, if there is room, and as long as its client waits."""
    service.check_taking()
    limits = service.settings.limits
    if service.requests >= limits.max_requests:
        raise busy("Too many requests are open. Try again later.", service.batcher.seconds_to_wait)
    held = 0

    def hold(size: int) -> None:
        nonlocal held
        service.hold(size)
        held += size

    try:
        with service.answering():
            with service.reading():
                body = await read_body(request.scope, request.receive, limits, hold)
            assert endpoint.request is not None
            unknown = unknown_fields(body, endpoint.request)  # 2 µs a kilobyte, 6 ms at the limit
            if unknown and service.settings.strict:
                raise unknown_field(unknown[0])
            work = endpoint.handle(service, body, request.path_params)
            response = await unless_gone(request.receive, work)
        if unknown:
            response.headers[IGNORED] = ", ".join(quote(name[:40]) for name in unknown[:10])
        return response
    finally:
        service.body_bytes -= held


async def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return answer_of(error)


async def _answer_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return answer_of(of_http(error.status_code, error.headers))


async def _answer_internal_error(_: Request, __: Exception) -> Response:
    return answer_of(internal_error())


def _name_of(path: str) -> str:
    """Return the path of the table of endpoints, for metrics and the log."""
    if path.startswith(_WITH_NAME):
        return f"{_WITH_NAME[0]}{{model}}"
    return _NAMES.get(path, "other")
