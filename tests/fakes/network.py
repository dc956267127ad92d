"""A guard against network use."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def forbid_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test at its first attempt from here on to reach a machine, even this one."""

    def refusing(name: str) -> Callable[..., NoReturn]:
        def refuse(*args: object, **kwargs: object) -> NoReturn:
            pytest.fail(f"the network was touched: {name}{args}")

        return refuse

    for owner, name in (
        (socket.socket, "connect"),
        (socket.socket, "connect_ex"),
        (socket, "create_connection"),
        (socket, "getaddrinfo"),
    ):
        monkeypatch.setattr(owner, name, refusing(name))


WATCH = """
import sys

def _log_event(event, args):
    if event in ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"):
        sys.stderr.write(f"NETWORK {event} {args!r}\\n")

sys.addaudithook(_log_event)
"""
"""Put it first in a program of its own: what any thread of it asks of the network is on stderr.

A library may swallow the errors that `forbid_network` raises, and go on as if nothing was.
"""
