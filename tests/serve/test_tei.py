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


def test_states_of_all_tokens(server: Running, embedder: Embedder) -> None:
    texts = ["fish sleep in the river", "red"]
    found = server.post("/embed_all", {"inputs": texts, "model": "tiny"}).json
    expected = embedder.encode(texts, output_value="token_embeddings")
    for states, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(states, wanted, atol=1e-5)
    error = server.post("/embed_all", {"inputs": "fish", "model": "pooled"}).error(400)
    assert error["param"] == "model"
    assert "no states of tokens" in error["message"]


def test_tokens(server: Running) -> None:
    body = {"inputs": "Fish sleep", "model": "tiny"}
    (row,) = server.post("/tokenize", body).json
    assert [token["text"] for token in row] == ["[CLS]", "fish", "sleep", "[SEP]"]
    assert [(token["start"], token["stop"]) for token in row] == [
        (None, None), (0, 4), (5, 10), (None, None)
    ]  # fmt: skip
    (plain,) = server.post("/tokenize", {**body, "add_special_tokens": False}).json
    assert plain == row[1:-1]
    own = server.post("/tokenize", {"input": "Fish sleep", "model": "tiny"}).json
    assert own["data"][0]["ids"] == [token["id"] for token in row]


def test_tokens_of_whole_texts_are_limited(server: Running) -> None:
    """A body of 16 MB took 45 s and 2.3 GB, in one of the two threads that tokenise."""
    body = {"model": "tiny", "inputs": ["fish " * 200_000, "river " * 20_000]}
    error = server.post("/tokenize", body).error(422)
    assert (error["param"], error["code"]) == ("inputs", "request_too_large")
    assert "1120000 characters" in error["message"]
    assert server.post("/tokenize", {"model": "tiny", "inputs": "fish " * 1000}).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [("/tokenize", {}), ("/tokenize", {"input": "fish", "inputs": "fish"}),
     ("/similarity", {"query": "fish"}), ("/similarity", {"documents": ["fish"]}),
     ("/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "query": "fish"})],
)  # fmt: skip
def test_a_request_has_one_form(server: Running, path: str, body: dict[str, Any]) -> None:
    assert server.post(path, {**body, "model": "tiny"}).error(400)["message"].startswith("Give ")


def test_similarity_of_sentences(server: Running, embedder: Embedder) -> None:
    sentences = ["fish sleep", "the red river"]
    inputs = {"source_sentence": "where fish sleep", "sentences": sentences}
    found = server.post("/similarity", {"inputs": inputs, "model": "tiny"}).json
    expected = embedder.similarity(
        embedder.encode(["where fish sleep"]), embedder.encode(sentences)
    )
    np.testing.assert_allclose(found, expected[0], atol=1e-5)
    long = " ".join(["fish"] * 60)
    body = {"inputs": {"source_sentence": "a", "sentences": [long]}, "model": "tiny"}
    server.post("/similarity", body).error(400)
    cut = server.post("/similarity", {**body, "parameters": {"truncate": True}})
    assert cut.headers["x-minnow-truncated"] == "1"
