"""Local calendar dates of instants: the one place where a time zone meets the kernels."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from siltstone.model.periods import DAY_US

_STEP_US = 60 * 1_000_000  # since 1973 offsets change on whole minutes: St. John's and Gaza did at 00:01, not at 00:00
EPOCH = date(1970, 1, 1)


def local_days(ts_us: npt.NDArray[np.int64], zone: str) -> npt.NDArray[np.int32]:
    """Days since 1970-01-01 of the local calendar date of each UTC instant (int64 microseconds), same length."""
    steps, places = np.unique(ts_us // _STEP_US, return_inverse=True)
    offsets = np.array([_offset_us(int(step), zone) for step in steps], np.int64)
    return ((ts_us + offsets[places]) // DAY_US).astype(np.int32)


def local_hour_start(ts_us: int, zone: str) -> datetime:
    """The local wall clock of an instant, cut to the hour, without a zone."""
    local = datetime.fromtimestamp(ts_us // 1_000_000, UTC).astimezone(ZoneInfo(zone))
    return local.replace(minute=0, second=0, microsecond=0, tzinfo=None)


@lru_cache(maxsize=65_536)
def _offset_us(step: int, zone: str) -> int:
    offset = datetime.fromtimestamp(step * _STEP_US // 1_000_000, UTC).astimezone(ZoneInfo(zone)).utcoffset()
    assert offset is not None
    return round(offset.total_seconds()) * 1_000_000


def instant_us(wall_clock: datetime) -> int:
    """Microseconds since 1970 of a UTC wall clock without a zone."""
    return int(wall_clock.replace(tzinfo=UTC).timestamp()) * 1_000_000 + wall_clock.microsecond


def day_text(day: int) -> str:
    """Days since 1970 as YYYY-MM-DD."""
    return (EPOCH + timedelta(days=int(day))).isoformat()


def month_end(day: str) -> str:
    """The last day of the month of a date, both YYYY-MM-DD."""
    first = date.fromisoformat(day).replace(day=1)
    return ((first + timedelta(days=31)).replace(day=1) - timedelta(days=1)).isoformat()


def day_end(day: str, zone: str) -> datetime:
    """The UTC instant at which a local date (YYYY-MM-DD) ends."""
    local = datetime.combine(date.fromisoformat(day) + timedelta(days=1), time(), ZoneInfo(zone))
    return local.astimezone(UTC)


@lru_cache(maxsize=1_024)
def iso(ts_us: int) -> str:
    """An instant for people, to the second; its number where no calendar has it."""
    try:
        return datetime.fromtimestamp(ts_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{ts_us} us"
