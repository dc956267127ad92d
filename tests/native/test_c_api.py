"""minnow.h, from C and from Java: what an app for Android or iOS calls."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.bundles import PROMPTS
from fakes.checkpoint import write_model, write_reranker
from fakes.native import (
    ANDROID,
    LAUNCHER,
    NATIVE,
    STRICT,
    CMakeBuild,
    compile_bridge,
    compile_library,
    java_home,
    jni_flags,
    mnn_root,
    run_tool,
)
from fakes.native_api import (
    Library,
    NativeBundle,
    NativeError,
    NativeIndex,
    NativeMemory,
    NativeRanker,
)
from fakes.searching import DOCUMENTS, write_documents

from minnow import Embedder, Reranker
from minnow.convert import convert
from minnow.indexfile.fingerprint import Fingerprint
from minnow.indexfile.models import open_model
from minnow.memory import Memory
from minnow.recipe import RECIPES
from minnow.search import Index, index_paths, open_index

if TYPE_CHECKING:
    from minnow.bundle import Bundle

HERE = Path(__file__).parent
TEXTS = ["how do fish sleep?", "", "emoji 🦊 and 鱼", "NUL \0 in it", "the river " * 40]
needs_all = [pytest.mark.mnn_sdk, pytest.mark.tool("g++"), pytest.mark.extra("convert")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("called 鱼 🦊")
    model = write_model(folder / "model", pooling="mean", prompts=PROMPTS)
    return convert(str(model), folder / "bundle", recipe=RECIPES["fp32"])


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("reranker 🦊")
    model = write_reranker(folder / "model")
    return convert(str(model), folder / "bundle", recipe=RECIPES["fp32"])


@pytest.mark.tool("cmake")
@pytest.mark.tool("javac")
@pytest.mark.tool("g++")
def test_cmake_builds_the_bridge_without_mnn(
    bridge: CMakeBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the build file of Android, whose library has segments for pages of 16 KB."""
    places = (flag for flag in jni_flags() if flag.startswith("-isystem"))
    monkeypatch.setenv("CPLUS_INCLUDE_PATH", ":".join(p.removeprefix("-isystem") for p in places))
    program = bridge.make() / "minnow-embed"
    assert subprocess.run([program, "--help"], capture_output=True, check=False).returncode == 0
    read = ["readelf", "-lW", str(bridge.folder / "libminnow_jni.so")]
    rows = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    aligned = [int(row.split()[-1], 16) for row in rows if row.split()[:1] == ["LOAD"]]
    assert aligned
    assert min(aligned) == 16384
    run_tool("cmake", "--install", str(bridge.folder), "--prefix", str(tmp_path / "installed"))
    consumer = build_consumer(tmp_path / "consumer", tmp_path / "installed")
    command = [str(consumer), "bundle", "docs.index", "notes.memory", "a"]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.stderr == b"This library was built without MNN, which runs models.\n"


@pytest.mark.parametrize(
    "name", ["build_aar.sh", "build_xcframework.sh", "check_arm64.sh", "mnn_sdk.sh"]
)
def test_scripts_have_no_fault_that_tools_find(name: str) -> None:
    script = str(NATIVE / "tools" / name)
    run_tool("bash", "-n", script)
    if shutil.which("shellcheck"):
        run_tool("shellcheck", script)


def build_consumer(folder: Path, prefix: Path) -> Path:
    """Build examples/search.c in a project that finds the installed library by its package."""
    folder.mkdir()
    example = NATIVE.parent / "examples/search.c"
    lines = (
        "cmake_minimum_required(VERSION 3.16)",
        "project(consumer LANGUAGES C)",
        "find_package(minnow-core 0.1 REQUIRED)",
        f'add_executable(search "{example}")',
        "target_link_libraries(search PRIVATE minnow::minnow)",
    )
    (folder / "CMakeLists.txt").write_text("\n".join(lines))
    prefixes = f"-DCMAKE_PREFIX_PATH={prefix}"
    run_tool("cmake", "-S", str(folder), "-B", str(folder / "build"), prefixes)
    run_tool("cmake", "--build", str(folder / "build"))
    return folder / "build/search"


def test_the_links_of_the_ios_package_lead_to_the_core() -> None:
    package = NATIVE.parent / "examples/ios/Sources/CMinnow"
    for name in ("src", "include/minnow.h"):
        assert (package / name).resolve() == (NATIVE / name).resolve()


@pytest.mark.tool("gcc")
def test_the_header_is_c(tmp_path: Path) -> None:
    strict = ("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only")
    run_tool("gcc", *strict, f"-I{NATIVE}/include", str(HERE / "check_api.c"))


@pytest.mark.tool("g++")
@pytest.mark.tool("javac")
def test_the_java_bridge_compiles() -> None:
    """Its functions are also those that Native.java names."""
    bridge = ANDROID / "cpp/minnow_jni.cpp"
    run_tool("g++", *STRICT, "-fsyntax-only", *jni_flags(), str(bridge))


@pytest.mark.tool("javac")
def test_the_bridge_has_the_functions_that_java_names(tmp_path: Path) -> None:
    sources = sorted(map(str, (ANDROID / "java/dev/minnow").glob("*.java")))
    run_tool("javac", "--release", "11", "-d", str(tmp_path), "-h", str(tmp_path), *sources)
    header = (tmp_path / "dev_minnow_Native.h").read_text()
    named = {part.split()[0] for part in header.split("JNICALL ")[1:]}
    bridge = (ANDROID / "cpp/minnow_jni.cpp").read_text()
    assert named == {part.split("(")[0] for part in bridge.split("JNICALL ")[1:]}


@pytest.mark.tool("cmake", "g++")
def test_a_library_without_mnn_has_every_function(core_library: Library) -> None:
    header = re.findall(r"(minnow_\w+)\(", (NATIVE / "include/minnow.h").read_text())
    assert [name for name in header if not hasattr(core_library.functions, name)] == []
    with pytest.raises(NativeError, match="built without MNN"):
        core_library.call("minnow_is_proven", b"bundle", None, result=ctypes.c_int32)


@pytest.mark.tool("cmake", "g++")
@pytest.mark.parametrize("size", [0, 1, 55, 56, 64, 2**18 - 1, 2**18, 2**18 + 100])
def test_the_hash_of_a_file(core_library: Library, tmp_path: Path, size: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\x80fish" * (size // 5) + b"f" * (size % 5))
    digits = ctypes.create_string_buffer(65)
    core_library.call("minnow_sha256", bytes(file), digits, result=ctypes.c_int32)
    assert digits.value.decode() == hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(NativeError, match="cannot be read"):
        core_library.call("minnow_sha256", bytes(tmp_path / "gone"), digits)


class TestCalled:
    pytestmark = needs_all

    @pytest.mark.tool("cmake")
    def test_cmake_builds_all(self, bundle: Bundle, tmp_path: Path) -> None:
        run_tool(
            "cmake",
            "-S",
            str(NATIVE),
            "-B",
            str(tmp_path),
            f"-DMNN_ROOT={mnn_root()}",
            "-DCMAKE_BUILD_TYPE=Debug",
            f"-DCMAKE_CXX_COMPILER_LAUNCHER={LAUNCHER}",
        )
        run_tool("cmake", "--build", str(tmp_path))
        command = [str(tmp_path / "minnow-embed"), str(bundle.folder), "a"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        with Embedder.open(bundle) as embedder:
            expected = embedder.encode("a")
        assert np.abs(np.array(json.loads(done.stdout)) - expected).max() < 2e-5
        assert (tmp_path / "libminnow.so").is_file()

    @pytest.mark.tool("gcc")
    def test_from_c(self, bundle: Bundle, reranker: Bundle, tmp_path: Path) -> None:
        library = compile_library(tmp_path / "libminnow.so", [])
        link = [
            f"-L{tmp_path}",
            f"-Wl,-rpath,{tmp_path}",
            "-lminnow",
            f"-Wl,-rpath-link,{mnn_root()}/lib",
        ]
        program = tmp_path / "check"
        run_tool(
            "gcc",
            "-std=c11",
            f"-I{NATIVE}/include",
            str(HERE / "check_api.c"),
            "-o",
            str(program),
            *link,
        )
        command = [program, bundle.folder, reranker.folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = done.stderr.splitlines()
        assert lines[:4] == [
            "The folder is NULL.",
            "There is no such mode.",
            "/now",
            "There is no such role.",
        ]
        with Embedder.open(bundle) as embedder:
            expected = embedder.encode_query(["fish\0 rest", "how do fish sleep?"])
        found = np.array([line.split() for line in lines[4:6]], dtype=np.float32)
        assert np.abs(found - expected).max() < 2e-5
        assert "bundle is an embedding model" in lines[6]
        assert "bundle is a reranker" in lines[7]
        with Reranker.open(reranker) as opened:
            query, documents = "how do fish sleep?", ["fish\0 rest", "how do fish sleep?"]
            score, ranked = opened.predict((query, documents[0])), opened.rank(query, documents)
        assert abs(float(lines[8]) - score) < 2e-5
        for line, row in zip(lines[9:], ranked, strict=True):
            assert int(line.split()[0]) == row["corpus_id"]
            assert abs(float(line.split()[1]) - row["score"]) < 2e-5
        names = subprocess.run(["nm", "-D", library], capture_output=True, text=True, check=True)
        seen = {line.split()[-1] for line in names.stdout.splitlines() if " T " in line}
        header = re.findall(r"(minnow_\w+)\(", (NATIVE / "include/minnow.h").read_text())
        assert seen == set(header)
        assert "minnow_open_best" in seen

    def test_numbers_that_are_overwritten_are_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """MNN reads some of them again for a text of another length."""
        monkeypatch.setattr("minnow.convert.encoders.MANY_NUMBERS", 0)
        bundle = convert(str(write_model(tmp_path / "model")), tmp_path / "bundle")
        library = Library(compile_library(tmp_path / "libminnow.so", []))
        with NativeBundle(library, bundle.folder) as opened:
            before = opened.encode("a fish")
            numbers = bundle.folder / "encoder.mnn.weight"
            numbers.write_bytes(numbers.read_bytes() + b"more")
            np.testing.assert_array_equal(opened.encode("a fish"), before)
            with pytest.raises(NativeError, match=r"was replaced or overwritten .* Open it again"):
                opened.encode("how do fish sleep in the river")

    def test_files_of_a_bundle(self, bundle: Bundle, reranker: Bundle, tmp_path: Path) -> None:
        """An index of Python's, a memory file of C++'s, and what identifies the bundle in both."""
        library = Library(compile_library(tmp_path / "libminnow.so", []))
        write_documents(tmp_path / "docs", DOCUMENTS)
        file, notes = tmp_path / "a.index", tmp_path / "a.memory"
        with open_model(bundle) as model:
            store = open_index(file, model)
            index_paths([tmp_path / "docs"], store, model)
            store.close()
        with NativeBundle(library, bundle.folder) as opened:
            with Index.open(file, bundle) as python, NativeIndex(library, file, opened) as index:
                for query in (TEXTS[0], "night train", "kettle"):
                    ours, theirs = python.search(query), index.search(query)
                    assert [hit.id for hit in ours] == [hit["id"] for hit in theirs]
                    scores = [hit["score"] for hit in theirs]
                    assert np.allclose(scores, [hit.score for hit in ours], atol=1e-5)
                with Reranker.open(reranker) as ranker, NativeRanker(library, reranker.folder) as r:
                    ours = python.search(TEXTS[0], 2, reranker=ranker, candidates=3)
                    theirs = index.search(TEXTS[0], 2, reranker=r, options={"candidates": 3})
                assert [(hit.id, hit.first_rank) for hit in ours] == [
                    (hit["id"], hit["first_rank"]) for hit in theirs
                ]
                scores = [hit["rerank_score"] for hit in theirs]
                assert np.allclose(scores, [hit.score for hit in ours], atol=2e-5)
            with NativeMemory(library, notes, opened) as memory:
                memory.take({"remember": [{"text": "Emma likes fish."}]})
                with pytest.raises(NativeError, match="tokens more than the model takes"):
                    memory.take({"remember": [{"text": "fish " * 500}]})
                (found,) = memory.take({"recall": "fish"})
        with Memory.open(notes, bundle) as memory:
            (expected,) = memory.recall("fish", touch=False)
            assert memory.check() == []
            assert memory.fingerprint == Fingerprint.of(bundle.manifest)
        assert abs(found["similarity"] - expected.similarity) < 1e-5

    @pytest.mark.tool("javac")
    def test_from_java(self, bundle: Bundle, tmp_path: Path) -> None:
        compile_bridge(tmp_path)
        sources = [*(ANDROID / "java/dev/minnow").glob("*.java"), HERE / "jvm/Check.java"]
        run_tool("javac", "-d", str(tmp_path), *map(str, sources))
        with Embedder.open(bundle, on_truncate="ignore") as embedder:
            expected = [
                embedder.encode(TEXTS),
                embedder.encode_query(TEXTS),
                embedder.encode_document(TEXTS),
            ]
        for role, rows in enumerate(expected):
            lines = run_java(tmp_path, "dev.minnow.Check", bundle.folder, role, 0, 2, 0, 0, 0, 0)
            found = np.array([line.strip("[]").split(",") for line in lines], dtype=np.float32)
            assert np.abs(found - rows).max() < 2e-5
        gone = bundle.folder / "gone 🦊"
        assert run_java(tmp_path, "dev.minnow.Check", gone, 0, 0, 2, 0, 0, 0, 0) == [
            f"refused: {gone}/minnow.json cannot be read."
        ]
        refusals = {
            (0, 1, 2, 0, 0, 0, 0): "This MNN has no backend 1, or not on this machine.",
            (7, 0, 2, 0, 0, 0, 0): "There is no such role.",
            (0, 0, 2, 9, 0, 0, 0): "There is no such mode.",
            (0, 0, -1, 0, 0, 0, 0): "The number of threads should be at least 1.",
            (0, 0, 2): "There should be six options.",
        }
        for given, message in refusals.items():
            assert (
                run_java(tmp_path, "dev.minnow.Check", bundle.folder, *given)[-1]
                == f"refused: {message}"
            )

    @pytest.mark.tool("javac")
    def test_a_reranker_from_java(self, bundle: Bundle, reranker: Bundle, tmp_path: Path) -> None:
        compile_bridge(tmp_path)
        sources = [*(ANDROID / "java/dev/minnow").glob("*.java"), HERE / "jvm/CheckReranker.java"]
        run_tool("javac", "-d", str(tmp_path), *map(str, sources))
        with Reranker.open(reranker, on_truncate="ignore") as opened:
            scores = opened.predict([(TEXTS[0], text) for text in TEXTS[1:]])
            ranked = opened.rank(TEXTS[0], TEXTS[1:])
        label, *rows = run_java(tmp_path, "dev.minnow.CheckReranker", reranker.folder)
        assert label == opened.labels[0]
        assert rows[-1] == "refused: Each query should have a document."
        numbers = [json.loads(row) for row in rows[:-1]]
        assert np.abs(np.array(numbers[0]) - scores).max() < 2e-5
        for top, indices, found in zip((4, 2, 0), numbers[1:7:2], numbers[2:7:2], strict=True):
            assert indices == [row["corpus_id"] for row in ranked[:top]]
            assert np.allclose(found, [row["score"] for row in ranked[:top]], atol=2e-5)
        assert numbers[7] == 0
        [refusal] = run_java(tmp_path, "dev.minnow.CheckReranker", bundle.folder)
        assert "is an embedding model" in refusal


def run_java(folder: Path, name: str, *arguments: object, given: str | None = None) -> list[str]:
    """Return what a class prints on stderr; MNN prints to stdout."""
    lines = "".join(base64.b64encode(text.encode()).decode() + "\n" for text in TEXTS)
    java = java_home() / "bin/java"
    command = [
        java,
        "-Xcheck:jni",
        f"-Djava.library.path={folder}",
        "-Dsun.jnu.encoding=UTF-8",
        "-cp",
        folder,
        name,
    ]
    done = subprocess.run(
        [*map(str, command), *map(str, arguments)],
        input=lines if given is None else given, capture_output=True, text=True, check=False,
        env={"LC_ALL": "C.UTF-8", "PATH": str(Path(shutil.which("env") or "/usr/bin/env").parent)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()
