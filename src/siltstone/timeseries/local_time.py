"""Local time: what the clocks of a zone show (wall time), as microseconds since 1970-01-01 00:00 as shown.

Clocks are put back, forward and over whole dates, so a wall time may be shown twice or never. Buckets need one instant
for each wall time: the first instant at which the clocks show that time or a later one.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from siltstone.timeseries.points import Ints

_SECOND_US = 1_000_000
_BEGINNING = -(1 << 62)  # of time, microseconds; far enough from the least int64 that sums with an offset don't wrap
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Before, every zone keeps its mean local time; after, the offset of the last instant is taken to stay.
_FIRST, _LAST = datetime(1800, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_PROBE = timedelta(days=5)  # no zone has changed its offset twice within 6 days (7 is the least: Recife in 2000)


class LocalClock:
    """The clocks of one zone, by its offsets, in microseconds.

    - `offset`: local time minus UTC.
    - `since`: the instant from which an offset is valid; of the first one the beginning of time.
    - `shown_before`: the wall time that the clocks would have reached at `since` with the offset before. It rises,
      since offsets last for days and change by a day at most.
    """

    def __init__(self, zone: str) -> None:
        changes = _offsets(ZoneInfo(zone))
        self.offset: Ints = np.array([offset for _, offset in changes], np.int64)
        self.since: Ints = np.array([since for since, _ in changes], np.int64)
        self.shown_before: Ints = np.r_[_BEGINNING, self.since[1:] + self.offset[:-1]]

    def latest_shown(self, ts: Ints) -> Ints:
        """The latest wall time that the clocks have shown up to each instant: what they show then, or a later time from
        before they were put back."""
        if len(ts) == 0:
            return ts
        first, last = np.searchsorted(self.since, [ts.min(), ts.max()], side="right") - 1
        at = first if first == last else np.searchsorted(self.since[first + 1 : last + 1], ts, side="right") + first
        shown: Ints = np.maximum(ts + self.offset[at], self.shown_before[at] - 1)
        return shown

    def first_instant(self, wall: Ints) -> Ints:
        """The first instant at which the clocks show each wall time or a later one."""
        at = np.searchsorted(self.shown_before[1:], wall, side="right")
        instants: Ints = np.maximum(wall - self.offset[at], self.since[at])
        return instants

    def jumps(self) -> tuple[Ints, Ints]:
        """The wall times that the clocks never show, since they were put forward: begins and (exclusive) ends."""
        until = self.since[1:] + self.offset[1:]
        forward = until > self.shown_before[1:]
        return self.shown_before[1:][forward], until[forward]


@lru_cache(maxsize=64)
def wall_clock(zone: str) -> LocalClock:
    """The clocks of an IANA zone."""
    return LocalClock(zone)


def _offsets(zone: ZoneInfo) -> list[tuple[int, int]]:
    """Each offset with the instant from which it is valid: (since, offset), microseconds."""
    moment, offset = _FIRST, _offset_s(_FIRST, zone)
    changes = [(_BEGINNING, offset * _SECOND_US)]
    if zone.key == "UTC":
        return changes
    while moment < _LAST:
        following = moment + _PROBE
        if (later := _offset_s(following, zone)) != offset:
            changes.append((_change_s(moment, following, zone) * _SECOND_US, later * _SECOND_US))
        moment, offset = following, later
    return changes


def _change_s(before: datetime, after: datetime, zone: ZoneInfo) -> int:
    """The second since 1970 at which the offset changes between two instants; it changes once."""
    low, high = _seconds(before), _seconds(after)
    former = _offset_s(before, zone)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_s(_EPOCH + timedelta(seconds=middle), zone) == former:
            low = middle
        else:
            high = middle
    return high


def _seconds(instant: datetime) -> int:
    return int((instant - _EPOCH).total_seconds())


def _offset_s(instant: datetime, zone: ZoneInfo) -> int:
    offset = instant.astimezone(zone).utcoffset()
    assert offset is not None
    return round(offset.total_seconds())
