from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from fakes.hub import FakeHub, Fault
from fakes.models import WHOLE_MODEL
from fakes.network import forbid_network
from huggingface_hub import constants

from minnow.errors import NetworkError, OutputError, SourceError, SourceNotFoundError
from minnow.model.hub import HubRequest, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TINY = HubRequest("acme/tiny")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.use(monkeypatch, tmp_path / "home")
        yield fake


class TestAccess:
    def test_token_is_sent_with_every_request(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL, private=True)
        monkeypatch.setenv("HF_TOKEN", hub.token)
        snapshot_of(TINY)
        assert {request.authorization for request in hub.requests} == {f"Bearer {hub.token}"}

    @pytest.mark.parametrize("token", [None, "hf_wrong"])
    def test_a_private_model_asks_for_a_token(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str | None
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL, private=True)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SourceNotFoundError, match="set HF_TOKEN"):
            snapshot_of(TINY)

    @pytest.mark.parametrize("token", [None, "hf_right"])
    def test_a_gated_model_tells_where_its_terms_are(
        self,
        hub: FakeHub,
        monkeypatch: pytest.MonkeyPatch,
        token: str | None,
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL, gated=True)
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SourceError, match=f"gated. Accept its terms at {hub.url}/acme/tiny"):
            snapshot_of(TINY)

    @pytest.mark.parametrize("token", [None, "hf_right"])
    def test_an_unknown_model_is_named(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, token: str | None
    ) -> None:
        if token:
            monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SourceNotFoundError, match="acme/tiny is neither a folder"):
            snapshot_of(TINY)

    @pytest.mark.parametrize("name", ["acme/ti ny", "acme--tiny", "-tiny", "x" * 97, "a\0b"])
    @pytest.mark.parametrize("offline", [False, True])
    def test_an_impossible_name_is_not_looked_up(
        self, monkeypatch: pytest.MonkeyPatch, hub: FakeHub, name: str, offline: bool
    ) -> None:
        forbid_network(monkeypatch)
        with pytest.raises(SourceNotFoundError, match="nor a possible name"):
            snapshot_of(HubRequest(name), offline=offline)


class TestFailure:
    def test_no_connection_is_one_line(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        hub.stop()
        with pytest.raises(NetworkError, match=r"\(Connection refused\)") as caught:
            snapshot_of(TINY)
        assert "\n" not in str(caught.value)
        assert "offline=" not in str(caught.value)

    def test_no_connection_recommends_the_cached_copy(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        snapshot_of(TINY)
        hub.stop()
        with pytest.raises(NetworkError, match="`offline=True` uses the cached copy"):
            snapshot_of(TINY)

    def test_a_slow_hub_is_given_up(self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        hub.faults["GET", "/revision/main"] = Fault(delay=1.0)
        monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.1)
        with pytest.raises(NetworkError, match="Check the connection"):
            snapshot_of(TINY)

    @pytest.mark.parametrize(
        ("status", "error", "message"),
        [
            (403, SourceError, "refuses access"),
            (404, SourceNotFoundError, "neither a folder"),
            (429, NetworkError, "HTTP 429"),
            (503, NetworkError, "HTTP 503"),
            (200, NetworkError, "Could not get acme/tiny"),
        ],
    )
    def test_of_the_hub_becomes_our_error(
        self, hub: FakeHub, status: int, error: type[SourceError], message: str
    ) -> None:
        hub.faults["GET", "/revision/main"] = Fault(status=status)
        with pytest.raises(error, match=message) as caught:
            snapshot_of(TINY)
        assert "\n" not in str(caught.value)

    def test_of_a_file_quotes_the_hub(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        hub.faults["HEAD", "config.json"] = Fault(status=403)
        with pytest.raises(SourceError, match="refuses access to acme/tiny: 403 Forbidden"):
            snapshot_of(TINY)

    def test_of_the_disk_names_the_place(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        cache = tmp_path / "a-file" / "hub"
        cache.parent.write_text("in the way")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        with pytest.raises(OutputError, match=f"Cannot write {cache}.* HF_HOME"):
            snapshot_of(TINY)

    @pytest.mark.parametrize(
        "error",
        [
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/cache/blobs"),
            RuntimeError("xet: No space left on device (os error 28)"),
        ],
    )
    def test_of_the_disk_is_distinguished_from_one_of_the_network(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def fail(*args: object, **options: object) -> str:
            raise error

        hub.add("acme/tiny", WHOLE_MODEL)
        monkeypatch.setattr("minnow.model.hub.snapshot_download", fail)
        with pytest.raises(OutputError) as caught:
            snapshot_of(TINY)
        assert caught.value.__cause__ is error
