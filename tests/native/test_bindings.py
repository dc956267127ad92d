"""The bindings for Kotlin and Swift, run on this machine: they answer as Python does."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import PROMPTS
from fakes.checkpoint import write_model, write_reranker
from fakes.llms import ANSWER, CITATION, OTHER, make_llm
from fakes.native import (
    ANDROID,
    EXAMPLES,
    JSON_JAR,
    SwiftPackage,
    class_path,
    compile_bridge,
    compile_kotlin,
    compile_library,
    has_llm,
    java_home,
    run_tool,
)
from fakes.searching import FINGERPRINT, write_documents

from minnow import Embedder, Reranker
from minnow.backend_choice import read_choice
from minnow.bundle import Bundle
from minnow.convert import convert
from minnow.device import read_answers, write_check
from minnow.indexfile.models import open_model
from minnow.memory import Memory, Observation
from minnow.recipe import RECIPES
from minnow.search import Collection, Index, Record, index_paths, open_index

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minnow.search import Hit

HERE = Path(__file__).parent
pytestmark = [pytest.mark.mnn_sdk, pytest.mark.tool("g++"), pytest.mark.extra("convert")]

QUERY = "how do fish sleep?"
NOW = "2025-11-29T12:00:00Z"
TEXTS = ["how do fish sleep?", "", "emoji 🦊 and 鱼", "a big red river", "the river " * 80]
RECORDS = [
    {"id": "1", "text": "the blue fish sleep"},
    {"id": "鱼 🦊", "text": "a big red river"},
    {"id": "3", "text": "two green runs"},
]
OBSERVATIONS: list[dict[str, Any]] = [
    {"text": "the blue fish sleep", "importance": 0.9, "at": "2025-11-20T08:00:00Z", "tags": []},
    {"text": "the train runs", "importance": 0.5, "at": "2025-11-21T08:00:00Z", "tags": ["food"]},
    {"text": "two green runs", "importance": 0.1, "at": "2025-11-22T08:00:00Z", "tags": []},
]
NOTE = "Fish\n\nthe blue fish sleep\n\na big\n  red river\n \n" + "two green runs " * 30
SHORTER = "Fish\n\nthe blue fish sleep"
INSIGHT = "Fish and trains are topics."
DOCUMENTS = {
    "fish.md": "# Fish\n\nthe blue fish sleep\n\n## Rivers\n\na big red river\n",
    "runs.txt": "two green runs\n",
}


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Return what programs are given: models in folders of any script, and a server of one."""
    folder = tmp_path_factory.mktemp("called 鱼 🦊")
    model = write_model(
        folder / "model",
        pooling="mean",
        prompts=PROMPTS,
        max_tokens=120,
        max_position_embeddings=128,
    )
    bundle = convert(str(model), folder / "bundle", recipe=RECIPES["fp32"])
    reranker = convert(
        str(write_reranker(folder / "ranker")), folder / "reranker", recipe=RECIPES["fp32"]
    )
    handler = partial(QuietHandler, directory=str(bundle.folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        yield {
            "bundle": str(bundle.folder), "reranker": str(reranker.folder), "query": QUERY,
            "now": NOW, "texts": TEXTS, "records": RECORDS, "observations": OBSERVATIONS,
            "model": vars(FINGERPRINT), "address": f"http://127.0.0.1:{server.server_port}",
            "note": NOTE, "shorter": SHORTER,
            "sha256": hashlib.sha256((bundle.folder / "minnow.json").read_bytes()).hexdigest(),
        }  # fmt: skip
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files, and says nothing."""

    def log_message(self, *_: object) -> None: ...


@pytest.mark.tool("kotlinc")
@pytest.mark.tool("javac")
def test_kotlin(given: dict[str, Any], tmp_path: Path) -> None:
    if not JSON_JAR.is_file():
        pytest.skip(f"needs {JSON_JAR}: apt install libandroid-json-java")
    classes = kotlin_classes()
    compile_bridge(tmp_path)
    prepare(given, tmp_path)
    run_kotlin(classes, "dev.minnow.BindingsKt", tmp_path)
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert answers.pop("closed") == "This embedder is closed."
    assert answers.pop("own_fault") == "the app's own fault"
    compare(answers, given, tmp_path)


@pytest.fixture(scope="module")
def swift(tmp_path_factory: pytest.TempPathFactory) -> SwiftPackage:
    """The package for Swift, compiled against the shared library."""
    folder = tmp_path_factory.mktemp("swift")
    compile_library(folder / "libminnow.so", [])
    return SwiftPackage.compile(folder)


@pytest.mark.tool("swiftc")
def test_swift(given: dict[str, Any], swift: SwiftPackage, tmp_path: Path) -> None:
    prepare(given, tmp_path)
    notes = EXAMPLES / "ios/App/Notes.swift"
    swift.run([HERE / "swift/Bindings.swift", notes], str(tmp_path))
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert answers.pop("own_fault") == "The app's encoder failed."
    compare(answers, given, tmp_path)


@pytest.mark.tool("swiftc")
def test_the_test_for_devices_of_apple(
    given: dict[str, Any], swift: SwiftPackage, tmp_path: Path
) -> None:
    folder = write_check(given["bundle"], tmp_path / "phone", choose=lambda probes: probes[:12])
    test = EXAMPLES / "ios/Tests/MinnowTests/DeviceCheckTests.swift"
    main = HERE / "swift/xctest/main.swift"  # XCTest of Linux has no types of Swift 6
    swift.run([test, main], variables={"DEVICE_CHECK": folder}, mode=5)
    [checked] = read_answers(folder)
    assert (checked.passed, checked.answer.runner) == (True, "Swift")


@pytest.mark.tool("swiftc")
def test_the_app_in_swiftui(swift: SwiftPackage) -> None:
    """It is only compiled, against stand-ins for SwiftUI."""
    swift.check_app(
        sorted((EXAMPLES / "ios/App").glob("*.swift")), HERE / "swift/stubs/SwiftUI.swift"
    )


def kotlin_classes() -> Path:
    """Compile the library, the sample against stand-ins for Android's classes, and the program."""
    app = EXAMPLES / "android/app/src/main/kotlin"
    folders = (ANDROID / "kotlin", app, HERE / "jvm")
    kotlin = [file for folder in folders for file in sorted(folder.rglob("*.kt"))]
    return compile_kotlin(sorted((ANDROID / "java/dev/minnow").glob("*.java")), kotlin)


def run_kotlin(classes: Path, name: str, folder: Path) -> None:
    """Run a program of Kotlin on a folder, whose libminnow_jni.so it loads."""
    java = str(java_home() / "bin/java")
    path = f"{class_path(classes)}:{classes}/kotlin-stdlib.jar"
    options = ("-Xcheck:jni", f"-Djava.library.path={folder}", "-Dsun.jnu.encoding=UTF-8", "-cp")
    run_tool("env", "LC_ALL=C.UTF-8", java, *options, path, name, str(folder))


def prepare(given: dict[str, Any], folder: Path) -> None:
    """Write what a program is given into a folder: arguments, and an index that Python made."""
    (folder / "given.json").write_text(json.dumps(given))
    write_documents(folder / "docs", DOCUMENTS)
    with open_model(given["bundle"]) as model:
        store = open_index(folder / "docs.index", model)
        index_paths([folder / "docs"], store, model)
        store.close()
    (folder / "files").mkdir()
    shutil.copytree(given["bundle"], folder / "files/model.minnow")
    if has_llm():
        make_llm(folder / "files/llm")
    write_check(given["bundle"], folder / "phone", choose=lambda probes: probes[:12])


def compare(answers: dict[str, Any], given: dict[str, Any], folder: Path) -> None:
    """Compare a program's answers with Python's, all of them."""
    expected = {**expected_vectors(given), **expected_hits(given, folder)}
    expected |= expected_records(given, folder) | expected_memories(given, folder)
    expected |= expected_notes(given, folder)
    assert read_choice(folder / "best.json").threads in (1, 2)
    assert answers.pop("no_bundle") == f"{folder}/gone 🦊/minnow.json cannot be read."
    assert answers.pop("no_file") == f"There is no file {folder}/gone.index."
    assert "SHA-256 differs" in answers.pop("wrong_hash")
    size = sum(file.size for file in bundle_of(given).manifest.files.values())
    assert answers.pop("downloaded") == [size, size]
    assert answers.pop("downloaded_again") == 0
    bundle_of(given, folder / "downloaded").check_files()
    assert bundle_of(given, folder / "downloaded").manifest == bundle_of(given).manifest
    [checked] = read_answers(folder / "phone")
    assert checked.passed
    assert answers.keys() == expected.keys()
    for name, answer in answers.items():
        assert_close(answer, expected[name], name)


def bundle_of(given: dict[str, Any], folder: Path | None = None) -> Bundle:
    return Bundle.open(folder or given["bundle"])


def assert_close(answer: Any, expected: Any, name: str) -> None:
    """Compare JSON: numbers to 2e-5, everything else exactly."""
    if isinstance(expected, float):
        assert answer == pytest.approx(expected, abs=2e-5), name
    elif isinstance(expected, list):
        assert len(answer) == len(expected), name
        for one, other in zip(answer, expected, strict=True):
            assert_close(one, other, name)
    else:
        assert answer == expected, name


def expected_vectors(given: dict[str, Any]) -> dict[str, Any]:
    with Embedder.open(given["bundle"], on_truncate="ignore") as embedder:
        found = {
            "none": embedder.encode(TEXTS).tolist(),
            "query": embedder.encode_query(TEXTS).tolist(),
            "document": embedder.encode_document(TEXTS).tolist(),
        }
    with Reranker.open(given["reranker"], on_truncate="ignore") as reranker:
        scores = reranker.predict([(QUERY, text) for text in TEXTS])
        ranked = reranker.rank(QUERY, TEXTS, top_k=2)
        found |= {
            "labels": list(reranker.labels),
            "scores": np.reshape(scores, (-1, 1)).tolist(),
            "ranked": [[row["corpus_id"], row["score"]] for row in ranked],
        }
    width = FINGERPRINT.width
    found |= {
        "width": len(found["none"][0]), "proven": True,
        "wrapped": [[float(size), *([1.0] * (width - 1))] for size in (2, 3)],
        "lengths": [[3.0], [1.0]],
    }  # fmt: skip
    return found


def expected_hits(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    with (
        Index.open(folder / "docs.index", given["bundle"]) as index,
        Reranker.open(given["reranker"]) as reranker,
    ):
        where = {"where": "source LIKE ?", "params": ["%fish%"]}
        reranked = index.search(QUERY, 2, candidates=3, reranker=reranker)
        return {
            "size": 3,
            "hits": shown(index.search(QUERY)),
            "keyword": shown(index.search(QUERY, 2, mode="keyword")),
            "filtered": shown(index.search(QUERY, fusion="rrf", **where)),  # type: ignore[arg-type]
            "vector": shown(index.search(QUERY, 3, mode="vector")),
            "reranked": shown(reranked),
            "first_ranks": [hit.first_rank for hit in reranked],
        }


def expected_records(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Also read the file that the program wrote, which Python has to find the same in."""
    records = [
        Record(row["id"], row["text"], {"length": len(row["text"]), "of": ["a", None]})
        for row in RECORDS
    ]
    with open_model(given["bundle"]) as model:
        with Collection(folder / "python.index", model, "notes") as notes:
            notes.put(records)
            notes.remove([records[0].id])
            hits = shown(notes.search(QUERY, 10))
        with Collection(folder / "notes.index", model, "notes") as notes:
            assert shown(notes.search(QUERY, 10)) == hits
            assert notes.index.store.check() == []
            assert notes.put(records[1:]) == 0
    return {
        "put": [[2, 3], [3, 3]], "again": 0, "removed": 1, "records": hits,
        "metadata": records[1].metadata,
    }  # fmt: skip


def expected_memories(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    now = parsed(NOW)
    seen = [Observation(**{**o, "at": parsed(o["at"])}) for o in OBSERVATIONS]
    with Memory.open(folder / "python.memory", given["bundle"], clock=lambda: now) as memory:
        memory.remember_many(seen)
        memory.remember(INSIGHT, sources=[1, 2], at=now)
        found = memory.recall(QUERY, 2, touch=False)
        with Reranker.open(given["reranker"]) as reranker:
            ordered = memory.recall(QUERY, 2, candidates=3, reranker=reranker, touch=False)
        tagged = memory.recall("what?", tags=["food"], touch=False)
        memory.forget(3)
        items = memory.items()
    with Memory.open(folder / "b.memory", given["bundle"], writable=False) as moved:
        assert moved.check() == []
        assert [item.text for item in moved.items()] == [item.text for item in items]
        assert [item.created for item in moved.items()] == [item.created for item in items]
        assert [item.sources for item in moved.items()] == [item.sources for item in items]
    return {
        "remembered": [[2, 3], [3, 3]],
        "sources": [1, 2],
        "recalled": [[one.item.text, one.score] for one in found],
        "reranked_memories": [[one.item.text, one.rerank_score] for one in ordered],
        "tagged": [one.item.text for one in tagged],
        "forgotten": [OBSERVATIONS[2]["text"]],
        "items": [item.text for item in items[:2]],
        "reembedded": [[2, 3], [3, 3]],
    }


def expected_notes(given: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Divide the notes into paragraphs once more, and ask the same."""
    texts = {"first": ["Fish", "the blue fish sleep"], "second": ["Trains", "the train runs"]}
    with open_model(given["bundle"]) as model:
        for name, paragraphs in texts.items():
            with Collection(folder / "again.index", model, name) as notes:
                notes.put([Record(f"{n}", text) for n, text in enumerate(paragraphs)])
        with Index.open(folder / "again.index", given["bundle"]) as index:
            found = shown(index.search(QUERY, 5, fold=True))
    answers = {"answered": "".join(ANSWER), "begun": ANSWER[0]}
    answers["answered_otherwise"] = answers["answered"].replace(CITATION, OTHER)  # it saw the cue
    return {
        **(answers if has_llm() else {}),
        "saved": [[5, 5]], "saved_again": [[2, 2]], "found": found, "titles": ["Fish"],
        "said": ["the blue fish are mine"],
    }  # fmt: skip


def parsed(time: str) -> datetime:
    return datetime.fromisoformat(time.replace("Z", "+00:00"))


def shown(hits: Sequence[Hit]) -> list[list[Any]]:
    return [[f"{hit.source}#{hit.number}", hit.score] for hit in hits]
