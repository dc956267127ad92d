from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
import pytest
from fakes.hub import FakeHub, Fault
from fakes.models import SHARDED_MODEL, SHARDS, WHOLE_MODEL, write_files
from fakes.network import forbid_network
from huggingface_hub import constants

from minnow.errors import (
    NetworkError,
    SourceError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.model.hub import HubRequest, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = HubRequest("acme/tiny")
COMMIT = "0123456789abcdef0123456789abcdef01234567"

GRAPHS = {
    "onnx/model.onnx": "graph",
    "onnx/model.onnx_data": "weights",
    "onnx/model_quantized.onnx": "another",
    "model.onnx": "older",
}

# Every text differs, since a file with the content of another is not downloaded again.
WANTED = WHOLE_MODEL | {
    name: f"the content of {name}"
    for name in (
        "config_sentence_transformers.json",
        "sentence_bert_config.json",
        "sentence_roberta_config.json",
        "sentence_distilbert_config.json",
        "sentence_camembert_config.json",
        "sentence_albert_config.json",
        "sentence_xlm-roberta_config.json",
        "sentence_xlnet_config.json",
        "2_Normalize/config.json",
        "2_Dense/model.safetensors",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "README.md",
        "LICENSE",
        "LICENSE[1].md",
        "NOTICE.txt",
    )
}

UNWANTED = {
    name: f"the content of {name}"
    for name in (
        *GRAPHS,
        ".gitattributes",
        "model.safetensors.index.json",
        "adapter.safetensors",
        "pytorch_model.bin",
        "tf_model.h5",
        "flax_model.msgpack",
        "rust_model.ot",
        "openvino/openvino_model.xml",
        "2_Dense/pytorch_model.bin",
        "train/1_Pooling/config.json",
    )
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.use(monkeypatch, tmp_path / "home")
        yield fake


class TestFiles:
    def test_only_needed_ones_are_downloaded(self, hub: FakeHub) -> None:
        commit = hub.add("acme/tiny", WANTED | UNWANTED)
        folder = snapshot_of(TINY)
        assert hub.downloads("acme/tiny") == sorted(WANTED)
        assert folder.name == commit
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert {p.relative_to(folder).as_posix(): p.read_text() for p in files} == WANTED

    def test_all_pages_of_the_listing_are_read(self, hub: FakeHub) -> None:
        hub.page_size = 10
        hub.add("acme/tiny", WANTED | UNWANTED)
        snapshot_of(TINY)
        assert hub.downloads("acme/tiny") == sorted(WANTED)

    @pytest.mark.parametrize(
        ("files", "graph"),
        [
            (GRAPHS, ["onnx/model.onnx", "onnx/model.onnx_data"]),
            ({"model.onnx": "older", "onnx/model_O2.onnx": "other"}, ["model.onnx"]),
            ({"onnx/model_O2.onnx": "other"}, []),
        ],
    )
    def test_the_authors_graph_comes_on_demand(
        self, hub: FakeHub, files: dict[str, str], graph: list[str]
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL | files)
        snapshot_of(HubRequest("acme/tiny", with_author_graph=True))
        assert hub.downloads("acme/tiny") == sorted([*WHOLE_MODEL, *graph])

    def test_shards_are_those_that_the_index_lists(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", SHARDED_MODEL | {"model-00003-of-00003.safetensors": "left over"})
        folder = snapshot_of(TINY)
        assert hub.downloads("acme/tiny") == sorted(SHARDED_MODEL)
        assert (folder / SHARDS[1]).read_text() == "second"

    def test_a_missing_shard_is_named(self, hub: FakeHub) -> None:
        hub.add(
            "acme/tiny", {name: text for name, text in SHARDED_MODEL.items() if name != SHARDS[0]}
        )
        with pytest.raises(SourceNotFoundError, match=f"acme/tiny lacks 1 of the 2 .*{SHARDS[0]}"):
            snapshot_of(TINY)
        assert SHARDS[1] not in hub.downloads("acme/tiny")

    @pytest.mark.parametrize(
        ("lacking", "error", "message"),
        [
            ("model.safetensors", UnsupportedModelError, "is a model whose weights are a pickle o"),
            ("config.json", SourceNotFoundError, r"has no config\.json"),
        ],
    )
    def test_nothing_is_downloaded_of_what_is_no_model(
        self, hub: FakeHub, lacking: str, error: type[SourceError], message: str
    ) -> None:
        files = WHOLE_MODEL | {"pytorch_model.bin": "pickle"}
        hub.add("acme/tiny", {name: text for name, text in files.items() if name != lacking})
        with pytest.raises(error, match=f"acme/tiny {message}"):
            snapshot_of(TINY)
        assert hub.downloads("acme/tiny") == []


class TestRevision:
    def test_is_the_default_branch_or_the_one_asked_for(self, hub: FakeHub) -> None:
        first = hub.add("acme/tiny", WHOLE_MODEL)
        second = hub.add("acme/tiny", WHOLE_MODEL | {"vocab.txt": "a"}, revision="refs/pr/1")
        assert snapshot_of(TINY).name == first
        assert snapshot_of(HubRequest("acme/tiny", "refs/pr/1")).name == second
        assert snapshot_of(HubRequest("acme/tiny", second)).name == second

    def test_is_pinned_before_the_download(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The branch moves on while the files are fetched."""
        first = hub.add("acme/tiny", WHOLE_MODEL)
        real = huggingface_hub.snapshot_download

        def move_on(*args: Any, **options: Any) -> str:
            hub.add("acme/tiny", WHOLE_MODEL | {"vocab.txt": "a"})
            return str(real(*args, **options))

        monkeypatch.setattr("minnow.model.hub.snapshot_download", move_on)
        assert snapshot_of(TINY).name == first

    def test_that_moved_on_is_fetched_but_for_unchanged_files(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        snapshot_of(TINY)
        hub.requests.clear()
        commit = hub.add("acme/tiny", WHOLE_MODEL | {"vocab.txt": "a"})
        assert snapshot_of(TINY).name == commit
        assert "model.safetensors" not in hub.downloads("acme/tiny")

    def test_that_is_unknown_is_named(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        with pytest.raises(SourceNotFoundError, match="no branch, tag or commit 'v9'"):
            snapshot_of(HubRequest("acme/tiny", "v9"))

    @pytest.mark.parametrize("answer", [{"id": "acme/tiny"}, {"id": "acme/tiny", "sha": "../up"}])
    def test_that_the_hub_does_not_tell_is_an_error(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, answer: dict[str, str]
    ) -> None:
        from fakes.hub import Reply

        monkeypatch.setattr(hub, "answer", lambda _: Reply(body=answer))
        with pytest.raises(NetworkError, match="does not state the commit"):
            snapshot_of(TINY)


class TestCache:
    @pytest.mark.parametrize("revision", ["main", "refs/pr/1"])
    @pytest.mark.parametrize("files", [WHOLE_MODEL, SHARDED_MODEL], ids=["whole", "sharded"])
    def test_is_enough_offline(
        self,
        hub: FakeHub,
        monkeypatch: pytest.MonkeyPatch,
        revision: str,
        files: dict[str, str],
    ) -> None:
        commit = hub.add("acme/tiny", files | {"pytorch_model.bin": "pickle"}, revision=revision)
        request = HubRequest("acme/tiny", revision)
        online = snapshot_of(request)
        forbid_network(monkeypatch)
        assert snapshot_of(request, offline=True) == online
        assert snapshot_of(HubRequest("acme/tiny", commit), offline=True) == online

    def test_is_enough_where_the_environment_says_offline(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        online = snapshot_of(TINY)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        forbid_network(monkeypatch)
        assert snapshot_of(TINY) == online

    def test_is_enough_for_a_commit_even_online(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit = hub.add("acme/tiny", WHOLE_MODEL)
        online = snapshot_of(TINY)
        forbid_network(monkeypatch)
        assert snapshot_of(HubRequest("acme/tiny", commit)) == online

    def test_is_completed_online_for_a_commit(self, hub: FakeHub) -> None:
        commit = hub.add("acme/tiny", WHOLE_MODEL | GRAPHS)
        (snapshot_of(TINY) / "model.safetensors").unlink()
        request = HubRequest("acme/tiny", commit, with_author_graph=True)
        folder = snapshot_of(request)
        assert (folder / "model.safetensors").exists()
        assert (folder / "onnx/model.onnx").read_text() == "graph"

    def test_that_is_empty_asks_to_go_online(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        forbid_network(monkeypatch)
        with pytest.raises(
            NetworkError, match=r"acme/tiny at revision main .* without `offline=True`"
        ):
            snapshot_of(TINY, offline=True)

    @pytest.mark.parametrize("lost", WHOLE_MODEL)
    def test_that_lost_a_file_names_it(self, hub: FakeHub, lost: str) -> None:
        pytest.importorskip("huggingface_hub._tree_cache", reason="0.x lists no files offline")
        hub.add("acme/tiny", WHOLE_MODEL)
        (snapshot_of(TINY) / lost).unlink()
        with pytest.raises(NetworkError, match=f"not fully, in the cache .*{lost}"):
            snapshot_of(TINY, offline=True)

    @pytest.mark.parametrize(
        ("files", "lost"),
        [
            (WHOLE_MODEL, "config.json"),
            (WHOLE_MODEL, "model.safetensors"),
            (SHARDED_MODEL, SHARDS[1]),
        ],
    )
    @pytest.mark.usefixtures("hub")
    def test_of_an_older_huggingface_hub_is_checked_too(
        self, files: dict[str, str], lost: str
    ) -> None:
        """It has no list of the repository's files."""
        cache = Path(constants.HF_HUB_CACHE) / "models--acme--tiny"
        write_files(cache, {"refs/main": COMMIT})
        folder = write_files(cache / "snapshots" / COMMIT, files)
        assert snapshot_of(TINY, offline=True) == folder
        (folder / lost).unlink()
        with pytest.raises(NetworkError, match=f"not fully, in the cache .*{lost}"):
            snapshot_of(TINY, offline=True)

    def test_a_cached_snapshot_without_the_graph_is_not_enough(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL | {"model.onnx": "older"})
        snapshot_of(TINY)
        with pytest.raises(NetworkError, match=r"no model\.onnx"):
            snapshot_of(HubRequest("acme/tiny", with_author_graph=True), offline=True)

    def test_does_not_need_the_licence(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", WHOLE_MODEL | {"LICENSE": "MIT", "README.md": "# Tiny"})
        folder = snapshot_of(TINY)
        (folder / "LICENSE").unlink()
        (folder / "README.md").unlink()
        assert snapshot_of(TINY, offline=True) == folder

    def test_keeps_the_last_whole_commit_of_a_branch(self, hub: FakeHub) -> None:
        first = hub.add("acme/tiny", WHOLE_MODEL)
        snapshot_of(TINY)
        hub.add("acme/tiny", WHOLE_MODEL | {"model.safetensors": "trained again"})
        hub.faults["GET", "model.safetensors"] = Fault(status=500)
        with pytest.raises(NetworkError, match=r"HTTP 500.*`offline=True` uses the cached copy"):
            snapshot_of(TINY)
        assert snapshot_of(TINY, offline=True).name == first


class TestInterruptedDownload:
    def test_is_taken_up_where_it_stopped(self, hub: FakeHub) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        hub.faults["GET", "model.safetensors"] = Fault(status=500)
        with pytest.raises(NetworkError, match=r"HTTP 500.*then run it again"):
            snapshot_of(TINY)
        with pytest.raises(NetworkError, match="cache"):
            snapshot_of(TINY, offline=True)
        cached = hub.downloads("acme/tiny")
        hub.faults.clear()
        hub.requests.clear()
        snapshot_of(TINY)
        again = hub.downloads("acme/tiny")
        assert "model.safetensors" in again
        assert set(cached) & set(again) <= {"model.safetensors"}

    def test_survives_a_broken_connection(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        hub.faults["GET", "model.safetensors"] = Fault(cut_after=100)
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 50)
        monkeypatch.setattr("time.sleep", lambda _: None)
        with contextlib.suppress(NetworkError):  # huggingface_hub 0.x needs to be run again
            snapshot_of(TINY)
        folder = snapshot_of(TINY)
        assert (folder / "model.safetensors").read_text() == WHOLE_MODEL["model.safetensors"]
        ranges = [
            r.headers.get("range") for r in hub.requests if r.path.endswith("model.safetensors")
        ]
        assert "bytes=100-" in ranges

    def test_can_be_stopped_by_the_user(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(*args: object, **options: object) -> str:
            raise (OSError if "local_files_only" in options else KeyboardInterrupt)

        hub.add("acme/tiny", WHOLE_MODEL)
        monkeypatch.setattr("minnow.model.hub.snapshot_download", stop)
        with pytest.raises(KeyboardInterrupt):
            snapshot_of(TINY)


class TestPrivacy:
    def test_nothing_but_the_requests_is_sent(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AGENT", "some-agent")
        hub.add("acme/tiny", WHOLE_MODEL)
        snapshot_of(TINY)
        assert all("acme/tiny" in request.path for request in hub.requests)
        agents = {request.headers["user-agent"] for request in hub.requests}
        assert not any("agent/" in agent or "torch" in agent for agent in agents)

    @pytest.mark.parametrize("before", [None, "0"])
    def test_telemetry_is_left_as_it_was(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, before: str | None
    ) -> None:
        if before is not None:
            monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", before)
        with pytest.raises(SourceNotFoundError):
            snapshot_of(TINY)
        assert os.environ.get("HF_HUB_DISABLE_TELEMETRY") == before
        assert constants.HF_HUB_DISABLE_TELEMETRY is False


class TestEnvironment:
    """In a child process, since huggingface_hub reads its environment when it is imported."""

    def resolve(self, environment: dict[str, str], *flags: str) -> list[str]:
        code = (
            "import sys; from minnow.model.source import resolve; "
            "source = resolve('acme/tiny', offline='--offline' in sys.argv); "
            "print(source.folder, source.revision)"
        )
        root = Path(__file__).parents[2] / "src"
        output = subprocess.run(
            [sys.executable, "-c", code, *flags],
            env={**environment, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
        )
        return (output.stdout or output.stderr.splitlines()[-1]).split()

    def test_home_endpoint_token_and_offline_are_honoured(
        self, hub: FakeHub, tmp_path: Path
    ) -> None:
        commit = hub.add("acme/tiny", WHOLE_MODEL, private=True)
        home = tmp_path / "elsewhere"
        online = self.resolve(hub.environment(home, HF_TOKEN=hub.token))
        folder = home / "hub" / "models--acme--tiny" / "snapshots" / commit
        assert online == [str(folder), commit]
        assert {request.authorization for request in hub.requests} == {f"Bearer {hub.token}"}
        hub.requests.clear()
        assert self.resolve(hub.environment(home, HF_HUB_OFFLINE="1")) == online
        assert self.resolve(hub.environment(home), "--offline") == online
        assert hub.requests == []

    def test_progress_stays_off_standard_output(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        assert len(self.resolve(hub.environment(tmp_path / "home"))) == 2
