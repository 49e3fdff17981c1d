"""Rows of data files as they are stored, and boundary rows: the rows at the first and the last time of every key in a
file. With the boundary rows of other files a task knows what is before and after its window without reading these."""

import io
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import polars as pl
import pyarrow as pa

from siltstone.aggregation.spec import AggregateSpec
from siltstone.model.arrow import CODED
from siltstone.model.contracts import ARROW_TYPE, TIMESTAMP, Contract
from siltstone.model.data_files import DataFile, LoggedFile
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.storage import Storage
from siltstone.table.reader import naming, opened

_BATCH_ROWS = 1 << 18
_OF = "#of"  # the name of the column of a wide table for which a row is a first or last one
_AT_ONCE = 16


@dataclass(frozen=True)
class StoredRows:
    """How the data files of a table are read.

    - `unit`, `time`: the columns by which rows are sorted.
    - `place`: the column that the last part of a partition is the value of; "" if there is none.
    - `columns`: the columns to read, (name, kind).
    - `values`: columns of a wide table for which first and last rows are sought one by one, as cells may be null.
    """

    table: Storage
    unit: str
    time: str
    place: str
    columns: tuple[tuple[str, str], ...]
    values: tuple[str, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """The columns that name a series."""
        return (self.place, self.unit) if self.place else (self.unit,)

    @property
    def schema(self) -> pa.Schema:
        kinds = [(name, ARROW_TYPE[kind]) for name, kind in self.columns]
        texts = [(n, CODED if pa.types.is_large_string(kind) else kind) for n, kind in kinds]
        return pa.schema([(self.time, TIMESTAMP), *(field for field in texts if field[0] != self.time)])

    def tables(self, data: LoggedFile, open_files: ExitStack) -> Iterator[pa.Table]:
        """The rows of a data file with all columns; texts are dictionaries."""
        texts = [field.name for field in self.schema if field.type == CODED]
        file = open_files.enter_context(opened(self.table, data.path, rows=data.rows, coded=texts))
        names = [name for name in self.schema.names if name in file.schema.names]
        for table in file.batches(names, batch_rows=_BATCH_ROWS):
            with naming(file.uri):
                rows = self.with_all_columns(table)
            yield rows

    def with_all_columns(self, table: pa.Table) -> pa.Table:
        """The rows with exactly the columns of the schema; null in those that the table lacks."""
        existing = set(table.column_names)
        columns = [
            table[f.name].cast(f.type) if f.name in existing else pa.nulls(len(table), f.type) for f in self.schema
        ]
        return pa.table(columns, schema=self.schema)

    def frames(self, data: LoggedFile, place: str) -> Iterator[pl.DataFrame]:
        """The rows of a data file with plain texts, and with the column `place`."""
        with ExitStack() as open_files:
            for table in self.tables(data, open_files):
                yield self.plain(table, place)

    def plain(self, table: pa.Table, place: str) -> pl.DataFrame:
        """The rows with plain texts, and with the column `place`."""
        frame = pl.DataFrame(table).with_columns(pl.col(pl.Categorical()).cast(pl.String()))
        return frame.with_columns(pl.lit(place).alias(self.place)) if self.place else frame

    def select_series(self, frame: pl.DataFrame, terms: AggregateSpec) -> pl.DataFrame:
        """The rows of the series that the filters of `terms` ask for."""
        if not (terms.series or terms.devices or terms.measurements or terms.sites):
            return frame
        filtered = ("site", self.unit, "device_id", "measurement")
        names = [n for n in filtered if n in frame.columns]
        kinds = frame.select(names).unique()
        values = [kinds[n].to_list() if n in names else [None] * kinds.height for n in filtered]
        kept = [
            terms.wants(site or "", series or "", device, name)
            for site, series, device, name in zip(*values, strict=True)
        ]
        chosen = kinds.filter(pl.Series(kept, dtype=pl.Boolean()))
        return frame.join(chosen, on=names, how="semi", nulls_equal=True, maintain_order="left")


def nearest(frame: pl.DataFrame, by: Sequence[str], time: str, *, last: bool) -> pl.DataFrame:
    """The rows at the last time of each key, or with `last` False at the first one."""
    key = [*by, *([_OF] if _OF in frame.columns else [])]
    end = pl.col(time).max() if last else pl.col(time).min()
    return frame.filter(pl.col(time) == (end.over(key) if key else end))


@dataclass(frozen=True)
class BoundaryTask:
    """Writes the boundary rows of a data file, at the first and the last time of each key, to the folder `table`."""

    rows: StoredRows
    file: LoggedFile
    place: str
    by: tuple[str, ...]
    filters: AggregateSpec
    table: Storage

    def run(self) -> "BoundaryRows":
        name, rows = kept_as(self.file.path), self.rows
        if self.table.size(name):
            return BoundaryRows(0)
        parts: list[pl.DataFrame] = []
        for frame in rows.frames(self.file, self.place):
            kept = rows.select_series(frame, self.filters).drop_nulls([*self.by, rows.time])
            parts.append(self._ends(self._by_column(kept)))
            if len(parts) > _AT_ONCE:
                parts = [self._ends(pl.concat(parts, how="diagonal"))]
        ends = self._ends(pl.concat(parts, how="diagonal")) if parts else pl.DataFrame()
        _put(self.table, name, ends)
        return BoundaryRows(ends.height)

    def _by_column(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self.rows.values:
            return frame
        names = dict.fromkeys((*self.by, self.rows.time))
        parts = [frame.select(*names, v, pl.lit(v).alias(_OF)).drop_nulls(v) for v in self.rows.values]
        return pl.concat(parts, how="diagonal")

    def _ends(self, frame: pl.DataFrame) -> pl.DataFrame:
        sides = [nearest(frame, self.by, self.rows.time, last=last) for last in (False, True)]
        return pl.concat(sides).unique(maintain_order=True)


@dataclass(frozen=True)
class BoundaryRows:
    """The number of boundary rows that a task wrote."""

    rows: int


def kept_as(path: str) -> str:
    """The name of the file with the boundary rows of a data file."""
    return path.rpartition("/")[2]


def _put(out: Storage, path: str, frame: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    out.put(path, buffer.getvalue(), is_kept=False)


def read_beside(out: Storage, path: str) -> pl.DataFrame:
    """The rows of a file of `write_beside`; a frame without columns if there is no such file."""
    fetched = out.read(path)
    return pl.DataFrame() if fetched is None else pl.read_parquet(io.BytesIO(fetched.data))


def spans(stored: Sequence[DataFile], contract: Contract) -> list[tuple[DataFile, int, int]]:
    """Each file with its first and last instant, EARLIEST_US and LATEST_US if they are unknown."""
    result = []
    for file in stored:
        first, last = file.bounds.get(contract.time.name, (None, None))
        result.append((file, EARLIEST_US if first is None else int(first), LATEST_US if last is None else int(last)))
    return result


Span = tuple[DataFile, int, int]
Window = tuple[int, int]


def windows(files: Sequence[Span], start: int, end: int, most: int, *, anywhere: bool = False) -> list[Window]:
    """[start, end) cut into windows of about `most` rows. Cuts are where files of a date begin; with `anywhere` a date
    with more rows is cut, too."""
    dates: dict[str, Window] = {}
    rows: dict[str, int] = {}
    for file, first, last in files:
        date = file.partition[0] if file.partition else ""
        low, high = dates.get(date, (LATEST_US, EARLIEST_US))
        dates[date], rows[date] = (min(low, first), max(high, last)), rows.get(date, 0) + file.rows
    cuts, window_rows = [], 0
    for date, (low, high) in sorted(dates.items(), key=lambda d: d[1]):
        if window_rows and window_rows + rows[date] > most:
            cuts.append(low)
            window_rows = 0
        window_rows += rows[date]
        pieces = -(-rows[date] // most) if anywhere else 1
        cuts += [low + (high - low) * n // pieces for n in range(1, pieces)]
    edges = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
    return list(pairwise(edges))


def within(files: Sequence[Span], window: Window) -> list[DataFile]:
    """The files in which rows of a window may be."""
    return [file for file, first, last in files if last >= window[0] and first < window[1]]


def outside(files: Sequence[Span], parts: Sequence[Window]) -> list[DataFile]:
    """The files that lie before or after some window as a whole."""
    return [file for file, first, last in files if any(last < start or first >= end for start, end in parts)]


def write_beside(
    work: Storage, kept: Storage, files: Sequence[Span], parts: Sequence[Window], by: Sequence[str], time: str
) -> list[tuple[str, str]]:
    """For each window the names of two files in `work`. The first has the rows of each key at its last time in all
    files before the window, the second those at its first time in all files after it. Empty files are not written."""
    names = [(f"{uuid.uuid4().hex}.before", f"{uuid.uuid4().hex}.after") for _ in parts]
    for is_last in (True, False):
        waiting = sorted(files, key=lambda f: -f[2] if is_last else f[1])  # the next one comes last
        nearest_rows: list[pl.DataFrame] = []
        for number in range(len(parts)) if is_last else reversed(range(len(parts))):
            start, end = parts[number]
            while waiting and (waiting[-1][2] < start if is_last else waiting[-1][1] >= end):
                frame = read_beside(kept, kept_as(waiting.pop()[0].path))
                nearest_rows += [frame] if frame.height else []
                if len(nearest_rows) > _AT_ONCE:
                    nearest_rows = [nearest(pl.concat(nearest_rows, how="diagonal"), by, time, last=is_last)]
            if nearest_rows:
                nearest_rows = [nearest(pl.concat(nearest_rows, how="diagonal"), by, time, last=is_last)]
                _put(work, names[number][0 if is_last else 1], nearest_rows[0])
    return names
