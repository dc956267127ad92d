"""Reading a sealed bundle, and checking its files against the manifest."""

from __future__ import annotations

import errno
import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.sealed import MANIFEST_OF_A_TEST, OLD, a_run, contents, fail, make
from hypothesis import given, settings
from hypothesis import strategies as st

from minnow.bundle import (
    ENCODER,
    FORMAT,
    MANIFEST,
    TOKENIZER,
    Bundle,
    Manifest,
    Parity,
    ParityRun,
    seal,
    staging,
)
from minnow.errors import BundleError
from minnow.model.spec import Choices, EmbeddingSpec, EncoderSpec, Interface
from minnow.recipe import RECIPES, Recipe
from minnow.sealing import FileRecord, sha256

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "a.minnow")
    return tmp_path / "a.minnow"


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    change(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


class TestOpen:
    def test_what_was_sealed_is_read(self, folder: Path) -> None:
        bundle = Bundle.open(str(folder))

        assert bundle.folder == folder
        assert bundle.encoder.read_bytes() == b"old weights"
        assert bundle.size == sum(map(len, OLD.values()))
        assert replace(bundle.manifest, files={}) == MANIFEST_OF_A_TEST
        assert dict(bundle.manifest.files) == {
            name: FileRecord(len(content), sha256(folder / name)) for name, content in OLD.items()
        }

    def test_a_manifest_from_before_there_were_interfaces(self, folder: Path) -> None:
        change_manifest(folder, lambda manifest: manifest["recipe"].pop("interface"))
        manifest = Bundle.open(folder).manifest
        assert manifest.recipe.interface is Interface.LAST_HIDDEN_STATE
        assert manifest.output == "float32 of shape (batch, seq, 32), to be pooled"

    @pytest.mark.parametrize("normalize", [True, False])
    def test_the_interface_is_kept(self, folder: Path, normalize: bool) -> None:
        def change(manifest: dict[str, Any]) -> None:
            manifest["recipe"]["interface"] = "sentence_embedding"
            manifest["embedding"]["normalize"] = normalize

        change_manifest(folder, change)
        manifest = Bundle.open(folder).manifest
        assert manifest.recipe.interface is Interface.SENTENCE_EMBEDDING
        length = "of length 1" if normalize else "of any length"
        assert manifest.output == f"float32 of shape (batch, 32), {length}"

    @pytest.mark.parametrize("name", ["none", "none/such", "file", "a" * 5000, "nul\0"])
    def test_what_is_no_folder_is_no_bundle(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_text("a file")
        with pytest.raises(BundleError, match="is not a folder"):
            Bundle.open(tmp_path / name)

    def test_a_folder_without_a_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"is not a bundle: minnow\.json .*\(No such file"):
            Bundle.open(tmp_path)

    def test_a_manifest_that_is_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / MANIFEST).mkdir()
        with pytest.raises(BundleError, match="Is a directory"):
            Bundle.open(tmp_path)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"{}",
            b'{"format": 1}',
            b"\xff\xfe{}",
            b'{"format": "\xff"}',
            b"\0" * 100,
            b'{"format": ' + b"[" * 100_000,
            b'{"format": 1e400}',
        ],
    )
    def test_garbage(self, folder: Path, content: bytes) -> None:
        (folder / MANIFEST).write_bytes(content)
        with pytest.raises(BundleError, match="is not a manifest of a bundle") as caught:
            Bundle.open(folder)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("keep", [1, 40, 500])
    def test_a_manifest_that_is_cut_off(self, folder: Path, keep: int) -> None:
        (folder / MANIFEST).write_bytes((folder / MANIFEST).read_bytes()[:keep])
        with pytest.raises(BundleError, match="is not a manifest of a bundle"):
            Bundle.open(folder)

    @pytest.mark.parametrize(
        "change",
        [
            lambda m: m.pop("encoder"),
            lambda m: m.pop("files"),
            lambda m: m.update(encoder=[]),
            lambda m: m["encoder"].update(width="wide"),
            lambda m: m["encoder"].update(activation="sigmoid"),
            lambda m: m["embedding"].update(pooling="median"),
            lambda m: m["embedding"].update(prompts={"query": 5}),
            lambda m: m["parity"].update(runs=[]),
            lambda m: m["parity"]["runs"][0].update(worst=None),
            lambda m: m["files"].update({ENCODER: 5}),
            lambda m: m["files"].pop(ENCODER),
            lambda m: m["files"].pop(TOKENIZER),
        ],
    )
    def test_fields_that_are_wrong(
        self, folder: Path, change: Callable[[dict[str, Any]], object]
    ) -> None:
        change_manifest(folder, change)
        with pytest.raises(BundleError, match="is not a manifest of a bundle"):
            Bundle.open(folder)

    @pytest.mark.parametrize(
        "name",
        ["../secret", "/etc/passwd", "1_Pooling/../../secret", "C:\\secret", "..\\secret", "C:x"],
    )
    def test_a_path_that_leads_out_of_the_folder(self, folder: Path, name: str) -> None:
        change_manifest(folder, lambda m: m["files"].update({name: m["files"][ENCODER]}))
        with pytest.raises(BundleError, match="it lists"):
            Bundle.open(folder)

    def test_a_newer_format_has_its_own_message(self, folder: Path) -> None:
        """Even where nothing else in it is what this minnow knows."""
        (folder / MANIFEST).write_text(json.dumps({"format": FORMAT + 1, "all": "is different"}))
        with pytest.raises(BundleError, match=f"format {FORMAT + 1}.*Update minnow"):
            Bundle.open(folder)

    @pytest.mark.parametrize("version", [0, -1, None, "1", True, 1.5])
    def test_a_format_that_never_was(self, folder: Path, version: object) -> None:
        change_manifest(folder, lambda m: m.update(format=version))
        with pytest.raises(BundleError, match="is not a manifest of a bundle"):
            Bundle.open(folder)

    def test_a_format_that_is_missing(self, folder: Path) -> None:
        change_manifest(folder, lambda m: m.pop("format"))
        with pytest.raises(BundleError, match="its format is None"):
            Bundle.open(folder)


class TestCheckFiles:
    def test_an_intact_bundle_passes(self, folder: Path) -> None:
        assert contents(folder) == OLD

    @pytest.mark.parametrize("name", OLD)
    def test_a_changed_byte(self, folder: Path, name: str) -> None:
        path = folder / name
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
        with pytest.raises(BundleError, match=f"{name} has changed since it was sealed"):
            Bundle.open(folder).check_files()

    @pytest.mark.parametrize("content", [b"", b"old weight", b"old weights "])
    def test_another_size(self, folder: Path, content: bytes) -> None:
        (folder / ENCODER).write_bytes(content)
        with pytest.raises(BundleError, match=f"{len(content)} bytes, sealed were 11"):
            Bundle.open(folder).check_files()

    def test_all_faults_are_named_together(self, folder: Path) -> None:
        (folder / ENCODER).write_bytes(b"OLD WEIGHTS")
        (folder / TOKENIZER).unlink()
        (folder / "1_Pooling/config.json").unlink()
        (folder / "1_Pooling/config.json").mkdir()
        with pytest.raises(BundleError) as caught:
            Bundle.open(folder).check_files()
        message = str(caught.value)
        assert f"{ENCODER} has changed" in message
        assert f"{TOKENIZER} is missing" in message
        assert "config.json is missing" in message
        assert "\n" not in message

    def test_a_file_that_cannot_be_read(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bundle = Bundle.open(folder)
        fail(monkeypatch, Path, "open", OSError(errno.EIO, "Input/output error"))
        with pytest.raises(BundleError, match=r"cannot be read \(Input/output error\)"):
            bundle.check_files()

    def test_files_that_the_manifest_does_not_list_are_nobodys_business(self, folder: Path) -> None:
        (folder / "notes.txt").write_text("mine")
        Bundle.open(folder).check_files()


class TestParity:
    def test_worst_is_the_lowest_of_all_runs(self) -> None:
        runs = (a_run(0.9999, "a"), a_run(0.998, "b"), a_run(0.9995, "c"))
        assert Parity("r", 3, 0.9, runs).worst.worst_text == "b"

    @pytest.mark.parametrize("at", range(3))
    def test_nan_is_lower_than_any_cosine(self, at: int) -> None:
        runs = [a_run(-1.0, "a"), a_run(1.0, "b"), a_run(0.5, "c")]
        runs[at] = a_run(NAN, "nan")
        assert Parity("r", 3, 0.9, tuple(runs)).worst.worst_text == "nan"

    def test_a_proof_without_a_run_is_none(self) -> None:
        with pytest.raises(ValueError, match="without a run"):
            Parity("r", 3, 0.9, ())


def test_recipes_refuse_less_the_more_they_keep() -> None:
    assert RECIPES["fp32"].bar > RECIPES["fp16"].bar >= 0.9999


FINITE = st.floats(allow_nan=False, allow_infinity=False)
INTEGER = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.dictionaries(st.text(), st.text(), max_size=3)
RUNS = st.builds(
    ParityRun,
    threads=INTEGER,
    mean=FINITE,
    p5=FINITE,
    worst=FINITE,
    worst_shape=st.tuples(INTEGER, INTEGER),
)
ENCODERS = st.fixed_dictionaries(
    {name: INTEGER for name, kind in EncoderSpec.__annotations__.items() if kind == "int"}
).flatmap(
    lambda integers: st.builds(
        EncoderSpec, layer_norm_eps=FINITE, **{k: st.just(v) for k, v in integers.items()}
    )
)
MANIFESTS = st.builds(
    Manifest,
    encoder=ENCODERS,
    embedding=st.builds(
        EmbeddingSpec,
        max_tokens=INTEGER,
        lowercase=...,
        prompts=TEXTS,
        default_prompt_name=...,
        similarity=...,
        prompts_source=...,
    ),
    choices=st.builds(
        Choices,
        pooling=...,
        normalize=...,
        max_tokens=st.none() | INTEGER,
        query_prompt=...,
        document_prompt=...,
    ),
    recipe=st.builds(Recipe, bar=FINITE, graph=..., biz_code=...),
    parity=st.builds(
        Parity,
        texts=INTEGER,
        bar=FINITE,
        runs=st.lists(RUNS, min_size=1, max_size=3).map(tuple),
    ),
    tools=TEXTS,
)


@settings(max_examples=40)
@given(MANIFESTS)
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    with tempfile.TemporaryDirectory() as parent:
        destination = Path(parent) / "a.minnow"
        with staging(destination) as folder:
            (folder / ENCODER).write_bytes(b"weights")
            (folder / TOKENIZER).write_bytes(b"words")
            sealed = seal(folder, manifest, destination)
        opened = Bundle.open(destination)

    assert opened == sealed
    assert replace(opened.manifest, files={}) == manifest
    assert not math.isnan(opened.manifest.parity.worst.worst)
