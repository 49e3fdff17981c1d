"""Buckets partition the line of time, on the days when clocks change too."""

import pickle
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from siltstone.errors import UsageError
from siltstone.timeseries.buckets import auto_resolution, base_for, buckets_of
from support.rounds import examples

HOUR = 3_600_000_000
DAY = 24 * HOUR


SHIFTS = "shifts@18:00,06:00"


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def around(ts: str, every: str, zone: str = "UTC", origin: str | None = None) -> list[str]:
    """Start and end, in UTC, of the bucket that an instant is in."""
    buckets = buckets_of(every, zone, origin)
    bounds = buckets.bounds(buckets.number(np.array([us(ts)])))
    return [np.datetime64(int(edge[0]), "us").item().strftime("%Y-%m-%d %H:%M:%S") for edge in bounds]


@pytest.mark.parametrize(
    ("ts", "every", "zone", "origin", "start", "end"),
    [
        ("2025-12-09T10:44:59Z", "15m", "UTC", None, "2025-12-09 10:30:00", "2025-12-09 10:45:00"),
        ("2025-12-09T10:45:00Z", "15m", "UTC", None, "2025-12-09 10:45:00", "2025-12-09 11:00:00"),
        ("1969-12-31T23:59:59Z", "1h30m", "UTC", None, "1969-12-31 22:30:00", "1970-01-01 00:00:00"),
        ("2025-12-09T10:44:00Z", "15m", "UTC", "2025-01-01T00:07:00Z", "2025-12-09 10:37:00", "2025-12-09 10:52:00"),
        # hours don't depend on the zone, but an origin there may
        ("2025-12-09T10:44:00Z", "1h", "Asia/Kathmandu", None, "2025-12-09 10:00:00", "2025-12-09 11:00:00"),
        ("2025-12-09T10:44:00Z", "1h", "Asia/Kathmandu", "2025-01-01", "2025-12-09 10:15:00", "2025-12-09 11:15:00"),
        ("2025-12-09T17:00:00Z", "1d", "Asia/Makassar", None, "2025-12-09 16:00:00", "2025-12-10 16:00:00"),
        # the clocks are put forward: 23 h; back: 25 h
        ("2026-03-29T12:00:00Z", "1d", "Europe/Berlin", None, "2026-03-28 23:00:00", "2026-03-29 22:00:00"),
        ("2026-10-25T12:00:00Z", "1d", "Europe/Berlin", None, "2026-10-24 22:00:00", "2026-10-25 23:00:00"),
        # no midnight: from 00:00 on it is 01:00
        ("2026-03-29T12:00:00Z", "1d", "Asia/Beirut", None, "2026-03-28 22:00:00", "2026-03-29 21:00:00"),
        # 23:01 to 00:00 is shown again after midnight: part of the new day, since a day is one stretch of time
        ("2010-11-07T02:31:00Z", "1d", "America/St_Johns", None, "2010-11-07 02:30:00", "2010-11-08 03:30:00"),
        # 2011-12-30 was left out: no bucket between the 29th and the 31st
        ("2011-12-30T09:59:59Z", "1d", "Pacific/Apia", None, "2011-12-29 10:00:00", "2011-12-30 10:00:00"),
        ("2011-12-30T10:00:00Z", "1d", "Pacific/Apia", None, "2011-12-30 10:00:00", "2011-12-31 10:00:00"),
        ("2025-12-10T00:00:00Z", "2d", "UTC", "2025-12-09", "2025-12-09 00:00:00", "2025-12-11 00:00:00"),
        # 2025-12-08 is a Monday
        ("2025-12-14T23:59:59Z", "1w", "UTC", None, "2025-12-08 00:00:00", "2025-12-15 00:00:00"),
        ("2025-12-15T00:00:00Z", "1w", "Europe/Berlin", None, "2025-12-14 23:00:00", "2025-12-21 23:00:00"),
        ("2024-02-29T12:00:00Z", "1mo", "UTC", None, "2024-02-01 00:00:00", "2024-03-01 00:00:00"),
        ("1969-11-30T12:00:00Z", "3mo", "UTC", None, "1969-10-01 00:00:00", "1970-01-01 00:00:00"),
        ("2026-03-15T12:00:00Z", "1mo", "Europe/Berlin", None, "2026-02-28 23:00:00", "2026-03-31 22:00:00"),
        ("2026-03-15T12:00:00Z", "1mo", "UTC", "2020-01-21T06:00", "2026-02-21 06:00:00", "2026-03-21 06:00:00"),
        ("2026-03-15T12:00:00Z", "1y", "UTC", "2020-04-01", "2025-04-01 00:00:00", "2026-04-01 00:00:00"),
        ("2026-03-15T12:00:00Z", "1y6mo", "UTC", None, "2025-07-01 00:00:00", "2027-01-01 00:00:00"),
        ("2025-12-09T21:59:59Z", SHIFTS, "Asia/Makassar", None, "2025-12-09 10:00:00", "2025-12-09 22:00:00"),
        ("2025-12-09T22:00:00Z", SHIFTS, "Asia/Makassar", None, "2025-12-09 22:00:00", "2025-12-10 10:00:00"),
        # the night shift of the change lasts 11 h
        ("2026-03-29T00:00:00Z", SHIFTS, "Europe/Berlin", None, "2026-03-28 17:00:00", "2026-03-29 04:00:00"),
    ],
)
def test_an_instant_is_in_its_bucket(ts: str, every: str, zone: str, origin: str | None, start: str, end: str) -> None:
    assert around(ts, every, zone, origin) == [start, end]


def test_numbers_have_no_gap_where_a_date_was_left_out() -> None:
    days = buckets_of("1d", "Pacific/Apia")
    numbers = days.number(np.array([us("2011-12-30T09:00:00Z"), us("2011-12-30T11:00:00Z")]))
    assert np.diff(numbers).tolist() == [1]


ZONES = (
    *("UTC", "Asia/Makassar", "Asia/Kathmandu", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe"),
    *("Pacific/Apia", "Asia/Gaza", "Africa/Casablanca", "America/Caracas", "Antarctica/Casey", "Asia/Pyongyang"),
    *("Asia/Beirut", "Africa/Cairo", "America/Havana", "Pacific/Kwajalein", "Antarctica/Troll", "America/Sao_Paulo"),
)
LENGTHS = (
    *("250ms", "1s", "1m", "15m", "1h", "1h30m", "7h", "24h", "1d", "3d", "1w", "2w", "1mo", "5mo", "1y"),
    *("shifts@06:00,18:00", "shifts@00:00,00:30,02:15,02:45", "shifts@02:30"),
)
# clocks change near full hours of UTC, which random instants rarely meet
MOMENTS = st.one_of(
    st.integers(us("1850-01-01T00:00:00Z"), us("2190-01-01T00:00:00Z")),
    st.builds(
        lambda hour, minutes, off: hour * HOUR + minutes * 60_000_000 + off,
        st.integers(us("1970-01-01T00:00:00Z") // HOUR, us("2040-01-01T00:00:00Z") // HOUR),
        st.sampled_from([0, 1, 15, 30, 31, 45]),
        st.sampled_from([-1, 0, 1]),
    ),
)
ORIGINS = st.none() | st.sampled_from(["2020-02-03", "2021-07-05T04:30", "2019-11-11T11:11:11.123456Z"])
changes = example(us("2011-12-30T10:00:00Z"), "1d", "Pacific/Apia", None)
two_edges_in_one_jump = example(us("2026-03-29T01:00:00Z"), LENGTHS[-2], "Europe/Berlin", None)


@settings(deadline=None, max_examples=examples(250))
@given(MOMENTS, st.sampled_from(LENGTHS), st.sampled_from(ZONES), ORIGINS)
@changes
@two_edges_in_one_jump
def test_buckets_partition_the_line(ts: int, every: str, zone: str, origin: str | None) -> None:
    buckets = buckets_of(every, zone, None if every.startswith("shifts") else origin)
    middle = int(buckets.number(np.array([ts]))[0])
    numbers = np.arange(middle - 5, middle + 6)
    starts, ends = buckets.bounds(numbers)
    assert starts[5] <= ts < ends[5]
    assert ends[:-1].tolist() == starts[1:].tolist()
    assert (ends > starts).all()
    for instants, expected in ((starts, numbers), (ends - 1, numbers), (ends, numbers + 1)):
        assert buckets.number(instants).tolist() == expected.tolist()
        # one at a time they are numbered another way than all together
        assert [int(buckets.number(instants[i : i + 1])[0]) for i in range(11)] == expected.tolist()
        assert buckets.number(np.repeat(instants, 9)).tolist() == np.repeat(expected, 9).tolist()


def first_shown(wall: datetime, zone: str) -> int:
    """The first minute whose wall clock is at `wall` or later, by trying each; for whole minutes since 1973."""
    minute = int((wall.replace(tzinfo=UTC) - timedelta(hours=27)).timestamp()) // 60
    shown = ZoneInfo(zone)
    while datetime.fromtimestamp(minute * 60, UTC).astimezone(shown).replace(tzinfo=None) < wall:
        minute += 1
    return minute * 60_000_000


@settings(deadline=None, max_examples=examples(60))
@given(st.integers(us("1973-01-03T00:00:00Z") // HOUR, us("2099-01-01T00:00:00Z") // HOUR), st.sampled_from(ZONES))
@example(us("2011-12-31T00:00:00Z") // HOUR, "Pacific/Apia")
@example(us("2010-11-08T00:00:00Z") // HOUR, "America/St_Johns")
def test_days_begin_where_zoneinfo_shows_midnight_first(hour: int, zone: str) -> None:
    days = buckets_of("1d", zone)
    _, ends = days.bounds(days.number(np.array([hour * HOUR])))
    shown = datetime.fromtimestamp(int(ends[0]) // 1_000_000, UTC).astimezone(ZoneInfo(zone))
    midnight = datetime(shown.year, shown.month, shown.day)
    assert int(ends[0]) == first_shown(midnight, zone)


def test_a_year_of_days_in_berlin_has_its_short_and_its_long_day() -> None:
    days = buckets_of("1d", "Europe/Berlin")
    first, last = days.number(np.array([us("2026-01-01T00:00:00Z"), us("2026-12-31T12:00:00Z")]))
    starts, ends = days.bounds(np.arange(first, last + 1))
    hours, counts = np.unique((ends - starts) // HOUR, return_counts=True)
    assert dict(zip(hours.tolist(), counts.tolist(), strict=True)) == {23: 1, 24: 363, 25: 1}


@pytest.mark.parametrize(
    ("every", "zone", "coarser", "its_zone", "is_base"),
    [
        ("1m", "UTC", "15m", "UTC", True),
        ("15m", "UTC", "1m", "UTC", False),
        ("7m", "UTC", "1h", "UTC", False),
        ("1h", "UTC", "1d", "Asia/Makassar", True),
        ("1h", "UTC", "1d", "Asia/Kathmandu", False),
        ("15m", "UTC", "1d", "Asia/Kathmandu", True),
        ("1d", "Europe/Berlin", "1mo", "Europe/Berlin", True),
        ("1d", "UTC", "1mo", "Europe/Berlin", False),
        ("1w", "UTC", "1mo", "UTC", False),
        ("1d", "Europe/Berlin", "24h", "UTC", False),
        ("1h", "UTC", "shifts@06:00,18:30", "Europe/Berlin", False),
        ("30m", "UTC", "shifts@06:00,18:30", "Europe/Berlin", True),
        ("shifts@00:00,06:00,18:00", "Europe/Berlin", "1d", "Europe/Berlin", True),
    ],
)
def test_what_a_rollup_can_be_made_from(every: str, zone: str, coarser: str, its_zone: str, is_base: bool) -> None:
    year_2026 = us("2026-01-01T00:00:00Z"), us("2027-01-01T00:00:00Z")
    assert buckets_of(every, zone).divides(buckets_of(coarser, its_zone), *year_2026) is is_base


def test_only_edges_in_the_range_count() -> None:
    # Lord Howe is 10:30 ahead in winter, 11:00 in summer (from 2025-10-05): its midnight is 13:30Z, then 13:00Z
    days, hours = buckets_of("1d", "Australia/Lord_Howe"), buckets_of("1h")
    assert hours.divides(days, us("2025-11-01T00:00:00Z"), us("2026-03-01T00:00:00Z"))
    assert not hours.divides(days, us("2025-09-01T00:00:00Z"), us("2026-03-01T00:00:00Z"))
    # the day of the change began at 13:30Z, before this range
    assert hours.divides(days, us("2025-10-04T14:00:00Z"), us("2026-03-01T00:00:00Z"))
    shifted = buckets_of("1h", origin="2025-01-01T00:15:00Z")
    ten = us("2025-01-01T10:00:00Z")
    assert hours.divides(shifted, ten, ten + 10 * 60_000_000)  # no edge in it
    assert not hours.divides(shifted, ten, ten + 15 * 60_000_000)  # one, at its very end
    other = buckets_of("45m")  # at 00:00 and 00:45
    assert other.divides(hours, us("2025-01-01T00:00:00Z"), us("2025-01-01T00:59:59Z"))
    assert not other.divides(hours, us("2025-01-01T00:00:00Z"), us("2025-01-01T01:00:00Z"))


@pytest.mark.parametrize(
    ("coarser", "zone", "base"),
    [
        ("1mo", "Asia/Makassar", "1d Asia/Makassar"),
        ("1w", "UTC", "1d"),
        ("shifts@06:00,18:00", "Asia/Makassar", "1h"),
        ("shifts@06:00,18:00", "Asia/Kathmandu", "15m"),
        ("1h30m", "UTC", "30m"),
        ("1m30s", "UTC", "1s"),
        ("1500ms", "UTC", "1500ms"),
    ],
)
def test_the_base_that_a_rollup_could_be_made_from(coarser: str, zone: str, base: str) -> None:
    months = us("2026-01-01T00:00:00Z"), us("2026-03-05T00:00:00Z")
    assert base_for(buckets_of(coarser, zone), *months, zone) == base


@pytest.mark.parametrize(
    ("every", "zone", "origin", "name"),
    [
        ("15m", "Asia/Makassar", None, "15m"),
        ("1d", "Asia/Makassar", None, "1d Asia/Makassar"),
        ("1d", "UTC", None, "1d"),
        ("1h", "UTC", "2025-01-01T00:07:00Z", "1h from 2025-01-01T00:07:00Z"),
        ("1mo", "Europe/Berlin", "2025-01-05", "1mo Europe/Berlin from 2025-01-05"),
        ("shifts@06:00,18:00", "Europe/Berlin", None, "shifts@06:00,18:00 Europe/Berlin"),
    ],
)
def test_names(every: str, zone: str, origin: str | None, name: str) -> None:
    buckets = buckets_of(every, zone, origin)
    assert buckets.name == name
    assert pickle.loads(pickle.dumps(buckets)) == buckets  # they travel to tasks


EXPECTED = "expected such as 15m, 1h, 1d, 1mo or shifts@06:00,18:00"


@pytest.mark.parametrize(
    ("every", "zone", "origin", "message"),
    [
        ("1x", "UTC", None, f"^--every 1x: no length of time, {EXPECTED}$"),
        ("", "UTC", None, f"^--every : no length of time, {EXPECTED}$"),
        ("1.5h", "UTC", None, "no length of time"),
        ("-1h", "UTC", None, "no length of time"),
        ("1h ", "UTC", None, "no length of time"),
        ("0s", "UTC", None, "a part of no length"),
        ("1d12h", "UTC", None, "hours are elapsed time, days and months of the calendar"),
        ("1mo1d", "UTC", None, "one bucket can't be of two"),
        ("1001y", "UTC", None, "over 1000 years"),
        ("999999999999999h", "UTC", None, "over 1000 years"),
        ("shifts@", "UTC", None, f"^--every shifts@: times are HH:MM from 00:00 to 23:59, {EXPECTED}$"),
        ("shifts@6:00", "UTC", None, "times are HH:MM"),
        ("shifts@06:00,24:00", "UTC", None, "times are HH:MM"),
        ("shifts@06:00,06:00", "UTC", None, "a time stands twice"),
        ("shifts@06:00", "UTC", "2025-01-01", "^--origin 2025-01-01: shifts have none.* Leave it out.$"),
        ("1d", "Mars/Base", None, "^--zone Mars/Base: no time zone, expected an IANA name"),
        ("1d", "", None, "no time zone"),
        ("1d", "UTC", "soon", "^--origin soon: no time, expected an instant such as"),
        (
            "1mo",
            "UTC",
            "2025-01-31",
            "^--origin 2025-01-31: not every month has that day. Give one of the days 1 to 28",
        ),
        ("1d", "Europe/Berlin", "2026-10-25T02:30:00+01:00", "the clocks had shown this time before. Give the first"),
    ],
)
def test_wrong_words_are_refused(every: str, zone: str, origin: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        buckets_of(every, zone, origin)


def test_how_fine_a_range_is_shown() -> None:
    borders = [2 * HOUR, 12 * HOUR, 2 * DAY, 7 * DAY, 30 * DAY, 30 * DAY + 1]
    assert [auto_resolution(border) for border in borders] == ["1m", "5m", "15m", "1h", "1h", "1d"]
    assert [auto_resolution(border - 1) for border in borders] == ["raw", "1m", "5m", "15m", "1h", "1h"]
    assert auto_resolution(0) == "raw"
