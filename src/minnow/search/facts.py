"""Facts of the table `meta` that have parts, as JSON and back."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from minnow.errors import IndexFileError

T = TypeVar("T")


def to_json(fact: object) -> str:
    """A dataclass's form in the file."""
    return msgspec.json.encode(fact).decode()


def from_json(text: str, kind: type[T]) -> T:
    """Read what `to_json` wrote.

    Raises:
        IndexFileError: It is something else.
    """
    try:
        return msgspec.json.decode(text.encode(), type=kind)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise IndexFileError(
            f"The {kind.__name__.lower()} in the index cannot be read: {error}."
        ) from error
