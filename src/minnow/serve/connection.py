"""HTTP/1.1 connection of uvicorn, with limits on what a client sends before its key is checked."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from minnow.serve.errors import JSON, ApiError, bad_request

if TYPE_CHECKING:
    import asyncio

HEAD_BYTES = 65_536
"""Most bytes of a request's line and headers, or after its body, besides those of one read."""

_PIPELINED = 64
"""Requests that may wait on a connection for the answer to the one before."""


class Connection(HttpToolsProtocol):
    """Connection with limits on unfinished requests, which declines to switch protocols.

    A request's head has to arrive within the timeout of an idle connection.
    """

    _unread = 0
    _left = 0
    _watcher: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout that otherwise starts after a response."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def data_received(self, data: bytes) -> None:
        """Feed the parser; the timeout ends with a complete head, not with its first byte."""
        self._unread += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._decline(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._refuse(bad_request("The request is not valid HTTP/1.1."))
        else:
            if self._unread > HEAD_BYTES:
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                message = f"The headers are larger than {HEAD_BYTES} bytes."
                self._refuse(ApiError(status, message, "headers_too_large"))

    def on_message_begin(self) -> None:
        """Handle the parser's event: a request's first byte."""
        self._unread = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Handle the parser's event: a complete head. The parser wraps what this raises."""
        if self.parser.should_upgrade():
            return
        if len(self.pipeline) >= _PIPELINED:
            raise OverflowError
        self._unset_keepalive_if_required()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Handle the parser's event: a part of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Handle the parser's event: the end, which comes early where a protocol is offered."""
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Handle the end of an answer, which may still wait for its client to take it."""
        super().on_response_complete()
        if self._watcher is not None:
            self._watcher.cancel()
        self._left = 0
        self._watch()

    def _watch(self) -> None:
        """Drop an answer of which the client takes nothing within the timeout: it is in memory."""
        before, self._left = self._left, self.transport.get_write_buffer_size()
        if before and self._left >= before:
            self.transport.abort()
        elif self._left:
            self._watcher = self.loop.call_later(self.timeout_keep_alive, self._watch)

    def _decline(self, rest: bytes) -> None:
        """Parse a request again without its offer of a protocol, as RFC 9110, 7.8 allows.

        Java's own client offers HTTP/2 with every first request, and sends the body behind it.
        """
        kept = [header for header in self.headers if header[0] != b"upgrade"]
        if len(kept) == len(self.headers):
            self._refuse(bad_request("This server is not a proxy."))
            return
        version = self.parser.get_http_version().encode()
        head = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)
        lines = b"".join(b"%b: %b\r\n" % header for header in kept)
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(head + lines + b"\r\n" + rest)

    def _refuse(self, error: ApiError) -> None:
        """Close the connection, with a response unless one to another request is under way."""
        if self.cycle is None or self.cycle.response_complete:
            head = (
                f"HTTP/1.1 {error.status.value} {error.status.phrase}\r\n"
                f"content-type: {JSON}\r\ncontent-length: {len(error.content)}\r\n"
                "connection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + error.content)
        self.transport.close()
