"""Text-embeddings-inference's forms for vectors, with the vectors of the embedder."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.serving import KEY

from minnow import Embedder

if TYPE_CHECKING:
    from fakes.serving import Answer, Running

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

TEXTS = ["how do fish sleep", "two small fish run in the river"]
LONG = "fish " * 50


def ask(server: Running, **body: Any) -> Answer:
    return server.post("/embed", {"model": "tiny", **body})


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


def test_vectors_are_the_embedders(server: Running, embedder: Embedder) -> None:
    close(ask(server, inputs=TEXTS).json, embedder.encode(TEXTS))
    close(ask(server, inputs=TEXTS[0]).json, embedder.encode(TEXTS[:1]))
    asked = ask(server, inputs=TEXTS, prompt_name="query", truncation_direction="Right")
    close(asked.json, embedder.encode(TEXTS, prompt_name="query"))
    shorter = embedder.encode(TEXTS, truncate_dim=4, normalize_embeddings=True)
    close(ask(server, inputs=TEXTS, dimensions=4).json, shorter)


def test_the_only_model_needs_no_name_and_its_vectors_are_scaled_unless_refused(
    raw: Running, unscaled: Bundle
) -> None:
    with Embedder.open(unscaled) as embedder:
        vectors = embedder.encode(TEXTS)
    close(
        raw.post("/embed", {"inputs": TEXTS}).json,
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
    )
    close(raw.post("/embed", {"inputs": TEXTS, "normalize": False}).json, vectors)


def test_texts_that_are_too_long(server: Running, embedder: Embedder) -> None:
    error = ask(server, inputs=["water", LONG]).error(400)
    assert (error["code"], error["param"]) == ("context_length_exceeded", "inputs")
    answer = ask(server, inputs=["water", LONG], truncate=True)
    close(answer.json, embedder.encode(["water", LONG]))
    assert answer.headers["x-minnow-truncated"] == "1"


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [({"inputs": []}, 400, "inputs"), ({"inputs": ""}, 400, "inputs"), ({}, 400, None),
     ({"inputs": [[1, 2]]}, 400, "inputs"), ({"inputs": ["fish"] * 2049}, 422, "inputs"),
     ({"inputs": "fish", "prompt_name": "none"}, 400, "prompt_name"),
     ({"inputs": "fish", "normalize": False}, 400, "normalize"),
     ({"inputs": "fish", "truncation_direction": "Left"}, 400, "truncation_direction")],
)  # fmt: skip
def test_what_is_refused(
    server: Running, body: dict[str, Any], status: int, param: str | None
) -> None:
    assert ask(server, **body).error(status)["param"] == param


def test_info(server: Running, strict: Running, embedder: Embedder) -> None:
    found = server.get("/info").json
    assert found["max_input_length"] == embedder.max_seq_length
    assert found["max_client_batch_size"] == 2048
    assert found["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (found["model_dtype"], found["auto_truncate"]) == ("fp32", False)
    assert found["version"] == version("minnow-embed")
    strict.get("/info").error(401)
    assert strict.get("/info", Authorization=f"Bearer {KEY}").json["auto_truncate"] is True
