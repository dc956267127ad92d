"""Frontier of a model: how small it can be, and how faithful it stays.

`build_ladder` makes a bundle for each recipe, and GGUF files for llama.cpp to compare with.
`measure` measures all of them on one data set, and finds which lie on the frontier of size and
fidelity, and which GGUF files a bundle dominates. `minnow.frontier.report` renders a page of it.
"""

from minnow.frontier.dimensions import Dimension, measure_dimensions
from minnow.frontier.ladder import Ladder, build_ladder
from minnow.frontier.points import Point, dominates, frontier_of
from minnow.frontier.results import Frontier, Measured, frontier_facts, measure
from minnow.frontier.rungs import Refusal, Rung

__all__ = [
    "Dimension",
    "Frontier",
    "Ladder",
    "Measured",
    "Point",
    "Refusal",
    "Rung",
    "build_ladder",
    "dominates",
    "frontier_facts",
    "frontier_of",
    "measure",
    "measure_dimensions",
]
