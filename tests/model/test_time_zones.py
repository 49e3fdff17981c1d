"""Local dates at the borders where offsets change."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.model.time_zones import EPOCH, local_days, local_hour_start
from support.rounds import examples

HOUR = 3_600_000_000


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000


def day(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH).days


@pytest.mark.parametrize(
    ("zone", "last", "first", "before", "after"),
    [
        # UTC+8 without a change of clock
        ("Asia/Makassar", "2025-12-09T15:59:59Z", "2025-12-09T16:00:00Z", "2025-12-09", "2025-12-10"),
        # UTC+05:45: midnight is 18:15Z
        ("Asia/Kathmandu", "2025-12-09T18:14:59Z", "2025-12-09T18:15:00Z", "2025-12-09", "2025-12-10"),
        # the clock goes from 23:59:59 to 01:00: that day has no midnight
        ("Asia/Beirut", "2026-03-28T21:59:59Z", "2026-03-28T22:00:00Z", "2026-03-28", "2026-03-29"),
        # at 00:01 the clock went back to 23:01, so the date went back as well
        ("America/St_Johns", "2010-11-07T02:30:59Z", "2010-11-07T02:31:00Z", "2010-11-07", "2010-11-06"),
        # a whole day was left out
        ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-30T10:00:00Z", "2011-12-29", "2011-12-31"),
    ],
)
def test_the_date_changes_at_the_microsecond(zone: str, last: str, first: str, before: str, after: str) -> None:
    instants = np.array([us(last) + 999_999, us(first)])
    assert local_days(instants, zone).tolist() == [day(before), day(after)]


@pytest.mark.parametrize(
    ("local_date", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)]
)
def test_days_of_23_and_25_hours_get_each_of_their_hours_once(local_date: str, hours: int) -> None:
    year_2026 = us("2026-01-01T00:00:00Z") + HOUR * np.arange(365 * 24)
    assert int((local_days(year_2026, "Europe/Berlin") == day(local_date)).sum()) == hours


def test_no_instants_no_days() -> None:
    assert local_days(np.array([], np.int64), "Asia/Makassar").tolist() == []


def test_the_wall_clock_is_cut_to_the_hour() -> None:
    assert local_hour_start(us("2025-12-09T16:59:59Z"), "Asia/Makassar") == datetime(2025, 12, 10, 0)
    assert local_hour_start(us("2025-12-09T18:20:00Z"), "Asia/Kathmandu") == datetime(2025, 12, 10, 0)


ZONES = (
    *("Asia/Makassar", "Asia/Kathmandu", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC"),
    *("Pacific/Apia", "Asia/Gaza", "Africa/Casablanca", "America/Caracas", "Antarctica/Casey", "Asia/Pyongyang"),
)
FIRST, LAST = us("1973-01-01T00:00:00Z"), us("2100-01-01T00:00:00Z")


def zone_date(ts_us: int, zone: str) -> date:
    return datetime.fromtimestamp(ts_us // 1_000_000, UTC).astimezone(ZoneInfo(zone)).date()


@settings(deadline=None, max_examples=examples(150))
@given(st.lists(st.integers(FIRST, LAST), max_size=30), st.sampled_from(ZONES))
def test_the_days_are_those_of_zoneinfo(instants: list[int], zone: str) -> None:
    expected = [(zone_date(ts, zone) - EPOCH).days for ts in instants]
    assert local_days(np.array(instants, np.int64), zone).tolist() == expected


@settings(deadline=None, max_examples=examples(100))
@given(st.integers(FIRST // HOUR, LAST // HOUR), st.sampled_from(ZONES))
def test_around_every_full_hour_too(hour: int, zone: str) -> None:
    # offsets change near full hours of UTC, which random instants rarely meet
    instants = [hour * HOUR + minutes * 60_000_000 + off for minutes in (0, 1, 15, 30, 31, 45) for off in (-1, 0)]
    expected = [(zone_date(ts, zone) - EPOCH).days for ts in instants]
    assert local_days(np.array(instants, np.int64), zone).tolist() == expected
