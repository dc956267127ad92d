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
