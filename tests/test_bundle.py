"""Reading a sealed bundle, and checking its files against the manifest."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from fakes.sealed import (
    MANIFEST_OF_A_TEST,
    OLD,
    a_run,
    change_record,
    contents,
    make,
    set_in_record,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from minnow import sealing
from minnow.bundle import Bundle, seal, staging
from minnow.errors import BundleError
from minnow.manifest import ENCODER, FORMAT, MANIFEST, TOKENIZER, Manifest
from minnow.model.spec import Choices, EmbeddingSpec, EncoderSpec, Interface
from minnow.parity import Parity, ParityRun
from minnow.recipe import RECIPES, Graph, Precision, Recipe
from minnow.records import replace
from minnow.sealing import FileRecord, sha256

if TYPE_CHECKING:
    from collections.abc import Callable

NAN = float("nan")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path / "a.minnow")
    return tmp_path / "a.minnow"


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, and give it a new digest."""
    change_record(folder / MANIFEST, change)


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


class TestDigest:
    def test_every_changed_byte_is_noticed(self, folder: Path) -> None:
        path = folder / MANIFEST
        content = path.read_bytes()
        for at in range(len(content)):
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
            with pytest.raises(BundleError) as caught:
                Bundle.open(folder)
            assert "\n" not in str(caught.value)
        path.write_bytes(content)
        assert Bundle.open(folder).manifest.embedding.max_tokens == 24

    @pytest.mark.parametrize(("old", "new"), [(b"24", b"23"), (b" ", b"  "), (b"}\n", b"}")])
    def test_other_content_is_noticed(self, folder: Path, old: bytes, new: bytes) -> None:
        content = (folder / MANIFEST).read_bytes()
        (folder / MANIFEST).write_bytes(new.join(content.rsplit(old, 1)))
        with pytest.raises(BundleError, match=r"has changed since it was sealed\. Copy"):
            Bundle.open(folder)

    def test_the_digest_is_of_the_bytes_with_zeros_in_its_place(self, folder: Path) -> None:
        content = (folder / MANIFEST).read_bytes()
        digest = json.loads(content)["digest"].encode()
        assert hashlib.sha256(content.replace(digest, b"0" * 64)).hexdigest().encode() == digest

    def test_a_manifest_from_before_there_were_digests(self, folder: Path) -> None:
        values = json.loads((folder / MANIFEST).read_text())
        del values["digest"]
        (folder / MANIFEST).write_text(json.dumps(values))
        assert replace(Bundle.open(folder).manifest, files={}) == MANIFEST_OF_A_TEST

    def test_names_that_are_unknown_or_come_twice(self, folder: Path) -> None:
        text = json.dumps({**json.loads((folder / MANIFEST).read_text())})
        without = text[: text.index(', "digest"')]
        for more, reason in ((', "digesu": ""}', "does not know"), (', "format": 1}', "twice")):
            (folder / MANIFEST).write_text(without + more)
            with pytest.raises(BundleError, match=reason):
                Bundle.open(folder)


class TestNumbers:
    @pytest.mark.parametrize(
        ("part", "name", "values"),
        [
            ("encoder", "width", [-1, 0, 2**31]),
            ("encoder", "heads", [0]),
            ("encoder", "pad_token_id", [10**12, 99, -1]),
            ("encoder", "position_offset", [-1, 40]),
            ("encoder", "layer_norm_eps", [-1.0, 2.0]),
            ("embedding", "max_tokens", [0, -5, 41, 10**18]),
        ],
    )
    def test_numbers_out_of_range(
        self, folder: Path, part: str, name: str, values: list[float]
    ) -> None:
        for value in values:
            set_in_record(folder / MANIFEST, part, name, value)
            with pytest.raises(BundleError, match=f"{name} is {value}") as caught:
                Bundle.open(folder)
            assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("number", ["1e30", "1e400", "-1e400", "1" * 5000, "NaN", "Infinity"])
    def test_numbers_that_are_none(self, folder: Path, number: str) -> None:
        text = (folder / MANIFEST).read_text()
        changed = text.replace('"max_tokens": 24', f'"max_tokens": {number}')
        (folder / MANIFEST).write_text(changed)
        with pytest.raises(BundleError, match="is not a manifest of a bundle"):
            Bundle.open(folder)

    def test_a_manifest_that_could_not_be_opened_is_not_sealed(self, tmp_path: Path) -> None:
        manifest = replace(MANIFEST_OF_A_TEST, parity=Parity("r", 1, 0.9, (a_run(NAN),)))
        with staging(tmp_path / "a") as staged:
            for name in (ENCODER, TOKENIZER):
                (staged / name).write_bytes(b"")
            with pytest.raises(BundleError, match="is not a manifest"):
                seal(staged, manifest, tmp_path / "a")
        assert list(tmp_path.iterdir()) == []


class TestPipes:
    @pytest.mark.parametrize("name", [MANIFEST, *OLD])
    def test_a_pipe_in_a_files_place_is_refused_at_once(self, folder: Path, name: str) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)
        with pytest.raises(BundleError, match=f"{name} (is missing|cannot be read .it is a named)"):
            Bundle.open(folder).check_files()

    def test_a_socket_and_a_huge_file(self, folder: Path) -> None:
        with (folder / MANIFEST).open("ab") as file:
            file.truncate(1 << 40)
        with pytest.raises(BundleError, match="larger than 16 MB"):
            Bundle.open(folder)
        (folder / MANIFEST).unlink()
        with socket.socket(socket.AF_UNIX) as listener:
            here = Path.cwd()
            os.chdir(folder)  # the path of a socket may have 100 bytes
            try:
                listener.bind(MANIFEST)
            finally:
                os.chdir(here)
        with pytest.raises(BundleError, match=r"minnow\.json cannot be read"):
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
        def refuse(path: Path) -> NoReturn:
            raise OSError(errno.EIO, "Input/output error", str(path))

        bundle = Bundle.open(folder)
        monkeypatch.setattr(sealing, "open_regular", refuse)
        with pytest.raises(BundleError, match=r"cannot be read \(Input/output error\)"):
            bundle.check_files()

    @pytest.mark.parametrize("name", OLD)
    def test_encoders_are_checked_while_other_files_are_read(self, folder: Path, name: str) -> None:
        bundle, entered = Bundle.open(folder), False
        with bundle.checking_encoders():
            assert (folder / TOKENIZER).read_bytes() == OLD[TOKENIZER]
        (folder / name).write_bytes(b"x" * len(OLD[name]))
        with (
            pytest.raises(BundleError, match=f"{name} has changed since it was sealed"),
            bundle.checking_encoders(),
        ):
            entered = True
        assert entered == (name == ENCODER)  # what the block may read was checked before

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
BAR = st.floats(-1, 1)
COUNT = st.integers(1, 2**31 - 1)
TEXTS = st.dictionaries(st.text(), st.text(), max_size=3)
RUNS = st.builds(
    ParityRun,
    threads=INTEGER,
    mean=FINITE,
    p5=FINITE,
    worst=FINITE,
    worst_shape=st.tuples(INTEGER, INTEGER),
)
COUNTS = ("vocab_size", "layers", "inner_width", "positions", "token_types")
ENCODERS = st.builds(
    lambda spec, heads, head: replace(spec, width=heads * head, heads=heads),
    st.builds(
        EncoderSpec,
        **dict.fromkeys(COUNTS, COUNT),
        position_offset=st.just(0),
        layer_norm_eps=st.floats(0, 1),
        pad_token_id=st.just(0),
    ),
    st.integers(1, 64),
    st.integers(1, 4096),
)
MANIFESTS = st.builds(
    Manifest,
    encoder=ENCODERS,
    embedding=st.builds(
        EmbeddingSpec,
        max_tokens=st.just(1),
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
    recipe=st.builds(
        Recipe,
        precision=st.sampled_from(["fp16", "fp32"]).map(Precision),
        bar=BAR,
        graph=st.just(Graph.CANONICAL),
        biz_code=...,
    ),
    parity=st.builds(
        Parity,
        texts=INTEGER,
        bar=BAR,
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
