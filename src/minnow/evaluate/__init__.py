"""How good are a model's vectors at finding things, and is another model better?

A `Dataset` has documents, queries and judgements: `builtin_dataset` makes one of Python's own
docstrings, `read_beir` reads yours. `rank` finds each query's nearest documents, `score` measures
the rankings, `paired_bootstrap` and `verdict` say what a difference between two systems is worth.
"""

from minnow.evaluate.builtin import builtin_dataset
from minnow.evaluate.datasets import Dataset, read_beir
from minnow.evaluate.metrics import (
    MEASURES,
    Interval,
    Scores,
    Verdict,
    paired_bootstrap,
    rank,
    score,
    to_rankings,
    verdict,
)

__all__ = [
    "MEASURES",
    "Dataset",
    "Interval",
    "Scores",
    "Verdict",
    "builtin_dataset",
    "paired_bootstrap",
    "rank",
    "read_beir",
    "score",
    "to_rankings",
    "verdict",
]
