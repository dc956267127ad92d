"""A short run of the fuzzer over each parser, with sanitizers where there are any."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from fakes.core_cases import FOLDER, QUESTIONS
from fakes.memory_cases import MEMORY_STEPS, PythonMemory, take
from fakes.native import INDEX, SANITIZE, TOKENIZER, can_sanitize, compile_program
from fakes.sealed import MANIFEST_OF_A_TEST
from fakes.searching import FakeModel
from fakes.tokenizers import CLASSES, tokenizer_of

from minnow.record_json import to_json

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.tool("g++")
RUNS = {"index": 60, "memory": 60, "rows": 150, "tokenizer": 400, "query": 400, "dates": 2000}
EXPRESSIONS = (
    r"\b(?P<date>(?P<day>[12]\d|3[01]|0?[1-9])(?:st|nd)?\s+May)(?!\s+(?:i|we)\b)",
    r"\s*([^\W\d_][\w.'-]*(?: [^\W\d_]+){0,2}?)(?:: | said)",
    r"(?<=\w\W)a|(?i:b)*?c++",
)


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzzer")
    flags = SANITIZE if can_sanitize(folder) else ()
    sources = ("programs/fuzz.cpp", *TOKENIZER, *INDEX)
    return compile_program(folder / "minnow-fuzz", sources, *flags, after=["-lsqlite3"])


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, list[Path]]:
    """Sound inputs of each parser."""
    with PythonMemory(tmp_path / "a.memory", FakeModel()) as memory:
        for step in MEMORY_STEPS[:9]:
            take(memory, step)
    asked = [step["recall"] for step in MEMORY_STEPS if "recall" in step]
    made = {
        "index": [(FOLDER / "float16.index").read_bytes()],
        "memory": [(tmp_path / "a.memory").read_bytes()],
        "tokenizer": [tokenizer_of(name).to_str().encode() for name in sorted(CLASSES)],
        "query": [text.encode() for text in QUESTIONS],
        "dates": [text.encode() for text in asked],
        "pattern": [text.encode() for text in EXPRESSIONS],
        "manifest": [json.dumps(to_json(MANIFEST_OF_A_TEST)).encode()],
    }
    written: dict[str, list[Path]] = {}
    for kind, texts in made.items():
        for number, content in enumerate(texts):
            file = tmp_path / f"{kind}-{number}"
            file.write_bytes(content)
            written.setdefault(kind, []).append(file)
    rows = [*written["index"], *written["memory"]]
    return {**written, "json": written["tokenizer"], "rows": rows}


@pytest.mark.parametrize("seed", [1])
def test_nothing_but_answers_and_errors(
    fuzzer: Path, inputs: dict[str, list[Path]], seed: int
) -> None:
    for kind, files in inputs.items():
        runs = RUNS.get(kind, 1000)
        command = [fuzzer, kind, *files, "--runs", str(runs), "--seed", str(seed)]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{kind}: {done.stderr[-3000:]}"
