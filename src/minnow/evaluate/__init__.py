"""How good are a model's vectors at finding things, and is another system better?

A `Dataset` has documents, queries and judgements: `builtin_dataset` makes one of Python's own
docstrings, `read_beir` and `read_docs` read yours. `evaluate` measures a system on it, `compare`
puts several side by side; what a system is and how it is written is told in
`minnow.systems`. `rank`, `score`, `paired_bootstrap` and `verdict` are the steps of both,
for vectors from elsewhere.
"""

from minnow.evaluate.builtin import builtin_dataset
from minnow.evaluate.comparison import RunOptions, compare, evaluate
from minnow.evaluate.datasets import Dataset, read_beir
from minnow.evaluate.docs import read_docs
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
from minnow.evaluate.results import Comparison, SystemResult
from minnow.systems import first_tokenizer

__all__ = [
    "MEASURES",
    "Comparison",
    "Dataset",
    "Interval",
    "RunOptions",
    "Scores",
    "SystemResult",
    "Verdict",
    "builtin_dataset",
    "compare",
    "evaluate",
    "first_tokenizer",
    "paired_bootstrap",
    "rank",
    "read_beir",
    "read_docs",
    "score",
    "to_rankings",
    "verdict",
]
