"""The emulated ARM processor, as far as it can be tested without one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from minnow.caches import cache_folder, list_cache
from minnow.device import machines
from minnow.device.machines import (
    Host,
    apt_options,
    arm_machine,
    emulated_machine,
    pip_arguments,
    this_machine,
)
from minnow.errors import EngineError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/qemu-aarch64-static")


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


@pytest.mark.usefixtures("qemu")
def test_the_emulated_machine_has_half_precision_and_is_made_once(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    made = []
    monkeypatch.setattr(machines, "_fill", lambda folder, mnn: made.append((folder, mnn)))
    machine = emulated_machine()
    assert machine == emulated_machine(offline=True)
    assert len(made) == 1
    assert (machine.processor, machine.emulated) == ("aarch64", True)
    assert list(machine.command[:3]) == [
        "qemu-aarch64-static", "-cpu", "max,sve=off,pauth-impdef=on",
    ]  # fmt: skip
    assert machine.environment["PYTHONPATH"].startswith(str(cache / "machines"))
    assert [entry.kind for entry in list_cache()] == ["machine"]


@pytest.mark.usefixtures("qemu")
def test_half_a_machine_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise EngineError("no such package")

    monkeypatch.setattr(machines, "_download_debian", fail)
    with pytest.raises(EngineError, match="no such package"):
        emulated_machine()
    assert not (cache_folder() / "machines").exists()


@pytest.mark.usefixtures("qemu")
def test_offline_nothing_is_downloaded() -> None:
    with pytest.raises(EngineError, match="not in the cache yet"):
        emulated_machine(offline=True)


def test_without_qemu_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(machines, "processor", lambda: "x86_64")
    with pytest.raises(EngineError, match="apt-get install qemu-user-static"):
        arm_machine()


def test_a_real_one_needs_no_emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "processor", lambda: "aarch64")
    assert arm_machine() == Host("aarch64", False, (sys.executable,))


def test_a_program_that_fails_is_told(tmp_path: Path) -> None:
    program = tmp_path / "check.py"
    program.write_text("import sys; sys.exit('no MNN')")
    with pytest.raises(EngineError, match=r"check.py on \w+ failed. It printed last: no MNN"):
        this_machine().run(program)
