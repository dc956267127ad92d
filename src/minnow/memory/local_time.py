"""The time of this machine's own zone, with its summer and winter time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

_NONE = timedelta(0)


class _LocalZone(tzinfo):
    """The zone of C's localtime: that of the variable TZ, else of the system.

    `datetime.astimezone` without a zone gives one with a fixed offset, which is wrong for days
    on the other side of a change of the clocks.
    """

    def utcoffset(self, at: datetime | None) -> timedelta:
        """Return how far a local time is ahead of UTC; 0 where the system knows no such year."""
        if at is None:
            return _NONE
        try:
            return at.replace(tzinfo=None).astimezone().utcoffset() or _NONE
        except (ValueError, OverflowError, OSError):
            return _NONE

    def dst(self, at: datetime | None) -> timedelta | None:
        """Return nothing: whether it is summer time is not known, only the offset."""
        return None

    def tzname(self, at: datetime | None) -> str:
        """Return a name."""
        return "local"

    def fromutc(self, at: datetime) -> datetime:
        """Return the local time of a time in UTC that is marked with this zone."""
        try:
            local = at.replace(tzinfo=timezone.utc).astimezone()
        except (ValueError, OverflowError, OSError):
            return at
        first = local.replace(tzinfo=self)
        return first.replace(fold=int(first.utcoffset() != local.utcoffset()))  # a repeated hour


LOCAL = _LocalZone()
"""This machine's zone."""


def local_now() -> datetime:
    """Return the time now: the clock for a user's own days."""
    return datetime.now(LOCAL)
