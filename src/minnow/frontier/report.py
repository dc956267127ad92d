"""The HTML page of a frontier."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minnow.evaluate.metrics import HEADLINE
from minnow.frontier.results import MEASURES
from minnow.reporting import numbers, plots
from minnow.reporting.pages import isolate, render, shorten_name

if TYPE_CHECKING:
    from minnow.frontier.points import Point
    from minnow.frontier.results import Frontier

_STYLES = {"bundle": 1, "gguf": 2}
_MAX_HEIGHT = 360.0


def render_report(found: Frontier) -> str:
    """Return the page of a frontier.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    values = {
        "found": found,
        "best": [point.name for point in found.best],
        "headline": HEADLINE,
        "styles": _STYLES,
        "margin": f"{min(found.margin, 1.0):g}",
        "measures": MEASURES,
        "plots": _plots(found),
        "title": make_title(found),
    }
    return render("minnow.frontier", values, {"listed": list_points})


def make_title(found: Frontier) -> str:
    """Return the result in one line."""
    source, ggufs = isolate(shorten_name(found.source)), found.ggufs
    if not ggufs:
        count, best = len(found.measured), len(found.best)
        return f"{source}: {best} of {count} bundles on the frontier"
    dominated = sum(bool(bundles) for _, bundles in ggufs)
    if len(ggufs) == 1:
        (row, bundles) = ggufs[0]
        result = f"{row.rung.name} is dominated by {'a' if bundles else 'no'} bundle"
    elif dominated in (0, len(ggufs)):
        result = f"{'every GGUF' if dominated else 'no GGUF'} is dominated by a bundle"
    else:
        result = f"{dominated} of {len(ggufs)} GGUFs are dominated by a bundle"
    return f"{source}: {result}"


def list_points(points: list[Point]) -> str:
    """Return names and sizes for a sentence: `fp16 (45.9 MB) and fp32 (90.9 MB)`."""
    names = [f"{point.name} ({numbers.megabytes(point.size)})" for point in points]
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def _plots(found: Frontier) -> dict[str, str]:
    """Return the plots by name, without those that have nothing to show."""
    height = min(plots.plot_height(len(found.measured)), _MAX_HEIGHT)
    best = [point.name for point in found.best]
    fidelity, frontier, quality = [], [], []
    for row in found.measured:
        point = row.point
        if point.size <= 0:
            continue
        key = plots.LegendKey(point.name, _STYLES[point.format])
        quality.append(plots.Marker(key, point.size, row.result.scores.means[HEADLINE]))
        if math.isfinite(point.mean):
            fidelity.append(plots.Marker(key, point.size, point.mean))
            frontier += fidelity[-1:] if point.name in best else []
    baseline, drawn = found.baseline, {}
    if baseline.size > 0:
        key = plots.LegendKey(baseline.label, 0)
        if fidelity:
            line = plots.Marker(key, baseline.size, 1)
            drawn["fidelity"] = plots.fidelity_plot(fidelity, line, height, frontier)
        if not found.has_baseline:
            quality.append(plots.Marker(key, baseline.size, baseline.scores.means[HEADLINE]))
    if quality:
        drawn["quality"] = plots.quality_plot(quality, HEADLINE, height)
    return drawn
