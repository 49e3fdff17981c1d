"""Rows of data files as they are stored, and of each file those at the first and last time of every key: with these
beside it, a window of time needs no other file to know what was before it and what comes after."""

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
from siltstone.model.data_files import DataFile
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.storage import Storage
from siltstone.table.reader import naming, opened

_BATCH_ROWS = 1 << 18
_OF = "#of"  # of a wide table, the column whose first and last rows these are
_AT_ONCE = 16


@dataclass(frozen=True)
class StoredRows:
    """How a table's data files are read: its sort columns, the columns wanted (name, kind), the column that the last
    part of a partition stands for ("": none). `values`: of a wide table, columns with first and last rows of their own.
    """

    table: Storage
    unit: str
    time: str
    place: str
    columns: tuple[tuple[str, str], ...]
    values: tuple[str, ...] = ()

    @property
    def by(self) -> tuple[str, ...]:
        """The columns that tell one series from all others."""
        return (self.place, self.unit) if self.place else (self.unit,)

    @property
    def schema(self) -> pa.Schema:
        kinds = [(name, ARROW_TYPE[kind]) for name, kind in self.columns]
        texts = [(n, CODED if pa.types.is_large_string(kind) else kind) for n, kind in kinds]
        return pa.schema([(self.time, TIMESTAMP), *(field for field in texts if field[0] != self.time)])

    def tables(self, path: str, open_files: ExitStack) -> Iterator[pa.Table]:
        """The rows of a data file, with every column, texts coded."""
        texts = [field.name for field in self.schema if field.type == CODED]
        file = open_files.enter_context(opened(self.table, path, coded=texts))
        there = [name for name in self.schema.names if name in file.schema.names]
        for table in file.batches(there, batch_rows=_BATCH_ROWS):
            with naming(file.uri):
                whole = self.completed(table)
            yield whole

    def completed(self, table: pa.Table) -> pa.Table:
        """The rows with these columns alone, null where there was none."""
        known = set(table.column_names)
        columns = [table[f.name].cast(f.type) if f.name in known else pa.nulls(len(table), f.type) for f in self.schema]
        return pa.table(columns, schema=self.schema)

    def frames(self, path: str, place: str) -> Iterator[pl.DataFrame]:
        """The same with plain texts, and the place."""
        with ExitStack() as open_files:
            for table in self.tables(path, open_files):
                yield self.plain(table, place)

    def plain(self, table: pa.Table, place: str) -> pl.DataFrame:
        """Rows with plain texts, and the place."""
        frame = pl.DataFrame(table).with_columns(pl.col(pl.Categorical()).cast(pl.String()))
        return frame.with_columns(pl.lit(place).alias(self.place)) if self.place else frame

    def wanted(self, frame: pl.DataFrame, terms: AggregateSpec) -> pl.DataFrame:
        """The rows of the series that the filters of `terms` ask for."""
        if not (terms.series or terms.devices or terms.measurements or terms.sites):
            return frame
        filtered = ("site", self.unit, "device_id", "measurement")
        names = [n for n in filtered if n in frame.columns]
        kinds = frame.select(names).unique()
        told = [kinds[n].to_list() if n in names else [None] * kinds.height for n in filtered]
        kept = [
            terms.wants(site or "", series or "", device, name)
            for site, series, device, name in zip(*told, strict=True)
        ]
        chosen = kinds.filter(pl.Series(kept, dtype=pl.Boolean()))
        return frame.join(chosen, on=names, how="semi", nulls_equal=True, maintain_order="left")


def nearest(frame: pl.DataFrame, by: Sequence[str], time: str, *, last: bool) -> pl.DataFrame:
    """The rows at the last, or first, time of each key."""
    key = [*by, *([_OF] if _OF in frame.columns else [])]
    end = pl.col(time).max() if last else pl.col(time).min()
    return frame.filter(pl.col(time) == (end.over(key) if key else end))


@dataclass(frozen=True)
class BoundaryTask:
    """Keeps the rows at the first and last time of each key of a data file, in the folder `table`."""

    rows: StoredRows
    path: str
    place: str
    by: tuple[str, ...]
    wanted: AggregateSpec
    table: Storage

    def run(self) -> "BoundaryRows":
        name, rows = kept_as(self.path), self.rows
        if self.table.size(name):
            return BoundaryRows(0)
        found: list[pl.DataFrame] = []
        for frame in rows.frames(self.path, self.place):
            kept = rows.wanted(frame, self.wanted).drop_nulls([*self.by, rows.time])
            found.append(self._ends(self._by_column(kept)))
            if len(found) > _AT_ONCE:
                found = [self._ends(pl.concat(found, how="diagonal"))]
        whole = self._ends(pl.concat(found, how="diagonal")) if found else pl.DataFrame()
        _put(self.table, name, whole)
        return BoundaryRows(whole.height)

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
    """How many rows a task kept."""

    rows: int


def kept_as(path: str) -> str:
    """The name of the rows that are kept of a data file."""
    return path.rpartition("/")[2]


def _put(out: Storage, path: str, frame: pl.DataFrame) -> None:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", compression_level=1)
    out.put(path, buffer.getvalue())


def read_beside(out: Storage, path: str) -> pl.DataFrame:
    """The rows beside a window; no column where there are none."""
    fetched = out.read(path)
    return pl.DataFrame() if fetched is None else pl.read_parquet(io.BytesIO(fetched.data))


def spans(stored: Sequence[DataFile], contract: Contract) -> list[tuple[DataFile, int, int]]:
    """Each file with its first and last instant."""
    found = []
    for file in stored:
        first, last = file.bounds.get(contract.time.name, (None, None))
        found.append((file, EARLIEST_US if first is None else int(first), LATEST_US if last is None else int(last)))
    return found


Span = tuple[DataFile, int, int]
Window = tuple[int, int]


def windows(files: Sequence[Span], start: int, end: int, most: int, *, anywhere: bool = False) -> list[Window]:
    """[start, end) in windows of about so many rows, cut where the files of a date begin; with `anywhere` also within
    a date that has more."""
    dates: dict[str, Window] = {}
    rows: dict[str, int] = {}
    for file, first, last in files:
        date = file.partition[0] if file.partition else ""
        low, high = dates.get(date, (LATEST_US, EARLIEST_US))
        dates[date], rows[date] = (min(low, first), max(high, last)), rows.get(date, 0) + file.rows
    cuts, held = [], 0
    for date, (low, high) in sorted(dates.items(), key=lambda d: d[1]):
        if held and held + rows[date] > most:
            cuts.append(low)
            held = 0
        held += rows[date]
        pieces = -(-rows[date] // most) if anywhere else 1
        cuts += [low + (high - low) * n // pieces for n in range(1, pieces)]
    edges = [start, *sorted({cut for cut in cuts if start < cut < end}), end]
    return list(pairwise(edges))


def within(files: Sequence[Span], window: Window) -> list[DataFile]:
    """The files that may have rows in a window."""
    return [file for file, first, last in files if last >= window[0] and first < window[1]]


def outside(files: Sequence[Span], parts: Sequence[Window]) -> list[DataFile]:
    """The files that lie before or after some window."""
    return [file for file, first, last in files if any(last < start or first >= end for start, end in parts)]


def write_beside(
    work: Storage, kept: Storage, files: Sequence[Span], parts: Sequence[Window], by: Sequence[str], time: str
) -> list[tuple[str, str]]:
    """For each window the names of two files in `work`: with the rows of each key at its last time of all files before
    the window, and at its first time of all after it; none is written where there are no rows."""
    names = [(f"{uuid.uuid4().hex}.before", f"{uuid.uuid4().hex}.after") for _ in parts]
    for is_last in (True, False):
        waiting = sorted(files, key=lambda f: -f[2] if is_last else f[1])  # the next one comes last
        found: list[pl.DataFrame] = []
        for number in range(len(parts)) if is_last else reversed(range(len(parts))):
            start, end = parts[number]
            while waiting and (waiting[-1][2] < start if is_last else waiting[-1][1] >= end):
                frame = read_beside(kept, kept_as(waiting.pop()[0].path))
                found += [frame] if frame.height else []
                if len(found) > _AT_ONCE:
                    found = [nearest(pl.concat(found, how="diagonal"), by, time, last=is_last)]
            if found:
                found = [nearest(pl.concat(found, how="diagonal"), by, time, last=is_last)]
                _put(work, names[number][0 if is_last else 1], found[0])
    return names
