"""Plots as inline SVG: pure functions from numbers to markup.

Colours and the looks of lines come from the page's CSS, see templates/page.css. Each plot has a
title, a description for those who do not see it, and tooltips that say what a mark or a bar
stands for. None of the numbers may be NaN or infinite.
"""

from minnow.reporting.plots.axes import Key, height_for
from minnow.reporting.plots.cosines import Cosines, histogram_plot
from minnow.reporting.plots.frontier import frontier_plot
from minnow.reporting.plots.gains import Gain, Gains, gains_plot
from minnow.reporting.plots.intervals import Range, intervals_plot
from minnow.reporting.plots.recall import Curve, recall_plot
from minnow.reporting.plots.size import Point, fidelity_plot, quality_plot
from minnow.reporting.plots.spans import Span, spans_plot
from minnow.reporting.plots.svg import look_of, mark_alone

__all__ = [
    "Cosines",
    "Curve",
    "Gain",
    "Gains",
    "Key",
    "Point",
    "Range",
    "Span",
    "fidelity_plot",
    "frontier_plot",
    "gains_plot",
    "height_for",
    "histogram_plot",
    "intervals_plot",
    "look_of",
    "mark_alone",
    "quality_plot",
    "recall_plot",
    "spans_plot",
]
