"""Buckets: divisions of time. All instants are int64 microseconds since 1970 UTC.

Hours, minutes and seconds are elapsed time: such buckets are cut in UTC, and each has exactly its length. Days, weeks,
months, years and shifts follow the clocks of a zone: a day has 23 or 25 hours when the clocks change. If the clocks
skip an edge, the first instant after it is the edge; if they show it twice, the first time is. A date that a zone has
skipped has no bucket.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np

from siltstone.errors import UsageError
from siltstone.timeseries.local_edges import DAY_US, Days, LocalEdges, Months, Shifts
from siltstone.timeseries.local_time import LocalClock, wall_clock
from siltstone.timeseries.points import Ints


class Buckets(Protocol):
    """A division of time. The numbers of buckets rise with time, without gaps."""

    def number(self, ts: Ints) -> Ints:
        """The number of the bucket of each instant."""

    def bounds(self, numbers: Ints) -> tuple[Ints, Ints]:
        """Start and end of each bucket, microseconds; [start, end)."""

    def divides(self, coarser: "Buckets", first_us: int, last_us: int) -> bool:
        """Whether every edge of `coarser` in that range (both ends included) is an edge of this one."""

    @property
    def name(self) -> str:
        """The length as typed, with the zone if it matters and the origin if given: "15m", "1d Asia/Makassar"."""


@dataclass(frozen=True)
class Elapsed:
    """Buckets of one length."""

    step_us: int
    origin_us: int
    name: str

    def number(self, ts: Ints) -> Ints:
        return (ts - self.origin_us) // self.step_us

    def bounds(self, numbers: Ints) -> tuple[Ints, Ints]:
        starts = numbers * self.step_us + self.origin_us
        return starts, starts + self.step_us

    def divides(self, coarser: Buckets, first_us: int, last_us: int) -> bool:
        if not isinstance(coarser, Elapsed):
            return _are_edges(self, coarser, first_us, last_us)
        first_edge = first_us + (coarser.origin_us - first_us) % coarser.step_us
        if first_edge > last_us:
            return True
        has_one = first_edge + coarser.step_us > last_us
        return (first_edge - self.origin_us) % self.step_us == 0 and (has_one or coarser.step_us % self.step_us == 0)


@dataclass(frozen=True)
class AllTime:
    """One bucket for all time."""

    name: str = "ever"

    def number(self, ts: Ints) -> Ints:
        return np.zeros(len(ts), np.int64)

    def bounds(self, numbers: Ints) -> tuple[Ints, Ints]:
        ends = np.full(len(numbers), 1 << 61)
        return -ends, ends

    def divides(self, coarser: Buckets, first_us: int, last_us: int) -> bool:
        return isinstance(coarser, AllTime)


@dataclass(frozen=True)
class LocalBuckets:
    """Buckets between times that the clocks of a zone show."""

    edges: LocalEdges
    zone: str
    name: str

    def number(self, ts: Ints) -> Ints:
        if len(ts) == 0:
            return ts
        first, last = self._number(np.array([ts.min(), ts.max()])).tolist()
        if last - first > len(ts):
            return self._number(ts)
        numbers: Ints = np.searchsorted(self._start(np.arange(first + 1, last + 1)), ts, side="right") + first
        return numbers

    def bounds(self, numbers: Ints) -> tuple[Ints, Ints]:
        if len(numbers) == 0:
            return numbers, numbers
        first, last = int(numbers.min()), int(numbers.max())
        if last - first >= len(numbers):
            return self._start(numbers), self._start(numbers + 1)
        edges = self._start(np.arange(first, last + 2))
        return edges[numbers - first], edges[numbers - first + 1]

    def divides(self, coarser: Buckets, first_us: int, last_us: int) -> bool:
        return _are_edges(self, coarser, first_us, last_us)

    def _number(self, ts: Ints) -> Ints:
        edge = self.edges.number(wall_clock(self.zone).latest_shown(ts))
        numbers: Ints = edge - np.searchsorted(_skipped(self.edges, self.zone), edge)
        return numbers

    def _start(self, numbers: Ints) -> Ints:
        skipped = _skipped(self.edges, self.zone)
        edge = numbers + np.searchsorted(skipped - np.arange(len(skipped)), numbers, side="right")
        return wall_clock(self.zone).first_instant(self.edges.wall(edge))


@lru_cache(maxsize=64)
def _skipped(edges: LocalEdges, zone: str) -> Ints:
    """The numbers of edges that are at the same instant as the next edge, since the clocks skipped both; rising."""
    reached, until = wall_clock(zone).jumps()
    last_before, last = edges.number(reached - 1), edges.number(until)
    crowded = last - last_before > 1
    ranges = zip(last_before[crowded].tolist(), last[crowded].tolist(), strict=True)
    return np.array([edge for before, edge_after in ranges for edge in range(before + 1, edge_after)], np.int64)


def _are_edges(finer: Buckets, coarser: Buckets, first_us: int, last_us: int) -> bool:
    """Whether all edges of the coarser buckets in a range are edges of the finer ones."""
    first, last = coarser.number(np.array([first_us, last_us])).tolist()
    at_once = 100_000
    for number in range(first, last + 1, at_once):
        edges, _ = coarser.bounds(np.arange(number, min(number + at_once, last + 1)))
        edges = edges[edges >= first_us]
        if (finer.bounds(finer.number(edges))[0] != edges).any():
            return False
    return True


_UNITS_US = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}
_UNITS_DAYS = {"d": 1, "w": 7}
_UNITS_MONTHS = {"mo": 1, "y": 12}
_UNIT = re.compile(r"(\d{1,15})(ms|mo|[smhdwy])")
_TIME_OF_DAY = re.compile(r"([01]\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_LONGEST_DAYS = 366 * 1_000
_SHIFTS = "shifts@"
_MONDAY_US = -3 * DAY_US  # of the week of 1970-01-01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def buckets_of(every: str, zone: str = "UTC", origin: str | None = None) -> Buckets:
    """The buckets of a length, zone and origin.

    - `every`: a length such as 15m, 1h30m, 1d, 2w, 3mo, 1y (ms s m h: elapsed time; d w, mo y: of the zone's calendar;
      one of these three kinds at a time), or `shifts@06:00,18:00`: between these local times, each day.
    - `zone`: IANA name. Elapsed lengths don't depend on it.
    - `origin`: an edge: an instant (RFC 3339), or a local date, or date and time, of the zone. Without it: 1970-01-01
      00:00, for weeks the Monday before, in UTC for elapsed lengths and in the zone for the others.

    Raises UsageError, naming the option.
    """
    _check_zone(zone)
    where = f" {zone}" if zone != "UTC" else ""
    since = f" from {origin}" if origin is not None else ""
    if every.startswith(_SHIFTS):
        if origin is not None:
            raise UsageError(f"--origin {origin}: shifts have none, their times say where they begin", "Leave it out.")
        return LocalBuckets(Shifts(_times_of_day(every)), zone, every + where)
    us, days, months = _length(every)
    if us:
        start_us = 0 if origin is None else _instant_and_wall(origin, wall_clock(zone))[0]
        return Elapsed(us, start_us, every + since)
    clock = wall_clock(zone)
    wall_us = _default_wall(every) if origin is None else _edge_on_the_wall(origin, clock)
    name = every + where + since
    if months:
        return LocalBuckets(_months(months, wall_us, origin), zone, name)
    if len(clock.offset) == 1:
        return Elapsed(days * DAY_US, wall_us - int(clock.offset[0]), name)
    return LocalBuckets(Days(days * DAY_US, wall_us), zone, name)


def auto_resolution(range_us: int) -> str:
    """The length of buckets for a chart of a range: raw, 1m, 5m, 15m, 1h or 1d, by the rule of RIoT. A range of exactly
    2 hours, 12 hours, 2 days or 7 days has the coarser one, a range of exactly 30 days still 1h."""
    hour_us = 3_600_000_000
    for below_us, resolution in (
        (2 * hour_us, "raw"),
        (12 * hour_us, "1m"),
        (2 * DAY_US, "5m"),
        (7 * DAY_US, "15m"),
        (30 * DAY_US + 1, "1h"),
    ):
        if range_us < below_us:
            return resolution
    return "1d"


def base_for(coarser: Buckets, first_us: int, last_us: int, zone: str = "UTC") -> str:
    """The name of the coarsest usual buckets of which `coarser` can be made over a range (both ends included); days are
    those of `zone`. If none fits, the name of `coarser`."""
    for every in ("1d", "1h", "30m", "15m", "5m", "1m", "1s"):
        base = buckets_of(every, zone)
        if base.divides(coarser, first_us, last_us):
            return base.name
    return coarser.name


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise UsageError(f"--zone {zone}: no time zone, expected an IANA name such as Asia/Makassar or UTC") from None


def _length(every: str) -> tuple[int, int, int]:
    """The microseconds, days and months of a length; exactly one of them is not 0."""
    parts = [(int(count), unit) for count, unit in _UNIT.findall(every)]
    if not parts or _UNIT.sub("", every):
        raise _refused(every, "no length of time")
    if not all(count for count, _ in parts):
        raise _refused(every, "a part of no length")
    lengths = tuple(
        sum(count * units[unit] for count, unit in parts if unit in units)
        for units in (_UNITS_US, _UNITS_DAYS, _UNITS_MONTHS)
    )
    us, days, months = lengths
    if sum(map(bool, lengths)) > 1:
        raise _refused(every, "hours are elapsed time, days and months of the calendar, and one bucket can't be of two")
    if us // DAY_US + days + months * 31 > _LONGEST_DAYS:
        raise _refused(every, "over 1000 years")
    return us, days, months


def _times_of_day(every: str) -> tuple[int, ...]:
    """The times of shifts, microseconds after midnight, rising."""
    matches: Sequence[re.Match[str] | None] = [
        _TIME_OF_DAY.fullmatch(text) for text in every.removeprefix(_SHIFTS).split(",")
    ]
    times = {(int(m[1]) * 3600 + int(m[2]) * 60 + int(m[3] or 0)) * 1_000_000 for m in matches if m is not None}
    if None in matches:
        raise _refused(every, "times are HH:MM from 00:00 to 23:59")
    if len(times) < len(matches):
        raise _refused(every, "a time stands twice")
    return tuple(sorted(times))


def _refused(every: str, why: str) -> UsageError:
    return UsageError(f"--every {every}: {why}, expected such as 15m, 1h, 1d, 1mo or shifts@06:00,18:00")


def _default_wall(every: str) -> int:
    return _MONDAY_US if set(re.findall("[a-z]+", every)) == {"w"} else 0


def _instant_and_wall(origin: str, clock: LocalClock) -> tuple[int, int]:
    """The instant of an origin, and its wall time."""
    try:
        moment = datetime.fromisoformat(origin)
    except ValueError:
        raise UsageError(
            f"--origin {origin}: no time, expected an instant such as 2025-01-01T06:00:00Z or a local date such as "
            "2025-01-01"
        ) from None
    if moment.tzinfo is None:
        wall = (moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
        return int(clock.first_instant(np.array([wall]))[0]), wall
    instant = (moment - _EPOCH) // _MICROSECOND
    return instant, int(clock.latest_shown(np.array([instant]))[0])


def _edge_on_the_wall(origin: str, clock: LocalClock) -> int:
    instant, wall = _instant_and_wall(origin, clock)
    if int(clock.first_instant(np.array([wall]))[0]) != instant:
        raise UsageError(f"--origin {origin}: the clocks had shown this time before", "Give the first of the two.")
    return wall


def _months(months: int, wall_us: int, origin: str | None) -> Months:
    day = np.datetime64(wall_us, "us")
    month = day.astype("datetime64[M]")
    past_us = int((day - month.astype("datetime64[us]")).astype(np.int64))
    if past_us >= 28 * DAY_US:
        raise UsageError(f"--origin {origin}: not every month has that day", "Give one of the days 1 to 28.")
    return Months(months, int(month.astype(np.int64)), past_us)
