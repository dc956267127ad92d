"""A folder for a device, its runner in a process of its own, and answers good and bad."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.programs import run_minnow
from fakes.sealed import change_record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minnow.device import read_answers, write_check
from minnow.device.answer import HALF_DIFFERENCE
from minnow.errors import BundleError, InputError, MinnowError, OutputError, SourceError
from minnow.model.spec import EMBEDDING_INTERFACES, Interface
from minnow.parity import Measure
from minnow.recipe import RECIPES
from minnow.scores import logit_scale
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fakes.bundles import BundleStore, Tiny

    from minnow.bundle import Bundle
    from minnow.proof.probes import Probe

pytestmark = pytest.mark.extra("convert")


def first(probes: Sequence[Probe]) -> Sequence[Probe]:
    return [*probes[:6], *probes[-2:]]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(folder / "check.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


@pytest.fixture(scope="module")
def answered(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an answer; for reading only."""
    folder = tmp_path_factory.mktemp("device")
    written = write_check(made.bundle, folder / "check", choose=first)
    done = run(written)
    assert done.returncode == 0, done.stderr
    return written


@pytest.fixture
def copy(answered: Path, tmp_path: Path) -> Path:
    return shutil.copytree(answered, tmp_path / "copy")


def test_it_starts_again_where_linux_refuses_to_load_mnn(copy: Path) -> None:
    """A module in the place of MNN refuses as glibc 2.41 does, until the variable allows it."""
    (copy / "MNN.py").write_text(
        "import os, sys\n"
        "if os.environ.get('GLIBC_TUNABLES') != 'glibc.rtld.execstack=2':\n"
        "    raise ImportError('cannot enable executable stack as shared object requires')\n"
        "sys.path.remove(os.path.dirname(__file__))\n"
        "del sys.modules['MNN']\n"
        "import MNN\n"
    )
    before = (copy / "answer.f32").read_bytes()
    (copy / "answer.f32").unlink()
    done = run(copy)
    assert done.returncode == 0, done.stderr
    assert (copy / "answer.f32").read_bytes() == before


def change(folder: Path, **changes: Any) -> None:
    path = folder / "answer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("interface", EMBEDDING_INTERFACES)
@pytest.mark.parametrize("pooling", [p.value for p in Pooling])
def test_every_pooling_passes(
    bundle_store: BundleStore, tmp_path: Path, pooling: str, interface: Interface
) -> None:
    bundle = bundle_store.pooling(pooling, interface)
    folder = write_check(bundle, tmp_path / "check", choose=first)
    assert run(folder, "--precision", "normal", "--threads", "2").returncode == 0
    [found] = read_answers(folder)
    assert found.passed
    assert found.parity.worst.worst >= 0.999999
    assert found.answer.threads == 2


@pytest.mark.parametrize("precision", ["normal", "low"])
def test_a_reranker_s_logits_pass(ranker: Bundle, tmp_path: Path, precision: str) -> None:
    folder = write_check(ranker, tmp_path / "check", choose=first)
    probes = json.loads((folder / "probes.json").read_text())
    assert probes["format"] == 2
    assert any(sum(text["types"]) for text in probes["texts"])
    assert run(folder, "--precision", precision).returncode == 0
    [found] = read_answers(folder)
    assert found.passed
    assert found.parity.measure is Measure.DIFFERENCE
    assert found.parity.worst.worst < 1e-4
    usual = RECIPES["fp32"].ranking_bars.difference if precision == "normal" else HALF_DIFFERENCE
    scale = found.parity.bar / usual
    assert scale == pytest.approx(logit_scale(np.fromfile(folder / "expected.f32", "<f4")[None]))
    logits = np.fromfile(folder / "answer.f32", "<f4")
    (logits + 1.1 * found.parity.bar).tofile(folder / "answer.f32")
    [found] = read_answers(folder)
    assert not found.passed
    done = run_minnow("device-check", "--read", str(folder), cwd=tmp_path)
    assert "95th percentile" in done.stdout
    assert done.code == 5
    assert "do not give the reference's logits" in done.stderr
    assert "has difference" in done.stderr
    (logits * np.nan).tofile(folder / "answer.f32")
    assert not read_answers(folder, bar=1)[0].passed
    assert read_answers(copy_without_types(folder, tmp_path), bar=1)[0].parity.worst.worst > 0.01


def copy_without_types(folder: Path, tmp_path: Path) -> Path:
    """Return a copy that was run as if the second text had no token type of its own."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    probes = json.loads((copy / "probes.json").read_text())
    texts = [{**text, "types": []} for text in probes["texts"]]
    (copy / "probes.json").write_text(json.dumps({**probes, "texts": texts}))
    assert run(copy).returncode == 0
    return copy


def test_probes_of_another_kind_of_model_are_refused(ranker: Bundle, copy: Path) -> None:
    shutil.rmtree(copy / "bundle")
    shutil.copytree(ranker.folder, copy / "bundle")
    with pytest.raises(InputError, match="has format 1; this minnow reads 1, or 2 with the pairs"):
        read_answers(copy)


def test_the_folder_says_what_is_run(answered: Path) -> None:
    probes = json.loads((answered / "probes.json").read_text())
    assert probes["format"] == 1
    assert probes["max_tokens"] == 24
    assert len(probes["texts"]) == 8
    assert probes["batches"][:8] == [[i] for i in range(8)]
    assert sorted(i for batch in probes["batches"][8:] for i in batch) == list(range(8))
    assert (answered / "expected.f32").stat().st_size == 8 * 32 * 4
    assert {"bundle", "check.py", "README.md"} <= {path.name for path in answered.iterdir()}


def test_long_texts_can_be_left_out_of_padded_batches(answered: Path, tmp_path: Path) -> None:
    folder = write_check(answered / "bundle", tmp_path / "out", choose=first, longest_mixed=8)
    probes = json.loads((folder / "probes.json").read_text())
    lengths = [len(text["ids"]) for text in probes["texts"]]
    assert max(lengths) == 24
    assert all(lengths[i] <= 8 for batch in probes["batches"][8:] for i in batch)


def test_the_runner_imports_nothing_of_minnow(answered: Path) -> None:
    source = (answered / "check.py").read_text()
    assert "import minnow" not in source
    assert "from minnow" not in source


def test_several_answers_are_read_at_once(copy: Path) -> None:
    assert run(copy, "--name", "answer-high", "--precision", "high").returncode == 0
    assert [each.name for each in read_answers(copy)] == ["answer-high.json", "answer.json"]


def test_a_damaged_manifest_is_seen_on_the_device(copy: Path) -> None:
    manifest = copy / "bundle" / "minnow.json"
    manifest.write_text(manifest.read_text().replace('"pooling": "', '"pooling":  "'))
    done = run(copy)
    assert done.returncode == 1
    assert "bundle/minnow.json is damaged" in done.stderr


def test_a_damaged_copy_of_the_bundle_is_seen_on_the_device(copy: Path) -> None:
    with (copy / "bundle/encoder.mnn").open("r+b") as file:
        file.seek(100)
        file.write(b"xx")
    done = run(copy, "--name", "answer-new")
    assert done.returncode != 0
    assert "encoder.mnn is missing or damaged" in done.stderr
    assert not (copy / "answer-new.json").exists()


def test_other_vectors_fail(copy: Path) -> None:
    vectors = np.fromfile(copy / "answer.f32", "<f4").reshape(-1, 32)
    vectors[3] = np.roll(vectors[3], 1)
    vectors.tofile(copy / "answer.f32")
    [found] = read_answers(copy)
    assert not found.passed
    assert found.parity.worst.batching == "one by one"
    assert (
        found.parity.worst.worst_text
        == json.loads((copy / "probes.json").read_text())["texts"][3]["name"]
    )


def test_nan_fails_at_any_bar(copy: Path) -> None:
    vectors = np.fromfile(copy / "answer.f32", "<f4")
    vectors[-1] = np.nan
    vectors.tofile(copy / "answer.f32")
    [found] = read_answers(copy, bar=-1)
    assert not found.passed
    assert np.isnan(found.parity.worst.worst)


def test_other_ids_fail(copy: Path) -> None:
    change(copy, ids_differ=["empty"])
    assert not read_answers(copy)[0].passed


def drop_a_row(folder: Path) -> None:
    rows = json.loads((folder / "answer.json").read_text())["rows"]
    change(folder, rows=rows[:-1])
    content = (folder / "answer.f32").read_bytes()
    (folder / "answer.f32").write_bytes(content[: -32 * 4])


def repeat_a_row(folder: Path) -> None:
    rows = json.loads((folder / "answer.json").read_text())["rows"]
    change(folder, rows=[*rows[:-1], rows[0]])


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "answer.json").unlink(), "holds no answer"),
        (lambda f: (f / "answer.f32").unlink(), "cannot be read"),
        (lambda f: (f / "answer.f32").write_bytes(b"123"), "has 3 bytes"),
        (lambda f: (f / "answer.json").write_text("{"), "not an answer"),
        (lambda f: change(f, format=2), "has format 2"),
        (lambda f: change(f, rows=[[0, 99]] * 16), "does not answer"),
        (lambda f: change(f, manifest_sha256="0" * 64), "another folder"),
        (lambda f: change(f, probes_sha256="0" * 64), "another folder"),
        (drop_a_row, "1 are missing"),
        (repeat_a_row, "are unknown or repeated"),
        (lambda f: (f / "probes.json").unlink(), "cannot be read"),
        (lambda f: (f / "probes.json").write_text("[]"), "cannot be understood"),
        (lambda f: (f / "expected.f32").write_bytes(b""), "has 0 bytes"),
        (lambda f: shutil.rmtree(f / "bundle"), "bundle is not a folder"),
    ],
)
def test_damaged_answers_are_errors(copy: Path, damage: Callable[[Path], Any], says: str) -> None:
    damage(copy)
    with pytest.raises((InputError, BundleError), match=says):
        read_answers(copy)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=40), place=st.integers(0, 2000))
def test_bytes_in_an_answer_never_end_in_a_traceback(
    answered: Path, content: bytes, place: int
) -> None:
    whole = (answered / "answer.json").read_bytes()
    name = answered / "answer-torn.json"
    name.write_bytes(whole[:place] + content + whole[place + len(content) :])
    shutil.copyfile(answered / "answer.f32", answered / "answer-torn.f32")
    try:
        read_answers(answered)
    except MinnowError:
        pass
    finally:
        name.unlink()
        (answered / "answer-torn.f32").unlink()


def test_a_source_that_is_not_at_hand_is_asked_for(answered: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(answered / "bundle", tmp_path / "bundle")
    gone = str(tmp_path / "gone")
    change_record(bundle / "minnow.json", lambda manifest: manifest["source"].update(name=gone))
    with pytest.raises(SourceError, match="`source=`"):
        write_check(bundle, tmp_path / "out", offline=True)
    assert not (tmp_path / "out").exists()


def test_an_older_folder_is_replaced_and_answers_are_kept(answered: Path, copy: Path) -> None:
    """A run that was killed behind its last step leaves a whole folder."""
    with pytest.raises(
        OutputError, match=r"holds answer\.f32, answer\.json, not listed by the dev"
    ):
        write_check(answered / "bundle", copy, choose=first)
    for name in ("answer.json", "answer.f32"):
        (copy / name).unlink()
    (copy / "expected.f32").write_bytes((answered / "expected.f32").read_bytes()[:-4] + b"\0" * 4)
    write_check(answered / "bundle", copy, choose=first)
    assert (copy / "expected.f32").read_bytes() == (answered / "expected.f32").read_bytes()


def test_a_folder_with_files_is_left_alone(answered: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds files that are not a device check"):
        write_check(answered / "bundle", tmp_path)


class TestCommand:
    def test_written_and_read(self, answered: Path, tmp_path: Path) -> None:
        folder = tmp_path / "phone"
        written = run_minnow(
            "device-check", str(answered / "bundle"), "-o", str(folder), cwd=tmp_path
        )
        assert written.code == 0, written.stderr
        assert run(folder, "--precision", "normal").returncode == 0
        read = run_minnow("device-check", "--read", str(folder), "--json", cwd=tmp_path)
        assert read.code == 0, read.stderr
        [said] = json.loads(read.stdout)
        assert said["passed"]
        assert [row["batching"] for row in said["runs"]] == ["one by one", "mixed"]
        table = run_minnow("device-check", "--read", str(folder), cwd=tmp_path)
        assert "passed: the bar is 0.999999" in table.stdout

    def test_a_failed_check_ends_like_a_failed_proof(self, copy: Path, tmp_path: Path) -> None:
        vectors = np.fromfile(copy / "answer.f32", "<f4")
        vectors[5] = np.nan
        vectors.tofile(copy / "answer.f32")
        done = run_minnow("device-check", "--read", str(copy), cwd=tmp_path)
        assert done.code == 5
        assert "failed" in done.stdout
        assert "do not give the reference's vectors" in done.stderr
        facts = run_minnow("device-check", "--read", str(copy), "--json", cwd=tmp_path)
        assert json.loads(facts.stdout)[0]["runs"][0]["worst"] is None

    @pytest.mark.parametrize("arguments", [[], ["x"], ["x", "-o", "y", "--read", "z"]])
    def test_half_a_command_is_a_usage_error(self, arguments: list[str], tmp_path: Path) -> None:
        done = run_minnow("device-check", *arguments, cwd=tmp_path)
        assert done.code == 2
        assert "--read" in done.stderr
