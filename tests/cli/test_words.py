"""Words of the command line are those of the library."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, get_args

import pytest

from minnow.ask.mnn import TIMEOUT
from minnow.bench import BenchOptions
from minnow.cli import app, speed
from minnow.cli.asking import ask_command
from minnow.cli.options import RunChoice
from minnow.cli.speed import bench_command
from minnow.evaluate import RunOptions
from minnow.proof.references import REFERENCES
from minnow.recipe import RECIPES, Precision, ReferenceName
from minnow.terminal import render_flags

if TYPE_CHECKING:
    from collections.abc import Callable


def test_every_reference_has_a_name() -> None:
    assert get_args(ReferenceName) == tuple(REFERENCES)


def test_every_recipe_has_the_name_of_its_precision() -> None:
    assert {name: recipe.precision.value for name, recipe in RECIPES.items()} == {
        precision.value: precision.value for precision in Precision
    }


@pytest.mark.parametrize("command", ["ask", "bench", "compare", "evaluate", "frontier"])
def test_the_time_limit_is_an_option(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message of a timeout names it."""
    monkeypatch.setattr(sys, "argv", ["minnow", command])
    assert render_flags("give a larger `timeout=`.", app) == "give a larger --timeout."


def test_the_time_limit_is_the_librarys() -> None:
    def default(command: Callable[..., None]) -> object:
        return inspect.signature(command).parameters["timeout"].default

    assert RunChoice().options().timeout == RunOptions().timeout
    assert RunChoice(timeout=7).options().timeout == 7
    assert default(bench_command) == BenchOptions().timeout
    assert default(ask_command) == TIMEOUT


def test_a_benchmark_gets_its_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    def bench(_: object, __: object, options: BenchOptions) -> None:
        given.append(options.timeout)

    given: list[float] = []
    monkeypatch.setattr("minnow.bench.bench", bench)
    monkeypatch.setattr(speed, "read_dataset", print)
    monkeypatch.setattr(speed, "print_result", lambda *_, **__: None)
    bench_command(["x"], timeout=7)
    assert given == [7]
