"""The mining fleet's datalogs: one gzipped NDJSON file per device and hour, `{site}/{device}/{YYYYMMDDHH}/...`.

A row's time is its `heartbeat`, never its folder: epoch seconds, milliseconds, microseconds or nanoseconds, told by
magnitude. The folder gives the site, the device and, by a measured shift, the day where most rows will land.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from siltstone.contracts import DATALOG, INVALID_PARTITION
from siltstone.zones import EPOCH, local_days

CONTRACT = DATALOG
LAYOUT = "{site}/{device}/{YYYYMMDDHH}/{YYYYMMDDHH}.txt.gz"
TIME_KEY = "heartbeat"
UNITS = ("s", "ms", "us", "ns")
HINTS = {"heartbeat": "bigint", "unitno": "string", "deviceid": "string"}

Ints = npt.NDArray[np.int64]

_PATH = re.compile(r"(?:^|/)(?P<site>[^/]+)/(?P<device>[^/]+)/(?P<hour>[0-9]{10})/[^/._][^/]*$")
_HOUR = re.compile(r"[0-9]{10}")
_SITE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNIT_BOUNDS = np.array([10**10, 10**13, 10**16])


@dataclass(frozen=True, slots=True)
class Place:
    """What a path says: site code, device, and the folder's hour, whose zone nobody stated."""

    site: str
    device: str
    hour: datetime


@dataclass(frozen=True)
class Window:
    """Instants that a heartbeat may have: from `earliest_us` to `future_us` after the file's upload."""

    earliest_us: int
    future_us: int


@dataclass(frozen=True)
class Stamped:
    """Per row: `ts_us` (UTC), `day` (local date as days since 1970), `unit` (index into UNITS, or -1);
    `reasons` has an entry for each row without a usable time."""

    ts_us: Ints
    day: npt.NDArray[np.int32]
    unit: npt.NDArray[np.int8]
    reasons: dict[int, str]


@lru_cache(maxsize=65_536)
def locate(path: str) -> Place | None:
    """The place that a path names, or None for a path that is no datalog (hidden files, other layouts)."""
    match = _PATH.search(path)
    if match is None:
        return None
    hour = _hour(match["hour"])
    return None if hour is None else Place(match["site"], match["device"], hour)


def is_before(folder: str, since: datetime) -> bool:
    """Whether a folder's name is an hour before `since`, both by the folders' own clock."""
    name = folder.rpartition("/")[2]
    hour = _hour(name) if _HOUR.fullmatch(name) else None
    return hour is not None and hour < since


@lru_cache(maxsize=65_536)
def _hour(digits: str) -> datetime | None:
    try:
        return datetime.strptime(digits, "%Y%m%d%H")
    except ValueError:
        return None


def partition_of(place: Place, shift_hours: int) -> tuple[str, str]:
    """Where most rows of a file will land: (hiveperiod, dstrct_code)."""
    return _local_day(place.hour, shift_hours), site_partition(place.site)


@lru_cache(maxsize=65_536)
def _local_day(hour: datetime, shift_hours: int) -> str:
    return (hour + timedelta(hours=shift_hours)).date().isoformat()


@lru_cache(maxsize=1_024)
def site_partition(site: str) -> str:
    """The site as a partition value; what is unsafe in a path becomes `_invalid` (source_file keeps the original)."""
    safe = _SITE.fullmatch(site) and site.strip(".") and site != "__HIVE_DEFAULT_PARTITION__"
    return site if safe else INVALID_PARTITION


def unit_of(head: bytes) -> str:
    """The unit in the first record of a file's beginning; "" when that can't be told."""
    line, _, _ = head.partition(b"\n")
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    unit = record.get("unitno") if isinstance(record, dict) else None
    return unit if isinstance(unit, str) else ""


def day_text(day: int) -> str:
    """Days since 1970 as YYYY-MM-DD."""
    return (EPOCH + timedelta(days=int(day))).isoformat()


def stamp(table: pa.Table, uploaded_us: Ints, window: Window, zone: str) -> Stamped:
    """The instant and local day of each row, from its heartbeat in exact integers (nanoseconds are cut, not rounded).

    `uploaded_us` has each row's file upload time. Rows whose heartbeat is missing, no integer or outside the window
    get a reason.
    """
    rows = table.num_rows
    heartbeat = _column(table, TIME_KEY, rows)
    known, value = heartbeat.is_not_null().to_numpy(), heartbeat.fill_null(0).to_numpy()
    unit = np.searchsorted(_UNIT_BOUNDS, value, side="right").astype(np.int8)
    factor, divisor = np.array([10**6, 10**3, 1, 1])[unit], np.array([1, 1, 1, 10**3])[unit]
    positive = np.maximum(value, 0)
    ts_us = positive * factor // divisor
    usable = known & (value > 0) & (ts_us >= window.earliest_us) & (ts_us <= uploaded_us + window.future_us)
    reasons = {
        int(row): _reason(bool(known[row]), int(value[row]), int(ts_us[row]), int(uploaded_us[row]), window)
        for row in np.flatnonzero(~usable)
    }
    day = np.zeros(rows, np.int32)
    day[usable] = local_days(ts_us[usable], zone)
    return Stamped(ts_us, day, np.where(known, unit, -1).astype(np.int8), reasons)


def _column(table: pa.Table, name: str, rows: int) -> pl.Series:
    if name not in table.column_names:
        return pl.repeat(None, rows, dtype=pl.Int64(), eager=True)
    return pl.Series(table.column(name))


def _reason(known: bool, value: int, ts_us: int, uploaded_us: int, window: Window) -> str:
    if not known:
        return "heartbeat is missing or no integer"
    if value <= 0:
        return f"heartbeat {value} is no time"
    bounds = f"{_iso(window.earliest_us)} .. {_iso(uploaded_us + window.future_us)}"
    return f"heartbeat {value} is {_iso(ts_us)}, outside {bounds}"


def _iso(ts_us: int) -> str:
    return datetime.fromtimestamp(ts_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
