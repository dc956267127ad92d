"""The samples' program, compiled once for all tests of it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from fakes.native import (
    CORE,
    PROGRAM,
    SANITIZE,
    Program,
    compile_program,
    link_mnn,
    with_mnn,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tokenizer_program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The program without MNN, by plain g++; with sanitizers where there are any."""
    folder = tmp_path_factory.mktemp("tokenizer")
    flags = SANITIZE if _can_sanitize(folder) else ()
    return Program(compile_program(folder / "minnow-embed", PROGRAM, *flags))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """The whole program."""
    path = tmp_path_factory.mktemp("core") / "minnow-embed"
    return Program(compile_program(path, (*PROGRAM, *CORE), *with_mnn(), after=link_mnn()))


def _can_sanitize(folder: Path) -> bool:
    command = ["g++", *SANITIZE, "-x", "c++", "-", "-o", str(folder / "probe")]
    done = subprocess.run(command, input=b"int main() {}", capture_output=True, check=False)
    return done.returncode == 0 and subprocess.run([folder / "probe"], check=False).returncode == 0
