"""How small can a model be, and how faithful to itself?

`build_ladder` makes a bundle for each recipe, and GGUF files for llama.cpp beside them. `measure`
puts all of them on one data set, and says which lie on the frontier of size and fidelity, and
which GGUF files a bundle dominates. `minnow.frontier.report` draws it.
"""

from minnow.frontier.ladder import Ladder, Refusal, Rung, build_ladder
from minnow.frontier.points import Point, dominates, frontier_of
from minnow.frontier.results import Frontier, Measured, frontier_facts, measure

__all__ = [
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
]
