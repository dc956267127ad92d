"""The SQLite file that `minnow.search` and `minnow.memory` keep their tables in.

`opening.py` opens it, a `Store` reads and writes it in transactions, and each room registers its
tables as a `TableOwner`.
"""

from minnow.indexfile.fingerprint import Fingerprint, check_fingerprint
from minnow.indexfile.models import BundleModel, SearchModel, open_model
from minnow.indexfile.opening import make_store, open_store
from minnow.indexfile.schema import TableOwner, register
from minnow.indexfile.settings import IndexSettings
from minnow.indexfile.store import Store
from minnow.vectors import VectorEncoding

__all__ = [
    "BundleModel",
    "Fingerprint",
    "IndexSettings",
    "SearchModel",
    "Store",
    "TableOwner",
    "VectorEncoding",
    "check_fingerprint",
    "make_store",
    "open_model",
    "open_store",
    "register",
]
