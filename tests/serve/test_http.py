"""The server around its endpoints: keys, hosts, limits, health, metrics, log, and shutdown."""

from __future__ import annotations

import json
import signal
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.serving import JSON, KEY, Running, read, serving

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator

    from fakes.bundles import Tiny

    from minnow import Embedder

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

AUTHORIZED = {"Authorization": f"Bearer {KEY}"}
FISH = {"model": "tiny", "input": "fish"}
SECRET = "xyzzyplugh"

GATED = """
import os, time
from minnow.serve.models import ServedModel
def forward(self, lane, rows):
    while os.path.exists(os.environ["GATE"]):
        time.sleep(0.01)
    return real(self, lane, rows)
real, ServedModel.forward = ServedModel.forward, forward
"""
"""In the server's process: forward passes wait while a file is there."""

BROKEN = """
from minnow.serve.models import ServedModel
def forward(self, lane, rows):
    if len(rows[0]) == 5:
        raise RuntimeError("xyzzyplugh")
    return real(self, lane, rows)
real, ServedModel.forward = ServedModel.forward, forward
"""
"""In the server's process: texts of five tokens make it fail."""


def figure(server: Running, name: str) -> float:
    """Return a value of /metrics, or 0 if it does not exist yet."""
    lines = server.get("/metrics").body.decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


class TestKey:
    @pytest.mark.parametrize(
        "path",
        ["/v1/models", "/v1/models/tiny", "/info", "/nowhere", "/models", "/models/tiny/"],
    )
    def test_it_is_asked_for(self, strict: Running, path: str) -> None:
        answer = strict.get(path)
        assert answer.error(401)["code"] == "invalid_api_key"
        assert answer.headers["www-authenticate"] == "Bearer"
        assert strict.get(path, **AUTHORIZED).status == (404 if path == "/nowhere" else 200)

    @pytest.mark.parametrize(
        "given", ["Bearer no", "Bearer", "sesam", "Basic c2VzYW0=", "Bearer \xff", ""]
    )
    def test_a_wrong_one(self, strict: Running, given: str) -> None:
        strict.post("/v1/embeddings", FISH, Authorization=given).error(401)

    @pytest.mark.parametrize(
        "path",
        [
            "/health",
            "/health/ready",
            "/",
            "/openapi.json",
            "/healthz",
            "/livez",
            "/readyz/",
            "/ping",
        ],
    )
    def test_some_paths_need_none(self, strict: Running, path: str) -> None:
        assert strict.get(path).status == 200

    def test_a_refused_body_is_not_read(self, strict: Running) -> None:
        strict.post("/v1/embeddings", b"x" * 10_000).error(401)


class TestHost:
    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:80", "[::1]:80"])
    def test_names_of_this_machine(self, server: Running, host: str) -> None:
        assert server.get("/health", Host=host).status == 200

    @pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]"])
    def test_others_are_refused(self, server: Running, host: str) -> None:
        """A page elsewhere may have its own name point here."""
        assert server.get("/health", Host=host).error(403)["code"] == "host_not_allowed"


class TestOrigin:
    def test_none_is_allowed_by_default(self, server: Running) -> None:
        answer = server.get("/v1/models", Origin="https://example.org")
        assert not any(name.startswith("access-control") for name in answer.headers)

    def test_a_form_of_another_page_is_refused(self, server: Running) -> None:
        body = json.dumps(FISH)
        answer = server.ask("POST", "/v1/embeddings", body, {"Content-Type": "text/plain"})
        answer.error(415)

    def test_the_one_that_was_named(self, strict: Running) -> None:
        """OpenAI's client for JavaScript sends headers of its own from a browser."""
        asked = {
            "Origin": "https://example.org",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-stainless-lang",
        }
        answer = strict.ask("OPTIONS", "/v1/embeddings", headers=asked)
        assert answer.status == 200
        assert answer.headers["access-control-allow-origin"] == "https://example.org"
        asked["Origin"] = "app://obsidian.md"
        answer = strict.ask("OPTIONS", "/v1/embeddings", headers=asked)
        assert answer.headers["access-control-allow-origin"] == "app://obsidian.md"
        asked["Access-Control-Request-Private-Network"] = "true"  # a public page, this machine
        answer = strict.ask("OPTIONS", "/v1/embeddings", headers=asked)
        assert answer.headers["access-control-allow-private-network"] == "true"
        other = strict.ask("OPTIONS", "/v1/embeddings", headers={**asked, "Origin": "https://a.b"})
        assert "access-control-allow-origin" not in other.headers


def test_metrics_need_the_key_unless_they_are_public(strict: Running) -> None:
    from minnow.serve.routes import endpoints

    assert strict.get("/metrics").status == 200  # it has MINNOW_METRICS_PUBLIC
    assert not [
        each for each in endpoints(indexed=False) if each.path == "/metrics" and each.public
    ]


class TestLimits:
    def test_a_large_body(self, strict: Running) -> None:
        error = strict.post("/v1/embeddings", b"x" * 2001, **AUTHORIZED).error(413)
        assert "2000 bytes" in error["message"]

    def test_a_large_body_of_unknown_length(self, strict: Running) -> None:
        line = strict.connect()
        parts = (b"[" * 500 for _ in range(100))
        line.request("POST", "/v1/embeddings", parts, {**JSON, **AUTHORIZED}, encode_chunked=True)
        read(line).error(413)
        line.request("POST", "/v1/embeddings", json.dumps(FISH), {**JSON, **AUTHORIZED})
        assert read(line).status == 200
        line.close()

    def test_many_inputs(self, strict: Running) -> None:
        strict.post("/v1/embeddings", {**FISH, "input": ["fish"] * 5}, **AUTHORIZED).error(422)
        body = {"query": ["a"] * 2, "documents": ["fish"] * 3}
        error = strict.post("/similarity", body, **AUTHORIZED).error(422)
        assert error["message"].startswith("query and documents: 5 items are more than the 4 ")
        body = {"query": ["a"], "documents": ["fish"] * 3}
        assert strict.post("/similarity", body, **AUTHORIZED).status == 200

    def test_compressed_bodies(self, server: Running) -> None:
        server.post("/v1/embeddings", b"\x1f\x8b", **{"Content-Encoding": "gzip"}).error(415)


class TestOthers:
    @pytest.mark.parametrize("path", ["/nowhere", "/v1", "/embeddings//", "//", "/v1/models/a/b"])
    def test_no_such_path(self, server: Running, path: str) -> None:
        server.get(path).error(404)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
    def test_no_such_method(self, server: Running, method: str) -> None:
        answer = server.ask(method, "/v1/embeddings")
        answer.error(405)
        assert answer.headers["allow"] == "POST"

    @pytest.mark.parametrize("path", ["/embeddings", "/embeddings/", "/v1/embeddings/"])
    def test_other_paths_of_the_same(self, server: Running, path: str) -> None:
        """Clients differ in what they take for the base address; figures do not."""
        count = 'minnow_requests_total{route="/v1/embeddings",status="200"}'
        before = figure(server, count)
        assert server.post(path, FISH).json == server.post("/v1/embeddings", FISH).json
        assert figure(server, count) == before + 2
        assert server.get("/models/").json == server.get("/v1/models").json
        assert server.get("/models/tiny/").json == server.get("/v1/models/tiny").json

    @pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/ping", "/healthz/"])
    def test_paths_of_probes(self, server: Running, path: str) -> None:
        assert server.get(path).json == {"status": "ready", "models": ["tiny", "pooled"]}

    def test_tokenize(self, server: Running, embedder: Embedder) -> None:
        found = server.post("/tokenize", {"model": "tiny", "input": ["fish sleep", "fish " * 50]})
        rows = found.json["data"]
        assert [row["ids"] for row in rows] == embedder.token_ids(["fish sleep", "fish " * 50])
        assert rows[0]["tokens"] == ["[CLS]", "fish", "sleep", "[SEP]"]
        assert [row["count"] for row in rows] == [4, 52]
        assert [row["truncated"] for row in rows] == [False, True]

    def test_similarity(self, server: Running, embedder: Embedder) -> None:
        queries, documents = ["how do fish sleep", "water"], ["fish run", "river", "fish " * 50]
        body = {"model": "tiny", "query": queries, "documents": documents, "truncate": True}
        answer = server.post("/similarity", body)
        expected = embedder.similarity(
            embedder.encode_query(queries), embedder.encode_document(documents)
        )
        assert answer.json["scores"] == [pytest.approx(row, abs=1e-5) for row in expected.tolist()]
        assert answer.json["truncated_documents"] == [2]
        assert "truncated_queries" not in answer.json
        assert answer.headers["x-minnow-truncated"] == "1"

    def test_where_there_are_several_models_one_is_named(self, server: Running) -> None:
        server.post("/similarity", {"query": "a", "documents": ["b"]}).error(400)
        server.post("/tokenize", {"input": "a"}).error(400)

    def test_health_and_figures(self, server: Running) -> None:
        assert server.get("/health").json == {"status": "ready", "models": ["tiny", "pooled"]}
        assert server.get("/health/ready").status == 200
        before = figure(server, 'minnow_texts_total{model="tiny"}')
        assert server.embed(input=["fish", "water"]).status == 200
        assert figure(server, 'minnow_texts_total{model="tiny"}') == before + 2
        assert figure(server, "minnow_ready") == 1
        assert figure(server, "minnow_queue_texts") == 0
        assert figure(server, 'minnow_batch_texts_count{model="tiny"}') > 0
        assert b"_created" not in server.get("/metrics").body
        assert server.get("/metrics").headers["content-type"].startswith("text/plain; version=")


def test_the_log_holds_no_text(server: Running) -> None:
    for body in ({**FISH, "input": SECRET}, {**FISH, "input": [SECRET, 1]}, {**FISH, SECRET: 1}):
        server.post("/v1/embeddings", body)
    server.get(f"/{SECRET}?{SECRET}", **{"X-Fish": SECRET})
    server.ask(SECRET.upper(), "/health")
    time.sleep(0.1)
    log = server.log.read_text()
    assert " POST /v1/embeddings 400 " in log
    assert " GET other 404 " in log
    assert SECRET not in log.lower()


def test_an_internal_error_is_reported_without_the_text(served: Tiny, tmp_path: Path) -> None:
    with serving(tmp_path, served.bundle.folder, code=BROKEN) as server:
        error = server.embed(input="fish fish fish").error(500)
        assert error["type"] == "server_error"
        assert server.embed(input="fish").status == 200
        log = server.log.read_text()
    assert "RuntimeError" in log
    assert "/v1/embeddings failed at:" in log
    assert SECRET not in log


@dataclass(frozen=True)
class Gated:
    """A server whose forward passes can be held up."""

    server: Running
    gate: Path

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Hold up every forward pass until this ends."""
        self.gate.touch()
        try:
            yield
        finally:
            self.gate.unlink(missing_ok=True)

    @contextmanager
    def sent(self, *texts: str) -> Iterator[http.client.HTTPConnection]:
        """Send a request, and wait until it is queued or computed."""
        before = figure(self.server, "minnow_queue_texts")
        with closing(self.server.connect()) as line:
            line.request("POST", "/v1/embeddings", json.dumps({**FISH, "input": texts}), JSON)
            wait_for(lambda: figure(self.server, "minnow_queue_texts") == before + len(texts))
            yield line


@contextmanager
def gated(folder: Path, *arguments: object) -> Iterator[Gated]:
    gate = folder / "gate"
    env = {"GATE": str(gate)}
    with serving(folder, *arguments, "--threads", "1", code=GATED, env=env) as server:
        yield Gated(server, gate)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("it did not happen within 10 s")


class TestQueue:
    @pytest.fixture(scope="class")
    def slow(self, served: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gated]:
        folder = tmp_path_factory.mktemp("slow")
        limits = ("--max-queue-texts", "3", "--max-requests", "4")
        with gated(folder, served.bundle.folder, *limits) as running:
            yield running

    def test_a_full_queue(self, slow: Gated) -> None:
        with slow.closed(), slow.sent("fish") as one, slow.sent("a", "b") as two:
            answer = slow.server.embed(input="fish")
            assert answer.error(429)["code"] == "rate_limit_exceeded"
            assert int(answer.headers["retry-after"]) >= 1
            slow.gate.unlink()
            assert [read(line).status for line in (one, two)] == [200, 200]
        assert slow.server.embed(input="fish").status == 200

    def test_a_disconnected_client_frees_its_work(self, slow: Gated) -> None:
        before = figure(slow.server, "minnow_batch_texts_sum")
        with slow.closed(), slow.sent("fish") as kept:
            with slow.sent("a", "b"):
                assert figure(slow.server, "minnow_queue_texts") == 3
            wait_for(lambda: figure(slow.server, "minnow_queue_texts") == 1)
            slow.gate.unlink()
            assert read(kept).status == 200
        assert slow.server.embed(input="fish").status == 200
        assert figure(slow.server, "minnow_batch_texts_sum") == before + 2
        assert figure(slow.server, "minnow_cancelled_requests_total") == 1

    def test_too_many_requests(self, slow: Gated) -> None:
        """Those that are still being read count."""
        with ExitStack() as stack:
            for _ in range(4):
                line = stack.enter_context(closing(slow.server.connect()))
                line.putrequest("POST", "/v1/embeddings")
                line.putheader("Content-Type", "application/json")
                line.putheader("Content-Length", "100")
                line.endheaders()
            wait_for(lambda: figure(slow.server, "minnow_open_requests") == 4)
            slow.server.embed(input="fish").error(429)
        wait_for(lambda: figure(slow.server, "minnow_open_requests") == 0)
        assert slow.server.embed(input="fish").status == 200

    def test_too_many_large_bodies(self, served: Tiny, tmp_path: Path) -> None:
        """Each is within the limits; all of them together are not."""
        with (
            serving(tmp_path, served.bundle.folder, "--max-body-bytes", "1000") as server,
            ExitStack() as stack,
        ):
            for _ in range(16):
                line = stack.enter_context(closing(server.connect()))
                line.putrequest("POST", "/v1/embeddings")
                line.putheader("Content-Type", "application/json")
                line.putheader("Content-Length", "1000")
                line.endheaders(b" " * 999)
            wait_for(lambda: server.embed(input="fish").status == 429)
            assert server.embed(input="fish").headers["retry-after"] == "1"
            stack.close()
            wait_for(lambda: figure(server, "minnow_open_requests") == 0)
            assert server.embed(input="fish").status == 200


class TestTheEnd:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_started_requests_finish(self, served: Tiny, tmp_path: Path, number: int) -> None:
        with gated(tmp_path, served.bundle.folder) as slow:
            with slow.closed(), slow.sent("fish") as line:
                slow.server.process.send_signal(number)
                wait_for(lambda: not answers(slow.server))
                slow.gate.unlink()
                assert read(line).status == 200
            assert slow.server.process.wait(10) == 0
            assert slow.server.log.read_text() == ""

    def test_the_grace_period_ends(self, served: Tiny, tmp_path: Path) -> None:
        with gated(tmp_path, served.bundle.folder, "--grace-seconds", "0.2") as slow:
            with slow.closed(), slow.sent("fish") as line:
                slow.server.process.terminate()
                assert read(line).error(503)["code"] == "stopping"
            assert slow.server.process.wait(10) == 0

    def test_an_idle_connection_does_not_hold_it(self, served: Tiny, tmp_path: Path) -> None:
        with serving(tmp_path, served.bundle.folder) as server:
            line = server.connect()
            line.request("GET", "/health")
            assert read(line).status == 200
            server.process.terminate()
            assert server.process.wait(10) == 0
            line.close()


def answers(server: Running) -> bool:
    """Return whether the server accepts connections."""
    try:
        return server.get("/health").status == 200
    except OSError:
        return False
