"""Memories as plain values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from enum import Enum
from numbers import Real
from operator import index
from typing import Any, SupportsIndex

from minnow.characters import clean_text
from minnow.errors import InputError
from minnow.indexfile.filters import Parameters

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


class MemoryKind(str, Enum):
    """The origin of a memory: an observation from outside, or an insight from other memories."""

    OBSERVATION = "observation"
    INSIGHT = "insight"


@dataclass(frozen=True)
class Observation:
    """Something to remember.

    Halves of surrogate pairs in text and tags become U+FFFD, and NUL is dropped; see
    `minnow.characters`.

    Attributes:
        text: The text, which has to fit the model whole.
        importance: From 0, everyday, to 1.
        at: Its time, with a time zone; now by default.
        tags: Words to find it by.
        sources: Ids of the memories that an insight was concluded from; empty for an observation.
        speaker: Who said it, by the name that questions use.
        session: The conversation that it is a turn of.
    """

    text: str
    importance: float = 0.5
    at: datetime | None = None
    tags: Collection[str] = ()
    sources: Collection[int] = ()
    speaker: str = ""
    session: str = ""

    @property
    def kind(self) -> MemoryKind:
        """The kind: an insight has sources."""
        return MemoryKind.INSIGHT if self.sources else MemoryKind.OBSERVATION

    def cleaned(self) -> Observation:
        """Return it with characters that a file can hold; what is no string stays as it is."""
        text = clean_text(self.text) if isinstance(self.text, str) else self.text
        tags = self.tags
        if not isinstance(tags, str):
            tags = [clean_text(tag) if isinstance(tag, str) else tag for tag in tags]
        speaker, session = (
            clean_text(name).strip() if isinstance(name, str) else name
            for name in (self.speaker, self.session)
        )
        return replace(self, text=text, tags=tags, speaker=speaker, session=session)

    def check(self) -> None:
        """Check that it can be remembered.

        Raises:
            InputError: A field is invalid; the message names it and the text.
        """
        if not isinstance(self.text, str) or not self.text.strip():
            raise InputError("A memory needs a text; this one is empty.")
        shown = repr(self.text[:60])
        is_number = isinstance(self.importance, Real) and not isinstance(self.importance, bool)
        if not (is_number and 0 <= self.importance <= 1):
            raise InputError(
                f"The importance of {shown} is {self.importance!r}; it should be from 0 to 1."
            )
        if self.at is not None:
            milliseconds_of(self.at)
        checked_ids(self.sources)
        if isinstance(self.tags, str) or not all(
            isinstance(tag, str) and tag.strip() for tag in self.tags
        ):
            raise InputError(f"The tags of {shown} should be a list of words, none of them empty.")
        for name in ("speaker", "session"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"The {name} of {shown} should be a string.")


@dataclass(frozen=True)
class Item:
    """A memory, as the file has it.

    Attributes:
        id: Id in the file, which is never used again.
        text: The first text it was remembered with.
        kind: Observation or insight.
        importance: From 0 to 1; the greatest it was remembered with.
        created: The first time it was observed, in UTC, to a millisecond.
        used: The last time it was remembered or recalled.
        times: Number of times it was remembered.
        tags: Sorted, without repetition.
        wordings: Other texts that were merged with it.
        sources: For an insight, the ids of the memories it was concluded from that still exist.
        speaker: Who said it; empty if that was not given.
        session: The conversation that it is a turn of; empty if that was not given.
    """

    id: int
    text: str
    kind: MemoryKind
    importance: float
    created: datetime
    used: datetime
    times: int = 1
    tags: tuple[str, ...] = ()
    wordings: tuple[str, ...] = ()
    sources: tuple[int, ...] = ()
    speaker: str = ""
    session: str = ""

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values, with times in ISO 8601."""
        facts = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        times = {"created": self.created.isoformat(), "used": self.used.isoformat()}
        return facts | {"kind": self.kind.value} | times


@dataclass(frozen=True)
class Recalled:
    """A memory that was recalled, with its score.

    Attributes:
        item: The memory, as it was before.
        score: The score it was found by: the sum of `parts`.
        parts: What each part of the score contributed; see `Weights`.
        similarity: Similarity of its vector to the query's: a cosine, or what the model is made
            for.
        before: The turns before it that `window=` asked for, the oldest first.
        after: The turns after it.
        rerank_score: What the reranker gave, which orders what was found, if there is one.
    """

    item: Item
    score: float
    parts: Mapping[str, float]
    similarity: float
    before: tuple[Item, ...] = ()
    after: tuple[Item, ...] = ()
    rerank_score: float | None = None

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        scores = {"score": self.score, "parts": dict(self.parts), "similarity": self.similarity}
        turns = {"before": self.before, "after": self.after}
        around = {name: [item.facts() for item in items] for name, items in turns.items()}
        reranked = {} if self.rerank_score is None else {"rerank_score": self.rerank_score}
        return scores | reranked | self.item.facts() | around


def checked_ids(ids: Iterable[SupportsIndex]) -> list[int]:
    """Return ids of memories as integers.

    Raises:
        InputError: One is no integer: True would be memory 1, and so would 1.9.
    """
    found = []
    for id_ in ids:
        try:
            if isinstance(id_, bool):
                raise TypeError
            found.append(index(id_))
        except TypeError as error:
            raise InputError(f"{id_!r} is not the id of a memory, which is an integer.") from error
    return found


def milliseconds_of(at: datetime) -> int:
    """Return a time as milliseconds since 1970 in UTC.

    Raises:
        InputError: It is no datetime, has no time zone, or is outside of the years 1 to 9999 in
            UTC.
    """
    if not isinstance(at, datetime):
        raise InputError(f"The time {at!r} should be a datetime with a time zone.")
    if at.tzinfo is None or at.utcoffset() is None:
        raise InputError(f"The time {at} has no time zone: use datetime(..., tzinfo=...).")
    milliseconds = (at - _EPOCH) // _MILLISECOND
    try:
        datetime_of(milliseconds)
    except OverflowError as error:
        raise InputError(f"The time {at} is not in the years 1 to 9999 in UTC.") from error
    return milliseconds


def datetime_of(milliseconds: int) -> datetime:
    """Return the time of milliseconds since 1970 in UTC."""
    return _EPOCH + milliseconds * _MILLISECOND


@dataclass(frozen=True)
class Selection:
    """Conditions on memories; all have to be fulfilled.

    Attributes:
        tags: Tags that a memory has.
        speaker: Its speaker.
        session: Its session.
        where: A condition in SQL on the columns of the table, such as "kind = 'insight' AND
            created > ?".
        params: The values of its `?`, or of its `:name` as a mapping.
    """

    tags: Collection[str] = ()
    speaker: str | None = None
    session: str | None = None
    where: str | None = None
    params: Parameters = ()
