"""An aarch64 Python with MNN and NumPy, run by QEMU: phones' half precision without a phone.

Packages come from the host's configured sources: Debian packages from apt, wheels from pip. Nothing
is installed on the host; apt keeps its lists and downloads in the directory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

QEMU = "qemu-aarch64-static"
CPU = "max,sve=off,pauth-impdef=on"
PYTHON = "python3.11"
PACKAGES = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8",
    f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib", f"{PYTHON}-minimal",
)  # fmt: skip
NUMPY = "1.26.4"


class SetUpError(Exception):
    """The emulated machine cannot be set up; the message says what is missing."""


class Emulator:
    """An aarch64 Python in a directory."""

    def __init__(self, folder: Path) -> None:
        self._root, self._site = folder / "root", folder / "site"

    def command(self, program: Path, *arguments: str) -> list[str]:
        """Return the command that runs a Python program on the emulated machine."""
        root = str(self._root)
        python = str(self._root / "usr/bin" / PYTHON)
        return [QEMU, "-cpu", CPU, "-L", root, python, str(program), *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """Return its environment variables, without those of the host's Python."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return {**own, "PYTHONHOME": str(self._root / "usr"), "PYTHONPATH": str(self._site)}

    def run(self, program: Path, *arguments: str) -> None:
        """Run a program and wait for it.

        Raises:
            SetUpError: It failed; the message has the end of its output.
        """
        done = subprocess.run(
            self.command(program, *arguments),
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SetUpError(f"{program.name} failed on the emulated machine: {_tail(done.stderr)}")


def set_up(folder: Path) -> Emulator:
    """Create the machine in a directory, or return the existing one; it exists whole or not at all.

    Raises:
        SetUpError: QEMU or a package is not available.
    """
    if shutil.which(QEMU) is None:
        raise SetUpError(f"{QEMU} is missing. On Debian: apt-get install qemu-user-static")
    mnn = version("mnn")
    place = (folder / f"aarch64-mnn-{mnn}").absolute()
    if not place.is_dir():
        staged = place.with_name(place.name + ".part")
        shutil.rmtree(staged, ignore_errors=True)
        debian, wheels, site = staged / "debian", staged / "wheels", staged / "site"
        for room in (debian, wheels, site, staged / "root"):
            room.mkdir(parents=True)
        _debian(staged, debian)
        _run([sys.executable, "-m", "pip", *pip_arguments(mnn), "-d", str(wheels)], wheels)
        for wheel in sorted(wheels.glob("*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(site)
        staged.rename(place)
    return Emulator(place)


def _debian(staged: Path, downloads: Path) -> None:
    """Download the packages, and unpack them into root/."""
    state = staged / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    apt = ["apt-get", "-q", *apt_options(state)]
    _run([*apt, "update"], downloads)
    _run([*apt, "download", *PACKAGES], downloads)
    for package in sorted(downloads.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(staged / "root")], downloads)


def apt_options(state: Path) -> list[str]:
    """Return options of apt for another architecture, with separate lists and downloads."""
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Dir::State": str(state / "state"),
        "Dir::State::status": str(state / "status"),
        "Dir::Cache": str(state / "cache"),
    }
    return [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]


def pip_arguments(mnn: str) -> list[str]:
    """Return arguments for pip to download the wheels of that machine."""
    return [
        "download", "-q", "--disable-pip-version-check", "--platform", "manylinux2014_aarch64",
        "--python-version", PYTHON.removeprefix("python"), "--implementation", "cp",
        "--abi", "cp" + PYTHON.removeprefix("python").replace(".", ""),
        "--only-binary=:all:", "--no-deps", f"MNN=={mnn}", f"numpy=={NUMPY}",
    ]  # fmt: skip


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise SetUpError(f"{command[0]} is missing: this needs Debian, or a relative.") from error
    if done.returncode:
        raise SetUpError(f"{Path(command[0]).name} failed: {_tail(done.stderr or done.stdout)}")


def _tail(printed: str) -> str:
    return " | ".join(printed.strip().splitlines()[-3:]) or "it printed nothing"
