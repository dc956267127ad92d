"""How an index cuts texts and stores vectors: settled when the file is made."""

from __future__ import annotations

from dataclasses import dataclass

from minnow.errors import IndexFileError
from minnow.search.encodings import VectorEncoding, page_size

READERS = 1
"""Counts up when documents are read another way, so that unchanged files are read again."""


@dataclass(frozen=True)
class Settings:
    """What a file says of itself.

    Attributes:
        max_tokens: The longest chunk, special tokens and headings included; without the model's
            prompt.
        overlap: About how many tokens of the chunk before are repeated.
        encoding: How vectors are stored.
        readers: The state of the readers of documents that it was made with.
    """

    max_tokens: int
    overlap: int = 0
    encoding: VectorEncoding = VectorEncoding.FLOAT16
    readers: int = READERS

    def page_size(self, width: int) -> int:
        """The page of SQLite that vectors of this width fill well, in bytes."""
        return page_size(self.encoding.row_bytes(width))

    def check_equal(self, wanted: Settings, name: str) -> None:
        """Make sure that the settings asked for are the file's; the readers need not be.

        Args:
            wanted: What was asked for now.
            name: The index, for messages.

        Raises:
            IndexFileError: They differ.
        """
        words = {
            "max_tokens": f"chunks of {self.max_tokens} tokens, not {wanted.max_tokens}",
            "overlap": f"an overlap of {self.overlap} tokens, not {wanted.overlap}",
            "encoding": f"{self.encoding.value} vectors, not {wanted.encoding.value}",
        }
        told = [text for key, text in words.items() if getattr(self, key) != getattr(wanted, key)]
        if told:
            raise IndexFileError(
                f"{name} has {'; '.join(told)}. Keep to that, index into another file, or rebuild "
                "it with `rebuild=True`."
            )
