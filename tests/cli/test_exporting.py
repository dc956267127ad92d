"""`minnow export` as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes.checkpoint import write_model
from fakes.programs import run_minnow

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.extra("convert")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_model(folder / "model", pooling="mean", prompts={"query": "query: "})
    done = run_minnow("convert", "model", "-o", "tiny.minnow", cwd=folder)
    assert done.code == 0, done.stderr
    return folder


def test_the_answer_is_json(folder: Path) -> None:
    done = run_minnow("export", "tiny.minnow", "-o", "llm", "--json", "--offline", cwd=folder)
    assert done.code == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["target"], answer["output"]) == ("mnn-llm", str(folder / "llm"))
    assert answer["token_ids"] == "identical"
    assert answer["worst_cosine"] >= answer["bar"] == 0.9999
    assert answer["words_bytes"] == (folder / "llm/embeddings.bin").stat().st_size
    assert answer["prompts"] == {"query": "query: "}
    assert "running MNN's own engine, 1 thread" in done.stderr


def test_refusals_have_their_exit_codes(folder: Path) -> None:
    for arguments, code, message in (
        (("none.minnow", "-o", "x"), 6, "is not a folder"),
        (("tiny.minnow", "-o", "tiny.minnow"), 9, "not an export"),
        (("tiny.minnow", "-o", "x", "--source", "none"), 3, "--source"),
        (("tiny.minnow", "-o", "x", "--target", "mnn"), 2, "--target"),
        (("tiny.minnow", "-o", "x", "--words", "int2"), 2, "--words"),
    ):
        done = run_minnow("export", *arguments, "--offline", cwd=folder)
        assert done.code == code, done.stderr
        assert message in done.stderr
        assert not done.stdout
    assert not (folder / "x").exists()
