"""A benchmark for people: its figures by name, and one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.bench.results import Benchmark, Sample, Speed
from minnow.reporting import plots
from minnow.reporting.pages import isolated, render, short_name, write_page

if TYPE_CHECKING:
    from pathlib import Path

ROOM = "minnow.bench"


@dataclass(frozen=True)
class Figure:
    """A figure that is measured several times.

    Attributes:
        name: In JSON, and of its plot.
        title: What it is, in words.
        column: What the column of a table is called.
        unit: Behind a value in running text.
        decimals: Behind the point.
        factor: From the unit of the values to that of the column.
        of: The figure of a system; None where it is not known.
    """

    name: str
    title: str
    column: str
    unit: str
    decimals: int
    factor: float
    of: Callable[[Benchmark, Speed], Sample | None]

    def shown(self, value: float) -> str:
        """A value without its unit."""
        return f"{value * self.factor:,.{self.decimals}f}"


FIGURES = (
    Figure("tokens", "Many documents", "tokens/s", "tokens/s", 0, 1, lambda _, s: s.tokens),
    Figure("peak", "Many documents, as a share of NumPy's matrix product", "share, %", "%", 0, 100,
           lambda found, s: found.peak_share(s)),
    Figure("p50", "One short query", "query p50, ms", "ms", 1, 1e3, lambda _, s: s.p50),
    Figure("p95", "One short query, 95th percentile", "p95, ms", "ms", 1, 1e3,
           lambda _, s: s.p95),
    Figure("cold", "From the start of a process to its first vector", "cold start, s", "s", 2, 1,
           lambda _, s: s.cold),
    Figure("load", "Of that, until the model was open", "load, s", "s", 2, 1, lambda _, s: s.load),
)  # fmt: skip
"""The figures in the order in which tables show them."""


def described(found: Benchmark) -> list[str]:
    """What was embedded, with what, and on what machine: a line each."""
    fewest, most = found.query_tokens
    tokens = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    machine = found.machine
    memory = f", {machine.memory / 2**30:.0f} GiB" if machine.memory else ""
    instructions = f" ({', '.join(machine.instructions)})" if machine.instructions else ""
    peak = found.peak.median / 1e9
    return [
        f"{found.dataset}: {found.documents} documents of {found.document_tokens} tokens, "
        f"{found.queries} queries of {tokens} tokens",
        f"{machine.processor}, {machine.cpus} CPUs{instructions}{memory}",
        f"{machine.system}; Python {machine.python}; measured {found.measured}",
        f"{found.threads} thread{'s' * (found.threads > 1)} each; NumPy's float32 matrix product "
        f"reaches {peak:,.0f} GFLOP/s with them",
    ]


def write_report(found: Benchmark, path: Path) -> None:
    """Write a page, under a temporary name until it is whole.

    Args:
        found: What to show.
        path: The file; an older one is replaced.

    Raises:
        OutputError: It cannot be written; an older one is kept.
        MissingExtraError: The extra `evaluate` is not installed.
    """
    write_page(render_report(found), path)


def render_report(found: Benchmark) -> str:
    """The page.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    values = {
        "found": found,
        "described": described(found),
        "figures": FIGURES,
        "plots": {figure.name: drawn for figure in FIGURES if (drawn := _plot(found, figure))},
        "title": title(found),
    }
    return render("bench.html.jinja", values, room=ROOM)


def title(found: Benchmark) -> str:
    """What came out, in one line."""
    best = max(found.systems, key=lambda system: system.tokens.median)
    name = isolated(short_name(best.label))
    if len(found.systems) == 1:
        return f"{name}: {best.tokens.median:,.0f} tokens/s"
    return f"{name} is the fastest in bulk, with {best.tokens.median:,.0f} tokens/s"


def _plot(found: Benchmark, figure: Figure) -> str:
    """The figure of all systems; empty where none has it."""
    spans = []
    for position, system in enumerate(found.systems):
        sample = figure.of(found, system)
        if sample is None:
            return ""
        low, middle, high = (v * figure.factor for v in (sample.low, sample.median, sample.high))
        words = f"{figure.shown(sample.median)} {figure.unit}"
        key = plots.Key(system.label, plots.look_of(position))
        spans.append(plots.Span(key, low, middle, high, words))
    return plots.spans_plot(spans, figure.title, figure.column)
