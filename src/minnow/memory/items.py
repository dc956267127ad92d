"""What is remembered, as plain values."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any

from minnow.errors import InputError
from minnow.search.checks import is_unicode

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


class Kind(str, Enum):
    """Where a memory comes from: it was seen or told, or it was concluded from others."""

    OBSERVATION = "observation"
    INSIGHT = "insight"


@dataclass(frozen=True)
class Observation:
    """Something to remember.

    Attributes:
        text: What; it has to fit the model whole.
        importance: From 0, everyday, to 1.
        at: When it was; now by default. With a time zone.
        tags: Words to find it by.
        sources: Ids of the memories that it is concluded from; with some it is an insight.
    """

    text: str
    importance: float = 0.5
    at: datetime | None = None
    tags: Collection[str] = ()
    sources: Collection[int] = ()

    @property
    def kind(self) -> Kind:
        """An insight has sources."""
        return Kind.INSIGHT if self.sources else Kind.OBSERVATION

    def check(self) -> None:
        """Make sure that it can be remembered.

        Raises:
            InputError: A field is not what it should be; the message says which, of which text.
        """
        if not isinstance(self.text, str) or not self.text.strip():
            raise InputError("A memory needs a text; this one is empty.")
        shown = repr(self.text[:60])
        if "\0" in self.text or not is_unicode(self.text):
            raise InputError(f"The text {shown} holds a NUL or half a character. Take it out.")
        if not (math.isfinite(self.importance) and 0 <= self.importance <= 1):
            raise InputError(
                f"The importance of {shown} is {self.importance}; it goes from 0 to 1."
            )
        if self.at is not None:
            milliseconds_of(self.at)
        if isinstance(self.tags, str) or not all(
            isinstance(tag, str) and tag.strip() and is_unicode(tag) for tag in self.tags
        ):
            raise InputError(f"The tags of {shown} should be a list of words, none of them empty.")


@dataclass(frozen=True)
class Item:
    """A memory, as the file has it.

    Attributes:
        id: In the file; never used again.
        text: What was remembered first.
        kind: Observation or insight.
        importance: From 0 to 1; the greatest it was remembered with.
        created: When it was, in UTC, to a millisecond; of several times the first.
        used: When it was remembered or recalled last.
        times: How often it was remembered.
        tags: In order, each once.
        wordings: Other texts that were taken to say the same.
        sources: Of an insight: the ids of the memories behind it that are still there.
    """

    id: int
    text: str
    kind: Kind
    importance: float
    created: datetime
    used: datetime
    times: int = 1
    tags: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()
    sources: tuple[int, ...] = ()

    def facts(self) -> dict[str, Any]:
        """As JSON has it; times in ISO 8601."""
        return {
            "id": self.id,
            "text": self.text,
            "kind": self.kind.value,
            "importance": self.importance,
            "created": self.created.isoformat(),
            "used": self.used.isoformat(),
            "times": self.times,
            "tags": list(self.tags),
            "wordings": list(self.wordings),
            "sources": list(self.sources),
        }


@dataclass(frozen=True)
class Recalled:
    """A memory that was recalled, and why.

    Attributes:
        item: The memory, as it was before.
        score: What it was ranked by.
        relevance: How near its vector is to the query's: a cosine, or what the model is made for.
        recency: The decay since it was used last: 1 for now, towards 0.
    """

    item: Item
    score: float
    relevance: float
    recency: float

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        scores = {"score": self.score, "relevance": self.relevance, "recency": self.recency}
        return scores | self.item.facts()


def milliseconds_of(at: datetime) -> int:
    """Since 1970, in UTC.

    Raises:
        InputError: It has no time zone, or is in another year than 1 to 9999 in UTC.
    """
    if at.tzinfo is None or at.utcoffset() is None:
        raise InputError(f"The time {at} has no time zone: use datetime(..., tzinfo=...).")
    milliseconds = (at - _EPOCH) // _MILLISECOND
    try:
        datetime_of(milliseconds)
    except OverflowError as error:
        raise InputError(f"The time {at} is not in the years 1 to 9999 in UTC.") from error
    return milliseconds


def datetime_of(milliseconds: int) -> datetime:
    """The reverse of `milliseconds_of`."""
    return _EPOCH + milliseconds * _MILLISECOND
