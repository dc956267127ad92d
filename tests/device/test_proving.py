"""Proofs of phones' modes: what they record, what they refuse, and what opening a mode says."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import PROMPTS, quick_recipe
from fakes.programs import refused, run_minnow
from fakes.sealed import change_record

from minnow import Embedder, modes
from minnow.bundle import Bundle
from minnow.convert import verify
from minnow.device import proving
from minnow.device.hard_texts import choose_hard_texts
from minnow.device.machines import Host
from minnow.device.proving import prove_modes, repeat_modes
from minnow.engines.base import Mode, processor
from minnow.errors import InputError, ParityError
from minnow.manifest import CARD, MANIFEST
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.modes import UnprovenModeWarning, is_proven
from minnow.proof.references import CheckpointReference
from minnow.records import replace
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import BundleStore, Tiny

pytestmark = pytest.mark.extra("convert")

LOW = Mode(precision="low")
NATIVE = Host("aarch64", True, (sys.executable,))
WRONG = """
import runpy, sys
import numpy as np
program, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(program, run_name="__main__")
path = program.replace("check.py", sys.argv[sys.argv.index("--name") + 1] + ".f32")
vectors = np.fromfile(path, "<f4")
vectors[3] += 1.0 * ("low" == sys.argv[sys.argv.index("--precision") + 1])
vectors.tofile(path)
"""


@pytest.fixture
def copy(made: Tiny, tmp_path: Path) -> Bundle:
    return Bundle.open(shutil.copytree(made.bundle.folder, tmp_path / "tiny.minnow"))


@pytest.fixture
def arm(monkeypatch: pytest.MonkeyPatch) -> None:
    """This processor, called an emulated aarch64 one."""
    monkeypatch.setattr(proving, "arm_machine", lambda offline: NATIVE)


def on_arm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "processor", lambda: "aarch64")


@pytest.mark.usefixtures("arm")
def test_the_manifest_records_what_passed(copy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sealed = prove_modes(copy, arm=True, offline=True, progress=steps.append)
    assert sealed.manifest == Bundle.open(copy.folder).manifest
    sealed.check_files()
    [proof] = sealed.manifest.parity.modes
    assert (proof.processor, proof.emulated) == ("aarch64", True)
    assert (proof.precision, proof.memory, proof.bar) == ("low", "normal", 0.9999)
    assert 0.999999 < proof.worst <= 1
    assert proof.texts == 8
    assert "running on an emulated aarch64: cpu, precision low, memory normal" in steps
    before, after = copy.manifest, sealed.manifest
    changed = {name for name in after.files if after.files[name] != before.files[name]}
    assert changed == {CARD}
    assert replace(after, parity=before.parity, files=before.files) == before
    assert "| emulated aarch64 | low | normal | 8 |" in (copy.folder / CARD).read_text()
    shown = json.loads(run_minnow("info", copy.folder, "--json").stdout)["proven_modes"]
    assert shown[0].startswith("emulated aarch64, precision low, memory normal: worst cosine")
    assert verify(sealed, offline=True).passed
    assert is_proven(LOW, after, "aarch64")
    assert not is_proven(LOW, before, "aarch64")
    on_arm(monkeypatch)
    Embedder.open(sealed, precision="low", engine="mnn").close()


@pytest.mark.usefixtures("arm")
def test_it_can_be_proven_again(copy: Bundle) -> None:
    once = prove_modes(copy, arm=True, offline=True)
    assert prove_modes(once, arm=True, offline=True).manifest == once.manifest


@pytest.mark.usefixtures("arm")
def test_modes_of_this_processor_are_repeated(
    copy: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sealed = prove_modes(copy, arm=True, offline=True)
    if processor() != "aarch64":
        assert repeat_modes(sealed, offline=True) == []
        shown = json.loads(run_minnow("verify", copy.folder, "--offline", "--json").stdout)
        assert shown["proven_modes"] == []
        assert shown["modes_not_repeated"][0].startswith("emulated aarch64, precision low")
    monkeypatch.setattr(proving, "this_machine", lambda: NATIVE)
    assert repeat_modes(sealed, offline=True) == [*sealed.manifest.parity.modes]
    program = tmp_path / "wrong.py"
    program.write_text(WRONG)
    faulty = replace(NATIVE, command=(sys.executable, str(program)))
    monkeypatch.setattr(proving, "this_machine", lambda: faulty)
    with pytest.raises(
        ParityError, match=r"1 of 1 modes .* precision low.* `minnow prove` records"
    ):
        repeat_modes(sealed, offline=True)


def test_two_encoders_are_refused_before_anything_is_downloaded(
    copy: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = replace(copy.manifest, queries=copy.manifest)
    monkeypatch.setattr(proving, "arm_machine", lambda offline: pytest.fail("asked for a machine"))
    with pytest.raises(InputError, match="modes are proven of one encoder"):
        prove_modes(replace(copy, manifest=manifest), arm=True)


def test_a_wrong_mode_is_refused_and_loses_its_proof(
    bundle_store: BundleStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = quick_recipe("int8")
    made = bundle_store.bundle(recipe, pooling="mean", prompts=PROMPTS, seed=0)
    bundle = Bundle.open(shutil.copytree(made.folder, tmp_path / "tiny.minnow"))
    monkeypatch.setattr(modes, "OTHERS", (LOW, replace(LOW, memory="low"), Mode(memory="low")))
    monkeypatch.setattr(proving, "arm_machine", lambda offline: NATIVE)
    monkeypatch.setattr("minnow.device.answer.MODE_BARS", {recipe.precision: 0.99})
    source = made.folder.parent / "model"
    bundle = prove_modes(bundle, arm=True, source=str(source), offline=True)
    assert len(bundle.manifest.parity.modes) == 3
    program = tmp_path / "wrong.py"
    program.write_text(WRONG)
    faulty = replace(NATIVE, command=(sys.executable, str(program)))
    monkeypatch.setattr(proving, "arm_machine", lambda offline: faulty)
    with pytest.raises(ParityError, match=r"2 of 3 modes .* on aarch64: precision low, memory n"):
        prove_modes(bundle, arm=True, source=str(source), offline=True)
    bundle = Bundle.open(bundle.folder)
    bundle.check_files()
    [left] = bundle.manifest.parity.modes
    assert (left.precision, left.memory) == ("normal", "low")


def test_nothing_is_left_to_prove_of_floats_here(copy: Bundle) -> None:
    if processor() != "x86_64":
        pytest.skip("half precision is another mode here")
    done = run_minnow("prove", copy.folder)
    assert "Prove it for phones with --arm" in refused(done, InputError.exit_code)


def test_an_unproven_mode_says_so(copy: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    on_arm(monkeypatch)
    with pytest.warns(UnprovenModeWarning, match=r"no proof .* precision low.* `minnow prove` can"):
        Embedder.open(copy, precision="low", engine="mnn").close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Embedder.open(copy, memory="low", engine="mnn").close()  # of floats it is the default
        Embedder.open(copy, precision="high", engine="mnn").close()


def test_a_proof_is_sealed_in(copy: Bundle) -> None:
    manifest = json.loads((copy.folder / MANIFEST).read_text())
    assert "modes" not in manifest["parity"]
    proof = {
        "processor": "aarch64", "emulated": False, "mnn": "3.6.1", "precision": "low",
        "memory": "low", "texts": 1, "bar": 0.9, "worst": 0.95, "worst_text": "x",
        "worst_shape": [1, 2],
    }  # fmt: skip
    change_record(copy.folder / MANIFEST, lambda values: values["parity"].update(modes=[proof]))
    assert is_proven(LOW, copy.manifest, "x86_64")
    found = Bundle.open(copy.folder).manifest
    assert found.parity.modes[0].worst_shape == (1, 2)
    assert not is_proven(LOW, found, "aarch64")


def test_the_texts_that_lose_most_are_chosen(made: Tiny) -> None:
    reference = CheckpointReference(read_original(made.source))
    chosen = choose_hard_texts(reference)
    chosen_ids = {tuple(row) for row in reference.token_ids([p.whole for p in chosen])}

    def halve(_: str, tensor: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> None:
        tensor[:] = np.float16(tensor)

    original = reference.original
    rounds = ReferenceModel(original.network, original.head, original.tensors, halve)
    ids = reference.probe_ids
    rounded = np.stack([rounds.vector(row) for row in ids])
    cosines = rowwise_cosine(rounded, reference.probe_vectors)
    distinct = {tuple(ids[i]): i for i in np.argsort(cosines)[::-1] if len(ids[i]) <= 24}
    worst = sorted(distinct.values(), key=lambda i: cosines[i])[:5]
    assert len({tuple(ids[i]) for i in worst} & chosen_ids) == 5
    assert len(chosen) == 8


def test_a_command_says_that_a_mode_is_unproven(bundle_store: BundleStore) -> None:
    made = bundle_store.bundle(quick_recipe("int8"), pooling="mean", prompts=PROMPTS, seed=0)
    done = run_minnow("embed", made.folder, "fish", "--memory", "low", "--threads", "1")
    assert done.code == 0
    assert done.stderr.startswith(f"warning: {made.folder} has no proof of its vectors")
    assert done.stderr.count("\n") == 1
