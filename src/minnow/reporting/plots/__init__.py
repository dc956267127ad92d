"""Plots as inline SVG: pure functions from numbers to markup.

Colours and line styles come from the page's CSS, see templates/page.css. Each plot has a title, a
description for readers who cannot see it, and tooltips that explain its marks and bars. No number
may be NaN or infinite.
"""

from minnow.reporting.plots.axes import LegendKey, plot_height
from minnow.reporting.plots.cosines import Cosines, histogram_plot
from minnow.reporting.plots.gains import Gain, Gains, gains_plot
from minnow.reporting.plots.intervals import Range, intervals_plot
from minnow.reporting.plots.recall import Curve, recall_plot
from minnow.reporting.plots.size import Marker, fidelity_plot, quality_plot
from minnow.reporting.plots.spans import Span, spans_plot
from minnow.reporting.plots.svg import legend_mark, style_of

__all__ = [
    "Cosines",
    "Curve",
    "Gain",
    "Gains",
    "LegendKey",
    "Marker",
    "Range",
    "Span",
    "fidelity_plot",
    "gains_plot",
    "histogram_plot",
    "intervals_plot",
    "legend_mark",
    "plot_height",
    "quality_plot",
    "recall_plot",
    "spans_plot",
    "style_of",
]
