"""Documents in one SQLite file, and search in them by meaning, by words, or both.

`index_paths` brings a file up to date with folders of documents, and `Index` searches it. Programs
add texts of their own as `Record`s, with `put_records` and `remove_records`, or a `Collection`.
`docs/index-format.md` describes the file, for readers in other languages.
"""

from minnow.indexfile.fingerprint import Fingerprint
from minnow.indexfile.models import BundleModel, SearchModel, open_model
from minnow.indexfile.opening import make_store, open_store
from minnow.indexfile.settings import IndexSettings
from minnow.indexfile.store import Store
from minnow.options import Fusion
from minnow.search.choice import SearchChoice
from minnow.search.collection import Collection
from minnow.search.index import Index
from minnow.search.indexing import index_paths, open_index, remove_paths
from minnow.search.indexing_report import IndexingReport, IndexingState
from minnow.search.records import Record, put_records, remove_records
from minnow.search.results import Hit, Neighbour, Repeat
from minnow.search.shards import ShardedIndex
from minnow.vectors import VectorEncoding

__all__ = [
    "BundleModel", "Collection", "Fingerprint", "Fusion", "Hit", "Index", "IndexSettings",
    "IndexingReport", "IndexingState", "Neighbour", "Record", "Repeat", "SearchChoice",
    "SearchModel", "ShardedIndex", "Store", "VectorEncoding", "index_paths",
    "make_store", "open_index", "open_model", "open_store", "put_records", "remove_paths",
    "remove_records",
]  # fmt: skip
