"""The emulated ARM processor, as far as it can be tested without one."""

from __future__ import annotations

import shutil
from pathlib import Path

import arm64
import emulator
import pytest
from arm64 import chosen, row
from emulator import Emulator, SetUpError, apt_options, pip_arguments, set_up

from minnow.device import DeviceAnswer, DeviceResult
from minnow.parity import Parity, ParityRun
from minnow.proof.probes import Probe, probe_texts


def test_apt_touches_nothing_of_this_machine() -> None:
    options = apt_options(Path("/somewhere"))
    settings = dict(pair.split("=", 1) for pair in options[1::2])
    assert options[::2] == ["-o"] * len(settings)
    assert settings["APT::Architecture"] == "arm64"
    for name in ("Dir::State", "Dir::State::status", "Dir::Cache"):
        assert settings[name].startswith("/somewhere/")


def test_pip_fetches_wheels_of_that_machine_only() -> None:
    arguments = pip_arguments("3.6.1")
    assert "--no-deps" in arguments
    assert "--only-binary=:all:" in arguments
    assert arguments[arguments.index("--platform") + 1] == "manylinux2014_aarch64"
    assert arguments[arguments.index("--abi") + 1] == "cp311"
    assert arguments[-2:] == ["MNN==3.6.1", "numpy==1.26.4"]


def test_a_program_runs_with_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    machine = Emulator(Path("/m"))
    command = machine.command(Path("check.py"), "--precision", "low")
    assert command[:3] == ["qemu-aarch64-static", "-cpu", "max,sve=off,pauth-impdef=on"]
    assert command[-3:] == ["check.py", "--precision", "low"]
    assert machine.environment["PYTHONPATH"] == "/m/site"
    assert machine.environment["PYTHONHOME"] == "/m/root/usr"


def test_without_qemu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SetUpError, match="apt-get install qemu-user-static"):
        set_up(tmp_path)


def test_half_a_machine_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise SetUpError("no such package")

    monkeypatch.setattr(shutil, "which", lambda _: "qemu")
    monkeypatch.setattr(emulator, "_debian", fail)
    with pytest.raises(SetUpError, match="no such package"):
        set_up(tmp_path)
    assert all(path.name.endswith(".part") for path in tmp_path.iterdir())


def test_the_texts_differ_in_length() -> None:
    probes = probe_texts(256, lambda text: len(text.split()) + 2)
    found = chosen(probes, arm64.FULL_EFFORT.words)
    lengths = [len(probe.text.split()) for probe in found]
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] > 80
    assert len({probe.name for probe in found}) == len(found)


def test_a_text_is_chosen_once() -> None:
    probes = [Probe("a", "x"), Probe("b", "x")]
    assert chosen(probes, (1, 1)) == probes


def test_a_row_says_the_worst() -> None:
    answer = DeviceAnswer(1, "check.py", "m", "3.6.1", "low", 1, ((0, 0),))
    runs = (
        ParityRun(1, "one by one", 0.99, 0.98, 0.97, "ocean", (1, 3)),
        ParityRun(1, "mixed", 0.99, 0.96, 0.95, "fox", (4, 9)),
    )
    parity = Parity("a reference", 4, 0.96, runs)
    written = row("fp16", DeviceResult("answer.json", answer, parity, (1, 4)))
    assert written == (
        "| fp16 | low | 0.970000 | 0.950000 | 0.960000 | fox | 4x9 | 0.96 | failed |"
    )
