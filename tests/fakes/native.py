"""The library in C++, compiled and run."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

NATIVE = Path(__file__).parents[2] / "native"
STRICT = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
OWN = tuple(os.environ.get("CXXFLAGS", "").split())
"""Flags of this machine, such as the ABI of an MNN that a wheel holds; CMake reads them too."""
SANITIZE = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g")
TOKENIZER = (
    "src/json.cpp",
    "src/model.cpp",
    "src/normalizer.cpp",
    "src/pairs.cpp",
    "src/pattern.cpp",
    "src/pre_tokenizer.cpp",
    "src/tokenizer.cpp",
    "src/unicode.cpp",
    "src/words.cpp",
)
INDEX = (
    "src/checksums.cpp",
    "src/codes.cpp",
    "src/filters.cpp",
    "src/hits.cpp",
    "src/index_file.cpp",
    "src/keyword.cpp",
    "src/memory.cpp",
    "src/memory_recall.cpp",
    "src/memory_values.cpp",
    "src/mentions.cpp",
    "src/passages.cpp",
    "src/records.cpp",
    "src/search.cpp",
    "src/sha256.cpp",
    "src/sqlite.cpp",
    "src/text_model.cpp",
    "src/times.cpp",
    "src/vectors.cpp",
    "src/wording.cpp",
)
C_API = ("src/c_api.cpp", "src/c_api_index.cpp", "src/c_api_memory.cpp")
PROGRAM = ("programs/minnow_embed.cpp", "programs/device_check.cpp", *TOKENIZER)
CORE = (
    "src/best.cpp",
    "src/embedder.cpp",
    "src/mnn_llm.cpp",
    "src/network.cpp",
    "src/reranker.cpp",
)


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
    """Compile files of the library with g++, all warnings being errors."""
    made = compile_objects([NATIVE / name for name in sources], *flags)
    run_tool("g++", *STRICT, *OWN, *flags, *made, "-o", str(program), *after)
    return program


def compile_objects(sources: Sequence[Path], *flags: str) -> list[str]:
    """Compile each source once for all programs and sessions that give the same flags.

    The objects lie in the folder for temporary files, under the hash of all that they depend on.
    """
    command = ("g++", *STRICT, *OWN, *flags, f"-I{NATIVE}/include", f"-I{NATIVE}/src", "-c")
    folder = Path(tempfile.gettempdir()) / f"minnow-objects-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)

    def compile_one(source: Path) -> str:
        digest = hashlib.sha256(repr((command, _compiler())).encode())
        for file in sorted(_with_headers(source)):
            digest.update(file.read_bytes())
        made = folder / f"{source.stem}-{digest.hexdigest()[:32]}.o"
        if not made.exists():
            staged = made.with_suffix(f".{os.getpid()}")
            run_tool(*command, str(source), "-o", str(staged))
            staged.replace(made)
        return str(made)

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(compile_one, sources))


@cache
def _with_headers(source: Path) -> frozenset[Path]:
    """Return a file of the library with all that it includes of the library."""
    found = {source}
    for name in re.findall(r'^#include "([^"]+)"', source.read_text(), re.MULTILINE):
        places = (source.parent, NATIVE / "src", NATIVE / "include")
        header = next(path for place in places if (path := place / name).is_file())
        found |= _with_headers(header)
    return frozenset(found)


@cache
def _compiler() -> str:
    done = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True)
    return done.stdout


def can_sanitize(folder: Path) -> bool:
    """Return whether programs with sanitizers run here."""
    command = ["g++", *SANITIZE, "-x", "c++", "-", "-o", str(folder / "probe")]
    done = subprocess.run(command, input=b"int main() {}", capture_output=True, check=False)
    return done.returncode == 0 and subprocess.run([folder / "probe"], check=False).returncode == 0


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


ANDROID = NATIVE.parent / "examples/android/app/src/main"


def java_home() -> Path:
    """Return the folder of the JDK whose javac is on the PATH."""
    javac = shutil.which("javac")
    assert javac is not None
    return Path(javac).resolve().parents[1]


def jni_flags() -> list[str]:
    """Return compiler flags that find jni.h and minnow.h."""
    include = java_home() / "include"
    return [f"-isystem{include}", f"-isystem{include}/linux", f"-I{NATIVE}/include"]


def compile_library(library: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compile the core and more into a shared library, against MNN."""
    core = [NATIVE / name for name in (*TOKENIZER, *INDEX, *CORE, *C_API)]
    hidden = ("-fPIC", "-fvisibility=hidden", *with_mnn(), *flags)
    made = compile_objects([*core, *sources], *hidden)
    run_tool(
        "g++",
        "-shared",
        "-pthread",
        *made,
        "-o",
        str(library),
        *link_mnn(),
        "-lsqlite3",
        "-Wl,--no-undefined",
    )
    return library
