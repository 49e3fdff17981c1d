"""The mining fleet's datalogs: one gzipped NDJSON file per device and hour, `{site}/{device}/{YYYYMMDDHH}/...`.

A row's time is its `heartbeat`, never its folder: epoch seconds, milliseconds, microseconds or nanoseconds, by
their magnitude. The folder gives the site, the device and, by a measured shift, the day where most rows will land.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import groupby

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl
import pyarrow as pa

from siltstone.formats.compression import inflate_head
from siltstone.formats.documents import BadRecord, Document, Item, Opened, Parsed, ParseRules
from siltstone.formats.ndjson.lanes import open_ndjson, parse
from siltstone.formats.ndjson.structure_counts import count_cells
from siltstone.mapping.dataset import Dataset, Place, Wide, WideDataset
from siltstone.mapping.rules import Rules
from siltstone.mapping.source_options import SourceOptions, zone_problems
from siltstone.model.arrays import Ints
from siltstone.model.arrow import to_arrow
from siltstone.model.contracts import DATALOG, INVALID_PARTITION
from siltstone.model.kinds import KINDS
from siltstone.model.partitions import is_safe
from siltstone.model.schema import Schema
from siltstone.model.time_zones import iso, local_days

CONTRACTS = (DATALOG,)
TIME_KEY = "heartbeat"
UNITS = ("s", "ms", "us", "ns")
HINTS = {"heartbeat": "bigint", "unitno": "string", "deviceid": "string"}


_PATH = re.compile(r"(?:^|/)(?P<site>[^/]+)/(?P<device>[^/]+)/(?P<hour>[0-9]{10})/[^/._][^/]*$")
_HOUR = re.compile(r"[0-9]{10}")
_UNIT_BOUNDS = np.array([10**10, 10**13, 10**16])


@dataclass(frozen=True)
class Stamped:
    """Per row: `ts_us` (UTC), `day` (local date as days since 1970), `unit` (index into UNITS, or -1);
    `reasons` has an entry for each row without a usable time."""

    ts_us: Ints
    day: npt.NDArray[np.int32]
    unit: npt.NDArray[np.int8]
    reasons: dict[int, str]


@dataclass(frozen=True)
class Options(SourceOptions):
    """- `zone`: IANA zone of the local date `hiveperiod`.
    - `hints`: kind by key (double, bigint, int, boolean, string or json) of columns that the table has not yet.
    """

    earliest: str = "2015-01-01"
    zone: str = "Asia/Makassar"
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kinds that every fleet has, and the hints, which win."""
        return {**HINTS, **self.hints}

    def problems(self) -> Iterator[str]:
        """Each contradiction, beginning with the key that it is about."""
        yield from zone_problems(self.zone)
        yield from super().problems()
        for key, kind in self.hints.items():
            if kind not in KINDS:
                yield f"hints.{key}: {kind!r} is no kind; known: {', '.join(KINDS)}"


def datasets(options: Options) -> tuple[Dataset, ...]:
    """The one dataset; its options are all in the rules."""
    return (Datalog(),)


class Datalog(WideDataset):
    """Files of the fleet to rows of the wide table."""

    name = "datalog"
    layout = "{site}/{device}/{YYYYMMDDHH}/{YYYYMMDDHH}.txt.gz"
    contract = DATALOG
    policy = "lines"
    is_by_hour = True
    time_units = UNITS

    def locate(self, path: str) -> Place | None:
        return locate(path)

    def is_before(self, folder: str, since: datetime) -> bool:
        return is_before(folder, since)

    def partition_of(self, place: Place, shift_hours: int) -> tuple[str, str]:
        """Where most rows of a file will land, with `shift_hours` from the folder's hour to the local one."""
        return partition_of(place, shift_hours)

    def first_unit(self, head: bytes) -> str:
        """The unit in the first record of a file's first bytes; "" if it can't be read."""
        return unit_of(inflate_head(head))

    def open(self, item: Item, rules: ParseRules) -> Opened:
        return open_ndjson(item, rules)

    def rows(self, documents: Sequence[Document], schema: Schema, rules: Rules) -> tuple[list[Wide], Schema]:
        by_index = {d.index: d for d in documents}
        parts, grown = parse(documents, schema, rules)
        stamps = [stamp(p.table, _uploaded(p, by_index), rules) for p in parts]
        refused = [_refusals(p, s, by_index) for p, s in zip(parts, stamps, strict=True)]
        refusals = sorted((bad for found in refused for bad in found), key=lambda bad: (bad.document, bad.line))
        if refusals and len(grown.columns) > len(schema.columns):
            # A refused record must not shape the table: what is new is found again without it.
            lines = {index: {bad.line for bad in group} for index, group in groupby(refusals, lambda b: b.document)}
            kept = [d.without(lines[d.index]) if d.index in lines else d for d in documents]
            wide, grown = self.rows(kept, schema, rules)
            wide[0] = replace(wide[0], bad=[*refusals, *wide[0].bad])
            return wide, grown
        return [_wide(*of_part) for of_part in zip(parts, stamps, refused, strict=True)], grown


def _uploaded(part: Parsed, documents: Mapping[int, Document]) -> Ints:
    indices, places = np.unique(part.document, return_inverse=True)
    return np.array([documents[int(i)].modified_us for i in indices], np.int64)[places]


def _refusals(part: Parsed, stamped: "Stamped", documents: Mapping[int, Document]) -> list[BadRecord]:
    """The records without a usable time, in order of row."""
    rows = np.array(sorted(stamped.reasons), np.int64)
    refusals = []
    for row, index, line in zip(rows.tolist(), part.document[rows].tolist(), part.line[rows].tolist(), strict=True):
        offset, raw = documents[index].record(line)
        refusals.append(BadRecord(index, line, offset, stamped.reasons[row], raw))
    return refusals


def _wide(part: Parsed, stamped: "Stamped", refusals: list[BadRecord]) -> Wide:
    """The rows with a usable time; the refused records are of the others, row by row."""
    bad = [*part.bad, *refusals]
    if not refusals:
        columns = part.table, part.document, part.line, stamped.ts_us, stamped.day, stamped.unit
        return Wide(part.lane, *columns, bad, part.cells, part.keys, part.nulls)
    refused = np.array(sorted(stamped.reasons), np.int64)
    keep = np.ones(part.table.num_rows, bool)
    keep[refused] = False
    keys, nulls = dict(part.keys), dict(part.nulls)
    if part.cells is None:
        for record in refusals:
            cells = count_cells(record.raw)
            keys[record.document] -= cells[0]
            nulls[record.document] -= cells[1]
    return Wide(
        part.lane,
        part.table.filter(to_arrow(keep)),
        part.document[keep],
        part.line[keep],
        stamped.ts_us[keep],
        stamped.day[keep],
        stamped.unit[keep],
        bad,
        None if part.cells is None else part.cells[keep],
        keys,
        nulls,
    )


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
    assert place.hour is not None
    return _local_day(place.hour, shift_hours), site_partition(place.site)


@lru_cache(maxsize=65_536)
def _local_day(hour: datetime, shift_hours: int) -> str:
    return (hour + timedelta(hours=shift_hours)).date().isoformat()


@lru_cache(maxsize=1_024)
def site_partition(site: str) -> str:
    """The site as a partition value; an unsafe one becomes `_invalid` (source_file keeps the original)."""
    return site if is_safe(site) else INVALID_PARTITION


def unit_of(head: bytes) -> str:
    """The unit in the first record of a file's beginning; "" if it can't be read."""
    line, _, _ = head.partition(b"\n")
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return ""
    unit = record.get("unitno") if isinstance(record, dict) else None
    return unit if isinstance(unit, str) else ""


def stamp(table: pa.Table, uploaded_us: Ints, rules: Rules) -> Stamped:
    """The instant and local day of each row, from its heartbeat in exact integers (nanoseconds are cut, not rounded).

    `uploaded_us` has each row's file upload time. A row gets a reason if its heartbeat is missing, no integer, or out
    of the rules' bounds.
    """
    rows = table.num_rows
    heartbeat = _column(table, TIME_KEY, rows)
    has_heartbeat, value = heartbeat.is_not_null().to_numpy(), heartbeat.fill_null(0).to_numpy()
    unit = np.searchsorted(_UNIT_BOUNDS, value, side="right").astype(np.int8)
    factor, divisor = np.array([10**6, 10**3, 1, 1])[unit], np.array([1, 1, 1, 10**3])[unit]
    positive = np.maximum(value, 0)
    ts_us = positive * factor // divisor
    usable = has_heartbeat & (value > 0) & (ts_us >= rules.earliest_us) & (ts_us <= uploaded_us + rules.future_us)
    reasons = {
        int(row): _reason(bool(has_heartbeat[row]), int(value[row]), int(ts_us[row]), int(uploaded_us[row]), rules)
        for row in np.flatnonzero(~usable)
    }
    day = np.zeros(rows, np.int32)
    day[usable] = local_days(ts_us[usable], rules.zone)
    return Stamped(ts_us, day, np.where(has_heartbeat, unit, -1).astype(np.int8), reasons)


def _column(table: pa.Table, name: str, rows: int) -> pl.Series:
    if name not in table.column_names:
        return pl.repeat(None, rows, dtype=pl.Int64(), eager=True)
    return pl.Series(table.column(name))


def _reason(has_heartbeat: bool, value: int, ts_us: int, uploaded_us: int, rules: Rules) -> str:
    if not has_heartbeat:
        return "heartbeat is missing or no integer"
    if value <= 0:
        return f"heartbeat {value} is no time"
    bounds = f"{iso(rules.earliest_us)} .. {iso(uploaded_us + rules.future_us)}"
    return f"heartbeat {value} is {iso(ts_us)}, outside {bounds}"
