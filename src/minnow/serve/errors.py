"""Error responses, in OpenAI's form.

`{"error": {"message", "type", "param", "code"}}`, as OpenAI's API reference has it and as the
clients made for it read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from minnow.serve.answers import ErrorAnswer, ErrorDetail, to_json

JSON = "application/json"


@dataclass
class ApiError(Exception):
    """Error response to a request.

    Attributes:
        status: The HTTP status.
        message: What happened, to which input, and what to do; never a text of the request.
        code: A word for programs.
        param: The field of the request that is wrong.
        headers: More headers.
    """

    status: HTTPStatus
    message: str
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """OpenAI's word for the kind of error."""
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return "requests"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    @property
    def content(self) -> bytes:
        """The body, as JSON."""
        return to_json(ErrorAnswer(ErrorDetail(self.message, self.type, self.param, self.code)))


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Make the error for an invalid request."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, code, param)


def too_many(message: str, param: str | None = "input") -> ApiError:
    """Make the error for a request over this server's limits."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message, "request_too_large", param)


def too_large(message: str, param: str | None = "input") -> ApiError:
    """Make the error for a text that this machine has no memory for."""
    return ApiError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message, "request_too_large", param)


def unauthorized(*, given: bool) -> ApiError:
    """Make the error for a missing or wrong key."""
    message = (
        "The API key is not this server's."
        if given
        else "This server asks for an API key: send the header `Authorization: Bearer KEY`."
    )
    return ApiError(
        HTTPStatus.UNAUTHORIZED, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"}
    )


def _shown(name: str) -> str:
    return name if len(name) <= 80 else f"{name[:80]}…"


def unknown_field(name: str) -> ApiError:
    """Make the error for a field that a request does not have."""
    shown = _shown(name)
    return bad_request(f"There is no field `{shown}`; GET /openapi.json lists all.", shown)


def unknown_model(name: str, there_are: list[str], param: str = "model") -> ApiError:
    """Make the error for a model that is not served, named in a field of the request."""
    shown = _shown(name)
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"The model `{shown}` does not exist. This server has: {', '.join(there_are)}.",
        "model_not_found",
        param,
    )


def busy(message: str, seconds: int) -> ApiError:
    """Make the error for a full queue: try again after some seconds."""
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        message,
        "rate_limit_exceeded",
        headers={"Retry-After": str(seconds)},
    )


def unavailable(message: str, code: str) -> ApiError:
    """Make the error for a server that is starting or stopping."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, message, code, headers={"Retry-After": "1"})


def of_http(status: int, headers: Mapping[str, str] | None) -> ApiError:
    """Make an error of the framework's: no such path, not this method, or a broken request."""
    messages = {
        HTTPStatus.NOT_FOUND: "There is no such path; GET /openapi.json lists all.",
        HTTPStatus.METHOD_NOT_ALLOWED: "The path does not answer this method.",
    }
    known = HTTPStatus(status)
    message = messages.get(known, f"{known.phrase}.")
    return ApiError(known, message, known.name.lower(), headers=headers or {})


def internal_error() -> ApiError:
    """Make the error for a bug; the log says where it is, without texts."""
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The server failed on this request; its log says where.",
        "internal_error",
    )
