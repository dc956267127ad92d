"""Times that questions name, and words that look like times and are none."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import numpy as np
import pytest

from minnow.memory.dates import Period, read_period
from minnow.memory.items import milliseconds_of

NOW = datetime(2025, 6, 18, 15, 30, tzinfo=timezone.utc)  # a Wednesday


def shown(question: str, now: datetime = NOW) -> str:
    """Return the first and the last day of the period that a question names."""
    period, _ = read_period(question, now)
    if period is None:
        return ""
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    days = [
        "" if at is None else f"{epoch + timedelta(milliseconds=at - less):%Y-%m-%d}"
        for at, less in ((period.begin, 0), (period.end, 1))
    ]
    return days[0] if days[0] == days[1] else "/".join(days)


@pytest.mark.parametrize(
    ("question", "days"),
    [
        ("Where was Emma yesterday?", "2025-06-17"),
        ("what did I say the day before yesterday", "2025-06-16"),
        ("What did we eat last night?", "2025-06-17"),
        ("Who called today?", "2025-06-18"),
        ("Whom did I meet two weeks ago?", "2025-06-01/2025-06-07"),
        ("What broke 3 days ago?", "2025-06-15"),
        ("What did he buy a couple of months ago?", "2025-04-03/2025-05-02"),
        ("Where did she live a year ago?", "2024-05-04/2024-08-01"),
        ("What did Tom paint last May?", "2025-05-01/2025-05-31"),
        ("What did Tom paint last June?", "2024-06-01/2024-06-30"),
        ("What did Tom paint last October?", "2024-10-01/2024-10-31"),
        ("Who came in March?", "2025-03-01/2025-03-31"),
        ("Who came in december", "2024-12-01/2024-12-31"),
        ("What happened in May 2023?", "2023-05-01/2023-05-31"),
        ("What happened in Sept. 2023?", "2023-09-01/2023-09-30"),
        ("Which bike did she buy in 2022?", "2022-01-01/2022-12-31"),
        ("Where was he on 3 March?", "2025-03-03"),
        ("Where was he on the 3rd of October?", "2024-10-03"),
        ("Where was he on 3 March 2021?", "2021-03-03"),
        ("Where was he on March 3, 2021?", "2021-03-03"),
        ("Where was he on May 3rd?", "2025-05-03"),
        ("What did we do on 29 February?", "2024-02-29"),
        ("What has happened since February 29th?", "2024-02-29/"),
        ("What did she cook on 2024-12-24?", "2024-12-24"),
        ("What did she cook in 2024-12?", "2024-12-01/2024-12-31"),
        ("What was new last week?", "2025-06-09/2025-06-15"),
        ("What is planned this week?", "2025-06-16/2025-06-22"),
        ("Where were we last weekend?", "2025-06-14/2025-06-15"),
        ("What did I spend last month?", "2025-05-01/2025-05-31"),
        ("Where did we go last year?", "2024-01-01/2024-12-31"),
        ("Who came last Monday?", "2025-06-16"),
        ("Who came last Wednesday?", "2025-06-11"),
        ("Where were we last summer?", "2024-06-01/2024-08-31"),
        ("Where were we in summer 2023?", "2023-06-01/2023-08-31"),
        ("Where were we last winter?", "2024-12-01/2025-02-28"),
        ("What did she do in the past three months?", "2025-03-17/2025-06-18"),
        ("What happened between March and May?", "2025-03-01/2025-05-31"),
        ("Where did he live from 2019 to 2021?", "2019-01-01/2021-12-31"),
        ("What has she read since January?", "2025-01-01/"),
        ("What happened after 2 June?", "2025-06-03/"),
        ("What happened before 2020?", "/2019-12-31"),
    ],
)
def test_what_is_read(question: str, days: str) -> None:
    assert shown(question) == days


@pytest.mark.parametrize(
    "question",
    [
        "May I eat this?", "What may Emma eat?", "Which of the 3 may I take?", "In may ways?"[3:],
        "When did they march to the town hall?", "Did they march 5 miles?", "Who came second?",
        "Wait a second, who is she?", "What did June paint?", "Who helped April with the move?",
        "What did he do before Jan arrived?", "Who left after April called?",
        "What costs 2000 euros?", "How many of the 2020 pages has he read?", "Is room 2019 free?",
        "How many years ago did she move?", "When was the last time we met?", "Which day is best?",
        "How long has she played for five years?", "What did her last boss say?",
        "What did Dana say about Sunday lunch?", "who won the fall of the wall quiz",
        "What is on 31 February?", "What was on 2023-02-29?", "",
    ],
)  # fmt: skip
def test_what_is_no_time(question: str) -> None:
    assert shown(question) == ""


def test_a_month_without_a_year_is_the_last_that_was_remembered() -> None:
    latest = datetime(2022, 4, 5, tzinfo=timezone.utc)
    for question, year in (("Who came in May?", 2021), ("Where was he on 3 March?", 2022),
                           ("Who came last May?", 2025)):  # fmt: skip
        period, _ = read_period(question, NOW, latest)
        assert period is not None
        assert period.begin is not None
        assert datetime.fromtimestamp(period.begin / 1000, timezone.utc).year == year
    assert read_period("Who came in May?", NOW, NOW + timedelta(days=900)) == read_period(
        "Who came in May?", NOW
    )


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("What did I note yesterday?", "What did I note ?"),
        ("Two weeks ago, whom did I  meet?", ", whom did I meet?"),
        ("What did Tom paint between last May and last July?", "What did Tom paint between and ?"),
        ("Who called today about the trip last week?", "Who called about the trip last week?"),
        ("Who  came in March 2019?", "Who  came in March 2019?"),
        ("What happened on 2024-12-24?", "What happened on 2024-12-24?"),
        ('Who sings "Yesterday"?', 'Who sings "Yesterday"?'),
        ("last week?", "last week?"),
        ("When did they  march?", "When did they  march?"),
    ],
)
def test_what_is_asked(question: str, asked: str) -> None:
    """A relative date that gave the time is no word to look for; others are."""
    found = read_period(question, NOW)[1]
    assert (found if found == question else " ".join(found.split())) == asked


def test_days_are_those_of_the_clock() -> None:
    """It is the 18th already where the clock is, and the 17th in UTC."""
    east = datetime(2025, 6, 18, 1, tzinfo=timezone(timedelta(hours=9)))
    period, _ = read_period("What happened yesterday?", east)
    assert period is not None
    assert period.begin == milliseconds_of(datetime(2025, 6, 16, 15, tzinfo=timezone.utc))


def test_nearness_falls_with_the_distance() -> None:
    day = 86_400_000
    near = Period(0, day).nearness(np.array([-2 * day, -1, 0, day - 1, 8 * day, 15 * day]))
    assert near == pytest.approx([0.5, 1, 1, 1, 0.5, 0.25], abs=1e-6)
    assert Period(None, 0).nearness(np.array([-(10**12), 7 * day])) == pytest.approx([1, 0.5])
    assert Period(0, None).nearness(np.array([10**12, -2 * day])) == pytest.approx([1, 0.5])
