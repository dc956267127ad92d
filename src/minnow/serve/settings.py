"""What a server is told: where it listens, whom it answers, how much it takes."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from math import inf
from urllib.parse import urlsplit

from minnow.errors import ServeError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = "*"


@dataclass(frozen=True)
class Limits:
    """What is taken of one request, and what may wait.

    Attributes:
        body_bytes: The largest body.
        inputs: Most texts of a request; OpenAI's own limit is 2048.
        queue_tokens: Most tokens that wait or are computed, of all requests together.
        queue_texts: Most texts likewise.
        requests: Most requests that are read or answered at once.
        body_seconds: A body that has not come by then is not waited for.
    """

    body_bytes: int = 16_000_000
    inputs: int = 2048
    queue_tokens: int = 524_288
    queue_texts: int = 16_384
    requests: int = 1024
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        """Refuse limits that no request could keep."""
        for name, value in vars(self).items():
            if not value > 0:
                raise ServeError(f"The limit {name} should be above 0, not {value}.")


@dataclass(frozen=True)
class Settings:
    """All of it.

    Attributes:
        host: The address to listen at; by default this machine alone can reach it.
        port: 0 takes one that is free.
        api_key: What a client has to show, in ASCII; empty where none is asked for.
        cors_origins: Origins whose pages may ask from a browser; "*" is all.
        allowed_hosts: Names that a request may call this server by, besides those of the
            loopback and `host`; without any, all are, unless it listens at the loopback.
        truncate: Cut off texts over the limit where a request does not say; otherwise refuse.
        limits: How much it takes.
        grace_seconds: How long requests may go on once it is told to stop.
        access_log: Tell of every request on stderr: its route and outcome, none of its text.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    api_key: str = field(default="", repr=False)
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    truncate: bool = False
    limits: Limits = Limits()
    grace_seconds: float = 30.0
    access_log: bool = False

    def __post_init__(self) -> None:
        """Refuse what would open less, or more, than was meant."""
        if not 0 <= self.port <= 65535:
            raise ServeError(f"A port is 0 to 65535, not {self.port}.")
        if not 0 <= self.grace_seconds < inf:
            raise ServeError(f"The time to finish is 0 seconds or more, not {self.grace_seconds}.")
        key = self.api_key
        if not (key.isascii() and key.isprintable()) or key != key.strip():
            raise ServeError(
                "The key has white space around it, or characters that are not ASCII or do not "
                "print: clients cannot send it in a header."
            )
        for host in self.allowed_hosts:
            if host != ANY and not _is_host(host):
                raise ServeError(f"{host} is not the name of a host: leave out scheme and port.")
        for origin in self.cors_origins:
            if origin != ANY and not _is_origin(origin):
                raise ServeError(
                    f"{origin} is not an origin: a scheme and a host, such as https://example.org, "
                    "without a path."
                )

    @property
    def hosts(self) -> frozenset[str]:
        """Names that a request may call this server by, lower case; "*" is all."""
        if not self.allowed_hosts and not self.is_loopback:
            return frozenset({ANY})
        return frozenset(map(str.lower, (*LOOPBACK, self.host, *self.allowed_hosts)))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever starts it should know."""
        if self.is_loopback or self.api_key:
            return ()
        return (
            f"{self.host} can be reached from other machines, and no key is set: anyone who "
            "reaches it can use it. Set `api_key_file=` or the variable MINNOW_API_KEY.",
        )


def _is_host(text: str) -> bool:
    """Whether it could stand in a Host header, before the port and without brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(text) and not set(text) & set(":/[]@ ")
    return True


def _is_origin(text: str) -> bool:
    """Whether a browser could send it as its Origin."""
    parts = urlsplit(text)
    rest = (parts.path, parts.query, parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.netloc) and not any(rest)
