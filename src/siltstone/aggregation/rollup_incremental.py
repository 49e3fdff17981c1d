"""What a rollup must write anew: the dates whose rows may be others than when it was last made of its base."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from siltstone.aggregation.incremental import RowIndex, dates_at, dates_of, in_rectangles, light_rows, with_neighbours
from siltstone.aggregation.spec import AggregateSpec
from siltstone.aggregation.state_files import KEYS, NAME
from siltstone.model.data_files import DataFile
from siltstone.model.periods import DAY_US, EARLIEST_US, LATEST_US, Window
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage
from siltstone.table.reader import opened
from siltstone.table.transaction import PlannedTable
from siltstone.timeseries.buckets import Buckets


@dataclass(frozen=True)
class RollupPlan:
    """Data files of the base to read, and the dates of the rollup to write of them: None for all, which is also
    `touched`, else the number of buckets that changed files have."""

    stored: Sequence[DataFile]
    dates: tuple[str, ...] | None = None
    touched: int | None = None


def as_told(stored: Sequence[DataFile], header: RunHeader) -> dict[str, Any]:
    """All that a rollup is made of, as its manifest keeps it: the base's data files by date, and what the base's newest
    run said of the time around them."""
    told = {"watermark_us": header.watermark_us, "before": list(header.before), "after": list(header.after)}
    return {"files": sorted([s.partition[0], s.path] for s in stored), "told": told}


def anew(
    planned: PlannedTable, base: Storage, stored: Sequence[DataFile], header: RunHeader, terms: AggregateSpec
) -> RollupPlan | None:
    """What to write, None for nothing. All, where it was never written, or of a period: what lies around that is in no
    row. `stored`, `header`: the base's data files and newest run."""
    newest, now = planned.newest, as_told(stored, header)
    if newest and {"files": newest.files, "told": newest.told} == now:
        return None
    if not newest or not newest.files or header.period != [EARLIEST_US, LATEST_US]:
        return RollupPlan(stored)
    was = {path: day for day, path in newest.files}
    there = {s.path for s in stored}
    added = [s for s in stored if s.path not in was]
    if len(added) == len(stored):
        return RollupPlan(stored)
    days = {s.partition[0] for s in added} | {day for path, day in was.items() if path not in there}
    buckets = terms.buckets
    light = light_rows(planned.table.storage, planned.stored, terms)
    touched = pl.concat([in_rectangles(light, buckets, _spans(days)), _keys(base, added, buckets)]).unique()
    dates = _dates(light, touched, terms, newest.watermark_us, header.watermark_us)
    carries = terms.empty == "carry"
    near = _dates_within(with_neighbours(light.touched(touched), buckets, dates, carries=carries), buckets)
    return RollupPlan([s for s in stored if s.partition[0] in near], tuple(dates), touched.height)


def _spans(days: Collection[str]) -> list[dict[str, Any]]:
    """The days as spans of time, those that follow each other as one."""
    found: list[dict[str, Any]] = []
    for start in map(_start_us, sorted(days)):
        first = found.pop()["first_us"] if found and found[-1]["last_us"] == start - 1 else start
        found.append({"first_us": first, "last_us": start + DAY_US - 1, "site": ""})
    return found


def _dates(light: RowIndex, touched: pl.DataFrame, terms: AggregateSpec, was_us: int, now_us: int) -> list[str]:
    """The dates to write: near touched buckets, and from the earlier one of both watermarks on."""
    buckets, carries = terms.buckets, terms.empty == "carry"
    known_until = min(was_us, now_us)
    since, newest = buckets.number(np.array([known_until, max(was_us, now_us) - 1])).tolist()
    dates = dates_of(light, touched, buckets, known_until, newest if carries else None)
    if carries:
        dates = sorted({*dates, *dates_at(buckets.bounds(np.arange(since, newest + 1))[0])})
    return dates


def _dates_within(dates: Sequence[str], buckets: Buckets) -> set[str]:
    """All dates of the buckets that begin on some dates."""
    found: set[str] = set()
    for start in map(_start_us, dates):
        first, last = buckets.number(np.array([start, start + DAY_US - 1]))
        begin, end = buckets.bounds(np.array([first, last]))
        found.update(dates_at(np.arange(begin[0] // DAY_US * DAY_US, end[1], DAY_US)))
    return found


def _keys(base: Storage, added: Sequence[DataFile], buckets: Buckets) -> pl.DataFrame:
    """Series and bucket of all points in new data files of the base."""
    found = [pl.DataFrame(schema=KEYS)]
    for file in added:
        with opened(base, file.path, rows=file.rows) as data:
            rows = data.frame([*NAME, "bucket_start", "n", "n_bad"])
        rows = rows.filter(pl.col("n") + pl.col("n_bad") > 0)
        number = buckets.number(rows["bucket_start"].dt.epoch("us").to_numpy())
        bucket = pl.Series(number, dtype=pl.Int64)
        keys = rows.select(*(pl.col(name).cast(pl.String()) for name in NAME)).with_columns(bucket=bucket)
        found.append(keys.unique())
    return pl.concat(found)


def points_of(base: Storage, wanted: RollupPlan, window: Window, buckets: Buckets) -> int:
    """The points of any quality in base rows within the window, of buckets that begin on the wanted dates."""
    found = 0
    for file in wanted.stored:
        with opened(base, file.path, rows=file.rows) as data:
            rows = data.frame(["bucket_start", "n", "n_bad"])
        rows = rows.with_columns(pl.col("bucket_start").dt.epoch("us")).filter(
            pl.col("bucket_start").is_between(*window, closed="left")
        )
        if wanted.dates is not None:
            starts = pl.Series(buckets.bounds(buckets.number(rows["bucket_start"].to_numpy()))[0], dtype=pl.Int64)
            day = pl.from_epoch(starts, time_unit="us").dt.date().cast(pl.String())
            rows = rows.filter(day.is_in(list(wanted.dates)))
        found += sum(int(count) for count in rows.select(pl.col("n", "n_bad").sum()).row(0))
    return found


def _start_us(day: str) -> int:
    return int(np.datetime64(day, "us").astype(np.int64))
