"""Records of a program in an index file, and search in them or in the whole file."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.errors import InputError
from minnow.indexfile.conditions import Condition, all_of, is_one_of, join_where
from minnow.indexfile.documents import COLLECTION
from minnow.indexfile.opening import is_writable, open_store
from minnow.search.index import Index
from minnow.search.indexing import open_index
from minnow.search.records import (
    DEFAULT_COLLECTION,
    collection_path,
    put_records,
    remove_records,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Unpack

    from minnow.indexfile.encodings import Floats
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store
    from minnow.search.options import SearchOptions
    from minnow.search.records import Record
    from minnow.search.results import Hit


class Collection:
    """Records of a program in an index file, and search in them.

    A collection with a name finds its own records only. One without a name uses a default name,
    and finds everything in the file, also what `minnow index` put there.

    Safe to use from several threads, and beside other processes. The file is opened for writing
    only while it is written.

    ```python
    from minnow.search import Collection, Record, open_model

    with open_model("bge-small.minnow") as model, Collection("notes.index", model) as notes:
        notes.put([Record("1", "Fish sleep with open eyes.", {"topic": "fish"})])
        for hit in notes.search("how do fish sleep?", 5):
            print(notes.id_of(hit), hit.score, hit.text)
    ```

    Attributes:
        index: The file, for searching.
        path: The name of the collection in the file: the `file` of its records.
    """

    def __init__(self, file: str | Path, model: SearchModel, name: str | None = None) -> None:
        """Open an index file, or make it where there is none.

        Args:
            file: The index file.
            model: The model that it was made with, or is to be made with.
            name: Name of the collection.

        Raises:
            InputError: It cannot have that name.
            IndexFileError: The file is something else, or of another model.
            OutputError: It cannot be made.
        """
        self._name = DEFAULT_COLLECTION if name is None else name
        self.path = collection_path(self._name)
        self._scope = None if name is None else Condition("file = ?", (self.path,))
        file = Path(file)
        self._file, self._model = file.absolute(), model  # it is opened again to write
        if is_writable(file) or not file.exists():  # another process may be making it right now
            open_index(file, model).close()
        store = open_store(file)
        try:
            self.index = Index(store, model)
        except BaseException:
            store.close()
            raise

    def put(self, records: Iterable[Record]) -> int:
        """Add records, or replace those with the same ids; see `put_records`."""
        with self._writing() as store:
            return put_records(store, self._model, records, collection=self._name)

    def remove(
        self, ids: Iterable[str] | None = None, *, where: str | None = None, params: Parameters = ()
    ) -> int:
        """Drop records of this collection; see `remove_records`."""
        with self._writing() as store:
            return remove_records(store, ids, where=where, params=params, collection=self._name)

    def get(self, ids: Iterable[str]) -> list[Hit]:
        """Return the chunks with these ids (`id_of`), in their order; unknown ids are ignored.

        Raises:
            InputError: `ids` is one string, whose characters would be ids.
        """
        if isinstance(ids, str):
            raise InputError("ids is one string; give a list.")
        wanted = list(dict.fromkeys(ids))
        found = self._found(Condition("file = ?", (self.path,)), is_one_of("name", wanted))
        others = [id_ for id_ in wanted if id_ not in found and "#" in id_]
        if others and self._scope is None:
            sources = [id_.rpartition("#")[0] for id_ in others]
            elsewhere = Condition("file != ?", (self.path,))
            found = self._found(elsewhere, is_one_of("source", sources)) | found
        return [found[id_] for id_ in wanted if id_ in found]

    def select(self, where: str | None = None, params: Parameters = ()) -> list[Hit]:
        """Return all chunks that a condition allows, in the file's order, with scores of 0."""
        where, params = self._within(where, params)
        return self.index.select("1" if where is None else where, params)

    def search(self, query: str, k: int, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Find the chunks that answer a question; see `Index.search`."""
        options["where"], options["params"] = self._within(
            options.get("where"), options.get("params", ())
        )
        return self.index.search(query, k, **options)

    def search_vector(
        self, vector: Floats, k: int, *, where: str | None = None, params: Parameters = ()
    ) -> list[Hit]:
        """Find the chunks nearest to a vector; see `Index.search_vectors`."""
        where, params = self._within(where, params)
        return self.index.search_vectors(vector, k, where=where, params=params)[0]

    def id_of(self, hit: Hit) -> str:
        """Return the id of a hit: the record's id, or the source of a chunk and its number."""
        own = f"{self.path}#"
        if hit.source.startswith(own):
            return hit.source[len(own) :]
        return f"{hit.source}#{hit.number}"

    def metadata_of(self, hit: Hit) -> dict[str, Any]:
        """Return the metadata of a hit; a file's chunk has `source` and `heading` too."""
        if hit.source.startswith(COLLECTION):
            return dict(hit.metadata)
        heading = {"heading": " > ".join(hit.headings)} if hit.headings else {}
        return {"source": hit.source, **heading, **hit.metadata}

    def close(self) -> None:
        """Close the file; the model stays open."""
        self.index.close()

    def __enter__(self) -> Collection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Store]:
        store = open_index(self._file, self._model)
        try:
            yield store
        finally:
            store.close()

    def _within(self, where: str | None, params: Parameters) -> tuple[str | None, Parameters]:
        return join_where([] if self._scope is None else [self._scope], where, params)

    def _found(self, *conditions: Condition) -> dict[str, Hit]:
        every = all_of(conditions)
        return {self.id_of(hit): hit for hit in self.index.select(every.sql, every.values)}
