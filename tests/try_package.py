"""Builds the wheel and the source archive, and tries them as users do; `make package` runs this.

The wheel is installed alone, without any extra, into an empty environment of each Python from 3.10
that is on this machine, where it embeds with a bundle; uvx and pipx run its command; and a wheel
that is built of the source archive has the same files.

Usage: python tests/try_package.py BUNDLE [FOLDER]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST, NEWEST = 10, 14
CODE = """
import sys, minnow
from importlib import metadata
with minnow.Embedder.open(sys.argv[1], engine="mnn") as embedder:
    assert embedder.encode(["fish sleep"]).shape == (1, embedder.width)
assert metadata.metadata("minnow-embed")["License-Expression"] == "Apache-2.0"
print("embeds with Python", sys.version.split()[0], "and minnow", minnow.__version__)
"""


def main() -> int:
    """Build, install and run; return 0 where all of it works."""
    bundle = Path(sys.argv[1]).resolve()
    dist = Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "dist").resolve()
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", dist, ROOT)
    run(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    wheel, archive = next(dist.glob("*.whl")), next(dist.glob("*.tar.gz"))
    check_contents(wheel, archive)
    pythons = interpreters()
    if not pythons:
        print(f"there is no Python 3.{OLDEST} to 3.{NEWEST} on the PATH", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="minnow-") as temporary:
        for python in pythons:
            place = Path(temporary) / python.name
            run(python, "-m", "venv", place)
            run(place / "bin/python", "-m", "pip", "install", "-q", wheel)
            run(place / "bin/python", "-c", CODE, bundle, folder=temporary)
            run(place / "bin/minnow", "embed", bundle, "fish sleep", "--json", folder=temporary)
        for command in (
            ("uvx", "--no-config", "--from", wheel, "minnow"),
            ("pipx", "run", "--spec", wheel, "minnow"),
        ):
            run(Path(sys.executable).with_name(str(command[0])), *command[1:], "--version")
    print(f"{wheel.name} and {archive.name} work with {', '.join(each.name for each in pythons)}")
    return 0


def interpreters() -> list[Path]:
    """Find each Python of a version that is supported."""
    names = [f"python3.{minor}" for minor in range(OLDEST, NEWEST + 1)]
    versions = Path.home() / ".pyenv/versions"
    candidates = [(name, shutil.which(name)) for name in names]
    for name in names:
        pattern = f"{name.removeprefix('python')}.*/bin/{name}"
        candidates += [(name, str(path)) for path in sorted(versions.glob(pattern))]
    found: dict[str, Path] = {}
    for name, path in candidates:
        version = f"import sys; assert sys.version_info[:2] == (3, {name.rpartition('.')[2]})"
        if path and name not in found:
            done = subprocess.run([path, "-c", version], capture_output=True, check=False)
            if done.returncode == 0:
                found[name] = Path(path)
    return list(found.values())


def check_contents(wheel: Path, archive: Path) -> None:
    """Check that the wheel has every file of the package, and the archive all that builds it."""
    tracked = subprocess.run(
        ["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {name.removeprefix("src/") for name in tracked} <= inside
    strange = {name.split("/")[0] for name in inside} - {"minnow"}
    assert {name.rpartition(".")[2] for name in strange} == {"dist-info"}, strange
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    assert {*tracked, "pyproject.toml", "CHANGELOG.md", "tests/conftest.py"} <= names


def run(*command: object, folder: str | Path | None = None) -> None:
    """Run a program; its failure is the end. What it is run with does not see this environment."""
    shown = " ".join(map(str, command))
    print(f"$ {shown[:160]}", flush=True)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([str(part) for part in command], cwd=folder, env=clean, check=True)


if __name__ == "__main__":
    sys.exit(main())
