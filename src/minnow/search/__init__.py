"""Documents in one SQLite file, and search in them by meaning, by words, or both.

`index_paths` brings a file up to date with folders of documents, `Index` searches it. Texts from
memory are `Record`s: `put_records` and `remove_records`, or a `Collection`.
`docs/index-format.md` describes the file, for readers in other languages.
"""

from minnow.search.collection import Collection
from minnow.search.encodings import VectorEncoding
from minnow.search.fingerprint import Fingerprint
from minnow.search.fused import Fusion
from minnow.search.index import Index
from minnow.search.indexing import Report, State, index_paths, open_index, remove_paths
from minnow.search.models import BundleModel, SearchModel, open_model
from minnow.search.records import Record, put_records, remove_records
from minnow.search.results import Hit
from minnow.search.settings import Settings
from minnow.search.store import Store, make_store, open_store

__all__ = [
    "BundleModel",
    "Collection",
    "Fingerprint",
    "Fusion",
    "Hit",
    "Index",
    "Record",
    "Report",
    "SearchModel",
    "Settings",
    "State",
    "Store",
    "VectorEncoding",
    "index_paths",
    "make_store",
    "open_index",
    "open_model",
    "open_store",
    "put_records",
    "remove_paths",
    "remove_records",
]
