"""The samples in C++, compiled and run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE = Path(__file__).parents[2] / "examples/cpp"
STRICT = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
OWN = tuple(os.environ.get("CXXFLAGS", "").split())
"""Flags of this machine, such as the ABI of an MNN that a wheel holds; CMake reads them too."""
SANITIZE = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
TOKENIZER = (
    "core/json.cpp",
    "core/model.cpp",
    "core/normalizer.cpp",
    "core/pairs.cpp",
    "core/pattern.cpp",
    "core/pre_tokenizer.cpp",
    "core/tokenizer.cpp",
    "core/unicode.cpp",
)
PROGRAM = ("minnow_embed.cpp", "device_check.cpp", *TOKENIZER)
CORE = ("core/embedder.cpp", "core/mnn_llm.cpp", "core/network.cpp", "core/reranker.cpp")


def mnn_root() -> Path:
    """Return the folder of the SDK, which MNN_ROOT names."""
    return Path(os.environ["MNN_ROOT"]).absolute()


def has_llm() -> bool:
    """Return whether the SDK has MNN's LLM part."""
    return (mnn_root() / "include/llm/llm.hpp").is_file()


def with_mnn() -> list[str]:
    """Return the compiler flags for MNN."""
    flags = ["-DMINNOW_HAS_MNN=1", f"-isystem{mnn_root()}/include"]
    return [*flags, *(["-DMINNOW_HAS_LLM=1"] if has_llm() else [])]


def link_mnn() -> list[str]:
    """Return the linker flags for MNN."""
    folder = mnn_root() / "lib"
    names = [name for name in ("llm", "MNN") if (folder / f"lib{name}.so").is_file()]
    return [f"-L{folder}", f"-Wl,-rpath,{folder}", *(f"-l{name}" for name in names)]


def compile_program(
    program: Path, sources: Sequence[str], *flags: str, after: Sequence[str] = ()
) -> Path:
    """Compile files of the sample with g++, all warnings being errors."""
    paths = [str(SAMPLE / name) for name in sources]
    run_tool("g++", *STRICT, *OWN, *flags, *paths, "-o", str(program), *after)
    return program


def run_tool(*command: str) -> None:
    """Run a compiler; if it fails, the test shows its messages."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@dataclass(frozen=True)
class Program:
    """The compiled minnow-embed."""

    path: Path

    def run(self, *arguments: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run it; do not check the result."""
        command = [str(self.path), *map(str, arguments)]
        return subprocess.run(command, input=given, capture_output=True, timeout=120, check=False)

    def rows(self, folder: Path, texts: Sequence[str], *options: object) -> list[list[Any]]:
        """Return a row for every text: ids or a vector."""
        given = json.dumps(list(texts)).encode()
        done = self.run(folder, "--json", *options, given=given)
        assert done.returncode == 0, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refusal(self, *arguments: object, code: int = 1, given: bytes = b"") -> str:
        """Return the message of a refusal; a crash has another exit code."""
        done = self.run(*arguments, given=given)
        said = done.stderr.decode(errors="replace")
        assert (done.returncode, done.stdout) == (code, b""), said
        return said


ANDROID = SAMPLE.parent / "android/app/src/main"


def java_home() -> Path:
    """Return the folder of the JDK whose javac is on the PATH."""
    javac = shutil.which("javac")
    assert javac is not None
    return Path(javac).resolve().parents[1]


def jni_flags() -> list[str]:
    """Return compiler flags that find jni.h and minnow.h."""
    include = java_home() / "include"
    return [f"-isystem{include}", f"-isystem{include}/linux", f"-I{SAMPLE}"]


def compile_library(library: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compile the core and more into a shared library, against MNN."""
    core = [SAMPLE / name for name in (*TOKENIZER, *CORE, "minnow.cpp")]
    paths = [str(path) for path in (*core, *sources)]
    hidden = ("-shared", "-fPIC", "-fvisibility=hidden", *with_mnn(), *flags)
    run_tool(
        "g++", *STRICT, *OWN, *hidden, *paths, "-o", str(library), *link_mnn(), "-Wl,--no-undefined"
    )
    return library
