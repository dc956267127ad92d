"""The library in C++, compiled and run."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

NATIVE = Path(__file__).parents[2] / "native"
UNICODE = "14.0.0"
"""The version of the library's tables of words, which Python 3.11 has."""
STRICT = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread")
OWN = tuple(os.environ.get("CXXFLAGS", "").split())
"""Flags of this machine, such as the ABI of an MNN that a wheel holds; CMake reads them too."""
SANITIZE = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g1")
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
PROGRAM = ("programs/minnow_embed.cpp", *TOKENIZER)
CORE = (
    "src/best.cpp",
    "src/device_check.cpp",
    "src/embedder.cpp",
    "src/llm.cpp",
    "src/mnn_llm.cpp",
    "src/network.cpp",
    "src/reranker.cpp",
)
PARTS = (TOKENIZER, INDEX, C_API, CORE)


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
    """Compile sources once for all programs, workers and sessions that give the same flags.

    The objects lie in the folder for temporary files, under the hash of all that they depend on.
    """
    command = ("g++", *STRICT, *OWN, *flags, f"-I{NATIVE}/include", f"-I{NATIVE}/src", "-c")
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda unit: _compile_unit(command, unit), _units_of(sources))
        return [each for unit in made for each in unit]


def _units_of(sources: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Divide sources into units, each for one run of the compiler.

    Up to eight sources of one part of the library make a unit: most of the compiler's time goes
    into the headers and templates that they share.
    """
    units = []
    for part in PARTS:
        count = -(-len(part) // 8)
        units += [tuple(NATIVE / name for name in part[n::count]) for n in range(count)]
    whole = [unit for unit in units if set(unit) <= set(sources)]
    alone = set(sources).difference(*whole)
    return [*whole, *((source,) for source in sources if source in alone)]


def _compile_unit(command: Sequence[str], unit: Sequence[Path]) -> list[str]:
    """Compile sources into one object; into several where they have names of their own alike."""
    with _object_of(unit, command) as made:
        if not made.exists():
            staged = made.with_suffix(".new")
            code = "".join(f'#include "{source}"\n' for source in unit)
            done = subprocess.run(
                [*command, "-x", "c++", "-", "-o", str(staged)],
                input=code, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode and len(unit) > 1:
                return [each for source in unit for each in _compile_unit(command, [source])]
            assert done.returncode == 0, done.stderr
            staged.replace(made)
    return [str(made)]


def launch(command: Sequence[str]) -> int:
    """Run a compiler for CMake, unless the object is there already; return the exit code.

    Args:
        command: The compiler and its arguments, of which the last are `-o OBJECT -c SOURCE`.
    """
    *kept, _, target, _, source = command
    # without where dependencies go, which is beside the object, below the top folder
    kept = [each for each in kept if not each.startswith("-M") and target not in each]
    with _object_of([Path(source)], kept) as made:
        if made.exists():
            shutil.copyfile(made, target)
            return 0
        done = subprocess.run(command, check=False)
        if done.returncode == 0:
            shutil.copyfile(target, made.with_suffix(".new"))
            made.with_suffix(".new").replace(made)
    return done.returncode


LAUNCHER = f"{sys.executable};{Path(__file__)}"
"""Value of CMAKE_CXX_COMPILER_LAUNCHER, with which CMake compiles once as well."""


@dataclass(frozen=True)
class CMakeBuild:
    """A build without MNN by Android's CMakeLists.txt, which several processes may share.

    All warnings are errors. Sources are compiled together as in `_units_of`.

    Attributes:
        folder: Where it is built; in `minnow` what the library's own CMakeLists.txt builds.
    """

    folder: Path

    def make(self, *targets: str) -> Path:
        """Build targets, by default all; return the folder of the library and its programs."""
        self.folder.mkdir(exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.folder / "Makefile").exists():
                together = self.folder / "together.cmake"
                units = _units_in_cmake(minnow_core=[*TOKENIZER, *INDEX], minnow_c_api=C_API)
                together.write_text(units)
                strict = " ".join(flag for flag in STRICT if not flag.startswith("-std"))
                run_tool(
                    "cmake", "-S", str(ANDROID / "cpp"), "-B", str(self.folder), "-DMNN_ROOT=",
                    "-G", "Unix Makefiles", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=",
                    f"-DCMAKE_CXX_FLAGS={strict}", f"-DCMAKE_CXX_COMPILER_LAUNCHER={LAUNCHER}",
                    f"-DCMAKE_PROJECT_minnow_core_INCLUDE={together}",
                )  # fmt: skip
            chosen = ("--target", *targets) if targets else ()
            run_tool("cmake", "--build", str(self.folder), "--parallel", "2", *chosen)
        return self.folder / "minnow"


def _units_in_cmake(**targets: Sequence[str]) -> str:
    """Return lines that have CMake compile the sources of targets in units."""
    calls = []
    for target, names in targets.items():
        calls.append(f"TARGET {target} PROPERTY UNITY_BUILD ON")
        calls.append(f"TARGET {target} PROPERTY UNITY_BUILD_MODE GROUP")
        for number, unit in enumerate(_units_of([NATIVE / name for name in names])):
            sources = " ".join(source.relative_to(NATIVE).as_posix() for source in unit)
            calls.append(f"SOURCE {sources} PROPERTY UNITY_GROUP unit{number}")
            # CMake compiles a source alone that has options, be they for builds of another kind
            calls.append(f"SOURCE {sources} PROPERTY COMPILE_OPTIONS")
    return "\n".join(f"cmake_language(DEFER CALL set_property {call})" for call in calls)


@contextmanager
def _object_of(unit: Sequence[Path], command: Sequence[str]) -> Iterator[Path]:
    """Yield the place of an object that a command makes; the other worker waits meanwhile."""
    digest = hashlib.sha256(repr((command, _compiler())).encode())
    for file in sorted(set[Path]().union(*map(_with_headers, unit))):
        digest.update(file.read_bytes())
    made = _objects() / f"{unit[0].stem}-{digest.hexdigest()[:32]}.o"
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield made


def _objects() -> Path:
    folder = Path(tempfile.gettempdir()) / f"minnow-objects-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


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
def _compiler() -> tuple[str, int, int]:
    """Return what changes with the compiler."""
    path = Path(shutil.which("g++") or "g++").resolve()
    return str(path), path.stat().st_size, path.stat().st_mtime_ns


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


EXAMPLES = NATIVE.parent / "examples"
ANDROID = EXAMPLES / "android/minnow/src/main"
IOS = EXAMPLES / "ios/Sources"


def java_home() -> Path:
    """Return the folder of the JDK whose javac is on the PATH."""
    javac = shutil.which("javac")
    assert javac is not None
    return Path(javac).resolve().parents[1]


def jni_flags() -> list[str]:
    """Return compiler flags that find jni.h and minnow.h."""
    include = java_home() / "include"
    return [f"-isystem{include}", f"-isystem{include}/linux", f"-I{NATIVE}/include"]


JSON_JAR = Path("/usr/share/java/com.android.json.jar")
"""Android's org.json, of Debian's package libandroid-json-java."""


def class_path(folder: Path) -> str:
    """Return the class path of Kotlin on a JVM, beside what is compiled in a folder."""
    return f"{folder}:{_kotlin_jars()}/kotlinx-coroutines-core-jvm.jar:{JSON_JAR}"


def _kotlin_jars() -> Path:
    kotlinc = shutil.which("kotlinc")
    assert kotlinc is not None
    return Path(kotlinc).resolve().parents[1] / "lib"


def compile_kotlin(java: Sequence[Path], kotlin: Sequence[Path]) -> Path:
    """Compile Java and Kotlin with kotlinx.coroutines, all warnings of Kotlin being errors.

    The classes lie with the objects of `compile_objects`, under the hash of the sources.
    """
    digest = hashlib.sha256(str(_kotlin_jars()).encode())
    for source in (*java, *kotlin):
        digest.update(source.read_bytes())
    folder = _objects() / f"kotlin-{digest.hexdigest()[:32]}"
    if not folder.exists():
        staged = Path(tempfile.mkdtemp(dir=_objects()))
        run_tool("javac", "--release", "11", "-d", str(staged), *map(str, java))
        options = ("-Werror", "-jvm-target", "11", "-cp", class_path(staged), "-d", str(staged))
        run_tool("kotlinc", *options, *map(str, kotlin))
        shutil.copy(_kotlin_jars() / "kotlin-stdlib.jar", staged)
        staged.rename(folder)
    return folder


@dataclass(frozen=True)
class SwiftPackage:
    """The package for Swift, compiled in a folder that has libminnow.so.

    The language mode is Swift 6, which checks what threads share; warnings are errors.
    """

    folder: Path

    @classmethod
    def compile(cls, folder: Path) -> SwiftPackage:
        """Compile the sources of the package."""
        package = cls(folder)
        made = (
            "-emit-module",
            "-emit-library",
            "-parse-as-library",
            "-o",
            f"{folder}/libMinnow.so",
        )
        sources = sorted((IOS / "Minnow").glob("*.swift"))
        package._swiftc("-module-name", "Minnow", *made, *package._linked(), *map(str, sources))
        return package

    def run(
        self,
        sources: Sequence[Path],
        *arguments: str,
        variables: Mapping[str, Path] = {},
        mode: int = 6,
    ) -> None:
        """Compile a program that uses it, and run it."""
        program = self.folder / sources[0].stem
        library = () if any(source.name == "main.swift" for source in sources) else _NO_SCRIPT
        link = ("-lMinnow", *self._linked(), "-o", str(program))
        self._swiftc(*library, *map(str, sources), *link, mode=mode)
        given = [f"{name}={value}" for name, value in variables.items()]
        run_tool("env", f"LD_LIBRARY_PATH={self.folder}", *given, str(program), *arguments)

    def check_app(self, sources: Sequence[Path], stubs: Path) -> None:
        """Check an app's types, with stand-ins for SwiftUI."""
        made = (
            "-emit-module",
            "-module-name",
            "SwiftUI",
            "-o",
            f"{self.folder}/SwiftUI.swiftmodule",
        )
        self._swiftc(*_NO_SCRIPT, *made, str(stubs))
        self._swiftc(*_NO_SCRIPT, "-typecheck", *map(str, sources))

    def _linked(self) -> tuple[str, ...]:
        return (f"-L{self.folder}", "-lminnow", "-Xlinker", f"-rpath={self.folder}")

    def _swiftc(self, *arguments: str, mode: int = 6) -> None:
        include = ("-I", str(IOS / "CMinnow/include"), "-I", str(self.folder))
        run_tool("swiftc", "-swift-version", str(mode), "-warnings-as-errors", *include, *arguments)


_NO_SCRIPT = ("-parse-as-library",)


def compile_library(library: Path, sources: Sequence[Path], *flags: str) -> Path:
    """Compile the core and more, which may need further flags, into a library against MNN."""
    core = [NATIVE / name for name in (*TOKENIZER, *INDEX, *CORE, *C_API)]
    hidden = ("-fPIC", "-fvisibility=hidden", *with_mnn())
    made = compile_objects(core, *hidden) + compile_objects(sources, *hidden, *flags)
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


def compile_bridge(folder: Path) -> None:
    """Compile the library with the bridge for Java into a folder, as libminnow_jni.so."""
    compile_library(folder / "libminnow_jni.so", [ANDROID / "cpp/minnow_jni.cpp"], *jni_flags())


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
