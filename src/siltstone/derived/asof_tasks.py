"""The tasks that join two tables as of a time: each joins the rows of a window, with right rows from around it."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
import pyarrow as pa

from siltstone.aggregation.spec import AggregateSpec
from siltstone.derived.boundary_rows import StoredRows, nearest, read_beside
from siltstone.derived.output_table import TaskTotals, write_sorted
from siltstone.model.contracts import TIMESTAMP, Column, Contract, Field
from siltstone.model.data_files import LoggedFile
from siltstone.model.kinds import Kind
from siltstone.model.periods import EARLIEST_US
from siltstone.storage import Storage
from siltstone.table.writer import WriterSettings
from siltstone.timeseries.asof import Direction, asof

_AT_ONCE = 16
_NEWEST_LAST = ("ts_nanos", "version")  # of readings of one series and time


@dataclass(frozen=True)
class JoinSpec:
    """How rows are joined; the fields are parameters of siltstone.timeseries.asof."""

    by: tuple[str, ...]
    direction: Direction = "backward"
    tolerance_us: int | None = None
    allow_exact: bool = True
    how: str = "left"
    suffix: str = "_right"

    def join(self, left: pl.DataFrame, right: pl.DataFrame, on: str) -> pl.DataFrame:
        """The rows of the left side with those of the right one."""
        return asof(left, right, on=on, **asdict(self))


@dataclass(frozen=True)
class Side:
    """A table of the join: how its rows are read, a spec of which the filters choose rows, and the data files (file,
    place) with rows in the window."""

    rows: StoredRows
    filters: AggregateSpec
    files: tuple[tuple[LoggedFile, str], ...] = ()

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns, with their kinds."""
        kinds: dict[str, Any] = {self.rows.time: "timestamp", **dict(self.rows.columns)}
        return kinds | ({self.rows.place: "string"} if self.rows.place else {})

    def empty(self) -> pl.DataFrame:
        return self.rows.plain(self.rows.schema.empty_table(), "")

    def frames(self) -> Iterator[pl.DataFrame]:
        for file, place in self.files:
            yield from self.rows.frames(file, place)


def contract_of_join(left: Side, right: Side, joining: JoinSpec) -> Contract:
    """The contract of the joined table: all columns of the left side, then those of the right one without the key.
    Raises UsageError for columns that don't fit."""
    on = left.rows.time
    names = joining.join(left.empty(), right.empty().rename({right.rows.time: on}), on).columns
    kinds = [*left.kinds.values(), *(kind for name, kind in right.kinds.items() if name not in joining.by)]
    columns = [Column(name, kind, name) for name, kind in zip(names, kinds, strict=True) if name != on]
    columns.sort(key=lambda column: column.name != left.rows.unit)
    return Contract(
        table="rows as of a time",
        partition_by=(Field("date", pa.date32(), f"UTC date of {on}"),),
        time=Field(on, TIMESTAMP, "time of the left row"),
        leading=(columns[0],),
        added=(),
        record=tuple(columns[1:]),
        sort_by=(left.rows.unit, on),
    )


@dataclass(frozen=True)
class AsofTask:
    """Joins the rows of the left side with times in `window`. `beside`: files in `work` with right rows of other data
    files that may match them."""

    left: Side
    right: Side
    joining: JoinSpec
    beside: tuple[str, ...]
    window: tuple[int, int]
    work: Storage
    writing: WriterSettings

    @property
    def table(self) -> Storage:
        return self.writing.table

    def run(self) -> TaskTotals:
        on, unit = self.left.rows.time, self.left.rows.unit
        made = TaskTotals()
        left = self._left(made)
        right = self._right().rename({self.right.rows.time: on})
        rows = self.joining.join(left, right, on)
        made.matched = rows.height - rows[f"{on}{self.joining.suffix}"].null_count()
        made.points = left.height
        contract = contract_of_join(self.left, self.right, self.joining)
        made.outputs += write_sorted(self.writing, contract, rows.sort(unit, on, maintain_order=True))
        return made

    def _left(self, made: TaskTotals) -> pl.DataFrame:
        """The chosen rows of the window. Rows without a time count in the first window, and are left out."""
        frames = [self.left.empty()]
        for frame in self.left.frames():
            us = frame[self.left.rows.time].dt.epoch("us").fill_null(EARLIEST_US)
            inside = frame.filter(us.is_between(*self.window, closed="left"))
            frames.append(self.left.rows.select_series(inside.drop_nulls(self.left.rows.time), self.left.filters))
            made.rows += inside.height
            made.left_out += inside.height - frames[-1].height
        return pl.concat(frames)

    def _right(self) -> pl.DataFrame:
        """The chosen rows of the window, and for each key the last ones before it and the first ones after it."""
        rows = self.right.rows
        columns = self.right.empty().columns
        beside = [frame.select(columns) for name in self.beside if (frame := read_beside(self.work, name)).height]
        inside, before, after = [self.right.empty()], list(beside[:]), list(beside[:])
        for frame in self.right.frames():
            kept = rows.select_series(frame, self.right.filters).drop_nulls(rows.time)
            us = kept[rows.time].dt.epoch("us")
            inside.append(kept.filter(us.is_between(*self.window, closed="left")))
            before.append(self._nearest([kept], last=True))
            after.append(self._nearest([kept], last=False))
            if len(before) > _AT_ONCE:
                before, after = [self._nearest(before, last=True)], [self._nearest(after, last=False)]
        outside = [self._nearest(before, last=True), self._nearest(after, last=False)]
        chosen = pl.concat([*inside, *outside])
        order = [name for name in _NEWEST_LAST if name in columns]
        return chosen.sort(rows.time, *order, maintain_order=True)

    def _nearest(self, frames: Sequence[pl.DataFrame], *, last: bool) -> pl.DataFrame:
        rows = self.right.rows
        us = pl.col(rows.time).dt.epoch("us")
        is_outside = us < self.window[0] if last else us >= self.window[1]
        rows_outside = pl.concat([self.right.empty(), *frames]).filter(is_outside)
        return nearest(rows_outside, self.joining.by, rows.time, last=last)
