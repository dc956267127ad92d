"""POST /v1/embeddings over HTTP: the embedder's vectors, in OpenAI's form."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.serving import JSON, KEY, read

if TYPE_CHECKING:
    from fakes.serving import Answer, Running
    from numpy.typing import NDArray

    from minnow import Embedder

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

TEXTS = ["how do fish sleep", "two small fish run in the river", "water", "no é 鱼 !", " "]
LONG = "fish " * 50


def vectors_of(answer: Answer) -> NDArray[np.float32]:
    assert answer.status == 200, answer.body
    rows = answer.json["data"]
    assert [row["index"] for row in rows] == list(range(len(rows)))
    if isinstance(rows[0]["embedding"], str):
        found = [np.frombuffer(base64.b64decode(row["embedding"]), "<f4") for row in rows]
        return np.stack(found)
    return np.array([row["embedding"] for row in rows], dtype=np.float32)


def close(found: NDArray[np.float32], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found, np.atleast_2d(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("form", ["float", "base64", None])
def test_vectors_are_the_embedders(server: Running, embedder: Embedder, form: str | None) -> None:
    close(vectors_of(server.embed(input=TEXTS, encoding_format=form)), embedder.encode(TEXTS))


def test_the_answer_is_openais(server: Running) -> None:
    found = server.embed(input="fish sleep").json
    assert {key: value for key, value in found.items() if key != "data"} == {
        "object": "list",
        "model": "tiny",
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    assert found["data"][0]["object"] == "embedding"
    assert len(found["data"]) == 1


def test_many_texts_of_all_lengths(server: Running, embedder: Embedder) -> None:
    texts = [" ".join(["fish"] * (1 + i % 16)) + f" {i}" for i in range(500)]
    close(vectors_of(server.embed(input=texts)), embedder.encode(texts))


def test_many_clients_at_once_each_get_their_own(server: Running, embedder: Embedder) -> None:
    texts = [f"fish {i} " + "river " * (i % 9) for i in range(120)]
    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda text: server.embed(input=text), texts))
    close(np.concatenate([vectors_of(answer) for answer in answers]), embedder.encode(texts))


class TestTokenIds:
    def test_ids_of_one_text_and_of_several(self, server: Running, embedder: Embedder) -> None:
        ids = embedder.token_ids(TEXTS)
        close(vectors_of(server.embed(input=ids)), embedder.encode(TEXTS))
        close(vectors_of(server.embed(input=ids[0])), embedder.encode(TEXTS[0]))

    def test_ids_from_tokenize_are_accepted(self, server: Running, embedder: Embedder) -> None:
        asked = {"model": "tiny", "input": TEXTS, "input_type": "query"}
        ids = [row["ids"] for row in server.post("/tokenize", asked).json["data"]]
        close(vectors_of(server.embed(input=ids)), embedder.encode_query(TEXTS))

    @pytest.mark.parametrize(
        ("ids", "words"),
        [
            ([11, 12], "does not begin with [2] and end with [3]"),
            ([2], "does not begin"),
            ([2, 11, 3, 0, 0], "does not begin"),
            ([2, 99_999, 3], "Token id 99999 of input[0]"),
            ([2, -1, 3], "Token id -1 of input[0]"),
            ([[2, 11, 3], []], "input[1] holds no token ids"),
            ([2, 10**30, 3], "Token id"),
        ],
    )
    def test_ids_of_another_tokenizer_are_refused(
        self, server: Running, ids: list[int], words: str
    ) -> None:
        """LangChain's OpenAIEmbeddings sends token ids unless configured otherwise."""
        error = server.embed(input=ids).error(400)
        assert words in error["message"]
        assert error["param"] == "input"

    def test_too_many_for_the_model(self, server: Running, embedder: Embedder) -> None:
        ids = [2, *[11] * 40, 3]
        assert server.embed(input=ids).error(400)["code"] == "context_length_exceeded"
        answer = server.embed(input=[[2, 11, 3], ids], truncate=True)
        assert answer.json["truncated"] == [1]
        whole = server.embed(input=[2, *[11] * 22, 3])
        close(vectors_of(answer)[1:], vectors_of(whole))

    def test_they_take_no_prompt(self, server: Running) -> None:
        answer = server.embed(input=[2, 11, 3], input_type="query")
        assert "cannot be put before token ids" in answer.error(400)["message"]


class TestDimensions:
    def test_the_first_numbers_at_length_1(self, server: Running, embedder: Embedder) -> None:
        found = vectors_of(server.embed(input=TEXTS, dimensions=8))
        expected = embedder.encode(TEXTS, truncate_dim=8, normalize_embeddings=True)
        close(found, expected)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)

    @pytest.mark.parametrize("dimensions", [0, -1, 33, 10**40, 1.5, "8", True])
    def test_others_are_refused(self, server: Running, dimensions: Any) -> None:
        assert server.embed(input="fish", dimensions=dimensions).error(400)["param"] == "dimensions"


class TestPrompts:
    @pytest.mark.parametrize("word", ["query", "search_query"])
    def test_of_questions(self, server: Running, embedder: Embedder, word: str) -> None:
        found = vectors_of(server.embed(input=TEXTS, input_type=word))
        close(found, embedder.encode_query(TEXTS))

    @pytest.mark.parametrize("word", ["document", "search_document", "passage"])
    def test_of_passages(self, server: Running, embedder: Embedder, word: str) -> None:
        found = vectors_of(server.embed(input=TEXTS, input_type=word))
        close(found, embedder.encode_document(TEXTS))

    def test_by_name(self, server: Running, embedder: Embedder) -> None:
        found = vectors_of(server.embed(input=TEXTS, prompt_name="red"))
        close(found, embedder.encode(TEXTS, prompt_name="red"))

    def test_prompts_count_as_tokens(self, server: Running) -> None:
        plain = server.embed(input="fish").json["usage"]["total_tokens"]
        assert server.embed(input="fish", prompt_name="red").json["usage"]["total_tokens"] > plain

    @pytest.mark.parametrize(
        "options",
        [{"prompt_name": "blue"}, {"input_type": "queries"},
         {"input_type": "query", "prompt_name": "red"}],
    )  # fmt: skip
    def test_others_are_refused(self, server: Running, options: dict[str, str]) -> None:
        server.embed(input="fish", **options).error(400)


class TestLongTexts:
    def test_they_are_refused(self, server: Running) -> None:
        error = server.embed(input=["fish", LONG]).error(400)
        assert error["message"].startswith("input[1] has 52 tokens; tiny takes 24,")
        assert error["code"] == "context_length_exceeded"

    def test_of_huge_ones_it_says_no_more_than_it_knows(self, server: Running) -> None:
        message = server.embed(input=LONG * 1000).error(400)["message"]
        assert message.startswith("input[0] has more than ")

    def test_or_cut_off_and_marked(self, server: Running, embedder: Embedder) -> None:
        answer = server.embed(input=["fish", LONG, LONG * 1000], truncate=True)
        assert answer.json["truncated"] == [1, 2]
        assert answer.headers["x-minnow-truncated"] == "2"
        close(vectors_of(answer), embedder.encode(["fish", LONG, LONG * 1000]))
        tokens = 3 + 24 + 24
        assert answer.json["usage"] == {
            "prompt_tokens": tokens, "total_tokens": tokens, "truncated": 2,
        }  # fmt: skip

    def test_the_server_can_be_set_to(self, strict: Running) -> None:
        key = {"Authorization": f"Bearer {KEY}"}
        answer = strict.post("/v1/embeddings", {"model": "tiny", "input": LONG}, **key)
        assert answer.json["truncated"] == [0]
        refused = {"model": "tiny", "input": LONG, "truncate": False}
        strict.post("/v1/embeddings", refused, **key).error(400)

    def test_short_ones_are_not_marked(self, server: Running) -> None:
        answer = server.embed(input="fish", truncate=True)
        assert "truncated" not in answer.json
        assert "x-minnow-truncated" not in answer.headers


class TestModels:
    def test_each_is_called_by_its_name(self, server: Running, embedder: Embedder) -> None:
        found = server.embed(model="pooled", input=TEXTS)
        assert found.json["model"] == "pooled"
        np.testing.assert_allclose(vectors_of(found), embedder.encode(TEXTS), atol=1e-5)

    def test_an_unknown_one(self, server: Running) -> None:
        error = server.embed(model="text-embedding-3-small", input="fish").error(404)
        assert error["code"] == "model_not_found"
        assert error["param"] == "model"
        assert "tiny, pooled" in error["message"]

    def test_the_list(self, server: Running) -> None:
        found = server.get("/v1/models").json
        assert found["object"] == "list"
        assert [model["id"] for model in found["data"]] == ["tiny", "pooled"]
        one = server.get("/v1/models/tiny").json
        assert one == found["data"][0]
        assert one["dimensions"] == 32
        assert one["max_tokens"] == 24
        assert one["prompts"] == ["query", "document", "red"]
        server.get("/v1/models/no").error(404)

    @pytest.mark.parametrize("name", ["org/tiny", "org%2Ftiny"])
    def test_a_name_may_be_one_of_the_hubs(self, indexed: Running, name: str) -> None:
        assert indexed.get(f"/v1/models/{name}").json["id"] == "org/tiny"
        assert indexed.embed(model="org/tiny", input="fish").json["model"] == "org/tiny"


BAD: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"fish",
    "cut off": b'{"model": "tiny", "input": "fi',
    "more behind it": b'{"model": "tiny", "input": "fish"} x',
    "NaN": b'{"model": "tiny", "input": NaN}',
    "infinity": b'{"model": "tiny", "input": [1e999]}',
    "null": b"null",
    "a list": b"[]",
    "a number": b"7",
    "no input": b'{"model": "tiny"}',
    "no model": b'{"input": "fish"}',
    "model is a number": b'{"model": 7, "input": "fish"}',
    "input is null": b'{"model": "tiny", "input": null}',
    "input is an object": b'{"model": "tiny", "input": {"a": 1}}',
    "an empty text": b'{"model": "tiny", "input": ""}',
    "an empty list": b'{"model": "tiny", "input": []}',
    "an empty text in a list": b'{"model": "tiny", "input": ["fish", ""]}',
    "an empty list of ids": b'{"model": "tiny", "input": [[]]}',
    "a mixture": b'{"model": "tiny", "input": ["fish", 7]}',
    "a mixture of lists": b'{"model": "tiny", "input": [[2, 3], "fish"]}',
    "texts in lists": b'{"model": "tiny", "input": [["fish"]]}',
    "true": b'{"model": "tiny", "input": [true]}',
    "floats": b'{"model": "tiny", "input": [1.5]}',
    "a huge number": b'{"model": "tiny", "input": [1' + b"0" * 5000 + b"]}",
    "not UTF-8": b'{"model": "tiny", "input": "\xff\xfe"}',
    "UTF-16": '{"model": "tiny", "input": "fish"}'.encode("utf-16"),
    "nested deeply": b'{"model": "tiny", "input": ' + b"[" * 100_000,
    "nested deeply, and whole": b'{"model": "tiny", "input": '
    + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "nested elsewhere": b'{"model": "tiny", "input": "a", "x": ' + b"[" * 9999 + b"]" * 9999 + b"}",
    "another encoding": b'{"model": "tiny", "input": "fish", "encoding_format": "int8"}',
    "NUL bytes": b"\0" * 64,
}  # fmt: skip


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_bad_bodies_are_reported_and_the_next_request_works(server: Running, body: bytes) -> None:
    line = server.connect()
    line.request("POST", "/v1/embeddings", body, JSON)
    error = read(line).error(400)
    assert error["type"] == "invalid_request_error"
    line.request("POST", "/v1/embeddings", b'{"model": "tiny", "input": "fish"}', JSON)
    assert read(line).status == 200
    line.close()


@pytest.mark.parametrize(
    ("half", "meant"),
    [
        (rb"\ud83d", rb"\ufffd"),
        (rb"\uDC1F", rb"\ufffd"),
        (b"\xed\xa0\xbd", rb"\ufffd"),
        (rb"\ud83d\ud83d\udc1f", "\ufffd🐟".encode()),
    ],
)
def test_half_of_a_surrogate_pair_costs_no_other_input(
    server: Running, half: bytes, meant: bytes
) -> None:
    """A splitter in JavaScript cuts an emoji in two, and JSON.stringify escapes the half."""
    line = server.connect()
    found = []
    for part in (half, meant):
        text = rb'["fish", "water ' + part + rb' river", "say \\ud83d"]'
        line.request("POST", "/v1/embeddings", b'{"model": "tiny", "input": ' + text + b"}", JSON)
        answer = read(line)
        assert answer.status == 200
        found.append([row["embedding"] for row in answer.json["data"]])
    line.close()
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"model": "tiny", "input": ["fish", "r\xefver"]}', "input[1]"),
        (b'{"model": "tiny", "input": "r\xefver"}', "input"),
    ],
)
def test_an_input_in_another_encoding_is_named(server: Running, body: bytes, place: str) -> None:
    line = server.connect()
    line.request("POST", "/v1/embeddings", body, JSON)
    error = read(line).error(400)
    line.close()
    assert error["message"] == f"{place} is not UTF-8. Encode the body as UTF-8."
    assert error["param"] == "input"


def test_unknown_fields_are_ignored_and_named(server: Running) -> None:
    """Clients send what other servers know; a typing error can be noticed."""
    body = {"input": "fish", "input_typ": "query", "drop\r\nX: params": {"a": [1]}, "é, b": None}
    answer = server.embed(**body)
    assert answer.json == server.embed(input="fish").json
    assert answer.headers["x-minnow-ignored"] == "input_typ, drop%0D%0AX%3A%20params, %C3%A9%2C%20b"
    assert "x-minnow-ignored" not in server.embed(input="fish", user="me").headers
    many = server.embed(input="fish", **{f"{i:099}": i for i in range(1000)})
    assert len(many.headers["x-minnow-ignored"]) < 500


def test_a_strict_server_refuses_them(strict: Running) -> None:
    body = {"model": "tiny", "input": "fish", "input_typ": "query"}
    error = strict.post("/v1/embeddings", body, Authorization=f"Bearer {KEY}").error(400)
    assert error["param"] == "input_typ"
    assert "`input_typ`" in error["message"]


def test_too_many_inputs(server: Running) -> None:
    error = server.embed(input=["fish"] * 2049).error(422)
    assert error["param"] == "input"
    assert "2048" in error["message"]
    assert server.embed(input=["fish"] * 2048).status == 200


def test_tokens_of_usage_are_those_computed(server: Running, embedder: Embedder) -> None:
    found = server.embed(input=TEXTS).json["usage"]
    assert found["prompt_tokens"] == sum(map(len, embedder.token_ids(TEXTS)))


def test_json_may_be_written_in_any_way(server: Running) -> None:
    body = json.dumps(
        {"input": "é 鱼", "user": "me", "model": "tiny", "dimensions": None}, indent=4
    )
    assert server.post("/v1/embeddings", body).status == 200
