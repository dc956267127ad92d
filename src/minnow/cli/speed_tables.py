"""Tables of a benchmark for a terminal: systems have letters, A is the baseline."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from minnow.bench.report import QUANTITIES, describe_setup
from minnow.cli.tables import console_for, legend, letter, table_of

if TYPE_CHECKING:
    from typing import TextIO

    from rich.table import Table

    from minnow.bench import Benchmark
    from minnow.bench.report import Quantity


def print_benchmark(found: Benchmark, file: TextIO) -> None:
    """Print what was measured on what machine, and a table for each quantity."""
    console = console_for(file)
    for line in describe_setup(found):
        console.print(Text(line))
    console.print()
    console.print(legend(found.systems))
    for quantity in QUANTITIES:
        if quantity.read(found, found.baseline) is not None:
            console.print(_quantity(found, quantity))
    console.print(_memory(found))
    for note in found.notes:
        console.print(Text(note))


def _quantity(found: Benchmark, quantity: Quantity) -> Table:
    rounds = f"{found.rounds} round{'s' * (found.rounds > 1)}"
    title = f"{quantity.title}; median of {rounds}"
    table = table_of(title, "", quantity.column, "least", "greatest", "ratio to A")
    base = quantity.read(found, found.baseline)
    for number, system in enumerate(found.systems):
        sample = quantity.read(found, system)
        assert sample is not None
        assert base is not None
        shown = map(quantity.shown, (sample.median, sample.low, sample.high))
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
