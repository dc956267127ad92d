"""The OpenAPI document says what the server does: requests made from it are answered as it says."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from minnow.serve.schemas import ErrorAnswer

if TYPE_CHECKING:
    from fakes.serving import Running

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

EXAMPLES = int(os.environ.get("MINNOW_SCHEMA_EXAMPLES", "12"))
"""Requests made for each endpoint; `make fuzz-serve` makes more."""


def document(server: Running) -> Any:
    return server.get("/openapi.json").json


def test_it_describes_each_endpoint(server: Running) -> None:
    found = document(server)
    assert found["openapi"] == "3.1.0"
    assert {path: sorted(methods) for path, methods in found["paths"].items()} == {
        "/": ["get"],
        "/health": ["get"],
        "/health/ready": ["get"],
        "/metrics": ["get"],
        "/similarity": ["post"],
        "/tokenize": ["post"],
        "/v1/embeddings": ["post"],
        "/v1/models": ["get"],
        "/v1/models/{model}": ["get"],
    }


def test_it_names_the_models_and_the_limits(server: Running) -> None:
    asked = document(server)["components"]["schemas"]["EmbeddingsRequest"]
    assert asked["properties"]["model"]["enum"] == ["tiny", "pooled"]
    forms = asked["properties"]["input"]["anyOf"]
    assert [form.get("maxItems") for form in forms] == [None, 2048, None, 2048]
    assert asked["additionalProperties"] is False


def test_the_key_is_in_it_where_there_is_one(server: Running, strict: Running) -> None:
    assert "securitySchemes" not in document(server)["components"]
    found = document(strict)
    assert found["paths"]["/v1/embeddings"]["post"]["security"] == [{"api_key": []}]
    assert "security" not in found["paths"]["/health"]["get"]


def test_errors_have_openais_form(server: Running) -> None:
    schema = document(server)["components"]["schemas"]
    assert schema["ErrorDetail"]["required"] == ["message", "type", "param", "code"]
    assert ErrorAnswer.__name__ in schema


@pytest.mark.extra("serve-clients")
def test_whatever_is_asked_the_answer_is_as_described(server: Running) -> None:
    """Schemathesis: no 5xx, only the statuses, types and headers that are described.

    Requests that fit the document may still be refused: a text may be too long, ids may not be
    the model's. So `positive_data_acceptance` is left out.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import schemathesis
        from schemathesis import checks
        from schemathesis.specs.openapi import checks as openapi_checks

    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    wanted = [
        checks.not_a_server_error,
        openapi_checks.status_code_conformance,
        openapi_checks.content_type_conformance,
        openapi_checks.response_headers_conformance,
        openapi_checks.response_schema_conformance,
        openapi_checks.negative_data_rejection,
    ]
    seen = set()

    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            if mode.is_negative and operation.body == ():
                continue

            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            )
            def test(case: Any) -> None:
                seen.add(case.path)
                case.call_and_validate(checks=wanted)

            strategy = operation.as_strategy(generation_mode=mode)
            from hypothesis import given

            given(case=strategy)(test)()
    assert len(seen) == 9
