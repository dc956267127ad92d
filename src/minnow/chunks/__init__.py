"""Documents on disk -> sections under headings -> chunks that fit into a model.

`find_documents` says which files of a folder are read and which are not, `read_folder` reads them,
and a `Splitter` cuts their sections where the model's own tokenizer says that a text is full.
"""

from minnow.chunks.folder import Found, find_documents, read_document, read_folder
from minnow.chunks.outline import Document, Section
from minnow.chunks.split import Chunk, Splitter

__all__ = [
    "Chunk",
    "Document",
    "Found",
    "Section",
    "Splitter",
    "find_documents",
    "read_document",
    "read_folder",
]
