"""The quantities of a benchmark by name, and its HTML page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minnow.bench.results import Benchmark, Sample, Speed
from minnow.reporting import plots
from minnow.reporting.pages import isolate, render, shorten_name


@dataclass(frozen=True)
class Quantity:
    """A quantity that is measured several times.

    Attributes:
        name: The name of its plot.
        title: A description of it.
        column: Its title in tables.
        unit: The unit of a value in running text.
        decimals: The number of decimals.
        factor: Converts the unit of the values to that of the column.
        read: Returns the values of a system; None where they are not known.
    """

    name: str
    title: str
    column: str
    unit: str
    decimals: int
    factor: float
    read: Callable[[Benchmark, Speed], Sample | None]

    def shown(self, value: float) -> str:
        """Format a value without its unit."""
        return f"{value * self.factor:,.{self.decimals}f}"


QUANTITIES = (
    Quantity("tokens", "Many documents", "tokens/s", "tokens/s", 0, 1, lambda _, s: s.tokens),
    Quantity("peak", "Share of NumPy's matrix product", "share, %", "%", 0, 100,
           lambda found, s: found.peak_share(s)),
    Quantity("p50", "One short query", "query p50, ms", "ms", 1, 1e3, lambda _, s: s.p50),
    Quantity("p95", "One short query, 95th percentile", "p95, ms", "ms", 1, 1e3,
           lambda _, s: s.p95),
    Quantity("cold", "Time from process start to first vector", "cold start, s", "s", 2, 1,
           lambda _, s: s.cold),
    Quantity("load", "Part of it until the model opens", "load, s", "s", 2, 1, lambda _, s: s.load),
)  # fmt: skip
"""The quantities in the order in which tables show them."""


def describe_setup(found: Benchmark) -> list[str]:
    """Return lines that say what was embedded, with how many threads, and on which machine."""
    fewest, most = found.query_tokens
    tokens = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    machine = found.machine
    memory = f", {machine.memory / 2**30:.0f} GiB" if machine.memory else ""
    instructions = f" ({', '.join(machine.instructions)})" if machine.instructions else ""
    peak, blas = found.peak.median / 1e9, f" ({found.blas})" if found.blas else ""
    return [
        f"{found.dataset}: {found.documents} documents of {found.document_tokens} tokens, "
        f"{found.queries} queries of {tokens} tokens",
        f"{machine.processor}, {machine.cpus} CPUs{instructions}{memory}",
        f"{machine.system}; Python {machine.python}; measured {found.measured}",
        f"{found.threads} thread{'s' * (found.threads > 1)} each; NumPy's float32 matrix product "
        f"reaches {peak:,.0f} GFLOP/s with them{blas}",
    ]


def render_report(found: Benchmark) -> str:
    """Return the page of a benchmark.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    values = {
        "found": found,
        "setup": describe_setup(found),
        "quantities": QUANTITIES,
        "plots": {each.name: drawn for each in QUANTITIES if (drawn := _plot(found, each))},
        "title": make_title(found),
    }
    return render("minnow.bench", values)


def make_title(found: Benchmark) -> str:
    """Return the result in one line."""
    best = max(found.systems, key=lambda system: system.tokens.median)
    name = isolate(shorten_name(best.label))
    if len(found.systems) == 1:
        return f"{name}: {best.tokens.median:,.0f} tokens/s"
    return f"{name} is the fastest in bulk, with {best.tokens.median:,.0f} tokens/s"


def _plot(found: Benchmark, quantity: Quantity) -> str:
    """Plot a quantity of all systems; return an empty string if one of them lacks it."""
    spans = []
    for position, system in enumerate(found.systems):
        sample = quantity.read(found, system)
        if sample is None:
            return ""
        low, middle, high = (v * quantity.factor for v in (sample.low, sample.median, sample.high))
        words = f"{quantity.shown(sample.median)} {quantity.unit}"
        key = plots.LegendKey(system.label, plots.style_of(position))
        spans.append(plots.Span(key, low, middle, high, words))
    return plots.spans_plot(spans, quantity.title, quantity.column)
