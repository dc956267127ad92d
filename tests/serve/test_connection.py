"""Connections before a request is complete: limits without a key, and declined upgrades."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import pytest
from fakes.serving import serving

pytest.importorskip("httptools", reason="needs pip install 'minnow-embed[serve]'")

from minnow.serve.connection import HEAD_BYTES, Connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import Tiny
    from fakes.serving import Running

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

BODY = b'{"model": "tiny", "input": "fish"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HTTP2 = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\n"
)
WEBSOCKET = b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"


def head(*lines: bytes, method: bytes = b"POST", path: bytes = b"/v1/embeddings") -> bytes:
    """Return a request's line and headers."""
    first = b"%b %b HTTP/1.1\r\nHost: localhost\r\n" % (method, path)
    return first + b"Content-Type: application/json\r\n" + b"".join(lines) + b"\r\n"


def whole(*lines: bytes, body: bytes = BODY) -> bytes:
    return head(b"Content-Length: %d\r\n" % len(body), *lines) + body


@pytest.fixture
def line(server: Running) -> Iterator[http.client.HTTPConnection]:
    line = server.connect()
    line.connect()
    yield line
    line.close()


def answers(line: http.client.HTTPConnection, count: int) -> list[int]:
    """Return the statuses of the next responses; HTTPResponse would read beyond the first."""
    found, stream = [], line.sock.makefile("rb")
    for _ in range(count):
        found.append(int(stream.readline()[9:12]))
        length = 0
        while (header := stream.readline().strip().lower()) != b"":
            name, _, value = header.partition(b":")
            length = int(value) if name == b"content-length" else length
        stream.read(length)
    return found


def refused(line: http.client.HTTPConnection, status: int) -> None:
    """Check that the server closes the connection after an error in OpenAI's form."""
    found = http.client.HTTPResponse(line.sock)
    found.begin()
    assert found.status == status
    assert json.loads(found.read())["error"]["type"] == "invalid_request_error"
    assert line.sock.recv(1) == b""


def test_what_is_not_http(line: http.client.HTTPConnection) -> None:
    line.sock.sendall(b"fish sleep\r\n\r\n")
    refused(line, 400)


def test_it_is_no_proxy(line: http.client.HTTPConnection) -> None:
    line.sock.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    refused(line, 400)


@pytest.mark.parametrize("offer", [HTTP2, WEBSOCKET], ids=["http2", "websocket"])
@pytest.mark.parametrize("parts", [1, 2, 99])
def test_an_offer_of_another_protocol_is_declined(
    line: http.client.HTTPConnection, offer: bytes, parts: int
) -> None:
    """Java's client makes one with its first request, and the body follows."""
    sent = whole(offer)
    size = -(-len(sent) // parts)
    for start in range(0, len(sent), size):
        line.sock.sendall(sent[start : start + size])
        time.sleep(0.001)
    assert answers(line, 1) == [200]
    line.sock.sendall(head(offer, method=b"GET", path=b"/health") + whole())
    assert answers(line, 2) == [200, 200]


def test_an_offer_before_a_body_in_chunks(line: http.client.HTTPConnection) -> None:
    line.sock.sendall(head(CHUNKED, HTTP2) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY) + whole())
    assert answers(line, 2) == [200, 200]


def test_requests_may_follow_each_other_at_once(line: http.client.HTTPConnection) -> None:
    line.sock.sendall(whole() + whole(body=b"{") + head(method=b"GET", path=b"/no") + whole())
    assert answers(line, 4) == [200, 400, 404, 200]


def until_it_hangs_up(line: http.client.HTTPConnection, part: bytes) -> int:
    """Return the number of bytes that could be sent."""
    sent = 0
    line.sock.settimeout(5)
    try:
        while sent < 64 * 2**20:
            line.sock.sendall(part)
            sent += len(part)
    except OSError:
        return sent
    pytest.fail("it takes 64 MiB")


ENDLESS = {
    "many headers": (head()[:-2], b"X-Fish: fish\r\n" * 1000),
    "a long header": (head()[:-2] + b"X-Fish: ", b"fish" * 1000),
    "a long path": (b"GET /", b"fish" * 1000),
    "empty lines": (b"", b"\r\n" * 1000),
    "trailers": (head(CHUNKED) + b"0\r\n", b"X-Fish: fish\r\n" * 1000),
    "a long chunk's name": (head(CHUNKED) + b"1;", b"fish" * 1000),
    "requests that are not waited for": (b"", head(method=b"GET", path=b"/health") * 100),
}


@pytest.mark.parametrize(("first", "then"), ENDLESS.values(), ids=ENDLESS.keys())
def test_what_has_no_end_is_cut_off(
    server: Running, line: http.client.HTTPConnection, first: bytes, then: bytes
) -> None:
    line.sock.sendall(first)
    assert until_it_hangs_up(line, then) < 32 * 2**20
    assert server.get("/health").status == 200


def test_large_headers_are_reported(line: http.client.HTTPConnection) -> None:
    line.sock.sendall(head()[:-2])
    time.sleep(0.1)
    line.sock.sendall(b"X-Fish: %b\r\n" % (b"a" * HEAD_BYTES))
    refused(line, 431)


def test_large_bodies_in_small_chunks_are_no_headers(line: http.client.HTTPConnection) -> None:
    text = json.dumps({"model": "tiny", "input": ["fish"] * 2000}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % letter for letter in text)
    line.sock.sendall(head(CHUNKED) + chunks + b"0\r\n\r\n")
    assert answers(line, 1) == [200]


class TestPatience:
    @pytest.fixture(scope="class")
    def hasty(self, served: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
        code = "from minnow.serve import server\nserver._IDLE_SECONDS = 1"
        with serving(tmp_path_factory.mktemp("hasty"), served.bundle.folder, code=code) as running:
            yield running

    @pytest.mark.parametrize("sent", [b"", b"POST /v1", head()[:-2], whole() + b"GET"])
    def test_an_idle_client_is_not_waited_for(self, hasty: Running, sent: bytes) -> None:
        line = hasty.connect(timeout=10)
        line.connect()
        line.sock.sendall(sent)
        started = time.monotonic()
        while line.sock.recv(65536):
            pass
        assert 0.5 < time.monotonic() - started < 5
        line.close()

    def test_a_slow_head_is_not_waited_for(self, hasty: Running) -> None:
        line = hasty.connect()
        line.connect()
        line.sock.sendall(head()[:-2] + b"X-Fish: ")
        line.sock.settimeout(0.1)
        for _ in range(100):
            line.sock.sendall(b"a")
            with suppress(TimeoutError):
                assert line.sock.recv(1) == b""
                break
        else:
            pytest.fail("it waits for ever")
        line.close()

    def test_but_a_body_is(self, hasty: Running) -> None:
        line = hasty.connect()
        line.connect()
        sent = whole()
        line.sock.sendall(sent[:-5])
        time.sleep(1.5)
        line.sock.sendall(sent[-5:])
        assert answers(line, 1) == [200]
        line.close()


class FakeTransport:
    """Holds so many bytes of an answer at each look."""

    def __init__(self, *sizes: int) -> None:
        self.sizes, self.is_aborted = iter(sizes), False

    def get_write_buffer_size(self) -> int:
        return next(self.sizes)

    def abort(self) -> None:
        self.is_aborted = True


@pytest.mark.parametrize(
    ("sizes", "drops"),
    [
        ((0,), False),  # sent at once
        ((900, 900), True),  # nothing was taken within the timeout
        ((900, 1200), True),
        ((900, 500, 100, 0), False),  # slowly, but whole
        ((900, 500, 500), True),
    ],
)
def test_an_answer_is_dropped_where_its_client_takes_nothing(
    sizes: tuple[int, ...], *, drops: bool
) -> None:
    """It lies in the server's memory, and no other limit counts it."""
    transport, calls = FakeTransport(*sizes), 0

    async def look() -> None:
        nonlocal calls
        connection = Connection.__new__(Connection)
        connection.loop, connection.transport = asyncio.get_running_loop(), cast("Any", transport)
        connection.timeout_keep_alive = 0
        connection._watch()
        while connection._watcher is not None and not connection._watcher.cancelled():
            calls += 1
            await asyncio.sleep(0.01)
            if calls > len(sizes):
                break

    asyncio.run(look())
    assert transport.is_aborted is drops
    assert next(transport.sizes, None) is None


def test_half_a_body_at_the_end_is_told_so(served: Tiny, tmp_path: Path) -> None:
    """The end of the server cancelled what was read, with a traceback for each."""
    with serving(tmp_path, served.bundle.folder, "--grace-seconds", "0.5") as server:
        line = server.connect()
        line.connect()
        line.sock.sendall(whole()[:-5])
        assert server.get("/health").status == 200
        time.sleep(0.2)
        server.process.terminate()
        assert answers(line, 1) == [503]
        server.process.wait(20)
        assert server.log.read_text() == ""
        line.close()
