"""What an output must recompute: the buckets that new, removed or changed data files touch, and their neighbours."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from siltstone.aggregation.spec import AggregateSpec
from siltstone.aggregation.state_files import NAME, NamedStates, opened_output, renumber, series_in
from siltstone.model.arrow import to_numpy
from siltstone.model.data_files import DataFile
from siltstone.model.periods import DAY_US
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage
from siltstone.table.other_writers import TAKEN_OVER
from siltstone.timeseries.buckets import Buckets
from siltstone.timeseries.points import Ints, Mask


def with_compacted(headers: Sequence[RunHeader], known: set[str]) -> set[str]:
    """The known data files, and the files into which small-file compaction has written rows of known files alone.
    `headers`: of the input's runs, oldest first. Where a run wrote the files of another writer's OPTIMIZE anew, these
    have the rows of the files before it, and it is enough to know either."""
    paths = set(known)
    for header in headers:
        others = set(header.more.get(TAKEN_OVER, ()))
        own = set(header.removed) - others
        if header.kind == "settle" and any(files and files <= paths for files in (own, others)):
            paths.update(header.output_paths)
    return paths


def has_successor(path: str, headers: Sequence[RunHeader], now: Collection[str]) -> bool:
    """Whether small-file compaction has written a data file's rows to files that are in the table `now`."""
    for header in headers:
        if header.kind == "settle" and path in header.removed:
            return all(o in now or has_successor(o, headers, now) for o in header.output_paths)
    return False


@dataclass(frozen=True)
class RowIndex:
    """The rows of an output without their measures, sorted by series and bucket; the arrays have one value per row.

    - `names`: the series, columns site and series_id; `series` is the place of a row's series among them.
    - `bucket`: the number of the row's bucket.
    - `n`: the number of usable points; -1 for a row that the output does not have yet.
    - `points`: the number of all points.
    - `is_touched`: whether the row must be recomputed.
    - `looks_ahead`, one value per series: whether a point says something of the time before it, as on a line.
    """

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
        """The index with the rows of the keys touched; a key (columns KEYS) without a row gets one, with `n` -1."""
        names = pl.concat([self.names, keys.select(NAME)]).unique(maintain_order=True)
        numbers = names.with_row_index("number").cast({"number": pl.Int64})
        sorted_keys = keys.select(*NAME, "bucket").join(numbers, on=NAME, how="left").sort("number", "bucket")
        series, bucket = sorted_keys["number"].to_numpy(), sorted_keys["bucket"].to_numpy()
        places, exists = _places(self.series, self.bucket, series, bucket)
        is_touched = self.is_touched.copy()
        is_touched[places[exists]] = True
        at, new = places[~exists], np.flatnonzero(~exists)
        if not len(at):
            return replace(self, is_touched=is_touched)
        looks_ahead = np.append(self.looks_ahead, np.zeros(names.height - self.names.height, bool))
        return RowIndex(
            names,
            np.insert(self.series, at, series[new]),
            np.insert(self.bucket, at, bucket[new]),
            np.insert(self.n, at, -1),
            np.insert(self.points, at, 0),
            np.insert(is_touched, at, True),
            looks_ahead,
        )


def _places(series: Ints, bucket: Ints, key_series: Ints, key_bucket: Ints) -> tuple[Ints, Mask]:
    """The place of each key (series, bucket) among sorted rows, or where it belongs; and whether a row has it."""
    if not len(series):
        return np.zeros(len(key_series), np.int64), np.zeros(len(key_series), bool)
    starts = np.searchsorted(series, [key_series, key_series + 1])
    least = min(bucket.min(), key_bucket.min(initial=bucket.min()))
    span = max(bucket.max(), key_bucket.max(initial=bucket.max())) - least + 1
    places = np.searchsorted(series * span + (bucket - least), key_series * span + (key_bucket - least))
    exists = places < starts[1]
    exists[exists] &= bucket[places[exists]] == key_bucket[exists]
    return places, exists


@dataclass(frozen=True)
class Runs:
    """Rows of one series that follow each other, in runs: a run is a row that begins one and the rows behind it, up to
    the next row that begins one or to the end of the series.

    `of_row` is the number of each row's run. The masks have one value per run: whether one of its rows is marked, one
    of the next run of the same series, one of the previous run of the same series. An example, with one series:

        begins       yes  no  yes  no  yes
        marked        no  no  yes  no   no
        of_row         0   0    1   1    2
        marked: no, yes, no    next_marked: yes, no, no    previous_marked: no, no, yes
    """

    of_row: Ints
    marked: Mask
    next_marked: Mask
    previous_marked: Mask

    @classmethod
    def of(cls, rows: RowIndex, begins: Mask, marked: Mask) -> "Runs":
        """The runs of all rows; `begins` and `marked` have one value per row."""
        starts = begins | rows.begins
        of_row = np.cumsum(starts) - 1
        is_marked = np.bincount(of_row, marked, minlength=1) > 0
        series = rows.series[starts]
        same_series = series[1:] == series[:-1]
        next_marked = np.append(is_marked[1:] & same_series, False)[: len(is_marked)]
        previous_marked = np.append(False, is_marked[:-1] & same_series)[: len(is_marked)]
        return cls(of_row, is_marked, next_marked, previous_marked)


def read_row_index(table: Storage, stored: Sequence[DataFile], terms: AggregateSpec) -> RowIndex:
    """Every row of an output; none is touched."""
    schema = dict.fromkeys(("series", "bucket", "n", "points"), pl.Int64())

    def read(file: DataFile) -> NamedStates:
        opened = opened_output(table, file.logged)
        names, series = series_in(opened)
        counts = opened.table(["bucket_start", "n", "n_bad"])
        starts = pl.Series(counts["bucket_start"]).to_physical().to_numpy()
        n, n_bad = to_numpy(counts["n"]), to_numpy(counts["n_bad"])
        columns = {"series": series, "bucket": terms.buckets.number(starts), "n": n, "points": n + n_bad}
        return NamedStates(pl.DataFrame(columns, schema=schema), names, {})

    none = NamedStates(pl.DataFrame(schema=schema), NamedStates.none().names, {})
    merged = renumber([none, *table.ahead(read, stored)])
    rows = merged.rows.sort("series", "bucket")
    series, bucket, n, points = (rows[name].to_numpy() for name in schema)
    looks_ahead = np.array([how.looks_ahead for how in terms.read_as(merged.names.rows())], bool)
    return RowIndex(merged.names.select(NAME), series, bucket, n, points, np.zeros(len(n), bool), looks_ahead)


def keys_within(index: RowIndex, buckets: Buckets, files: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The keys of rows in which points of removed data files may be. Of each file the manifest says `first_us` and
    `last_us`, its first and last instant, and `site`, "" for all sites."""
    start, end = buckets.bounds(index.bucket)
    is_within = np.zeros(len(index.bucket), bool)
    for file in files:
        inside = (end > file["first_us"]) & (start <= file["last_us"])
        if file["site"]:
            inside &= (index.names["site"] == file["site"]).to_numpy()[index.series]
        is_within |= inside
    return index.keys(is_within)


def keys_at_ends(index: RowIndex, *, first: bool, last: bool) -> pl.DataFrame:
    """The keys of the first row of each series, if `first`, and of the last one, if `last`: new points before all rows,
    or after them, may change these."""
    return index.keys((index.begins & first) | (index.ends & last))


def dates_to_write(
    index: RowIndex, touched: pl.DataFrame, buckets: Buckets, known_until_us: int, newest: int | None
) -> list[str]:
    """The dates with rows that may change when the buckets `touched` (columns KEYS) do:

    - the touched buckets themselves;
    - buckets that end after `known_until_us`, the earlier one of the old and the new watermark;
    - behind a touched bucket those without points, and the next one with points, which sees the value before it;
    - of series that look ahead, also those before a touched bucket, back to the previous one with points.

    `newest` is the number of the newest bucket where empty buckets have rows, too: then a touched bucket has such rows
    behind it up to the next row of its series, and they change with it. None: empty buckets have no rows.
    """
    rows = index.touched(touched)
    begins = (rows.n > 0) | rows.is_touched
    runs = Runs.of(rows, begins, rows.is_touched)
    sees_previous = runs.previous_marked[runs.of_row] & begins
    sees_next = runs.next_marked[runs.of_row] & rows.looks_ahead[rows.series]
    is_after = buckets.bounds(rows.bucket)[1] > known_until_us
    numbers = [rows.bucket[runs.marked[runs.of_row] | sees_previous | sees_next | is_after]]
    if newest is not None:
        until = np.where(rows.ends, newest + 1, np.append(rows.bucket[1:], 0)[: len(rows.bucket)])
        pairs = zip(rows.bucket[rows.is_touched].tolist(), until[rows.is_touched].tolist(), strict=True)
        numbers += [np.arange(first, last) for first, last in pairs]
    return dates_at(buckets.bounds(np.unique(np.concatenate(numbers)))[0])


def dates_to_read(rows: RowIndex, buckets: Buckets, dates: Sequence[str], *, carries: bool) -> list[str]:
    """The dates, and those with states that their rows need: of each series back to the previous row with usable
    points, and on to the next one; where values are carried on (`carries`) also its last one. `rows` has the rows that
    are to be, too."""
    days = buckets.bounds(rows.bucket)[0] // DAY_US
    runs = Runs.of(rows, rows.n != 0, np.isin(days, _days(dates)))
    is_near = runs.marked | runs.previous_marked | runs.next_marked
    if carries:
        is_near |= np.isin(np.arange(len(is_near)), runs.of_row[rows.ends])
    return sorted({*dates, *dates_at(days[is_near[runs.of_row]] * DAY_US)})


def untouched_points(rows: RowIndex, buckets: Buckets, dates: Sequence[str]) -> int:
    """The number of points in the rows of some dates that are not touched."""
    is_kept = ~rows.is_touched & np.isin(buckets.bounds(rows.bucket)[0] // DAY_US, _days(dates))
    return int(rows.points[is_kept].sum())


def _days(dates: Collection[str]) -> Ints:
    """Days since 1970."""
    return np.array(list(dates), "datetime64[D]").astype(np.int64)


def dates_at(instants: Ints) -> list[str]:
    """The UTC dates of instants (microseconds), each once, in order."""
    return [str(day) for day in np.unique(np.asarray(instants) // DAY_US).astype("datetime64[D]")]
