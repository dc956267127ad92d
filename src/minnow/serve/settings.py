"""Settings of a server, declared once for Python, the command line and the environment."""

from __future__ import annotations

import ipaddress
import re
import sys
from dataclasses import dataclass, field, fields
from typing import Any

from minnow.errors import ServeError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = "*"


def setting(default: Any, help_: str, *, show: bool = True, **bounds: float) -> Any:
    """Declare a setting that is an option of the command line and an environment variable too.

    Args:
        default: Its value where it is not given.
        help_: The command line's help.
        show: Whether its value may be shown; False for a secret.
        **bounds: The least and the greatest value, `min` and `max`.
    """
    option = {"help": help_, "show_default": show, **bounds}
    return field(default=default, repr=show, metadata=option)


def check_bounds(settings: Settings | Limits) -> None:
    """Refuse numbers outside of what their fields declare.

    Raises:
        ServeError: One is, or is not finite.
    """
    for each in fields(settings):
        value, low, high = (getattr(settings, each.name), *map(each.metadata.get, ("min", "max")))
        if low is not None and not low <= value <= (sys.float_info.max if high is None else high):
            allowed = f"a finite number of at least {low}" if high is None else f"{low} to {high}"
            raise ServeError(f"`{each.name}={value}` should be {allowed}.")


@dataclass(frozen=True)
class Limits:
    """Largest sizes of one request, and of all that wait or are computed."""

    max_body_bytes: int = setting(16_000_000, "Most bytes of a request's body.", min=1)
    max_inputs: int = setting(2048, "Most inputs of a request; OpenAI allows 2048.", min=1)
    max_queue_tokens: int = setting(
        524_288, "Most tokens that wait or are computed, of all requests.", min=1
    )
    max_queue_texts: int = setting(
        16_384, "Most texts that wait or are computed, of all requests.", min=1
    )
    max_requests: int = setting(1024, "Most requests that are open at once.", min=1)
    max_body_seconds: float = setting(
        30.0, "Most seconds that a request's body may take to arrive.", min=0.001
    )

    def __post_init__(self) -> None:
        """Refuse limits that no request could keep."""
        check_bounds(self)


@dataclass(frozen=True)
class Settings:
    """Address, keys and limits of a server.

    The text of each field is the help of its command-line option.
    """

    host: str = setting(
        "127.0.0.1", "Listen at this address; the default serves this machine only."
    )
    port: int = setting(8080, "Listen at this port; 0 takes a free one.", min=0, max=65535)
    api_key: str = setting(
        "",
        "Ask clients for this key. Other users of this machine can read a command line: the "
        "variable or a file is safer.",
        show=False,
    )
    cors_origins: tuple[str, ...] = setting(
        (),
        "Let pages of this origin ask from a browser, such as https://example.org or "
        "app://obsidian.md; * for all. May be repeated.",
    )
    allowed_hosts: tuple[str, ...] = setting(
        (),
        "Answer requests to this host name, besides localhost and the address; * for all. By "
        "default no other, and any where the server listens beyond localhost. May be repeated.",
    )
    truncate: bool = setting(
        False, "Cut off texts over the model's limit where a request does not say, and mark them."
    )
    strict: bool = setting(
        False, "Refuse requests with unknown fields, rather than ignore them and name them."
    )
    metrics_public: bool = setting(False, "Give GET /metrics without the key.")
    grace_seconds: float = setting(30.0, "Give open requests this long to finish.", min=0)
    lean: bool = setting(
        False, "Take less memory: one session of MNN for each model; many texts take longer."
    )
    idle_seconds: float = setting(
        600.0,
        "Free the memory of a model on MNN that nobody asks for this long; the next request loads "
        "it again. 0: never.",
        min=0,
    )
    on_demand: bool = setting(
        False, "Free a model on MNN once it is checked at the start; the first request loads it."
    )
    access_log: bool = setting(False, "Log every request on stderr: route, status, time.")
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        """Refuse values that would open the server less, or more, than intended."""
        check_bounds(self)
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
            check_origin(origin)

    @property
    def hosts(self) -> frozenset[str]:
        """Host names that requests may use, in lower case; "*" stands for all."""
        if not self.allowed_hosts and not self.is_loopback:
            return frozenset({ANY})
        return frozenset(map(str.lower, (*LOOPBACK, self.host, *self.allowed_hosts)))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    @property
    def is_exposed(self) -> bool:
        """Whether other machines can use the server without a key."""
        return not (self.is_loopback or self.api_key)


def _is_host(text: str) -> bool:
    """Return whether a Host header could hold the text, without port and brackets."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(text) and not set(text) & set(":/[]@ ")
    return True


_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.I)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def check_origin(text: str) -> None:
    """Check that a browser could send a text as its Origin, and that it names one application.

    The scheme may be any: desktop and phone applications and browser extensions have their own,
    such as app:, tauri:, capacitor: and chrome-extension:.

    Raises:
        ServeError: It is no origin, or one that pages of any source share.

    Source: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin
    """
    if text == ANY:
        return
    if text == "null" or text.lower().startswith("file:"):
        raise ServeError(
            f"{text} is the origin of every file that a browser opens (and null that of every page "
            "in a sandbox), so any such page could ask. Serve the page at an address of its own, "
            "such as http://localhost:8000, and name that."
        )
    if "*" in text:
        raise ServeError(
            f"{text} has a wildcard. Name each origin in full; only * alone stands for all."
        )
    found = _ORIGIN.fullmatch(text)
    if found is None:
        raise ServeError(
            f"{text} is not an origin as browsers send it: a scheme and a host, such as "
            "https://example.org or app://obsidian.md, without a path or a slash at its end, and "
            "in ASCII (xn--...)."
        )
    scheme, host, port = found.groups()
    sent = f"{scheme.lower()}://{host}"
    if scheme.lower() in _DEFAULT_PORTS:
        sent = sent.lower()
        port = "" if port == _DEFAULT_PORTS[scheme.lower()] else port
    if text != sent + (port or ""):
        raise ServeError(f"{text} is not as browsers send it: write {sent}{port or ''}.")
