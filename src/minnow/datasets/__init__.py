"""Data sets: the documents, questions and judgements that retrieval is measured on.

`builtin_dataset` makes a data set of the docstrings in Python's own library, `read_beir` reads a
folder in BEIR's layout, and `read_docs` reads a folder of documents with questions about them.
"""

from minnow.datasets.beir import read_beir
from minnow.datasets.builtin import builtin_dataset
from minnow.datasets.dataset import Dataset
from minnow.datasets.documents import read_docs

__all__ = ["Dataset", "builtin_dataset", "read_beir", "read_docs"]
