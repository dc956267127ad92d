"""Server settings: safe defaults, and impossible values refused."""

from __future__ import annotations

from typing import Any

import pytest

from minnow.errors import ServeError
from minnow.serve.settings import Limits, Settings


def test_by_default_this_machine_alone_is_answered() -> None:
    settings = Settings()
    assert settings.is_loopback
    assert settings.hosts == {"localhost", "127.0.0.1", "::1"}
    assert settings.cors_origins == ()
    assert not settings.is_exposed


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("LocalHost", True),
     ("0.0.0.0", False), ("::", False), ("10.1.2.3", False), ("minnow.example", False)],
)  # fmt: skip
def test_a_server_that_others_reach_without_a_key_is_exposed(host: str, loopback: bool) -> None:
    assert Settings(host=host).is_loopback is loopback
    assert Settings(host=host).is_exposed is not loopback
    assert not Settings(host=host, api_key="key").is_exposed


def test_names_that_are_given_are_added_to_those_of_the_loopback() -> None:
    """A check of health on the machine itself goes on working."""
    given = ("A.example", "fe80::1")
    local = {"localhost", "127.0.0.1", "::1"}
    assert Settings(allowed_hosts=given).hosts == {*local, "a.example", "fe80::1"}
    assert Settings(host="10.0.0.1", allowed_hosts=given).hosts >= {*local, "10.0.0.1"}
    assert "*" not in Settings(host="0.0.0.0", allowed_hosts=given).hosts
    assert Settings(host="0.0.0.0").hosts == {"*"}
    assert Settings(host="127.0.0.2").hosts >= {"127.0.0.2", "localhost"}


def test_the_key_is_not_shown() -> None:
    assert "sesam" not in repr(Settings(api_key="sesam"))


@pytest.mark.parametrize(
    "wrong",
    [{"port": 65536}, {"port": -1}, {"api_key": " key"}, {"api_key": "a\nb"},
     {"api_key": "öffne"}, {"allowed_hosts": ("a.example:80",)}, {"allowed_hosts": ("[::1]",)},
     {"allowed_hosts": ("http://a.example",)}, {"allowed_hosts": ("",)},
     {"cors_origins": ("example.org",)}, {"cors_origins": ("https://example.org/",)},
     {"cors_origins": ("null",)}, {"cors_origins": ("file://",)},
     {"cors_origins": ("file:///a.html",)}, {"cors_origins": ("chrome-extension://*",)},
     {"cors_origins": ("https://*.example.org",)}, {"cors_origins": ("app:obsidian.md",)},
     {"cors_origins": ("app://",)}, {"cors_origins": ("app://a/b",)},
     {"cors_origins": ("tauri://a@b",)}, {"cors_origins": ("https://bücher.example",)},
     {"cors_origins": ("https://a.example, https://b.example",)},
     {"cors_origins": ("https://A.example",)}, {"cors_origins": ("https://a.example:443",)},
     {"cors_origins": ("",)}, {"grace_seconds": -1}, {"grace_seconds": float("nan")},
     {"grace_seconds": float("inf")}],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ServeError):
        Settings(**wrong)


@pytest.mark.parametrize(
    "origin",
    ["app://obsidian.md", "capacitor://localhost", "ionic://localhost", "tauri://localhost",
     "chrome-extension://abcdefghijklmnopabcdefghijklmnop", "vscode-file://vscode-app", "app://-",
     "moz-extension://0f2b0a5e-3c8e-4a6e-9c1f-2d9a4a5b6c7d", "vscode-webview://1a2b3c", "app://.",
     "safari-web-extension://9F3C0E1A-1111-2222-3333-444455556666", "http://tauri.localhost",
     "https://example.org", "http://localhost:5173", "http://[::1]:3000", "https://a.example:80"],
)  # fmt: skip
def test_origins_of_applications_are_taken(origin: str) -> None:
    assert Settings(cors_origins=(origin,)).cors_origins == (origin,)


@pytest.mark.parametrize("origin", ["null", "file://"])
def test_origins_that_any_page_can_have_are_explained(origin: str) -> None:
    with pytest.raises(ServeError, match="any such page could ask"):
        Settings(cors_origins=(origin,))


@pytest.mark.parametrize("name", vars(Limits()))
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ServeError, match=name):
        Limits(**{name: 0})
