"""Machines that run a device check here: this one, or an aarch64 processor that QEMU emulates.

The emulated one is a folder of the cache with Python, NumPy and MNN for aarch64: Debian packages
from apt's configured sources, and wheels from pip. Nothing is installed on this machine, and apt
keeps its lists and downloads in the folder until it is complete.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

from minnow.cached_folders import made_once
from minnow.caches import MACHINES, cache_folder
from minnow.engines.base import processor
from minnow.errors import EngineError
from minnow.processes import run_child

ARM = "aarch64"
QEMU = "qemu-aarch64-static"
CPU = "max,sve=off,pauth-impdef=on"
PYTHON = "python3.11"
PACKAGES = (
    "libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8",
    f"lib{PYTHON}-minimal", f"lib{PYTHON}-stdlib", f"{PYTHON}-minimal",
)  # fmt: skip
NUMPY = "1.26.4"
HOURS = 3 * 3600.0


@dataclass(frozen=True)
class Host:
    """A processor on which a program of Python, MNN and NumPy can run.

    Attributes:
        processor: Its kind, such as aarch64.
        emulated: Whether QEMU runs its instructions.
        command: The command before a program's path.
        environment: Variables to add to the environment.
    """

    processor: str
    emulated: bool
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, program: Path, *arguments: str) -> None:
        """Run a program and wait for it, three hours at most.

        Raises:
            EngineError: It failed; the message has the end of its output.
        """
        run_child(
            f"{program.name} on {self.processor}",
            [*self.command, str(program), *arguments],
            environment=self.environment,
            timeout=HOURS,
            error=EngineError,
        )


def this_machine() -> Host:
    """Return the machine that this process runs on."""
    return Host(processor(), False, (sys.executable,))


def arm_machine(*, offline: bool = False) -> Host:
    """Return this machine if it is an aarch64 one, else the emulated one, made now if need be.

    Args:
        offline: Make no network call.

    Raises:
        EngineError: QEMU or a package is not available.
        OutputError: The cache cannot be written.
    """
    return this_machine() if processor() == ARM else emulated_machine(offline=offline)


def emulated_machine(*, offline: bool = False) -> Host:
    """Return the emulated machine of the cache, made now if it is not there; see `arm_machine`."""
    if shutil.which(QEMU) is None:
        raise EngineError(
            f"ARM arithmetic needs an aarch64 machine, or {QEMU} to emulate one. On Debian and "
            "Ubuntu: apt-get install qemu-user-static"
        )
    mnn = version("mnn")
    name = f"{MACHINES}/{ARM}-mnn-{mnn}"
    if offline and not (cache_folder() / name).is_dir():
        raise EngineError(
            f"The emulated {ARM} machine is not in the cache yet; Python and MNN for it are 50 MB "
            "to download. Run this once without `offline=True`."
        )
    folder = made_once(name, partial(_fill, mnn=mnn))
    root = folder / "root"
    python = str(root / "usr/bin" / PYTHON)
    environment = {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(folder / "site")}
    return Host(ARM, True, (QEMU, "-cpu", CPU, "-L", str(root), python), environment)


def _fill(folder: Path, *, mnn: str) -> None:
    """Download and unpack the machine's files."""
    debian, wheels = folder / "debian", folder / "wheels"
    for part in (debian, wheels, folder / "site", folder / "root"):
        part.mkdir()
    _download_debian(folder / "apt", debian)
    for package in sorted(debian.glob("*.deb")):
        _run(["dpkg", "-x", str(package), str(folder / "root")], debian)
    _run([sys.executable, "-m", "pip", *pip_arguments(mnn), "-d", str(wheels)], wheels)
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder / "site")
    for part in (debian, wheels, folder / "apt"):
        shutil.rmtree(part)


def _download_debian(state: Path, downloads: Path) -> None:
    for name in ("state/lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    apt = ["apt-get", "-q", *apt_options(state)]
    _run([*apt, "update"], downloads)
    _run([*apt, "download", *PACKAGES], downloads)


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
        raise EngineError(
            f"{command[0]} is missing: the emulated machine is made of Debian's packages. Run this "
            "on Debian or Ubuntu, or on an aarch64 machine."
        ) from error
    if done.returncode:
        last = " | ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise EngineError(f"{Path(command[0]).name} failed while the machine was made: {last}")
