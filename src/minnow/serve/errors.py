"""What a client is told when it gets no answer, in OpenAI's form.

`{"error": {"message", "type", "param", "code"}}`, as OpenAI's API reference has it and as the
clients made for it read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from minnow.serve.schemas import ErrorAnswer, ErrorDetail, to_json

JSON = "application/json"


@dataclass
class ApiError(Exception):
    """A request that is not answered as it asked.

    Attributes:
        status: Of HTTP.
        message: What happened, to which input, and what to do; never a text of the request.
        code: A word for programs.
        param: The field that is at fault.
        headers: Besides those of every answer.
    """

    status: HTTPStatus
    message: str
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """OpenAI's word for the kind."""
        if self.status == HTTPStatus.TOO_MANY_REQUESTS:
            return "requests"
        return "server_error" if self.status >= 500 else "invalid_request_error"

    @property
    def content(self) -> bytes:
        """As it is sent, in JSON."""
        return to_json(ErrorAnswer(ErrorDetail(self.message, self.type, self.param, self.code)))


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that no server like this could answer."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, code, param)


def too_many(message: str, param: str | None = "input") -> ApiError:
    """A request that asks for more than this server takes at once."""
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, message, "request_too_large", param)


def unauthorized(*, given: bool) -> ApiError:
    """No key, or a wrong one."""
    message = (
        "The API key is not this server's."
        if given
        else "This server asks for an API key: send the header `Authorization: Bearer KEY`."
    )
    return ApiError(
        HTTPStatus.UNAUTHORIZED, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"}
    )


def unknown_model(name: str, there_are: list[str]) -> ApiError:
    """A model that is not served."""
    shown = name if len(name) <= 80 else f"{name[:80]}…"
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"The model `{shown}` does not exist. This server has: {', '.join(there_are)}.",
        "model_not_found",
        "model",
    )


def busy(message: str, seconds: int) -> ApiError:
    """Come back later."""
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        message,
        "rate_limit_exceeded",
        headers={"Retry-After": str(seconds)},
    )


def unavailable(message: str, code: str) -> ApiError:
    """Not yet, or no longer."""
    return ApiError(HTTPStatus.SERVICE_UNAVAILABLE, message, code, headers={"Retry-After": "1"})


def of_http(status: int, headers: Mapping[str, str] | None) -> ApiError:
    """A refusal of the framework's: no such path, not this method, or a broken request."""
    messages = {
        HTTPStatus.NOT_FOUND: "There is no such path here; GET /openapi.json tells all.",
        HTTPStatus.METHOD_NOT_ALLOWED: "The path does not answer this method.",
    }
    known = HTTPStatus(status)
    message = messages.get(known, f"{known.phrase}.")
    return ApiError(known, message, known.name.lower(), headers=headers or {})


def internal_error() -> ApiError:
    """A fault of ours; what it was is in the log, without texts."""
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The server failed on this request; its log says where.",
        "internal_error",
    )
