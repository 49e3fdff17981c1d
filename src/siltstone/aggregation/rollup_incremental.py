"""What a rollup must write again: the dates with rows that changes of its base may change."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from siltstone.aggregation.incremental import (
    RowIndex,
    dates_at,
    dates_to_read,
    dates_to_write,
    keys_within,
    read_row_index,
)
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
    """The data files of the base to read, the dates of the rollup to write, and the number of its buckets that changed
    files touch. All dates are written where `dates` is None; `touched` then is None, too."""

    stored: Sequence[DataFile]
    dates: tuple[str, ...] | None = None
    touched: int | None = None


def inputs_of(stored: Sequence[DataFile], header: RunHeader) -> dict[str, Any]:
    """All that a rollup is made of, as its manifest keeps it: date and path of the base's data files, and what the
    base's newest run said of the time around them."""
    told = {"watermark_us": header.watermark_us, "before": list(header.before), "after": list(header.after)}
    return {"files": sorted([s.partition[0], s.path] for s in stored), "told": told}


def plan_rollup(
    output: PlannedTable, base: Storage, stored: Sequence[DataFile], header: RunHeader, terms: AggregateSpec
) -> RollupPlan | None:
    """What to write; None where the output is up to date. `stored`, `header`: the base's data files and newest run.

    Everything is written where nothing was before, and where the base has a period: no row of it says what lies around
    the period.
    """
    newest, now = output.newest, inputs_of(stored, header)
    if newest and not output.others and {"files": newest.files, "told": newest.told} == now:
        return None
    if not newest or output.others or not newest.files or header.period != [EARLIEST_US, LATEST_US]:
        return RollupPlan(stored)
    day_of = {path: day for day, path in newest.files}
    paths = {s.path for s in stored}
    added = [s for s in stored if s.path not in day_of]
    if len(added) == len(stored):
        return RollupPlan(stored)
    days = {s.partition[0] for s in added} | {day for path, day in day_of.items() if path not in paths}
    buckets = terms.buckets
    index = read_row_index(output.table.storage, output.stored, terms)
    touched = pl.concat([keys_within(index, buckets, _spans(days)), _keys(base, added, buckets)]).unique()
    dates = _dates(index, touched, terms, newest.watermark_us, header.watermark_us)
    carries = terms.empty == "carry"
    needed = _dates_within(dates_to_read(index.touched(touched), buckets, dates, carries=carries), buckets)
    return RollupPlan([s for s in stored if s.partition[0] in needed], tuple(dates), touched.height)


def _spans(days: Collection[str]) -> list[dict[str, Any]]:
    """The days as spans of time of all sites, as `keys_within` takes them; days that follow each other are one."""
    spans: list[dict[str, Any]] = []
    for start in map(_start_us, sorted(days)):
        first = spans.pop()["first_us"] if spans and spans[-1]["last_us"] == start - 1 else start
        spans.append({"first_us": first, "last_us": start + DAY_US - 1, "site": ""})
    return spans


def _dates(index: RowIndex, touched: pl.DataFrame, terms: AggregateSpec, was_us: int, now_us: int) -> list[str]:
    """The dates to write: near touched buckets, and from the earlier one of the old and the new watermark on."""
    buckets, carries = terms.buckets, terms.empty == "carry"
    known_until = min(was_us, now_us)
    since, newest = buckets.number(np.array([known_until, max(was_us, now_us) - 1])).tolist()
    dates = dates_to_write(index, touched, buckets, known_until, newest if carries else None)
    if carries:
        dates = sorted({*dates, *dates_at(buckets.bounds(np.arange(since, newest + 1))[0])})
    return dates


def _dates_within(dates: Sequence[str], buckets: Buckets) -> set[str]:
    """All dates on which a bucket lies that begins on one of the dates."""
    days: set[str] = set()
    for start in map(_start_us, dates):
        first, last = buckets.number(np.array([start, start + DAY_US - 1]))
        begin, end = buckets.bounds(np.array([first, last]))
        days.update(dates_at(np.arange(begin[0] // DAY_US * DAY_US, end[1], DAY_US)))
    return days


def _keys(base: Storage, added: Sequence[DataFile], buckets: Buckets) -> pl.DataFrame:
    """Series and bucket of all points in new data files of the base."""
    parts = [pl.DataFrame(schema=KEYS)]
    for file in added:
        with opened(base, file.path, rows=file.rows) as data:
            rows = data.frame([*NAME, "bucket_start", "n", "n_bad"])
        rows = rows.filter(pl.col("n") + pl.col("n_bad") > 0)
        number = buckets.number(rows["bucket_start"].dt.epoch("us").to_numpy())
        bucket = pl.Series(number, dtype=pl.Int64)
        keys = rows.select(*(pl.col(name).cast(pl.String()) for name in NAME)).with_columns(bucket=bucket)
        parts.append(keys.unique())
    return pl.concat(parts)


def points_in_base(base: Storage, plan: RollupPlan, window: Window, buckets: Buckets) -> int:
    """The number of points of any quality that the rollup must have: those in base rows within the window, of the
    coarse buckets that begin on the planned dates."""
    points = 0
    for file in plan.stored:
        with opened(base, file.path, rows=file.rows) as data:
            rows = data.frame(["bucket_start", "n", "n_bad"])
        rows = rows.with_columns(pl.col("bucket_start").dt.epoch("us")).filter(
            pl.col("bucket_start").is_between(*window, closed="left")
        )
        if plan.dates is not None:
            starts = pl.Series(buckets.bounds(buckets.number(rows["bucket_start"].to_numpy()))[0], dtype=pl.Int64)
            day = pl.from_epoch(starts, time_unit="us").dt.date().cast(pl.String())
            rows = rows.filter(day.is_in(list(plan.dates)))
        points += sum(int(count) for count in rows.select(pl.col("n", "n_bad").sum()).row(0))
    return points


def _start_us(day: str) -> int:
    return int(np.datetime64(day, "us").astype(np.int64))
