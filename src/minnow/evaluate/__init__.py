"""Evaluation of systems: how well their vectors find documents.

`evaluate` measures one system on a data set of `minnow.datasets`; `compare` measures several side
by side. `minnow.systems` lists the kinds of system and how a user writes them. `rank`, `score`,
`paired_bootstrap` and `verdict` are the steps of both; they take any vectors.
"""

from minnow.evaluate.bootstrap import Interval, Verdict, paired_bootstrap, verdict
from minnow.evaluate.comparison import RunOptions, compare, evaluate
from minnow.evaluate.metrics import MEASURES, Scores, score
from minnow.evaluate.ranking import rank, to_rankings
from minnow.evaluate.results import Comparison, SystemResult

__all__ = [
    "MEASURES",
    "Comparison",
    "Interval",
    "RunOptions",
    "Scores",
    "SystemResult",
    "Verdict",
    "compare",
    "evaluate",
    "paired_bootstrap",
    "rank",
    "score",
    "to_rankings",
    "verdict",
]
