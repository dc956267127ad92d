"""The program without its commands: its options, and how an answer is printed."""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minnow.terminal import EPILOG, render_flags
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    name="minnow",
    help="Sentence-embedding models on MNN: a model goes in, a proven bundle comes out.",
    epilog=EPILOG,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Offline = Annotated[bool, typer.Option("--offline", help="Make no network call at all.")]
Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="A Hub id, a folder, or package:NAME.")
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit on the Hub.")]
PoolingChoice = Annotated[
    Pooling | None, typer.Option(help="Pool this way, whatever the source says.")
]
NormalizeChoice = Annotated[
    bool | None,
    typer.Option("--normalize/--no-normalize", help="Scale vectors to length 1, or do not."),
]
MaxTokensChoice = Annotated[
    int | None, typer.Option(help="Cut texts off here, special tokens included.")
]
QueryPromptChoice = Annotated[
    str | None, typer.Option(help="Put this before queries; may be empty.")
]
DocumentPromptChoice = Annotated[
    str | None, typer.Option(help="Put this before documents; may be empty.")
]


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
    """Only the options before a command."""


def _print_version(on: bool) -> None:
    """Show the version and exit."""
    if on:
        print(f"minnow {version('minnow-embed')}")
        raise typer.Exit


def answer(facts: dict[str, Any], as_json: bool) -> None:
    """Print facts, a line each, or as one JSON object."""
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<{width}}  {_shown(name, value)}")


def _shown(name: str, value: object) -> str:
    if isinstance(value, int) and name.endswith("_bytes"):
        return f"{value / 1e6:.1f} MB"
    if isinstance(value, float) and name.endswith("_cosine"):
        return f"{value:.7f}"
    if isinstance(value, float) and name.endswith("ndcg_10"):
        return f"{value:.4f}"
    if isinstance(value, dict):
        return (
            ", ".join(f"{k} {v!r}" if isinstance(v, str) else f"{k} {v}" for k, v in value.items())
            or "none"
        )
    if isinstance(value, list):
        return (" x " if name.endswith("_shape") else ", ").join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "not stated" if value is None else str(value)


def with_flags(message: str) -> str:
    """Return a message of the library, its parameters shown as flags."""
    return render_flags(message, app)


def steps() -> Callable[[str], None]:
    """Print each step on stderr with the seconds since the start."""
    started = time.monotonic()

    def show(step: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {step}", file=sys.stderr, flush=True)

    return show
