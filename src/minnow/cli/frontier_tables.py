"""Tables of a frontier for a terminal, sorted by size; a star marks what is on it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.text import Text

from minnow.cli.tables import console_for, print_head, table_of
from minnow.evaluate.metrics import HEADLINE
from minnow.frontier.report import list_points
from minnow.frontier.results import MEASURES
from minnow.reporting import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from rich.table import Table

    from minnow.evaluate.results import SystemResult
    from minnow.frontier import Frontier, Rung

_STAR = "*"


def print_frontier(found: Frontier, file: TextIO) -> None:
    """Print the tables of a frontier, and what to make of its GGUF files last."""
    console = console_for(file)
    print_head(console, found.dataset)
    base = found.baseline
    console.print(
        Text(f"baseline: {base.label}, {base.runtime}, {numbers.megabytes(base.size)}"), end="\n\n"
    )
    tables = [_fidelity(found), _figures(found), _differences(found)]
    for table in tables + ([_dimensions(found)] if found.dimensions else []):
        console.print(table)
    for line in (*_refusals(found), *map(Text, found.notes), *_verdicts(found)):
        console.print(line)


def _fidelity(found: Frontier) -> Table:
    title = "By size, and by the cosine of each text's vector to the baseline's\n"
    title += f"{_STAR} is on the frontier: no other is both smaller and more faithful"
    table = table_of(title, "", "form", "size", "mean", "5th percentile", "minimum",
                     left=("form",))  # fmt: skip
    best = {point.name for point in found.best}
    for row in found.measured:
        point = row.point
        cosines = map(numbers.cosine, (point.mean, point.p5, point.minimum))
        star = _STAR if point.name in best else ""
        table.add_row(star, point.name, numbers.megabytes(point.size), *cosines)
    for rung in found.refused:
        table.add_row("", rung.name, "refused")
    return table


def _figures(found: Frontier) -> Table:
    threads = found.baseline.usage.threads
    title = (
        f"What is found, and what it takes with {threads} thread{'s' * (threads > 1)}; texts/s of "
        "one pass, at that moment's load"
    )
    table = table_of(title, "form", *MEASURES, "load, s", "texts/s", "peak memory, MB")
    for name, result in _results(found):
        usage = result.usage
        rate = usage.texts_per_second
        table.add_row(
            name,
            *(numbers.measure(result.scores.means[measure]) for measure in MEASURES),
            f"{usage.load_seconds:.2f}",
            f"{rate:.1f}" if math.isfinite(rate) else numbers.UNMEASURED,
            f"{usage.peak_bytes / 1e6:.0f}",
        )
    return table


def _results(found: Frontier) -> list[tuple[str, SystemResult]]:
    """Return all results by name; the baseline last, if it is none of the forms."""
    rows = [(row.rung.name, row.result) for row in found.measured]
    return rows if found.has_baseline else [*rows, ("baseline", found.baseline)]


def _differences(found: Frontier) -> Table:
    title = f"Difference of {HEADLINE} to the baseline; up to {found.margin:g} does not matter"
    table = table_of(title, "form", "difference", "95 % interval", "verdict", left=("verdict",))
    for row in found.measured:
        if row.result.against is not None:
            difference = row.result.against.differences[HEADLINE]
            interval = difference.interval
            ends = f"{interval.low:+.4f} to {interval.high:+.4f}"
            table.add_row(row.rung.name, f"{interval.difference:+.4f}", ends, difference.verdict)
    return table


def _dimensions(found: Frontier) -> Table:
    title = f"{HEADLINE} of the baseline with the first numbers of its vectors only"
    table = table_of(
        title, "numbers", HEADLINE, "difference", "95 % interval", "verdict", left=("verdict",)
    )
    for row in found.dimensions:
        interval = row.interval
        ends = f"{interval.low:+.4f} to {interval.high:+.4f}"
        figures = numbers.measure(row.ndcg), f"{interval.difference:+.4f}", ends
        table.add_row(str(row.dim), *figures, row.verdict)
    return table


def _refusals(found: Frontier) -> Iterator[Text]:
    for rung in found.refused:
        yield Text(f"{rung.name}: {_why(rung)}")


def _why(rung: Rung) -> str:
    """Return why there is no such form, figures first."""
    refusal = rung.refusal
    assert refusal is not None
    if refusal.worst is None:
        return refusal.reason
    return f"worst cosine {refusal.worst:.6f}, the bar is {refusal.bar}. {refusal.reason}"


def _verdicts(found: Frontier) -> Iterator[Text]:
    """Generate a line for every GGUF file: the bundles that dominate it, or that none does."""
    if found.ggufs:
        yield Text(
            "A bundle dominates a GGUF if it is no larger, and more faithful in the mean, the "
            "5th percentile and the minimum:"
        )
    for row, bundles in found.ggufs:
        text = f"dominated by {list_points(bundles)}" if bundles else "no bundle dominates it"
        size = numbers.megabytes(row.point.size)
        yield Text(f"{row.rung.name} ({size}): {text}.", style="bold")
