"""What an output must recompute: the buckets that new, gone or changed data files touch, and their neighbours."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from siltstone.aggregation.spec import AggregateSpec
from siltstone.aggregation.state_files import NAME, NamedStates, numbered, opened_output, series_in
from siltstone.model.arrow import to_numpy
from siltstone.model.data_files import DataFile
from siltstone.model.periods import DAY_US
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage
from siltstone.timeseries.buckets import Buckets
from siltstone.timeseries.points import Ints, Mask


def same_rows(headers: Sequence[RunHeader], known: set[str]) -> set[str]:
    """The known data files, with those of later settlings that hold nothing but their rows. `headers`: of the input's
    runs, oldest first."""
    found = set(known)
    for header in headers:
        removed = set(header.removed)
        if header.kind == "settle" and removed and removed <= found:
            found.update(header.output_paths)
    return found


def has_successor(path: str, headers: Sequence[RunHeader], now: set[str]) -> bool:
    """Whether a data file's rows are in files that are there `now`, because they were settled."""
    for header in headers:
        if header.kind == "settle" and path in header.removed:
            return all(o in now or has_successor(o, headers, now) for o in header.output_paths)
    return False


@dataclass(frozen=True)
class RowIndex:
    """Rows of an output, in order of series and bucket: the place of the series among the `names` (site, series_id),
    the bucket, the number of usable points (-1: a row that is to be) and of all, and whether it is touched; of each
    series, whether a next point tells of the time before it."""

    names: pl.DataFrame
    series: Ints
    bucket: Ints
    n: Ints
    points: Ints
    is_touched: Mask
    looks_ahead: Mask

    def keys(self, rows: Ints | Mask) -> pl.DataFrame:
        """Series and bucket of some rows, columns as KEYS."""
        return self.names[self.series[rows]].with_columns(bucket=pl.Series(self.bucket[rows], dtype=pl.Int64))

    @property
    def begins(self) -> Mask:
        """Which rows are the first one of their series."""
        return np.append(True, self.series[1:] != self.series[:-1])[: len(self.series)]

    @property
    def ends(self) -> Mask:
        """Which rows are the last one of their series."""
        return np.append(self.series[1:] != self.series[:-1], True)[: len(self.series)]

    def touched(self, keys: pl.DataFrame) -> "RowIndex":
        """The rows, and those of the keys that there are not yet; the rows of the keys are touched."""
        names = pl.concat([self.names, keys.select(NAME)]).unique(maintain_order=True)
        numbers = names.with_row_index("number").cast({"number": pl.Int64})
        wanted = keys.select(*NAME, "bucket").join(numbers, on=NAME, how="left").sort("number", "bucket")
        of, bucket = wanted["number"].to_numpy(), wanted["bucket"].to_numpy()
        places, is_there = _places(self.series, self.bucket, of, bucket)
        is_touched = self.is_touched.copy()
        is_touched[places[is_there]] = True
        at, new = places[~is_there], np.flatnonzero(~is_there)
        if not len(at):
            return replace(self, is_touched=is_touched)
        ahead = np.append(self.looks_ahead, np.zeros(names.height - self.names.height, bool))
        return RowIndex(
            names,
            np.insert(self.series, at, of[new]),
            np.insert(self.bucket, at, bucket[new]),
            np.insert(self.n, at, -1),
            np.insert(self.points, at, 0),
            np.insert(is_touched, at, True),
            ahead,
        )


def _places(series: Ints, bucket: Ints, of: Ints, wanted: Ints) -> tuple[Ints, Mask]:
    """Where keys (series, bucket) are among sorted ones, or would be; and whether they are there."""
    if not len(series):
        return np.zeros(len(of), np.int64), np.zeros(len(of), bool)
    starts = np.searchsorted(series, [of, of + 1])
    least = min(bucket.min(), wanted.min(initial=bucket.min()))
    span = max(bucket.max(), wanted.max(initial=bucket.max())) - least + 1
    places = np.searchsorted(series * span + (bucket - least), of * span + (wanted - least))
    is_there = places < starts[1]
    is_there[is_there] &= bucket[places[is_there]] == wanted[is_there]
    return places, is_there


def light_rows(table: Storage, stored: Sequence[DataFile], terms: AggregateSpec) -> RowIndex:
    """Every row of an output; none is touched."""
    schema = dict.fromkeys(("series", "bucket", "n", "points"), pl.Int64())

    def read(file: DataFile) -> NamedStates:
        opened = opened_output(table, file.path, file.rows)
        names, series = series_in(opened)
        told = opened.table(["bucket_start", "n", "n_bad"])
        starts = pl.Series(told["bucket_start"]).to_physical().to_numpy()
        n, n_bad = to_numpy(told["n"]), to_numpy(told["n_bad"])
        columns = {"series": series, "bucket": terms.buckets.number(starts), "n": n, "points": n + n_bad}
        return NamedStates(pl.DataFrame(columns, schema=schema), names, {})

    none = NamedStates(pl.DataFrame(schema=schema), NamedStates.none().names, {})
    parts = [none, *table.ahead(read, stored)]
    whole = numbered(parts)
    rows = whole.rows.sort("series", "bucket")
    series, bucket, n, points = (rows[name].to_numpy() for name in schema)
    looks_ahead = np.array([way.looks_ahead for way in terms.read_as(whole.names.rows())], bool)
    return RowIndex(whole.names.select(NAME), series, bucket, n, points, np.zeros(len(n), bool), looks_ahead)


def in_rectangles(light: RowIndex, buckets: Buckets, gone: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The keys of rows that data files which are gone may have had points in; their bounds are from the manifest."""
    start, end = buckets.bounds(light.bucket)
    found = np.zeros(len(light.bucket), bool)
    for file in gone:
        inside = (end > file["first_us"]) & (start <= file["last_us"])
        if file["site"]:
            inside &= (light.names["site"] == file["site"]).to_numpy()[light.series]
        found |= inside
    return light.keys(found)


def at_the_ends(light: RowIndex, *, first: bool, last: bool) -> pl.DataFrame:
    """The keys of the first and the last row of each series: what points before and after all of them may change."""
    return light.keys((light.begins & first) | (light.ends & last))


def dates_of(
    light: RowIndex, touched: pl.DataFrame, buckets: Buckets, known_until_us: int, newest: int | None
) -> list[str]:
    """The dates whose rows may be others now: those of the touched buckets and of rows that end after `known_until_us`,
    the earlier one of both watermarks; those of the rows without points behind a touched one, and of the next one with
    points, which see its value; and, of series that look ahead, those of the rows back to the previous one with points.

    `newest`: number of the newest bucket where empty ones have rows too, else None: such rows follow a touched bucket
    up to the next row of its series.
    """
    rows = light.touched(touched)
    begins = (rows.n > 0) | rows.is_touched
    block, own, after, before = _blocks(rows, begins, rows.is_touched)
    near = own[block] | (after[block] & begins) | (before[block] & rows.looks_ahead[rows.series])
    numbers = [rows.bucket[near | (buckets.bounds(rows.bucket)[1] > known_until_us)]]
    if newest is not None:
        until = np.where(rows.ends, newest + 1, np.append(rows.bucket[1:], 0)[: len(rows.bucket)])
        pairs = zip(rows.bucket[rows.is_touched].tolist(), until[rows.is_touched].tolist(), strict=True)
        numbers += [np.arange(first, last) for first, last in pairs]
    return dates_at(buckets.bounds(np.unique(np.concatenate(numbers)))[0])


def with_neighbours(rows: RowIndex, buckets: Buckets, dates: Sequence[str], *, carries: bool) -> list[str]:
    """The dates, and those whose states tell what was before and comes after their rows: of each series back to the
    last row before with usable points, and on to the next one; and, where values are carried on, its last one. `rows`:
    those that are, and those that are to be."""
    days = buckets.bounds(rows.bucket)[0] // DAY_US
    block, own, after, before = _blocks(rows, rows.n != 0, np.isin(days, _days(dates)))
    near = own | after | before
    if carries:
        near |= np.isin(np.arange(len(near)), block[rows.ends])
    return sorted({*dates, *dates_at(days[near[block]] * DAY_US)})


def points_kept(rows: RowIndex, buckets: Buckets, dates: Sequence[str]) -> int:
    """The points in the rows of some dates that are not touched."""
    is_kept = ~rows.is_touched & np.isin(buckets.bounds(rows.bucket)[0] // DAY_US, _days(dates))
    return int(rows.points[is_kept].sum())


def _blocks(rows: RowIndex, begins: Mask, marked: Mask) -> tuple[Ints, Mask, Mask, Mask]:
    """Of each row its block: one with points, and the empty ones behind it. Of each block, whether it has a marked row,
    and whether the one before it has, and the one after it."""
    starts = begins | rows.begins
    block = np.cumsum(starts) - 1
    own = np.bincount(block, marked, minlength=1) > 0
    series = rows.series[starts]
    same = series[1:] == series[:-1]
    after = np.append(False, own[:-1] & same)[: len(own)]
    before = np.append(own[1:] & same, False)[: len(own)]
    return block, own, after, before


def _days(dates: Collection[str]) -> Ints:
    """Days since 1970."""
    return np.array(list(dates), "datetime64[D]").astype(np.int64)


def dates_at(instants: Ints) -> list[str]:
    """The UTC dates of instants (microseconds), each once, rising."""
    return [str(day) for day in np.unique(np.asarray(instants) // DAY_US).astype("datetime64[D]")]
