"""Tables of a benchmark for a terminal: systems have letters, A is the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from minnow.bench.report import FIGURES, describe_setup
from minnow.cli.app import with_flags
from minnow.cli.tables import console_for, legend, letter, table_of

if TYPE_CHECKING:
    from typing import TextIO

    from rich.table import Table

    from minnow.bench import Benchmark
    from minnow.bench.report import Figure


def print_benchmark(found: Benchmark, file: TextIO) -> None:
    """Print what was measured on what machine, and a table for each figure."""
    console = console_for(file)
    for line in describe_setup(found):
        console.print(Text(line))
    console.print()
    console.print(legend(found.systems))
    for figure in FIGURES:
        if figure.of(found, found.baseline) is not None:
            console.print(_figure(found, figure))
    console.print(_memory(found))
    for note in found.notes:
        console.print(Text(with_flags(note)))


def _figure(found: Benchmark, figure: Figure) -> Table:
    rounds = f"{found.rounds} round{'s' * (found.rounds > 1)}"
    table = table_of(
        f"{figure.title}; median of {rounds}", "", figure.column, "least", "greatest", "ratio to A"
    )
    base = figure.of(found, found.baseline)
    for number, system in enumerate(found.systems):
        sample = figure.of(found, system)
        assert sample is not None
        assert base is not None
        shown = map(figure.shown, (sample.median, sample.low, sample.high))
        table.add_row(letter(number), *shown, f"x{sample.over(base).median:.2f}")
    return table


def _memory(found: Benchmark) -> Table:
    table = table_of("Memory and files", "", "peak memory, MB", "ratio to A", "size, MB")
    for number, system in enumerate(found.systems):
        ratio = system.peak_bytes / found.baseline.peak_bytes
        table.add_row(
            letter(number), f"{system.peak_bytes / 1e6:.0f}", f"x{ratio:.2f}",
            f"{system.size / 1e6:.1f}",
        )  # fmt: skip
    return table
