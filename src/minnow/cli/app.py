"""The program without its commands, and what all of them print."""

from __future__ import annotations

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from minnow.cli.commands import COMMANDS
from minnow.cli.parsing import CommandLine, Group
from minnow.progress import show_progress
from minnow.terminal import render_flags, silence_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

    from minnow.bench import Benchmark
    from minnow.evaluate import Comparison
    from minnow.frontier import Frontier

OTHER_VARIABLES = {"MINNOW_BUNDLES", "MINNOW_CACHE", "MINNOW_FAMILY"}
"""Variables that are no option's, or not only."""

T = TypeVar("T", "Comparison", "Benchmark", "Frontier")


class _Commands(Mapping[str, Any]):
    """The commands by name; each is loaded when it is first asked for."""

    def __init__(self, loaded: Mapping[str, Any]) -> None:
        """Take the commands whose modules are loaded."""
        self._loaded = loaded

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            import_module(f"minnow.cli.{COMMANDS[name].module}")
            self._loaded = cast("Any", typer.main.get_command(app)).commands._loaded
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Program(Group):
    """Commands that can be quiet; some have a name of two words, as `index migrate`."""

    def __init__(self, **settings: Any) -> None:
        """Let each command that is loaded take --quiet too, which `_main_options` declares."""
        super().__init__(**settings)
        quiet = next((option for option in self.params if option.name == "quiet"), None)
        if quiet is not None:
            of_commands: Any = copy(quiet)
            of_commands.expose_value = False
            for command in _commands_below(self):
                command.params.append(of_commands)
        self.commands: Any = _Commands(self.commands)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first two arguments name, else the first one alone."""
        name = " ".join(args[:2])
        return super().resolve_command(ctx, [name, *args[2:]] if name in self.commands else args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """List the commands without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, home.summary) for name, home in COMMANDS.items()])


def _commands_below(group: Any) -> Iterator[Any]:
    """Yield the commands of a group that are no groups, at any depth."""
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from _commands_below(command)
        else:
            yield command


app = CommandLine(
    name="minnow",
    cls=_Program,
    help="Sentence-embedding models on MNN: a model goes in, a proven bundle comes out.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _main_options(
    context: typer.Context,
    version_: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=lambda on: _print_version(on),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            callback=lambda on: silence_progress() if on else None,
            help="Print no progress, only warnings and errors.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command; warn of variables that nothing reads."""
    names = {name for name in os.environ if re.match("MINNOW_(?!TEST_)", name)}
    if unknown := sorted(names - OTHER_VARIABLES):
        known = OTHER_VARIABLES | _variables(context.command)
        for name in unknown:
            if name not in known:
                close = get_close_matches(name, known, 1, 0.8)
                advice = f"; did you mean {close[0]}?" if close else "."
                warnings.warn(f"Nothing reads the variable {name}{advice}", stacklevel=1)


def _variables(command: Any) -> set[str]:
    """Return the environment variables that options of a command and of those below it read."""
    own = {option.envvar for option in command.params if isinstance(option.envvar, str)}
    return own.union(*(map(_variables, getattr(command, "commands", {}).values())))


def _print_version(on: bool) -> None:
    """Show the version and exit."""
    if on:
        from importlib.metadata import version

        print(f"minnow {version('minnow-embed')}")
        raise typer.Exit


def print_facts(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts, a line each, or as one JSON object."""
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<{width}}  {_shown(name, value)}")


def print_json(value: object) -> None:
    """Print a value as JSON on one line."""
    print(json.dumps(value, ensure_ascii=False))


def print_result(
    result: T,
    *,
    as_json: bool,
    facts: Callable[[T], dict[str, Any]],
    tables: Callable[[T, TextIO], None],
    report: Path | None,
    render: Callable[[T], str],
) -> None:
    """Print a result as tables or as JSON, and write its report if one is wanted.

    Its notes name flags instead of the library's parameters.
    """
    result = replace(result, notes=tuple(map(with_flags, result.notes)))
    if report is not None:
        from minnow.reporting.pages import write_page

        write_page(render(result), report)
        print(f"The report is {report}.", file=sys.stderr)
    if as_json:
        print_json(facts(result))
    else:
        tables(result, sys.stdout)


def _shown(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("_bytes"):
        return f"{value / 1e6:.1f} MB"
    if isinstance(value, float) and name.endswith(("_cosine", "_difference")):
        return f"{value:.7f}"
    if isinstance(value, float) and name.endswith("ndcg_10"):
        return f"{value:.4f}"
    if isinstance(value, dict):
        rows = (f"{k} {v!r}" if isinstance(v, str) else f"{k} {v}" for k, v in value.items())
        return ", ".join(rows) or "none"
    if isinstance(value, list):
        return (" x " if name.endswith("_shape") else ", ").join(map(str, value)) or "none"
    return "not stated" if value is None else str(value)


def with_flags(message: str) -> str:
    """Return a message of the library with its parameters shown as flags."""
    return render_flags(message, app)


def steps() -> Callable[[str], None]:
    """Return a function that prints a step on stderr, with the seconds since now."""
    started = time.monotonic()

    def show(step: str) -> None:
        print(
            f"{time.monotonic() - started:6.1f} s  {with_flags(step)}", file=sys.stderr, flush=True
        )

    return show


@contextmanager
def show_run(label: str, texts: int) -> Iterator[Callable[[int], None]]:
    """Print a line on stderr for a system that is run; on a terminal show a bar too."""
    print(f"running {label}: {texts} texts to embed", file=sys.stderr, flush=True)
    with show_progress(label, texts, "texts", show=sys.stderr.isatty()) as advance:
        yield advance
