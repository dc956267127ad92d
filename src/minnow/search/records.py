"""Records: texts that a program puts into an index, each of which is one chunk.

Records belong to collections. To the index a collection is a file of many documents; its name is
one that no file can have (`COLLECTION`), so `minnow index` leaves it alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from minnow.characters import clean_text, clean_values
from minnow.chunks import Chunk
from minnow.errors import InputError
from minnow.indexfile.checks import is_storable
from minnow.indexfile.documents import COLLECTION
from minnow.indexfile.encodings import Floats
from minnow.indexfile.models import find_too_long
from minnow.indexfile.truncated import adapted
from minnow.search.chunk_ids import allowed_ids
from minnow.search.writer import DocumentKey, Entry, Writer, digest_of
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store


DEFAULT_COLLECTION = "records"
_BEGINNING = 40


@dataclass(frozen=True)
class Record:
    """A text to index.

    Halves of surrogate pairs in the text and the metadata become U+FFFD, and NUL is dropped; see
    `minnow.characters`.

    Attributes:
        id: Its identity in its collection.
        text: The text, which is embedded unchanged and whole.
        metadata: JSON values by name.
        vector: Its embedding if there is one already, float32 of shape (width,).
        label: What messages call it, where the caller did not choose the id.
    """

    id: str
    text: str
    metadata: Mapping[str, object] = field(default_factory=dict)
    vector: Floats | Sequence[float] | None = None
    label: str = ""

    @property
    def shown(self) -> str:
        """The label or the id, and the beginning of the text, for a message."""
        name = self.label or repr(self.id)
        if not isinstance(self.text, str):
            return name
        text = " ".join(self.text[:_BEGINNING].split())
        return f"{name} ({text!r}...)" if len(self.text) > _BEGINNING or self.label else name


_LABELS = ("source", "file_name", "file_path", "title", "page", "page_label")


def label_of(place: str, metadata: object, id_: str | None = None) -> str:
    """Describe a text that has no id of the user's by its place and by what its metadata says.

    Args:
        place: Its place in the user's call, such as "texts[1]".
        metadata: Its metadata, of which the usual names of sources and pages are shown.
        id_: Its id, if the user has chosen it.
    """
    facts = {} if id_ is None else {"id": id_}
    if isinstance(metadata, Mapping):
        facts |= {name: metadata[name] for name in _LABELS if name in metadata}
    shown = ", ".join(f"{name} {value!r:.80}" for name, value in facts.items())
    return f"{place}, {shown}," if shown else place


def collection_path(name: str) -> str:
    """Return the name of a collection in the index: the `file` of its records.

    Raises:
        InputError: The name is empty, or holds "#", NUL or a lone surrogate.
    """
    if not isinstance(name, str) or not name or "#" in name or not is_storable(name):
        raise InputError(f"A collection cannot be called {name!a}. Use letters and digits.")
    return COLLECTION + name


def put_records(
    store: Store,
    model: SearchModel | None,
    records: Iterable[Record],
    *,
    collection: str = DEFAULT_COLLECTION,
) -> int:
    """Add records, or replace those with the same ids: all of them, or none if that fails.

    Everything is checked first, then embedded, then written in one transaction. A record whose
    text has not changed keeps its vector.

    Args:
        store: The index, open for writing, made with the model.
        model: The model that makes the vectors; None where every record brings its own.
        records: Records with different ids.
        collection: The collection they belong to.

    Returns:
        The number of records that were embedded.

    Raises:
        InputError: A text is longer than the model takes, or not a string; an id is empty or
            repeated; metadata is no JSON; a vector has another width, or is not finite.
        OutputError: The index cannot be written.
    """
    path, rows = collection_path(collection), list(map(_cleaned, records))
    model = None if model is None else adapted(model, store.fingerprint)
    with store.reading() as database:
        _check(rows, database)
    writer = Writer(store)
    given = [i for i, record in enumerate(rows) if record.vector is not None]
    vectors = dict(zip(given, writer.rows(_given(rows, given, store)), strict=True))
    digests = [_digest(record, vectors.get(i)) for i, record in enumerate(rows)]
    for i, record in enumerate(rows):
        known = None if i in vectors else writer.single(DocumentKey(path, record.id))
        if known is not None and known[0] == digests[i]:
            vectors[i] = known[1]
    missing = [i for i in range(len(rows)) if i not in vectors]
    if missing and model is None:
        raise InputError(f"{rows[missing[0]].shown} has no vector, and there is no model.")
    if missing and model is not None:
        _check_lengths([rows[i] for i in missing], model)
        made = writer.rows(model.encode_documents([rows[i].text for i in missing]))
        vectors.update(zip(missing, made, strict=True))
    writer.put(
        (
            Entry(DocumentKey(path, record.id), digests[i], dict(record.metadata)),
            [(Chunk(path, 1, (), record.text, 0, len(record.text)), vectors[i])],
        )
        for i, record in enumerate(rows)
    )
    return len(missing)


def remove_records(
    store: Store,
    ids: Iterable[str] | None = None,
    *,
    where: str | None = None,
    params: Parameters = (),
    collection: str = DEFAULT_COLLECTION,
) -> int:
    """Drop the records of a collection that have these ids and fulfil a condition.

    Args:
        store: The index, open for writing.
        ids: Ids, of which unknown ones are ignored; all by default.
        where: As in `Index.search`.
        params: As in `Index.search`.
        collection: The collection they belong to.

    Returns:
        The number of records dropped.

    Raises:
        InputError: `ids` is one string, or the condition cannot be used.
        OutputError: The index cannot be written.
    """
    if isinstance(ids, str):
        raise InputError("ids is one string; give a list.")
    path, writer = collection_path(collection), Writer(store)
    with store.writing():
        names = set(writer.documents(path)) if ids is None else set(ids)
        if where is not None:
            names &= _allowed(store, path, where, params)
        return writer.remove(path, names)


def _allowed(store: Store, path: str, where: str, params: Parameters) -> set[str]:
    """Return the ids of a collection's records that fulfil a condition."""
    chunks = allowed_ids(store, where, params)
    question = (
        "SELECT d.first_chunk, d.name FROM documents AS d "
        "JOIN files AS f ON f.id = d.file WHERE f.path = ?"
    )
    with store.reading() as database:
        rows = database.execute(question, (path,)).fetchall()
    firsts = np.array([first for first, _ in rows], np.int64)
    return {rows[i][1] for i in np.flatnonzero(np.isin(firsts, chunks)).tolist()}


# --- checks ----------------------------------------------------------------------------------


def _cleaned(record: Record) -> Record:
    """Return a record with characters that a file can hold; see `minnow.characters`."""
    text = clean_text(record.text) if isinstance(record.text, str) else record.text
    try:
        metadata = clean_values(record.metadata)
    except RecursionError:  # `_check_metadata` names it
        metadata = record.metadata
    return replace(record, text=text, metadata=metadata)  # type: ignore[arg-type]


def _check(records: Sequence[Record], database: sqlite3.Connection) -> None:
    seen = set()
    for record in records:
        name = record.id
        if not isinstance(name, str) or not name or not is_storable(name):
            raise InputError(f"An id should be a string that is not empty, not {name!a}.")
        if name in seen:
            raise InputError(f"Two records have the id {name!r}.")
        seen.add(name)
        if not isinstance(record.text, str):
            raise InputError(
                f"The text of {record.shown} is {type(record.text).__name__}, not a string."
            )
        _check_metadata(record, database)


def _check_metadata(record: Record, database: sqlite3.Connection) -> None:
    """Check that metadata can be read back as it was."""
    metadata = record.metadata
    if not isinstance(metadata, Mapping):
        raise InputError(
            f"The metadata of {record.shown} is {type(metadata).__name__}, not a mapping."
        )
    if _fault_of(dict(metadata), database) is None:
        return
    for key, value in metadata.items():
        fault = _fault_of({key: value}, database)
        if fault:
            raise InputError(
                f"The metadata of {record.shown} cannot be kept: {key!a} {fault}. "
                "JSON has strings, numbers, booleans, null, lists, and objects with string keys."
            )


def _fault_of(value: object, database: sqlite3.Connection) -> str | None:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        valid = database.execute("SELECT json_valid(?)", (text,)).fetchone()[0]
        if valid and json.loads(text) == value:
            return None
    except RecursionError:
        return "is nested too deep"
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    except (TypeError, ValueError) as error:
        return f"is no JSON ({error})"
    return "would be read back as something else" if valid else "is nested too deep"


def _check_lengths(records: Sequence[Record], model: SearchModel) -> None:
    if found := find_too_long(model, [record.text for record in records]):
        number, tokens = found
        raise InputError(
            f"The text of {records[number].shown} has {tokens} tokens, and "
            f"{model.fingerprint.shown} takes {model.room}. Split it first: texts are not "
            "truncated, and nothing was written."
        )


def _given(records: Sequence[Record], numbers: Sequence[int], store: Store) -> Floats:
    """Return the vectors that some records bring, of length 1 if they are compared by cosine."""
    width = store.fingerprint.width
    vectors = np.empty((len(numbers), width), np.float32)
    for row, number in enumerate(numbers):
        try:
            with np.errstate(over="ignore"):
                vector = np.asarray(records[number].vector, np.float32)
        except (TypeError, ValueError):
            vector = np.empty(0, np.float32)
        if vector.shape != (width,) or not np.isfinite(vector).all():
            raise InputError(
                f"The vector of {records[number].shown} should be {width} finite numbers, as "
                f"{store.fingerprint.shown} makes them."
            )
        vectors[row] = vector
    cosine = Similarity(store.fingerprint.similarity) is Similarity.COSINE
    return normalize(vectors) if cosine else vectors


def _digest(record: Record, given: bytes | None) -> bytes:
    """Return the digest of what a vector depends on: equal digests, equal vectors."""
    return digest_of(record.text.encode() + (given or b""))
