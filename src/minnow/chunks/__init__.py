"""Documents as sections under headings, cut into chunks that fit a model.

`find_documents` lists the files of a folder that are documents, `read_document` reads one of them,
and a `Splitter` cuts its sections into chunks, measured by the model's own tokenizer.
"""

from minnow.chunks.folder import FolderListing, find_documents, read_document
from minnow.chunks.outline import Document, Section
from minnow.chunks.split import Chunk, Splitter

__all__ = [
    "Chunk",
    "Document",
    "FolderListing",
    "Section",
    "Splitter",
    "find_documents",
    "read_document",
]
