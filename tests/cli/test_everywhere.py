"""What every command has: short options, --quiet, completion, and warnings of unread variables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import typer
from fakes.programs import MINNOW, refused, run_minnow

from minnow.cli import app, serving
from minnow.errors import EngineError
from minnow.manifest import MANIFEST
from minnow.terminal import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import Tiny

COMPLETE = {
    "bash": lambda words: {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": words},
    "fish": lambda words: {
        "_TYPER_COMPLETE_ARGS": words, "_TYPER_COMPLETE_FISH_ACTION": "get-args"
    },
}  # fmt: skip


def paths(command: Any, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command that is no group."""
    for name, inside in getattr(command, "commands", {}).items():
        yield from paths(inside, *names, *name.split())
    if not hasattr(command, "commands"):
        yield names


COMMANDS = sorted(paths(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_short_help_and_can_be_quiet(words: tuple[str, ...]) -> None:
    short, long = run_minnow(*words, "-h"), run_minnow(*words, "--help")
    assert short.code == 0
    assert short.stdout == long.stdout
    assert "-q, --quiet" in short.stdout


@pytest.mark.parametrize("question", ["", " \n"])
@pytest.mark.parametrize(
    "words",
    [("search", "a.index"), ("ask", "a.index", "--llm", "x"), ("rerank", "a.minnow"),
     ("memory", "recall", "a.memory", "-b", "a.minnow")],
    ids=" ".join,
)  # fmt: skip
def test_a_question_without_a_character_is_refused(words: tuple[str, ...], question: str) -> None:
    """As of a shell's variable that is not set: it found what is nearest to nothing."""
    assert "it is empty. See `minnow" in refused(run_minnow(*words, question), 2)


def test_the_version_has_a_short_option() -> None:
    assert run_minnow("-V").stdout == run_minnow("--version").stdout != ""


@pytest.mark.extra("convert")
@pytest.mark.parametrize("place", ["behind", "before"])
def test_quiet_prints_no_progress_but_warnings(made: Tiny, tmp_path: Path, place: str) -> None:
    source, output = made.source.folder, tmp_path / "made.minnow"
    arguments: list[object] = ["verify", made.bundle.folder, "--source", source]
    assert "running" in run_minnow(*arguments).stderr
    quiet = [*arguments, "--quiet"] if place == "behind" else ["-q", *arguments]
    done = run_minnow(*quiet)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == run_minnow(*arguments).stdout
    long = run_minnow(
        "embed", made.bundle.folder, "river " * 99, "-q", "--output", tmp_path / "v.npy"
    )
    assert long.stderr.startswith("warning: 1 of 1 texts is longer")
    assert long.stderr.count("\n") == 1
    message = refused(run_minnow("convert", tmp_path / "absent", "-o", output, "-q"), 3)
    assert "There is no folder" in message


@pytest.mark.parametrize(
    ("shell", "words", "expected"),
    [
        ("bash", "minnow ca", "cache"),
        ("bash", "minnow convert --precision in", "int8"),
        ("zsh", "minnow cache pr", "prune"),
        ("fish", "minnow cache pr", "prune"),
    ],
)
def test_a_shell_completes_commands_options_and_values(
    shell: str, words: str, expected: str
) -> None:
    asks = {"_MINNOW_COMPLETE": f"complete_{shell}", **COMPLETE[shell](words)}
    done = subprocess.run(
        MINNOW, env={**os.environ, **asks}, capture_output=True, text=True, check=False
    )
    assert expected in done.stdout
    assert done.stderr == ""


def test_the_script_of_a_shell_can_be_shown() -> None:
    """The shell is named here: Typer would take that of the processes around the tests."""
    named = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [*MINNOW, "--show-completion", "bash"],
        env=named, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "_MINNOW_COMPLETE=complete_bash" in done.stdout


def test_a_variable_that_nothing_reads_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", "/nowhere")
    monkeypatch.setenv("MINNOW_MAX_INPUTS", "3")
    monkeypatch.setenv("MINNOW_API_KEY", "secret")
    monkeypatch.setenv("MINNOW_TEST_ANYTHING", "1")
    assert "variable" not in run_minnow("cache", "list").stderr
    monkeypatch.setenv("MINNOW_CAHCE", "/somewhere")
    monkeypatch.setenv("MINNOW_XYZZY", "1")
    lines = run_minnow("cache", "list").stderr.splitlines()
    assert lines[:2] == [
        "warning: Nothing reads the variable MINNOW_CAHCE; did you mean MINNOW_CACHE?",
        "warning: Nothing reads the variable MINNOW_XYZZY.",
    ]


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("a.minnow b.minnow", ["a.minnow", "b.minnow"]),
        ('"my models/a.minnow" b.minnow', ["my models/a.minnow", "b.minnow"]),
        (r"my\ models/a.minnow small='my models/b'", ["my models/a.minnow", "small=my models/b"]),
    ],
)
def test_bundles_of_the_variable_may_have_spaces(variable: str, expected: list[str]) -> None:
    assert serving._bundles_of(variable) == expected


def test_the_variable_may_be_one_path_with_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "my own models"
    folder.mkdir()
    (folder / MANIFEST).write_text("{}")
    assert serving._bundles_of(str(folder)) == [str(folder)]
    for wrong in ("", "  ", "'open"):
        with pytest.raises(UsageError, match="MINNOW_BUNDLES"):
            serving._bundles_of(wrong)


@pytest.mark.extra("convert")
def test_the_doctor_tries_the_engines(made: Tiny, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path))
    done = run_minnow("doctor", "--json")
    assert done.code == 0
    facts = json.loads(done.stdout)
    assert facts["engines"]["mnn"].startswith("not tried: there is no bundle")
    assert facts["packages"]["numpy"] == sys.modules["numpy"].__version__
    assert facts["extras"]["convert"] == "installed"
    assert facts["cache"]["folder"] == str(tmp_path)
    shutil.copytree(made.bundle.folder, tmp_path / "bundles" / "tiny-0123456789abcdef")
    found = json.loads(run_minnow("doctor", "--json").stdout)
    assert found["engines"]["mnn"] == "works: mnn, the bundle's own."
    assert found["cache"]["bundle"] != "0.0 MB"
    assert all(line.startswith(("works: ", "fails: ")) for line in found["engines"].values())
    monkeypatch.setattr("minnow.engines.mnn.MnnEngine.run", _broken)
    broken = run_minnow("doctor")
    assert broken.code == 7
    assert "fails: no such instruction" in broken.stdout


def _broken(*_: object) -> None:
    raise EngineError("no such instruction")
