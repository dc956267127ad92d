"""`minnow compare`, `evaluate` and `gguf` as a user runs them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes import comparisons
from fakes.checkpoint import WORDS, random_tensors, write_model, write_weights
from fakes.programs import refused, run_minnow, stubs
from fakes.word_data import write_data, write_lines

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("evaluate")]

PLACES = ("river", "fish", "water", "red", "blue", "green", "small", "big")


@pytest.fixture(scope="module")
def folder(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, another model of the same shape, and a data set that asks for words."""
    folder = tmp_path_factory.mktemp("cli")
    made.copy_to(folder)
    other = write_model(folder / "other", pooling="mean")
    write_weights(other, random_tensors(other, seed=1))
    write_data(folder / "data")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.extra("onnxruntime")
class TestCompare:
    def test_tables_and_verdicts(self, folder: Path, cache: Path) -> None:
        arguments = ("compare", "tiny.minnow", "onnx:model", "--dataset", "data")
        done = run_minnow(*arguments, cwd=folder)

        assert done.code == 0, done.stderr
        assert f"data/test: {len(WORDS)} documents, {len(WORDS)} queries" in done.stdout
        for words in ("A   tiny.minnow (baseline)", "B   onnx:model", "Recall@10", "gold cosine",
                      "texts/s", "of one pass", "peak memory, MB", "5th percentile", "worst text",
                      "95 % interval", "B against A on nDCG@10: equivalent, +0.0000"):  # fmt: skip
            assert words in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 88
        steps = [f"running {x}: {2 * len(WORDS)} texts" for x in ("tiny.minnow", "onnx:model")]
        assert [line[: len(step)] for line, step in zip(done.stderr.splitlines(), steps)] == steps  # noqa: B905
        assert len(list(cache.glob("*.sqlite"))) == 2

        again = run_minnow(*arguments, cwd=folder)
        assert (again.stdout, again.stderr) == (done.stdout, "")

    def test_json_and_report(self, folder: Path, cache: Path, tmp_path: Path) -> None:
        del cache
        report = tmp_path / "report.html"
        done = run_minnow(
            "compare", "tiny.minnow", "onnx:tiny.minnow", "--dataset", "data", "--json",
            "--report", report, "--margin", "0.02", "--threads", "1", cwd=folder,
        )  # fmt: skip
        assert done.code == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["margin"] == 0.02
        assert [system["system"] for system in facts["systems"]] == [
            "tiny.minnow",
            "onnx:tiny.minnow",
        ]
        row = facts["systems"][1]
        assert row["usage"]["threads"] == 1
        assert row["against_baseline"]["documents_cosine"]["min"] > 0.99999
        assert row["against_baseline"]["verdict"] == "equivalent"
        assert f"The report is {report}." in done.stderr
        page = report.read_text(encoding="utf-8")
        assert page.startswith("<!DOCTYPE html>")
        assert "onnx:tiny.minnow" in page

    def test_notes_name_flags(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On every output; the library's result keeps the parameters."""
        made = comparisons.make(comparisons.INT8, notes=("Give `fresh=True` to measure.",))
        monkeypatch.setattr("minnow.evaluate.compare", lambda *_, **__: made)
        report, arguments = tmp_path / "report.html", ("compare", "a", "b", "--dataset", "data")
        done = run_minnow(*arguments, "--json", "--report", report, cwd=folder)
        assert done.code == 0, done.stderr
        assert json.loads(done.stdout)["notes"] == ["Give --fresh to measure."]
        for text in (report.read_text("utf-8"), run_minnow(*arguments, cwd=folder).stdout):
            assert "Give --fresh to measure." in text
            assert "fresh=" not in text
        assert made.notes == ("Give `fresh=True` to measure.",)

    def test_another_model(self, folder: Path, cache: Path) -> None:
        del cache
        arguments = ("compare", "tiny.minnow", "onnx:other", "--dataset", "data")
        done = run_minnow(*arguments, cwd=folder)
        assert (done.code, done.stdout) == (8, "")
        assert "it runs another model than tiny.minnow" in done.stderr.splitlines()[-1]

        allowed = run_minnow(*arguments, "--across-models", cwd=folder)
        assert allowed.code == 0, allowed.stderr
        assert "another model" in allowed.stdout

    def test_documents_and_questions_of_ones_own(
        self, folder: Path, cache: Path, tmp_path: Path
    ) -> None:
        del cache
        (tmp_path / "docs").mkdir()
        for place in PLACES:
            text = f"# The {place}\n\n" + f"what is the {place} how is it. " * 9
            (tmp_path / "docs" / f"{place}.md").write_text(text)
        rows = [{"text": f"where is the {p}", "document": f"{p}.md"} for p in PLACES]
        write_lines(tmp_path / "questions.jsonl", rows)
        done = run_minnow(
            "compare", "tiny.minnow", "onnx:model", "--docs", tmp_path / "docs", "--queries",
            tmp_path / "questions.jsonl", "--chunk-tokens", "20", "--json", cwd=folder,
        )  # fmt: skip
        assert done.code == 0, done.stderr
        facts = json.loads(done.stdout)
        assert facts["dataset"]["queries"] == len(PLACES)
        assert facts["dataset"]["documents"] > 2 * len(PLACES)
        verdict = facts["systems"][1]["against_baseline"]["verdict"]
        assert verdict == "too few queries to tell"


class TestEvaluate:
    def test_one_system(self, folder: Path, cache: Path) -> None:
        del cache
        done = run_minnow("evaluate", "tiny.minnow", "data", cwd=folder)
        assert done.code == 0, done.stderr
        assert "A   tiny.minnow" in done.stdout
        assert "baseline" not in done.stdout

        printed = json.loads(
            run_minnow("evaluate", "tiny.minnow", "data", "--json", cwd=folder).stdout
        )
        assert printed["dataset"]["name"] == "data/test"
        assert 0 < printed["measures"]["nDCG@10"] <= 1
        assert f"{printed['measures']['nDCG@10']:.4f}" in done.stdout
        assert "against_baseline" not in printed


class TestFailures:
    def test_2_wrong_usage(self, folder: Path) -> None:
        for arguments, message in (
            (["compare"], "Missing argument 'SYSTEM...'"),
            (["compare", "a", "b", "--margin", "-1"], "'--margin'"),
            (["compare", "a", "b", "--docs", "x"], "--docs and --queries go together"),
            (
                ["evaluate", "a", "data", "--docs", "x", "--queries", "y"],
                "Give a data set, or --docs with --queries, and not both",
            ),
        ):
            assert message in refused(run_minnow(*arguments, cwd=folder), 2)

    def test_8_what_cannot_be_compared(self, folder: Path, cache: Path, tmp_path: Path) -> None:
        del cache
        bundle = folder / "tiny.minnow"
        for arguments, message in (
            ([bundle], "at least two systems"),
            ([bundle, "onyx:model"], "no system 'onyx'"),
            ([bundle, bundle, "--dataset", tmp_path / "none"], "is not a folder"),
        ):
            assert message in refused(run_minnow("compare", *arguments), 8)

    @pytest.mark.parametrize(
        ("file", "line", "message"),
        [
            ("corpus.jsonl", '{"_id": "d1", "text": "cut', "is not a JSON object with"),
            ("queries.jsonl", '{"_id": "", "text": "?"}', "has an empty id"),
        ],
    )
    def test_8_a_broken_data_set(
        self, folder: Path, tmp_path: Path, file: str, line: str, message: str
    ) -> None:
        import shutil

        data = tmp_path / "data"
        shutil.copytree(folder / "data", data)
        with (data / file).open("a") as open_file:
            open_file.write(line + "\n")
        done = run_minnow("compare", "tiny.minnow", "tiny.minnow", "--dataset", data, cwd=folder)
        assert message in refused(done, 8)

    def test_a_fault_of_a_published_data_set_is_a_warning(
        self, folder: Path, cache: Path, tmp_path: Path
    ) -> None:
        import shutil

        data = tmp_path / "data"
        shutil.copytree(folder / "data", data)
        with (data / "qrels" / "test.tsv").open("a") as file:
            file.write("q1\td999\t1\n")
        done = run_minnow("evaluate", "tiny.minnow", data, "--json", cwd=folder)
        assert "warning: A judgement in test.tsv is of a document that corpus.jsonl lacks" in (
            done.stderr
        )
        notes = json.loads(done.stdout)["dataset"]["notes"]
        assert [note in done.stderr for note in notes] == [True]

    def test_9_a_report_that_cannot_be_written_is_reported_first(self, folder: Path) -> None:
        done = run_minnow(
            "compare", "tiny.minnow", "tiny.minnow", "--report", "none/r.html", cwd=folder
        )
        assert "none is not a folder" in refused(done, 9)

    def test_10_a_missing_extra(self, folder: Path, cache: Path, tmp_path: Path) -> None:
        del cache
        env = stubs(tmp_path / "stubs", ir_measures="raise ImportError")
        done = run_minnow("evaluate", "tiny.minnow", "data", cwd=folder, env=env)
        assert done.code == 10
        assert "pip install 'minnow-embed[evaluate]'" in done.stderr.splitlines()[-1]


@pytest.mark.extra("llama-cpp")
class TestGguf:
    def test_a_model_becomes_a_file_to_compare_with(
        self, folder: Path, cache: Path, tmp_path: Path
    ) -> None:
        del cache
        file = tmp_path / "tiny-f16.gguf"
        done = run_minnow("gguf", "model", "--type", "f16", "-o", file, "--json", cwd=folder)
        assert done.code == 0, done.stderr
        proof = json.loads(done.stdout)
        assert (proof["type"], proof["file_bytes"]) == ("f16", file.stat().st_size)
        assert proof["worst_cosine"] >= proof["bar"]

        done = run_minnow("compare", "tiny.minnow", f"gguf:{file}", "--dataset", "data", "--json",
                          cwd=folder)  # fmt: skip
        assert done.code == 0, done.stderr
        row = json.loads(done.stdout)["systems"][1]
        assert row["against_baseline"]["queries_cosine"]["min"] > 0.9999
        assert row["against_baseline"]["verdict"] == "equivalent"

    def test_8_an_unknown_type(self, folder: Path, tmp_path: Path) -> None:
        done = run_minnow("gguf", "model", "--type", "q9", "-o", tmp_path / "x.gguf", cwd=folder)
        assert "no GGUF type 'q9'; choose f32, f16" in refused(done, 8)
