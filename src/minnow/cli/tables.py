"""Tables of results for a terminal: systems have letters, A is the baseline."""

from __future__ import annotations

import math
from string import ascii_uppercase
from typing import TYPE_CHECKING, Protocol

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minnow.evaluate.metrics import HEADLINE, MEASURES
from minnow.evaluate.results import DEPTH
from minnow.reporting import numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from minnow.evaluate.results import (
        Against,
        Comparison,
        DatasetFacts,
        Fidelity,
        RankChange,
        SystemResult,
    )
    from minnow.search_modes import ModeComparison

    Systems = Sequence[SystemResult]

    class Named(Protocol):
        """System with a label and a runtime."""

        @property
        def label(self) -> str:
            """Short name."""

        @property
        def runtime(self) -> str:
            """Name and version of the runtime."""


_NARROWEST = 88
_CHANGES = 3
_TEXT = 60


def print_comparison(comparison: Comparison, file: TextIO) -> None:
    """Print all tables of a comparison, and the verdicts last."""
    console = console_for(file)
    print_head(console, comparison.dataset)
    tables = (
        legend(comparison.systems),
        _measures(comparison.systems),
        _costs(comparison.systems),
        *_rerankers(comparison.systems),
        _cosines(comparison),
        _differences(comparison),
    )
    for table in tables:
        console.print(table)
    notes = map(Text, comparison.notes)
    for line in (*_changes(comparison), *notes, *_verdicts(comparison)):
        console.print(line)


def print_evaluation(result: SystemResult, dataset: DatasetFacts, file: TextIO) -> None:
    """Print the tables of one system."""
    console = console_for(file)
    print_head(console, dataset)
    shown = (legend([result]), _measures([result]), _costs([result]), *_rerankers([result]))
    for table in shown:
        console.print(table)


def print_modes(comparison: ModeComparison, file: str, stream: TextIO, *, stored: bool) -> None:
    """Print the ways of searching an index side by side, and the verdict last."""
    console = console_for(stream)
    table = table_of(
        f"{comparison.questions} questions to {file}",
        "way", "nDCG@10", "ms", "more than hybrid", "verdict",
        left=("verdict",),
    )  # fmt: skip
    for result in comparison.results:
        means, row = result.scores.means, result.interval
        difference = (
            "" if row is None else f"{row.difference:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
        )
        time = f"{result.milliseconds:.1f}"
        way = result.choice.mode + ("+reranker" if result.choice.reranker else "")
        table.add_row(way, f"{means[HEADLINE]:.4f}", time, difference, result.verdict or "baseline")
    console.print(table)
    best = comparison.best
    if best is None:
        after = " It is what a search uses from now on." if stored else ""
        console.print(f"None is better than hybrid search for these questions.{after}")
    else:
        after = " It is stored." if stored else " Give --store to search this way by default."
        console.print(f"The best for these questions: {best.choice}.{after}")


def console_for(file: TextIO) -> Console:
    """Return a console that is wide enough for tables, in a pipe too."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    console.width = max(console.width, _NARROWEST)
    return console


def print_head(console: Console, dataset: DatasetFacts) -> None:
    """Print the data set."""
    console.print(f"{dataset.name}: {dataset.documents} documents, {dataset.queries} queries\n")


def letter(number: int) -> str:
    """Return the letter of a system in tables; the baseline is A."""
    return ascii_uppercase[number] if number < len(ascii_uppercase) else str(number + 1)


def _candidates(comparison: Comparison) -> Iterator[tuple[str, Against]]:
    """Generate the letter of every candidate, and its comparison with the baseline."""
    for number, system in enumerate(comparison.candidates, start=1):
        assert system.against is not None
        yield letter(number), system.against


def table_of(title: str, *columns: str, left: Sequence[str] = ()) -> Table:
    """Make a table of numbers; columns named in `left` hold words, as the first always does."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for column in columns:
        words = column in left or column is columns[0]
        table.add_column(column, justify="left" if words else "right", no_wrap=not words)
    return table


def legend(systems: Sequence[Named]) -> Table:
    """Make the table of systems and their letters."""
    table = table_of("Systems", "", "system", "run by", left=("system", "run by"))
    for number, system in enumerate(systems):
        baseline = " (baseline)" if number == 0 and len(systems) > 1 else ""
        table.add_row(letter(number), Text(system.label + baseline), Text(system.runtime))
    return table


def _measures(systems: Systems) -> Table:
    title = "What is found" + (", and the ratio to A" if len(systems) > 1 else "")
    table = table_of(title, "", *MEASURES, "gold cosine")
    rows = [[*s.scores.means.values(), s.gold_cosine] for s in systems]
    for number, row in enumerate(rows):
        table.add_row(letter(number), *(f"{value:.4f}" for value in row))
        _add_ratios(table, number, row, rows[0])
    return table


_COSTS: dict[str, tuple[Callable[[SystemResult], float], str]] = {
    "size, MB": (lambda s: s.size / 1e6, "{:.1f}"),
    "load, s": (lambda s: s.usage.load_seconds, "{:.2f}"),
    "texts/s": (lambda s: s.usage.texts_per_second, "{:.1f}"),
    "peak memory, MB": (lambda s: s.usage.peak_bytes / 1e6, "{:.0f}"),
}


def _costs(systems: Systems) -> Table:
    threads = systems[0].usage.threads
    ratio = ", and the ratio to A" if len(systems) > 1 else ""
    title = (
        f"What it takes with {threads} thread{'s' * (threads > 1)}{ratio}; texts/s of one pass, "
        "at that moment's load"
    )
    table = table_of(title, "", *_COSTS)
    rows = [[value_of(system) for value_of, _ in _COSTS.values()] for system in systems]
    forms = [form for _, form in _COSTS.values()]
    for number, row in enumerate(rows):
        shown = (
            form.format(value) if math.isfinite(value) else "not measured"
            for value, form in zip(row, forms, strict=True)
        )
        table.add_row(letter(number), *shown)
        _add_ratios(table, number, row, rows[0])
    return table


def _rerankers(systems: Systems) -> Iterator[Table]:
    """Generate a table of the rerankers; none where no system has one."""
    columns = ("", "candidates", "load, s", "pairs/s", "peak memory, MB", "run by")
    table = table_of("Rerankers: the second stage", *columns, left=("run by",))
    for number, system in enumerate(systems):
        if (second := system.reranking) is not None:
            usage = second.usage
            speed = usage.texts_per_second
            table.add_row(
                letter(number),
                str(second.candidates),
                f"{usage.load_seconds:.2f}",
                f"{speed:.1f}" if math.isfinite(speed) else "not measured",
                f"{usage.peak_bytes / 1e6:.0f}",
                Text(second.runtime),
            )
    if table.rows:
        yield table


def _add_ratios(table: Table, number: int, row: list[float], baseline: list[float]) -> None:
    """Add a line of ratios for all but the baseline."""
    if number:
        ratios = (_ratio(a, b) for a, b in zip(row, baseline, strict=True))
        table.add_row("", *ratios, style="dim")


def _ratio(value: float, base: float) -> str:
    ratio = value / base if base else math.nan
    return f"x{ratio:.3f}" if math.isfinite(ratio) else "-"


def _cosines(comparison: Comparison) -> Table:
    title = "Cosine of each text's vector to A's"
    columns = ("", "texts", "mean", "5th percentile", "minimum", "worst text")
    table = table_of(title, *columns, left=("texts", "worst text"))
    table.columns[-1].overflow = "fold"
    for letter, against in _candidates(comparison):
        rows = {"documents": against.documents, "queries": against.queries}
        for name, fidelity in rows.items():
            cells = ["another model"] if fidelity is None else _cosine_cells(fidelity)
            table.add_row(letter, name, *cells)
    return table


def _cosine_cells(fidelity: Fidelity) -> list[str | Text]:
    values = (fidelity.mean, fidelity.p5, fidelity.minimum)
    return [*map(numbers.cosine, values), Text(fidelity.worst[0][0])]


def _differences(comparison: Comparison) -> Table:
    title = f"Difference to A; up to {comparison.margin:g} does not matter"
    columns = ("", "measure", "difference", "95 % interval", "verdict")
    table = table_of(title, *columns, left=("measure", "verdict"))
    for letter, against in _candidates(comparison):
        for measure, row in against.differences.items():
            difference = f"{row.interval.difference:+.4f}"
            interval = f"{row.interval.low:+.4f} to {row.interval.high:+.4f}"
            table.add_row(letter, measure, difference, interval, row.verdict)
        table.add_section()
    return table


def _changes(comparison: Comparison) -> Iterator[Text]:
    """Generate lines: how many queries changed rank, and the worst losses."""
    for letter, against in _candidates(comparison):
        yield Text(
            f"{letter}: the first relevant document fell for {against.losses} of "
            f"{comparison.dataset.queries} queries, and rose for {against.gains}."
        )
        losses = [change for change in against.changes if change.gain < 0]
        yield from map(_change, losses[:_CHANGES])


def _change(change: RankChange) -> Text:
    before, after = (numbers.rank(rank, DEPTH) for rank in (change.before, change.after))
    text = numbers.shorten(change.text, _TEXT)
    return Text(f"   {before} to {after}  {change.query}: {text}")


def _verdicts(comparison: Comparison) -> Iterator[Text]:
    for letter, against in _candidates(comparison):
        row = against.differences[HEADLINE].interval
        yield Text(
            f"{letter} against A on {HEADLINE}: {against.verdict}, {row.difference:+.4f} "
            f"({row.low:+.4f} to {row.high:+.4f}).",
            style="bold",
        )
