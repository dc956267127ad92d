"""Texts to distill with: of an index, a folder of documents, or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.chunks import find_documents, read_document
from minnow.indexfile.opening import open_store
from minnow.streams import read_texts

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"SQLite format 3\0"


def read_fitting_texts(path: Path) -> list[str]:
    """Read the chunks of an index, the sections of a folder's documents, or a file's texts.

    Raises:
        InputError: The path cannot be read, or is neither.
        IndexFileError: It is a SQLite file, but no index.
        MissingExtraError: There is HTML, and the extra `index` is not installed.
    """
    if path.is_dir():
        documents = [read_document(p, name) for name, p in find_documents(path).files.items()]
        return [d.text[part.start : part.end] for d in documents for part in d.sections]
    if path.is_file() and _starts_like_sqlite(path):
        store = open_store(path)
        try:
            with store.reading() as database:
                rows = database.execute("SELECT substr(text, body + 1) FROM chunks ORDER BY id")
                return [str(text) for (text,) in rows]
        finally:
            store.close()
    return list(read_texts(str(path)))


def _starts_like_sqlite(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
