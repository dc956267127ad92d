"""The command that migrates an index to another model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minnow.cli.app import app, print_facts
from minnow.cli.fields import options_from_fields
from minnow.cli.options import EngineChoice, Json
from minnow.cli.searching import IndexFile, make_sidecar
from minnow.progress import show_progress
from minnow.terminal import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.migration import Loss, MigrationReport

_EVERY = 1000


@app.command("index migrate")
@options_from_fields
def migrate_command(
    file: IndexFile,
    to: Annotated[
        Path | None,
        typer.Option(metavar="BUNDLE", help="The new model, a folder that `minnow convert` wrote."),
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            "--queries", metavar="FILE", help="Measure the loss with these, one in a line."
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Stop after embedding this many texts; go on another time."),
    ] = None,
    cancel_migration: Annotated[
        bool, typer.Option("--cancel", help="Go back to the old model; no bundle.")
    ] = False,
    *,
    engine: EngineChoice,
    as_json: Json = False,
) -> None:
    """Migrate an index to another model while both search it.

    The command first embeds a sample to predict the other vectors, and says what search loses
    by that meanwhile. Then it embeds the rest. It can be stopped at any moment, and run again. To
    index a folder that is called migrate, write ./migrate.

    Example: minnow index migrate docs.index --to bge-base.minnow
    """
    from minnow.migration import cancel_migration as cancel
    from minnow.migration import migrate

    if cancel_migration and to is not None:
        raise UsageError("Give --to to migrate, or --cancel to go back, not both.")
    if cancel_migration:
        print_facts({"index": str(file), "cancelled": cancel(file)}, as_json)
        return
    if to is None:
        raise UsageError("Give the new model with --to.")
    with show_progress("migrating", None, "texts", show=sys.stderr.isatty()) as advance:
        report = migrate(
            file,
            to,
            engine.options(),
            questions=() if questions is None else _read_questions(questions),
            limit=limit,
            progress=_progress(advance),
        )
    if report.is_finished:
        make_sidecar(file, "auto")
    facts = {
        "index": str(file),
        "from": report.old,
        "to": report.new,
        "texts": report.texts,
        "migrated": report.migrated,
        "embedded": report.embedded,
        "finished": report.is_finished,
        "file_bytes": file.stat().st_size,
    }
    losses = [_facts_of(loss) for loss in report.losses]
    print_facts(facts | ({"losses": losses} if as_json else {}), as_json)


def _read_questions(path: Path) -> list[str]:
    from minnow.text_files import decode_line, read_lines

    lines = (decode_line(row, i, str(path)) for i, row in enumerate(read_lines(path), start=1))
    questions = [line.strip() for line in lines if line.strip()]
    if not questions:
        raise UsageError(f"{path} holds no question.")
    return questions


def _progress(advance: Callable[[int], None]) -> Callable[[MigrationReport], None]:
    """Return a function that prints the loss once, and then how far the run is."""
    shown = printed = 0
    is_first = True

    def show(report: MigrationReport) -> None:
        nonlocal shown, printed, is_first
        if is_first:
            is_first = False
            _print_losses(report)
        advance(report.embedded - shown)
        shown = report.embedded
        if not sys.stderr.isatty() and report.embedded - printed >= _EVERY:
            printed = report.embedded
            print(f"{report.migrated} of {report.texts} texts", file=sys.stderr, flush=True)

    return show


def _print_losses(report: MigrationReport) -> None:
    if report.method:
        print(f"predicting vectors by {report.method}", file=sys.stderr)
    share = report.migrated / max(1, report.texts)
    for loss in report.losses:
        ends = f"{loss.interval.low:+.3f} to {loss.interval.high:+.3f}"
        now = "" if loss.share > share else " (passed)"
        print(
            f"nDCG@10 of {loss.mode} search with {loss.share:.0%} embedded: {loss.ndcg:.3f}; with "
            f"all {loss.ndcg_after:.3f}: {loss.interval.difference:+.3f} ({ends} with 95 % "
            f"confidence, {loss.interval.queries} questions among a sample){now}",
            file=sys.stderr,
        )


def _facts_of(loss: Loss) -> dict[str, object]:
    return {
        "mode": loss.mode,
        "share": loss.share,
        "ndcg_10": loss.ndcg,
        "ndcg_10_after": loss.ndcg_after,
        "difference": loss.interval.difference,
        "low": loss.interval.low,
        "high": loss.interval.high,
        "questions": loss.interval.queries,
    }
