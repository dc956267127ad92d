"""`minnow ask`, as a user types it, with a tiny LLM on MNN's own engine."""

from __future__ import annotations

import json
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from fakes.bundles import PROMPTS
from fakes.checkpoint import write_model
from fakes.llms import CUE, make_llm
from fakes.programs import MINNOW, refused, run_minnow
from fakes.searching import DOCUMENTS, write_documents

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert")

FISH = ("a.index", "fish sleep", "--llm", "llm")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an index, its bundle, and an LLM; for reading only."""
    folder = tmp_path_factory.mktemp("asking")
    write_model(folder / "tiny", pooling="mean", prompts=PROMPTS)
    write_documents(folder / "docs", DOCUMENTS)
    for command in (
        ("convert", "tiny", "-o", "tiny.minnow", "--precision", "fp32"),
        ("index", "docs", "-b", "tiny.minnow", "-o", "a.index"),
    ):
        done = run_minnow(*command, cwd=folder)
        assert done.code == 0, done.stderr
    make_llm(folder / "llm")
    return folder


class TestAsk:
    def test_an_answer_and_its_source(self, place: Path) -> None:
        done = run_minnow("ask", *FISH, cwd=place)
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout == (
            "Fish sleep with open eyes [1].\n\nSources\n  [1] docs/fish.md, part 1\n      Fish\n"
        )

    def test_with_a_bundle(self, place: Path) -> None:
        done = run_minnow("ask", *FISH, "-b", "tiny.minnow", "-k", "2", "--json", cwd=place)
        assert done.code == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["answer"] == "Fish sleep with open eyes [1]."
        assert [row["cited"] for row in facts["passages"]] == [True, False]
        assert facts["passages"][0]["vector_score"] is not None
        assert (facts["complete"], facts["answer_tokens"], facts["warnings"]) == (True, 7, [])

    def test_reranked(self, place: Path, ranker: Bundle) -> None:
        rerank = ("--rerank", ranker.folder, "--candidates", "3", "-k", "2", "--prompt-only")
        done = run_minnow("ask", *FISH, "-b", "tiny.minnow", *rerank, "--json", cwd=place)
        assert done.code == 0, done.stderr
        passages = json.loads(done.stdout)["passages"]
        scores = [hit["rerank_score"] for hit in passages]
        assert len(scores) == 2
        assert scores == sorted(scores, reverse=True)
        assert {hit["first_rank"] for hit in passages} <= {1, 2, 3}

    def test_a_citation_of_nothing_is_reported(self, place: Path) -> None:
        done = run_minnow("ask", "a.index", f"fish sleep {CUE}", *FISH[2:], "-k", "1", cwd=place)
        assert (done.code, done.stdout) == (0, "Fish sleep with open eyes [2].\n")
        assert "warning: the answer cites [2], which no passage has" in done.stderr

    def test_the_limit(self, place: Path) -> None:
        done = run_minnow("ask", *FISH, "--max-tokens", "2", cwd=place)
        assert (done.code, done.stdout) == (0, "Fish sleep\n")
        assert "warning: the answer was stopped at 2 tokens" in done.stderr
        assert "warning: the answer cites no passage" in done.stderr

    @pytest.mark.parametrize("form", [(), ("--json",)])
    def test_nothing_found(self, place: Path, form: tuple[str, ...]) -> None:
        done = run_minnow("ask", "a.index", "zebra", "--llm", "nowhere", *form, cwd=place)
        assert done.code == 0
        if form:
            facts = json.loads(done.stdout)
            assert (facts["answer"], facts["passages"]) == ("", [])
        else:
            assert done.stdout == ""
            assert done.stderr == "warning: nothing was found, so the LLM was not asked.\n"

    def test_a_filter(self, place: Path) -> None:
        where = ("--where", "source LIKE '%kettle.md'")
        done = run_minnow("ask", *FISH, *where, cwd=place)
        assert "nothing was found" in done.stderr


class TestPromptOnly:
    def test_what_the_llm_would_read(self, place: Path) -> None:
        done = run_minnow("ask", *FISH, "--prompt-only", cwd=place)
        assert done.code == 0, done.stderr
        assert "<passage>\n[1] docs/fish.md, Fish\nFish sleep with open eyes.\n" in done.stdout
        assert "\nQuestion: fish sleep<|im_end|>\n<|im_start|>assistant\n" in done.stdout

    def test_as_json(self, place: Path) -> None:
        done = run_minnow(
            "ask", *FISH, "--prompt-only", "--json", "--window", "2000", "-k", "1", cwd=place
        )
        facts = json.loads(done.stdout)
        assert facts["window"] == 2000
        assert 100 < facts["prompt_tokens"] < len(facts["prompt"])
        assert [hit["source"] for hit in facts["passages"]] == ["docs/fish.md"]


class TestRefusals:
    def test_no_llm(self, place: Path) -> None:
        done = run_minnow("ask", *FISH[:-1], "nowhere", cwd=place)
        assert "There is no folder" in refused(done, 3)

    def test_an_embedding_model(self, place: Path) -> None:
        done = run_minnow("ask", *FISH[:-1], "tiny.minnow", cwd=place)
        assert "tiny.minnow is a minnow bundle, an embedding model" in refused(done, 3)

    def test_too_small_a_window(self, place: Path) -> None:
        done = run_minnow("ask", *FISH, "--window", "700", cwd=place)
        assert "a window of 700, of which 512 are kept for the answer" in refused(done, 8)

    def test_a_mode_that_needs_a_bundle(self, place: Path) -> None:
        done = run_minnow("ask", *FISH, "--mode", "vector", cwd=place)
        assert "--mode vector needs the model" in refused(done, 2)

    def test_an_llm_that_crashes(self, place: Path, tmp_path: Path) -> None:
        made = make_llm(tmp_path / "made")
        (made / "tokenizer.mtok").write_bytes((made / "tokenizer.mtok").read_bytes()[:999])
        done = run_minnow("ask", *FISH[:-1], made, cwd=place)
        assert f"The LLM in {made} c" in refused(done, 7)

    def test_stopped(self, place: Path, tmp_path: Path) -> None:
        made = make_llm(tmp_path / "made", ends=False)
        endless = ("--llm", str(made), "--window", "9000000", "--max-tokens", "8000000")
        with subprocess.Popen(
            [*MINNOW, "ask", "a.index", "fish", *endless],
            cwd=place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.read(12) == b"Fish sleep w"
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        assert stderr == b"error: stopped; nothing was left half done.\n"
        assert process.returncode == 130
