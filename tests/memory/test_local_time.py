"""The clock of this machine: offsets of summer and winter, and the hour that comes twice."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from fakes.memory_cases import BERLIN

from minnow.memory.dates import read_period
from minnow.memory.local_time import LOCAL, local_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(not hasattr(time, "tzset"), reason="this system has no tzset")
HOUR = timedelta(hours=1)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def set_zone(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("name", [BERLIN, "NZST-12NZDT,M9.5.0,M4.1.0/3", "UTC", "IST-5:30"])
def test_every_instant_of_a_year_has_its_local_time(zone: Callable[[str], None], name: str) -> None:
    """By the seconds of C's localtime; and it leads back, in the repeated hour too."""
    zone(name)
    start = datetime(2025, 1, 1, tzinfo=timezone.utc)
    for hour in range(365 * 48):
        at = start + hour * HOUR / 2
        local = at.astimezone(LOCAL)
        assert local.timetuple()[:6] == time.localtime(at.timestamp())[:6]
        assert local.astimezone(timezone.utc) == at


def test_days_begin_by_the_offset_of_their_own_season(zone: Callable[[str], None]) -> None:
    zone(BERLIN)
    now = datetime(2025, 12, 1, 12, tzinfo=LOCAL)
    period, _ = read_period("on 1 July", now)
    assert period is not None
    begin = datetime(2025, 6, 30, 22, tzinfo=timezone.utc)
    assert period.begin == begin.timestamp() * 1000


def test_years_that_the_system_does_not_know(zone: Callable[[str], None]) -> None:
    zone("NZST-12")
    for year in (1, 9999):
        assert datetime(year, 1, 1, tzinfo=LOCAL).utcoffset() is not None
    assert read_period("on 0001-01-01", datetime(2025, 1, 1, tzinfo=LOCAL))[1] == "on 0001-01-01"


def test_it_shows_the_time_now(zone: Callable[[str], None]) -> None:
    zone("NZST-12")
    assert abs(local_now() - datetime.now(timezone.utc)) < HOUR
    assert local_now().utcoffset() == 12 * HOUR
