"""The program without its commands, and what all of them print."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from minnow.progress import show_progress
from minnow.terminal import EPILOG, render_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import TextIO

    from minnow.bench import Benchmark
    from minnow.evaluate import Comparison
    from minnow.frontier import Frontier

T = TypeVar("T", "Comparison", "Benchmark", "Frontier")


class _Commands(TyperGroup):
    """Commands, of which some have a name of two words, as `index migrate` beside `index`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the first two arguments name, else the first one alone."""
        name = " ".join(args[:2])
        return super().resolve_command(ctx, [name, *args[2:]] if name in self.commands else args)


app = typer.Typer(
    name="minnow",
    cls=_Commands,
    help="Sentence-embedding models on MNN: a model goes in, a proven bundle comes out.",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


@app.callback()
def _main_options(
    version_: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda on: _print_version(on),
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def _print_version(on: bool) -> None:
    """Show the version and exit."""
    if on:
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
