"""The program as a user runs it: what it answers, and how it ends."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from fakes.bundles import PROMPTS
from fakes.checkpoint import write_model, write_tokenizer
from fakes.programs import Done, refused, run_minnow, run_python, stubs
from fakes.sealed import NEW, make, names, small_disk

from minnow import Embedder
from minnow.errors import InputError, MinnowError
from minnow.manifest import ENCODER
from minnow.recipe import PURPOSES, Grid, Purpose, Recipe
from minnow.records import replace
from minnow.terminal import EPILOG

if TYPE_CHECKING:
    from pathlib import Path

converts = pytest.mark.extra("convert")
COMMANDS = ("convert", "verify", "embed", "info", "compare", "evaluate", "gguf", "frontier",
            "index", "search")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the program has converted a model; for reading only."""
    folder = tmp_path_factory.mktemp("cli")
    write_model(folder / "model", pooling="mean", prompts=PROMPTS)
    done = run_minnow("convert", "model", "-o", "tiny.minnow", "--json", cwd=folder, alone=True)
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    assert done.code == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def encoded(folder: Path) -> dict[str, list[float]]:
    """Return text -> vector, by the library."""
    texts = ["fish", "query: fish", "passage: fish", "a fish", "sleep", "", "Füße 鱼"]
    with Embedder.open(folder / "tiny.minnow") as embedder:
        return dict(zip(texts, embedder.encode(texts).tolist(), strict=True))


def close(found: object, expected: object) -> None:
    np.testing.assert_allclose(np.array(found, "f4"), np.array(expected, "f4"), atol=1e-5)


@converts
class TestAnswers:
    def test_convert(self, folder: Path) -> None:
        answer = json.loads((folder / "stdout").read_text())
        steps = (folder / "stderr").read_text()
        assert answer["bundle"] == str(folder / "tiny.minnow")
        assert answer["worst_cosine"] >= answer["bar"] == 0.9999
        assert answer["prompts"] == PROMPTS
        assert all(re.match(r" +\d+\.\d s  \w", line) for line in steps.splitlines())
        for step in ("finding model", "converting to MNN", "reference", "sealing"):
            assert step in steps
        assert names(folder) == ["model", "stderr", "stdout", "tiny.minnow"]

    def test_convert_to_whole_numbers(self, folder: Path, tmp_path: Path) -> None:
        """On text of the user's, with grids of the user's, and it embeds."""
        (tmp_path / "mine.txt").write_text("a fish sleeps\n\nthe keel of a ship\n" * 400)
        bundle = tmp_path / "small.minnow"
        done = run_minnow(
            "convert", "model", "-o", str(bundle), "--json", "--precision", "int8",
            "--calibration", str(tmp_path / "mine.txt"), "--weights", "7/16", "--words", "6",
            cwd=folder,
        )  # fmt: skip
        assert done.code == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["precision"] == "int8"
        grids = [answer[f"{name}_bits"] for name in ("weights", "words", "positions")]
        assert grids == ["7/16", "6", "8/64"]
        assert "rounding layer 1 of" in done.stderr
        card = (bundle / "README.md").read_text()
        assert "int8 (weights 7 bits in blocks of 16, words 6 bits, positions 8 bits" in card
        assert "calibrated on 800 texts of the user's, SHA-256 " in card
        with Embedder.open(bundle) as small, Embedder.open(folder / "tiny.minnow") as whole:
            vectors = [one.encode("a fish") for one in (small, whole)]
        assert 0.99 < float(vectors[0] @ vectors[1]) < 0.9999999

    def test_an_encoder_that_pools(
        self, folder: Path, tmp_path: Path, encoded: dict[str, list[float]]
    ) -> None:
        """It is made, shown, proven again and embedded with, like the other."""
        done = run_minnow(
            "convert", folder / "model", "-o", "pools.minnow", "--json",
            "--interface", "sentence_embedding", cwd=tmp_path,
        )  # fmt: skip
        assert done.code == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["interface"] == "sentence_embedding"
        assert answer["output"] == "float32 of shape (batch, 32), of length 1"
        shown = run_minnow("info", "pools.minnow", cwd=tmp_path).stdout
        assert re.search("^interface +sentence_embedding$", shown, re.M)
        assert re.search(r"^output +float32 of shape \(batch, 32\), of length 1$", shown, re.M)
        proven = json.loads(run_minnow("verify", "pools.minnow", "--json", cwd=tmp_path).stdout)
        assert proven["worst_cosine"] >= proven["bar"] == 0.9999
        embedded = run_minnow("embed", "pools.minnow", "fish", "Füße 鱼", "", cwd=tmp_path)
        found = [json.loads(line) for line in embedded.stdout.splitlines()]
        close(found, [encoded[text] for text in ("fish", "Füße 鱼", "")])

    @pytest.mark.parametrize("more", [[], ["--weights", "7/32"]])
    @pytest.mark.parametrize("purpose", get_args(Purpose))
    def test_a_purpose_is_a_recipe(
        self, purpose: Purpose, more: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Beside its own precision too; other options change it."""
        recipe, asked = PURPOSES[purpose], []

        def convert(*_: object, recipe: Recipe, **__: object) -> None:
            asked.append(recipe)
            raise InputError("nothing is converted here")

        monkeypatch.setattr("minnow.convert.convert", convert)
        for words in ([], ["--precision", recipe.precision.value]):
            done = run_minnow("convert", "a", "-o", "b", "--for", purpose, *words, *more)
            refused(done, 8)
        if more:
            recipe = replace(recipe, weights=Grid(7, 32))
        assert asked == [recipe, recipe]

    def test_info_is_what_convert_said(self, folder: Path) -> None:
        done = run_minnow("info", "tiny.minnow", "--json", cwd=folder)
        said = json.loads((folder / "stdout").read_text())
        del said["seconds"], said["bundle"]
        answer = json.loads(done.stdout)
        assert answer.pop("bundle") == "tiny.minnow"
        assert (done.code, done.stderr, answer) == (0, "", said)

    def test_info_for_people(self, folder: Path) -> None:
        done = run_minnow("info", "tiny.minnow", cwd=folder)
        rows = dict(re.split(" {2,}", line, maxsplit=1) for line in done.stdout.splitlines())
        assert rows["pooling"] == "mean"
        assert rows["normalize"] == "yes"
        assert rows["revision"] == "not stated"
        assert rows["prompts"].startswith("query 'query: ', document 'passage: '")
        assert re.fullmatch(r"\d+\.\d MB", rows["encoder bytes"])
        assert re.fullmatch(r"0\.99999\d+|1\.0+", rows["worst cosine"])

    def test_verify(self, folder: Path) -> None:
        done = run_minnow("verify", "tiny.minnow", "--json", cwd=folder)
        answer = json.loads(done.stdout)
        assert done.code == 0
        assert answer["worst_cosine"] >= answer["bar"]
        assert "checking the hash of every file" in done.stderr

    @pytest.mark.parametrize(
        ("options", "texts"),
        [
            ([], ["fish", "sleep", ""]),
            (["--role", "query"], ["query: fish"]),
            (["--role", "document"], ["passage: fish"]),
            (["--prompt", "a ", "--role", "query"], ["a fish"]),
        ],
    )
    def test_embed_arguments(
        self, folder: Path, encoded: dict[str, list[float]], options: list[str], texts: list[str]
    ) -> None:
        given = texts if len(texts) > 1 else ["fish"]
        done = run_minnow("embed", "tiny.minnow", *options, *given, cwd=folder)
        assert (done.code, done.stderr) == (0, "")
        close([json.loads(line) for line in done.stdout.splitlines()], [encoded[t] for t in texts])

    def test_embed_standard_input_as_json(
        self, folder: Path, encoded: dict[str, list[float]]
    ) -> None:
        done = run_minnow(
            "embed", "tiny.minnow", "--input", "-", "--json", "--batch-size", "1",
            cwd=folder, stdin="fish\n\nFüße 鱼\n".encode(), alone=True,
        )  # fmt: skip
        answer = [json.loads(line) for line in done.stdout.splitlines()]
        assert [row["text"] for row in answer] == ["fish", "", "Füße 鱼"]
        close([row["embedding"] for row in answer], [encoded[row["text"]] for row in answer])

    @pytest.mark.parametrize("ending", ["npy", "jsonl"])
    def test_embed_to_a_file(
        self, folder: Path, tmp_path: Path, encoded: dict[str, list[float]], ending: str
    ) -> None:
        (tmp_path / "texts.jsonl").write_text('{"text": "fish"}\n{"text": "sleep"}\n')
        output = tmp_path / f"vectors.{ending}"
        done = run_minnow(
            "embed", folder / "tiny.minnow", "-i", "texts.jsonl", "-o", output.name,
            "--truncate-dim", "5", "--threads", "1", "--json", cwd=tmp_path,
        )  # fmt: skip
        answer = json.loads(done.stdout)
        del answer["seconds"]
        assert answer == {"output": output.name, "texts": 2, "width": 5}
        if ending == "npy":
            found = np.load(output)
        else:
            rows = map(json.loads, output.read_text().splitlines())
            found = np.array([row["embedding"] for row in rows])
        assert found.shape == (2, 5)
        close(found, [encoded["fish"][:5], encoded["sleep"][:5]])

    def test_embed_no_text_at_all(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "none.txt").touch()
        bundle = folder / "tiny.minnow"
        assert run_minnow("embed", bundle, "-i", tmp_path / "none.txt") == Done(0, "", "")
        run_minnow("embed", bundle, "-i", tmp_path / "none.txt", "-o", tmp_path / "a.npy")
        assert np.load(tmp_path / "a.npy").shape == (0, 32)

    def test_progress_of_many_texts_is_on_stderr(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "many.txt").write_text("fish\n" * 9000)
        done = run_minnow(
            "embed", folder / "tiny.minnow", "-i", "many.txt", "-o", "a.npy", "--engine", "mnn",
            cwd=tmp_path,
        )  # fmt: skip
        assert done.stderr.splitlines() == ["4096 texts embedded", "8192 texts embedded"]
        assert np.load(tmp_path / "a.npy").shape == (9000, 32)

    @pytest.mark.parametrize("policy", ["warn", "ignore"])
    def test_long_texts(self, folder: Path, policy: str) -> None:
        bundle = folder / "tiny.minnow"
        done = run_minnow("embed", bundle, "fish " * 30, "fish", "--on-truncate", policy)
        warning = "warning: 1 of 2 texts is longer than 24 tokens, the limit of tiny.minnow; "
        assert (done.code, len(done.stdout.splitlines())) == (0, 2)
        assert done.stderr.startswith(warning) if policy == "warn" else done.stderr == ""


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_the_answer_is_utf8_in_every_locale(tmp_path: Path, options: list[str]) -> None:
    make(tmp_path / "a.minnow")
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = run_minnow("info", "a.minnow", *options, cwd=tmp_path, env=ascii_only)
    assert (done.code, done.stderr) == (0, "")
    assert "für 鱼: " in done.stdout


class TestHelp:
    @pytest.mark.parametrize("command", ["", *COMMANDS])
    def test_it_fits_a_terminal_and_names_the_exit_codes(
        self, command: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        done = run_minnow(*command.split(), "--help")
        assert (done.code, done.stderr) == (0, "")
        assert max(map(len, done.stdout.splitlines())) <= 80
        assert " ".join(EPILOG.split()) in " ".join(done.stdout.split())
        assert not re.search(r"…|\w\.\.\.$", done.stdout, re.M), "something was cut off"

    def test_every_exit_code_of_an_error_is_named(self) -> None:
        errors: list[type[MinnowError]] = [MinnowError, *MinnowError.__subclasses__()]
        codes = {kind.exit_code for kind in errors}
        assert {0, 2, 130, 141} | codes == set(map(int, re.findall(r"[ ,](\d+) [a-z]", EPILOG)))

    def test_without_arguments_the_help_is_on_stderr(self) -> None:
        done = run_minnow()
        assert (done.code, done.stdout) == (2, "")
        assert all(command in done.stderr for command in COMMANDS)

    def test_version(self) -> None:
        done = run_minnow("--version")
        assert re.fullmatch(r"minnow \d+\.\d+\.\d+\S*\n", done.stdout)
        assert (done.code, done.stderr) == (0, "")


class TestExitCodes:
    def test_1_a_fault_of_minnows_own_shows_where(self) -> None:
        code = """
from minnow import bundle
bundle.Bundle.open = lambda folder: 1 / 0
import sys
sys.argv = ["minnow", "info", "some"]
from minnow.cli import main
main()
"""
        done = run_python(code)
        assert done.returncode == 1
        assert done.stderr.endswith("ZeroDivisionError: division by zero\n")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["frob"], "No such command 'frob'. See `minnow --help`"),
            (["info"], "Missing argument 'BUNDLE'. See `minnow info --help`"),
            (["info", "a", "b"], "unexpected extra argument"),
            (["info", "a", "--frob"], "No such option: --frob"),
            (["convert", "a"], "Missing option '--output'"),
            (["convert", "a", "-o", "b", "--precision", "fp8"], "'fp8'"),
            (["convert", "a", "-o", "b", "--interface", "vectors"], "'vectors'"),
            (["convert", "a", "-o", "b", "--weights", "six"], "--weights takes bits, or bits and"),
            (
                ["convert", "a", "-o", "b", "--for", "fidelity", "--precision", "fp16"],
                "error: --for fidelity stores the weights as fp32, not as fp16; give --for or",
            ),
            (["embed", "a"], "Give texts as arguments, or a file with --input"),
            (["embed", "a", "text", "-i", "file"], "and not both. See `minnow embed --help`"),
            (["embed", "a", "text", "--threads", "0"], "'--threads'"),
            (["embed", "a", "text", "--role", "judge"], "'--role': 'judge' is not one of 'query'"),
        ],
    )
    def test_2_wrong_usage(self, arguments: list[str], message: str) -> None:
        assert message in refused(run_minnow(*arguments), 2)

    @pytest.mark.parametrize(
        "arguments",
        [["./none"], ["package:minnow-none"], ["tests/none", "--offline"], ["no/model"]],
        ids=str,
    )
    def test_3_no_such_model(self, arguments: list[str], tmp_path: Path) -> None:
        """The last of them where no network is."""
        nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "home")}
        env = nowhere if arguments == ["no/model"] else None
        done = run_minnow("convert", *arguments, "-o", "out", cwd=tmp_path, env=env)
        assert arguments[0].removeprefix("package:") in refused(done, 3)
        assert names(tmp_path) in ([], ["home"])

    @converts
    def test_4_the_converter_fails(self, folder: Path, tmp_path: Path) -> None:
        stub = 'def mnnconvert(arguments): print("out of luck")'
        done = convert_with_stub(stub, folder, tmp_path)
        assert "MNN's converter failed. It printed last: out of luck" in refused(done, 4)
        assert "out" not in names(tmp_path)

    @converts
    def test_5_the_proof_refuses(self, folder: Path, tmp_path: Path) -> None:
        """The converter gives back another model than it was given."""
        other = write_model(tmp_path / "other", seed=1)
        assert run_minnow("convert", other, "-o", tmp_path / "other.minnow").code == 0
        stub = f"""
import shutil
def mnnconvert(arguments):
    target = arguments[arguments.index("--MNNModel") + 1]
    shutil.copy({str(tmp_path / "other.minnow" / ENCODER)!r}, target)
"""
        done = convert_with_stub(stub, folder, tmp_path)
        assert (done.code, done.stdout) == (5, "")
        assert re.search("^error: Refused: .* cosine .* Nothing was written", done.stderr, re.M)
        assert "Traceback" not in done.stderr
        assert "out" not in names(tmp_path)

    @pytest.mark.parametrize("command", [["info"], ["verify"], ["embed", "text"]], ids=str)
    def test_6_no_bundle(self, command: list[str], tmp_path: Path) -> None:
        done = run_minnow(command[0], tmp_path, *command[1:])
        assert "is not a bundle" in refused(done, 6)

    @pytest.mark.parametrize("command", [["verify"], ["embed", "text"]], ids=str)
    def test_6_a_changed_file(self, command: list[str], tmp_path: Path) -> None:
        make(tmp_path / "a.minnow")
        (tmp_path / "a.minnow" / ENCODER).write_bytes(b"OLD weights")
        done = run_minnow(command[0], tmp_path / "a.minnow", *command[1:])
        assert f"{ENCODER} has changed since it was sealed" in refused(done, 6)

    def test_7_the_runtime_refuses(self, tmp_path: Path) -> None:
        """Sealed as it is, the encoder is no model; that needs a tokenizer that is one."""
        write_tokenizer(tmp_path)
        tokenizer = (tmp_path / "tokenizer.json").read_bytes()
        make(tmp_path / "a.minnow", {**NEW, "tokenizer.json": tokenizer})
        done = run_minnow("embed", tmp_path / "a.minnow", "text")
        assert (done.code, done.stdout) == (7, "")
        errors = [line for line in done.stderr.splitlines() if "MNN Module" not in line]
        assert len(errors) == 1, "beside a line of MNN's own"
        assert re.match("error: .*it is not an MNN model, or not a whole one", errors[0])

    def test_8_an_authors_graph_that_should_pool(self, tmp_path: Path) -> None:
        done = run_minnow(
            "convert", "a", "-o", "b", "--graph", "author", "--interface", "sentence_embedding",
            cwd=tmp_path,
        )  # fmt: skip
        assert "for sentence_embedding take minnow's own graph" in refused(done, 8)

    @converts
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"fish\nr\xefver\n", "Line 2 of t.txt is not UTF-8"),
            (b"fish\0", "Line 1 of t.txt holds a NUL byte"),
            (None, "Cannot read t.txt: No such file or directory"),
        ],
    )
    def test_8_an_input_file(
        self, folder: Path, tmp_path: Path, content: bytes | None, message: str
    ) -> None:
        if content is not None:
            (tmp_path / "t.txt").write_bytes(content)
        (tmp_path / "a.npy").write_text("older")
        done = run_minnow(
            "embed", folder / "tiny.minnow", "-i", "t.txt", "-o", "a.npy", cwd=tmp_path
        )
        assert message in refused(done, 8)
        assert (tmp_path / "a.npy").read_text() == "older"
        assert len(names(tmp_path)) == 1 + (content is not None)

    @converts
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([b"fish", b"r\xefver"], "Text 1 is not UTF-8"),
            (["fish " * 30, "--on-truncate", "error"], "Text 0 is longer than 24 tokens"),
            (["fish", "--truncate-dim", "33"], "truncate_dim should be 1 to 32"),
        ],
    )
    def test_8_a_text(self, folder: Path, arguments: list[str | bytes], message: str) -> None:
        assert message in refused(run_minnow("embed", folder / "tiny.minnow", *arguments), 8)

    @converts
    @pytest.mark.parametrize(
        ("output", "message"),
        [
            ("/dev/full/a.npy", "/dev/full is not a folder"),
            ("none/a.npy", "none is not a folder. Make it first"),
            ("vectors.csv", "vectors.csv should end in .npy or .jsonl"),
        ],
    )
    def test_9_an_output_file(self, folder: Path, output: str, message: str) -> None:
        bundle = folder / "tiny.minnow"
        assert message in refused(run_minnow("embed", bundle, "fish", "-o", output), 9)

    @pytest.mark.parametrize("taken", ["a file", "a folder"])
    def test_9_a_destination_that_is_taken(self, tmp_path: Path, taken: str) -> None:
        mine = tmp_path / "mine" / "thesis" if taken == "a folder" else tmp_path / "mine"
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("mine")
        done = run_minnow("convert", "./none", "-o", "mine", cwd=tmp_path)
        assert "Name another folder" in refused(done, 9) or "Name a folder" in done.stderr
        assert mine.read_text() == "mine"
        assert names(tmp_path) == ["mine"]

    @converts
    def test_9_a_full_disk(self, folder: Path, tmp_path: Path) -> None:
        disk, bundle = tmp_path / "disk", folder / "tiny.minnow"
        (tmp_path / "many.txt").write_text("fish\n" * 1000)
        with small_disk(disk):
            (disk / "mine").write_bytes(b"m" * 960_000)
            done = run_minnow("convert", folder / "model", "-o", disk / "out")
            assert "out: No space left on device. Nothing was written" in refused(done, 9)
            done = run_minnow("embed", bundle, "-i", tmp_path / "many.txt", "-o", disk / "a.npy")
            assert "a.npy: No space left on device. Nothing was written" in refused(done, 9)
            assert names(disk) == ["mine"]

    def test_10_an_extra_is_missing(self, tmp_path: Path) -> None:
        write_model(tmp_path / "model")
        hidden = stubs(
            tmp_path / "stubs", onnx="raise ImportError", safetensors="raise ImportError"
        )
        done = run_minnow("convert", "model", "-o", "out", cwd=tmp_path, env=hidden)
        assert "pip install 'minnow-embed[convert]'" in refused(done, 10)
        assert names(tmp_path) == ["model", "stubs"]


def convert_with_stub(stub: str, folder: Path, place: Path) -> Done:
    """Convert the tiny model with a converter of the test's own."""
    hidden = stubs(place / "stubs", _tools=stub)
    kept = {**hidden, "TMPDIR": str(place)}
    return run_minnow("convert", folder / "model", "-o", place / "out", env=kept)
