"""A frontier as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minnow.evaluate.results import HEADLINE
from minnow.frontier.results import MEASURES
from minnow.reporting import numbers, plots
from minnow.reporting.pages import isolated, render, short_name, write_page

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.frontier.points import Point
    from minnow.frontier.results import Frontier

ROOM = "minnow.frontier"
_LOOKS = {"bundle": 1, "gguf": 2}
_HIGHEST = 360.0


def write_report(found: Frontier, path: Path) -> None:
    """Write a page, under a temporary name until it is whole.

    Args:
        found: What to show.
        path: The file; an older one is replaced.

    Raises:
        OutputError: It cannot be written; an older one is kept.
        MissingExtraError: The extra `evaluate` is not installed.
    """
    write_page(render_report(found), path)


def render_report(found: Frontier) -> str:
    """The page.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    values = {
        "found": found,
        "best": [point.name for point in found.best],
        "headline": HEADLINE,
        "looks": _LOOKS,
        "margin": f"{min(found.margin, 1.0):g}",
        "measures": MEASURES,
        "plots": _plots(found),
        "title": title(found),
    }
    return render("frontier.html.jinja", values, room=ROOM, filters={"listed": listed})


def title(found: Frontier) -> str:
    """What came out, in one line."""
    source, ggufs = isolated(short_name(found.source)), found.ggufs
    if not ggufs:
        count, best = len(found.measured), len(found.best)
        return f"{source}: {best} of {count} bundles on the frontier"
    outdone = sum(bool(bundles) for _, bundles in ggufs)
    if len(ggufs) == 1:
        (row, bundles) = ggufs[0]
        told = f"{row.rung.name} is dominated by {'a' if bundles else 'no'} bundle"
    elif outdone in (0, len(ggufs)):
        told = f"{'every GGUF' if outdone else 'no GGUF'} is dominated by a bundle"
    else:
        told = f"{outdone} of {len(ggufs)} GGUFs are dominated by a bundle"
    return f"{source}: {told}"


def listed(points: list[Point]) -> str:
    """Names and sizes in a sentence: `fp16 (45.9 MB) and fp32 (90.9 MB)`."""
    names = [f"{point.name} ({numbers.megabytes(point.size)})" for point in points]
    return " and ".join([*filter(None, [", ".join(names[:-1])]), *names[-1:]])


def _plots(found: Frontier) -> dict[str, str]:
    """The plots by name; one for which there is nothing to show is not there."""
    height = min(plots.height_for(len(found.measured)), _HIGHEST)
    rows = [row for row in found.measured if row.point.size > 0]
    base = plots.Key(found.baseline.label, 0)
    size = found.baseline.size
    keys = {row.rung.name: plots.Key(row.rung.name, _LOOKS[row.rung.kind]) for row in rows}
    near = {
        row.rung.name: plots.Point(keys[row.rung.name], row.point.size, row.point.mean)
        for row in rows
        if math.isfinite(row.point.mean)
    }
    best = [near[point.name] for point in found.best if point.name in near]
    good = [
        plots.Point(keys[row.rung.name], row.point.size, row.result.scores.means[HEADLINE])
        for row in rows
    ]
    if size > 0 and not found.has_baseline:
        good.append(plots.Point(base, size, found.baseline.scores.means[HEADLINE]))
    drawn = {}
    if near and size > 0:
        line = plots.Point(base, size, 1)
        drawn["frontier"] = plots.frontier_plot(list(near.values()), best, line, height)
    if good:
        drawn["quality"] = plots.quality_plot(good, HEADLINE, height)
    return drawn
