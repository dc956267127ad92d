"""OpenAPI document, made from the table of endpoints and the types that check requests."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from minnow.serve.answers import ErrorAnswer
from minnow.serve.errors import JSON
from minnow.serve.handlers import IGNORED, TRUNCATED
from minnow.serve.requests import MAX_TOKEN_ID, EmbeddingsRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minnow.serve.routes import Endpoint
    from minnow.serve.service import Service

_TEMPLATE = "#/components/schemas/{name}"
_ERROR = {"$ref": _TEMPLATE.format(name=ErrorAnswer.__name__)}
_KEY = "api_key"

_TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
_ID: dict[str, Any] = {"type": "integer", "minimum": 0, "maximum": MAX_TOKEN_ID}
_IDS: dict[str, Any] = {"type": "array", "minItems": 1, "items": _ID}


def document(service: Service, table: Sequence[Endpoint]) -> bytes:
    """Write the document of one server, with its models, limits and authentication."""
    types = {ErrorAnswer, *(each.request for each in table), *(each.answer for each in table)}
    named = sorted(types - {None}, key=str)
    shapes, schemas = msgspec.json.schema_components(named, ref_template=_TEMPLATE)
    shape_of = dict(zip(named, shapes, strict=True))
    for kind in {each.request for each in table if each.request is not None}:
        names = service.names_of(reranks=kind.reranks) or service.names
        _name_models(schemas[kind.__name__], names)
        if kind.forms:
            schemas[kind.__name__]["oneOf"] = [{"required": list(form)} for form in kind.forms]
        if service.settings.strict:
            schemas[kind.__name__]["additionalProperties"] = False
    _limit_inputs(schemas, service.settings.limits.max_inputs)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        for path in endpoint.paths:
            found = _operation(service, endpoint, path, shape_of)
            paths.setdefault(path, {})[endpoint.method.lower()] = found
    components: dict[str, Any] = {"schemas": schemas}
    if service.settings.api_key:
        components["securitySchemes"] = {_KEY: {"type": "http", "scheme": "bearer"}}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "minnow", "version": version("minnow-embed")},
            "paths": paths,
            "components": components,
        }
    )


def _operation(
    service: Service, endpoint: Endpoint, path: str, shape_of: Mapping[Any, Any]
) -> dict[str, Any]:
    name = endpoint.handle.__name__.removeprefix("answer_")
    place = "".join(c if c.isalnum() else "_" for c in path)
    found: dict[str, Any] = {
        "operationId": name if path == endpoint.path else f"{name}_at{place}",
        "summary": endpoint.summary,
        "responses": _responses(service, endpoint, shape_of),
    }
    if endpoint.request is not None:
        schema = shape_of[endpoint.request]
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    if "{model}" in endpoint.path:
        found["parameters"] = [
            {
                "name": "model",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "enum": service.names},
            }
        ]
    if service.settings.api_key and not endpoint.public:
        found["security"] = [{_KEY: []}]
    return found


def _responses(service: Service, endpoint: Endpoint, shape_of: Mapping[Any, Any]) -> dict[str, Any]:
    schema = {"type": "string"} if endpoint.answer is None else shape_of[endpoint.answer]
    answer: dict[str, Any] = {"content": {endpoint.media: {"schema": schema}}}
    found = {
        str(status): {"description": HTTPStatus(status).phrase, **answer}
        for status in (200, *endpoint.also)
    }
    if endpoint.request is not None:
        text = "How many texts were cut off; absent where none was."
        header = {"description": text, "schema": {"type": "integer", "minimum": 1}}
        found["200"]["headers"] = {TRUNCATED: header}
        if not service.settings.strict:
            text = "Unknown fields of the request, percent-encoded; absent without any."
            found["200"]["headers"][IGNORED] = {"description": text, "schema": {"type": "string"}}
    private = bool(service.settings.api_key) and not endpoint.public
    for status in (*((401,) if private else ()), 403, 405, *endpoint.errors):
        found[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {JSON: {"schema": _ERROR}},
        }
    return found


def _name_models(schema: dict[str, Any], names: list[str]) -> None:
    """List the models where a request names one."""
    model = schema["properties"].get("model")
    if model is not None:
        (model["anyOf"][0] if "anyOf" in model else model)["enum"] = names


def _limit_inputs(schemas: dict[str, Any], most: int) -> None:
    """Describe the forms of inputs, and how many a request may have."""
    schemas[EmbeddingsRequest.__name__]["properties"]["input"]["anyOf"] = [
        {"title": "A text", **_TEXT},
        {"title": "Several texts", "type": "array", "minItems": 1, "items": _TEXT},
        {"title": "Token ids of a text", **_IDS},
        {"title": "Token ids of several texts", "type": "array", "minItems": 1, "items": _IDS},
    ]
    for schema in schemas.values():
        for key in ("input", "inputs", "query", "documents", "texts"):
            shape = schema["properties"].get(key, {})
            for form in shape.get("anyOf", [shape]):
                if form.get("items", _ID).get("type") != "integer":
                    form["maxItems"] = most
