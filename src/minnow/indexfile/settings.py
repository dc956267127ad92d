"""Settings of an index for chunks and vectors, and the JSON of facts in the table `meta`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from minnow.errors import IndexFileError
from minnow.vectors import VectorEncoding

T = TypeVar("T")

DEFAULT_TOKENS = 256
"""The longest chunk of a new file, or less where the model takes less."""

_MOST_TOKENS = 10_000_000

READERS = 3
"""Version of the document readers. It grows when they change, so that unchanged files are read
again."""


@dataclass(frozen=True)
class IndexSettings:
    """The settings of a file; they are fixed when it is made.

    Attributes:
        max_tokens: The longest chunk, special tokens and headings included; without the model's
            prompt.
        overlap: About how many tokens of the previous chunk are repeated.
        encoding: How vectors are stored.
        readers: Version of the document readers that it was made with.
    """

    max_tokens: int
    overlap: int = 0
    encoding: VectorEncoding = VectorEncoding.FLOAT16
    readers: int = READERS

    def check(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: A number is one that minnow never writes.
        """
        if not (0 < self.max_tokens <= _MOST_TOKENS and 0 <= self.overlap < self.max_tokens):
            raise ValueError(f"chunks of {self.max_tokens} tokens, {self.overlap} of them repeated")

    def check_equal(self, wanted: IndexSettings, name: str) -> None:
        """Check that the wanted settings are those of a named file; the readers may differ.

        Raises:
            IndexFileError: They differ.
        """
        differences = {
            "max_tokens": f"chunks of {self.max_tokens} tokens, not {wanted.max_tokens}",
            "overlap": f"an overlap of {self.overlap} tokens, not {wanted.overlap}",
            "encoding": f"{self.encoding.value} vectors, not {wanted.encoding.value}",
        }
        found = [
            text for key, text in differences.items() if getattr(self, key) != getattr(wanted, key)
        ]
        if found:
            raise IndexFileError(
                f"{name} has {'; '.join(found)}. Keep these settings, index into another file, or "
                "start over with `rebuild=True`."
            )


def to_json(fact: object) -> str:
    """Return a fact in the form that the file stores."""
    return msgspec.json.encode(fact).decode()


def from_json(text: str, kind: type[T], name: str) -> T:
    """Read what `to_json` wrote of a named fact.

    Raises:
        IndexFileError: It is something else.
    """
    try:
        return msgspec.json.decode(text.encode(), type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise IndexFileError(f"The {name} in the index cannot be read: {error}.") from error
