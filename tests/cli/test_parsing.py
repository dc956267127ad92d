"""Values that no command asks typer to validate are what typer would make of them."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import typer
from fakes.programs import refused, run_minnow

from minnow.cli import app, parsing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.bundles import Tiny

VALUES = (None, "", "a.minnow", "mnn", "Mnn", "query", "skip", "low", "5", "-1", "0.5", "2024-05")
LISTS: tuple[Any, ...] = ([], ["a"], ("a", "b"), ["docs/**", ""])


def commands(command: Any) -> Iterator[Any]:
    """Yield a command and those below it."""
    yield command
    for inside in getattr(command, "commands", {}).values():
        yield from commands(inside)


def test_a_plain_value_is_what_typer_makes_of_it() -> None:
    """Of every command's every parameter, unless an older typer validates without pydantic."""
    program = typer.main.get_command(app)
    context = program.make_context("minnow", ["doctor"])
    parameters = [p for c in commands(program) for p in c.params if hasattr(p, "type_descriptor")]
    plain = 0
    for parameter in parameters:
        many = parameter.multiple or parameter.nargs == -1
        for value in (parameter.default, *(LISTS if many else VALUES)):
            found = parsing._plain(parameter, value)
            if found is parsing._UNDECIDED:
                continue
            plain += value is parameter.default
            expected = parameter.get_runtime_param().coerce(value, parameter, context)
            if many:  # typer makes lists of both at the end
                found, expected = list(found), list(expected)
            assert (found, type(found)) == (expected, type(expected)), (parameter.name, value)
    assert plain >= 0.8 * len(parameters)  # else this compared next to nothing


@pytest.mark.extra("convert")
def test_embedding_a_text_loads_no_pydantic(made: Tiny) -> None:
    program = (
        "import sys; from minnow.__main__ import main\n"
        f"sys.argv = ['minnow', 'embed', {str(made.bundle.folder)!r}, 'fish', '--role', 'query']\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, 'pydantic' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "0 False"


@pytest.mark.parametrize("value", ["Mnn", "nonsense"])
def test_typer_words_the_error_of_another_value(value: str) -> None:
    assert "--engine" in refused(run_minnow("embed", "a.minnow", "x", "--engine", value), 2)


def test_a_command_that_runs_often_is_prepared_once() -> None:
    """A process builds its commands once; what wraps validation is not wrapped again."""
    program = typer.main.get_command(app)
    for _ in range(3):
        program.make_context("minnow", ["doctor"])
    for parameter in program.params:
        if "process_value" in vars(parameter):
            assert not isinstance(vars(parameter)["process_value"].args[1], partial)
