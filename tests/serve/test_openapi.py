"""The OpenAPI document says what the server does: requests made from it are answered as it says."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from minnow.serve.answers import ErrorAnswer

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.serving import Running

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

SECONDS = os.environ.get("MINNOW_TEST_SCHEMA_SECONDS")
"""How long to make requests; by default a few of each kind."""


def document(server: Running) -> Any:
    return server.get("/openapi.json").json


def test_it_describes_each_endpoint(server: Running) -> None:
    found = document(server)
    assert found["openapi"] == "3.1.0"
    assert {path: sorted(methods) for path, methods in found["paths"].items()} == {
        "/": ["get"],
        "/api/embed": ["post"],
        "/api/embeddings": ["post"],
        "/api/tags": ["get"],
        "/api/version": ["get"],
        "/embed": ["post"],
        "/embed_all": ["post"],
        "/embeddings": ["post"],
        "/health": ["get"],
        "/health/ready": ["get"],
        "/healthz": ["get"],
        "/info": ["get"],
        "/livez": ["get"],
        "/metrics": ["get"],
        "/models": ["get"],
        "/models/{model}": ["get"],
        "/ping": ["get"],
        "/readyz": ["get"],
        "/rerank": ["post"],
        "/similarity": ["post"],
        "/tokenize": ["post"],
        "/v1/embeddings": ["post"],
        "/v1/models": ["get"],
        "/v1/models/{model}": ["get"],
        "/v1/rerank": ["post"],
        "/v2/rerank": ["post"],
    }


def test_each_operation_has_a_name_of_its_own(server: Running) -> None:
    names = [
        one["operationId"] for path in document(server)["paths"].values() for one in path.values()
    ]
    assert len(set(names)) == len(names)
    assert {"embeddings", "rerank_documents", "rerank_documents_at_v2_rerank"} <= set(names)


def test_it_names_the_models_and_the_limits(server: Running, strict: Running) -> None:
    asked = document(server)["components"]["schemas"]["EmbeddingsRequest"]
    assert asked["properties"]["model"]["enum"] == ["tiny", "pooled"]
    forms = asked["properties"]["input"]["anyOf"]
    assert [form.get("maxItems") for form in forms] == [None, 2048, None, 2048]
    assert "additionalProperties" not in asked
    closed = document(strict)["components"]["schemas"]
    assert closed["EmbeddingsRequest"]["additionalProperties"] is False
    assert "additionalProperties" not in closed["DocumentObject"]


def test_the_key_is_in_it_where_there_is_one(server: Running, strict: Running) -> None:
    assert "securitySchemes" not in document(server)["components"]
    found = document(strict)
    assert found["paths"]["/v1/embeddings"]["post"]["security"] == [{"api_key": []}]
    assert "security" not in found["paths"]["/health"]["get"]


def test_errors_have_openais_form(server: Running) -> None:
    schema = document(server)["components"]["schemas"]
    assert schema["ErrorDetail"]["required"] == ["message", "type", "param", "code"]
    assert ErrorAnswer.__name__ in schema


@pytest.mark.clients
def test_every_answer_matches_the_document(indexed: Running, tmp_path: Path) -> None:
    """Schemathesis: no 5xx, and only the statuses, types and headers that are described.

    Requests that fit the document may still be refused: a text may be too long, ids may not be
    the model's. So `positive_data_acceptance` is left out. Other paths of an endpoint are too.
    """
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{indexed.url}/openapi.json"),
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        *("--exclude-operation-id-regex", "_at_"),
        *(("--max-time", SECONDS) if SECONDS else ("--max-examples", "3")),
        *("--generation-deterministic", "--warnings", "off", "--no-color"),
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout
    assert "Tested: 19" in done.stdout
    assert indexed.get("/health/ready").status == 200
