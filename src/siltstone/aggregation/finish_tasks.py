"""The tasks that make rows of states: each takes a range of series through all of its files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from siltstone.aggregation.output_rows import arrow_of, contract_of, table_of
from siltstone.aggregation.spec import AggregateSpec
from siltstone.aggregation.state_files import (
    EVERY_SERIES,
    NAME,
    ROWS,
    NamedStates,
    SeriesRange,
    read_keys,
    read_states,
    renumber,
    stored_states,
    unfold,
)
from siltstone.aggregation.state_tasks import StatesFound
from siltstone.aggregation.text_rows import textual_rows
from siltstone.model.arrow import compact
from siltstone.model.data_files import LoggedFile, NewFile
from siltstone.model.periods import DAY_US, EVER, Window
from siltstone.model.schema import base_schema
from siltstone.storage import Storage
from siltstone.table.writer import PartitionWriter, WriterSettings
from siltstone.timeseries.measures import measures_of
from siltstone.timeseries.states import COLUMNS, OPTIONAL

_FEW_TASKS, _FEWEST, _MOST = 4, 300_000, 4_000_000  # tasks, and states of each
_UNEVEN = 1.5  # times its share a part may have


def finish_task_count(states: int) -> int:
    """The number of tasks that finish so many states: each writes a file of every date, so they are few."""
    return max(1, min(_FEW_TASKS, round(states / _FEWEST)), round(states / _MOST))


@dataclass(frozen=True)
class PreviousOutput:
    """Data files of an output table with rows that hold states, too; `replaced` names a file in the folder of the
    inputs with the keys (series, bucket) that are computed again, "" for none."""

    table: Storage
    files: tuple[LoggedFile, ...]
    replaced: str = ""


@dataclass(frozen=True)
class Inputs:
    """Where the states of a task are: in files of `folder`, and in the rows of the previous output."""

    folder: Storage
    states: tuple[str, ...] = ()
    previous: PreviousOutput | None = None


@dataclass(frozen=True)
class Boundary:
    """Files about the time on one side of a window. `points` hold the point of each series that is nearest to the
    window; all states in `states`, files in the folder of the inputs, lie on that side, and another part writes their
    rows."""

    points: tuple[str, ...] = ()
    states: tuple[str, ...] = ()


@dataclass(frozen=True)
class Boundaries:
    """What lies before a window, `left`, and after it, `right`; their files of points are in `folder`."""

    folder: Storage
    left: Boundary = Boundary()
    right: Boundary = Boundary()


@dataclass(frozen=True)
class FinishTask:
    """Makes rows of the states of some series and writes them to `table`: of buckets that start in `window`
    (microseconds, [start, end)), and of the `dates` alone where there are any.

    `part` is the number of this one among the tasks that share the series and have windows one after the other.
    """

    writing: WriterSettings
    inputs: Inputs
    boundaries: Boundaries
    terms: AggregateSpec
    window: Window
    watermark_us: int
    series: SeriesRange = EVERY_SERIES
    dates: tuple[str, ...] = ()
    part: int = 0

    @property
    def table(self) -> Storage:
        return self.writing.table

    def run(self) -> "FinishedFiles":
        return _finish(self)

    def for_series(self, names: Sequence[str]) -> "list[FinishTask]":
        """A task for the series below the first name, between each two and from the last one on."""
        bounds = ["", *names, ""]
        return [replace(self, series=SeriesRange(low, high)) for low, high in pairwise(bounds)]


def split_by_time(task: FinishTask, files: Sequence[StatesFound], count: int) -> list[FinishTask]:
    """The task in about `count` parts with windows of whole dates, so that one part alone writes a date. It stays one
    task where the files with states span so many dates that the parts would share most of them."""
    buckets, total = task.terms.buckets, sum(f.states for f in files)
    firsts = sorted((f.first_us, f.states) for f in files)
    cumulated = np.cumsum([0, *(states for _, states in firsts)])
    places = {int(np.searchsorted(cumulated, total * part / count)) for part in range(1, count)}
    days = {firsts[place][0] // DAY_US * DAY_US for place in places if place < len(firsts)}
    starts, ends = buckets.bounds(buckets.number(np.array(sorted(days), np.int64)))
    edges = sorted(set(np.where(starts < sorted(days), ends, starts).tolist()))  # a bucket is of the date of its start
    cuts = [edge for edge in edges if task.window[0] < edge < task.window[1]]
    windows = list(pairwise([task.window[0], *cuts, task.window[1]]))
    parts = [_part(task, number, window, files) for number, window in enumerate(windows)]
    largest = max(sum(f.states for f in files if _overlaps(f, window)) for window in windows)
    return parts if largest * len(parts) <= _UNEVEN * total else [task]


def _part(task: FinishTask, number: int, window: Window, files: Sequence[StatesFound]) -> FinishTask:
    """The part of a task for a window: the files that overlap it are its states, the others its boundaries."""
    boundaries = task.boundaries
    inside = tuple(f.path for f in files if _overlaps(f, window))
    before = tuple(f.path for f in files if f.last_us < window[0])
    after = tuple(f.path for f in files if f.first_us >= window[1])
    left, right = replace(boundaries.left, states=before), replace(boundaries.right, states=after)
    inputs = replace(task.inputs, states=inside)
    return replace(
        task, inputs=inputs, boundaries=replace(boundaries, left=left, right=right), window=window, part=number
    )


def _overlaps(file: StatesFound, window: Window) -> bool:
    return file.last_us >= window[0] and file.first_us < window[1]


@dataclass(frozen=True)
class FinishedFiles:
    """The new data files, and what is in them: the number of points (usable or not), of series of which no earlier part
    writes rows, and of provisional rows."""

    outputs: list[NewFile]
    points: int
    series: int
    provisional: int


def _finish(task: FinishTask) -> FinishedFiles:
    terms = task.terms
    states, begun = _states(task)
    rows, names, texts = states.rows, states.names, states.texts
    if not rows.height:
        return FinishedFiles([], 0, 0, 0)
    rows = rows.with_columns(bucket=pl.Series(terms.buckets.number(rows["first_ts"].to_numpy()), dtype=pl.Int64))
    interpretations = terms.read_as(names.rows())
    measured = measures_of(
        unfold(rows),
        interpretations,
        terms.buckets,
        task.watermark_us,
        empty=terms.empty,
        min_pct_good=terms.min_pct_good,
        wanted_quantiles=terms.quantiles,
        wants_times=terms.wants_times,
        within=None if task.window == EVER else task.window,
    )
    ahead = pl.Series([n for n, how in enumerate(interpretations) if how.looks_ahead], dtype=pl.Int64)
    table = table_of(measured, texts, textual_rows(measured.rows, rows, texts, ahead), terms)
    if task.dates:
        table = table.filter(pl.col("date").cast(pl.String()).is_in(task.dates))
    outputs = _write(task, table, names)
    points = sum(int(value) for name in ("n", "n_bad") for value in table.select(pl.col(name).sum()).to_series())
    series = names.select(NAME)[table["series"].unique()].join(begun, on=NAME, how="anti").height
    return FinishedFiles(outputs, points, series, int(table["provisional"].sum()))


def _states(task: FinishTask) -> tuple[NamedStates, pl.DataFrame]:
    """The states of the task's series from all inputs, with boundary points; and the names of the series that earlier
    parts write."""
    inputs, boundaries = task.inputs, task.boundaries
    own = [read_states(inputs.folder, path).of(task.series) for path in inputs.states]
    left = _BoundaryStates.read(task, boundaries.left, is_before=True)
    right = _BoundaryStates.read(task, boundaries.right, is_before=False)
    inner = [*own, *left.nearest(is_before=True), *right.nearest(is_before=False), *_previous_states(task)]
    if not inner:
        return NamedStates.none(), NamedStates.none().names
    states = renumber(inner)
    missing = {name: pl.lit(None, COLUMNS[name]) for name in task.terms.fields if name not in states.rows.columns}
    columns = [name for name in ROWS if name in missing or name in states.rows.columns]
    rows = states.rows.with_columns(**missing).select(columns)
    return replace(states, rows=rows), _begun_series(task, own, left)


@dataclass(frozen=True)
class _BoundaryStates:
    """The states on one side of a window: of its boundary points, and of other parts."""

    points: list[NamedStates]
    others: list[NamedStates]

    @classmethod
    def read(cls, task: FinishTask, boundary: Boundary, *, is_before: bool) -> "_BoundaryStates":
        points = [read_states(task.boundaries.folder, path).of(task.series) for path in boundary.points]
        others = [
            _outermost(read_states(task.inputs.folder, path).of(task.series), is_before=is_before)
            for path in boundary.states
        ]
        return cls(points, others)

    def nearest(self, *, is_before: bool) -> list[NamedStates]:
        """One state for each series, of the point that is nearest to the window; no states where there is no file."""
        if not self.points and not self.others:
            return []
        states = renumber([*self.points, *self.others])
        return [replace(states, rows=boundary_points(states.rows, is_before=is_before))]


def _begun_series(task: FinishTask, own: Sequence[NamedStates], left: _BoundaryStates) -> pl.DataFrame:
    """The names (columns NAME) of the series of which earlier parts write rows."""
    names = [NamedStates.none().names.select(NAME)]
    names += [part.names.select(NAME)[part.rows["series"]] for part in left.others]
    if task.part and task.terms.empty == "carry":
        names += [part.names.select(NAME) for part in left.points]
    for part in own:
        rows = part.rows.filter(pl.col("first_ts") < task.window[0])
        names.append(part.names.select(NAME)[rows["series"].unique()])
    return pl.concat(names)


def _previous_states(task: FinishTask) -> list[NamedStates]:
    """The states in the rows of the previous output, without the keys that are computed again."""
    previous = task.inputs.previous
    if previous is None or not previous.files:
        return []
    states = stored_states(previous.table, previous.files, task.terms.kept, task.series)
    if previous.replaced:
        states = _without(states, read_keys(task.inputs.folder, previous.replaced), task.terms)
    return [states]


def _outermost(states: NamedStates, *, is_before: bool) -> NamedStates:
    """The last state of each series, or with `is_before` False the first one; all states where such a one has no usable
    point."""
    series = states.rows["series"].to_numpy()
    differs = series[1:] != series[:-1]  # rows are in order of series
    is_end = np.append(differs, True) if is_before else np.append(True, differs)
    ends = states.rows.filter(pl.Series(is_end[: len(series)]))
    has_all = ends["stop_ts" if is_before else "start_ts"].null_count() == 0
    return replace(states, rows=ends) if has_all else states


def _without(states: NamedStates, removed: pl.DataFrame, terms: AggregateSpec) -> NamedStates:
    """The states without those of the removed keys (columns KEYS)."""
    numbers = states.names.select(NAME).with_row_index("series").cast({"series": pl.Int64})
    keys = removed.join(numbers, on=NAME).select("series", "bucket")
    bucket = pl.Series(terms.buckets.number(states.rows["first_ts"].to_numpy()), dtype=pl.Int64)
    rows = states.rows.with_columns(bucket=bucket).join(
        keys, on=["series", "bucket"], how="anti", maintain_order="left"
    )
    return replace(states, rows=rows)


def boundary_points(states: pl.DataFrame, *, is_before: bool) -> pl.DataFrame:
    """For each series a state of one point alone, which adds nothing to counts and times: the last point of all states
    with `is_before` (they lie before a window), else the first one."""
    side, used = ("last", "stop") if is_before else ("first", "start")
    other, other_used = ("first", "start") if is_before else ("last", "stop")
    order = states.sort(f"{side}_ts", descending=is_before).unique("series", keep="first", maintain_order=True)
    usable = states.drop_nulls(f"{used}_ts").sort(f"{used}_ts", descending=is_before)
    values = usable.unique("series", keep="first", maintain_order=True).select("series", f"{used}_ts", f"{used}_value")
    order = order.drop(f"{used}_ts", f"{used}_value").join(values, on="series", how="left")
    ends = {f"{other}_{part}": pl.col(f"{side}_{part}") for part in ("ts", "value", "quality")}
    zeros = {name: pl.lit(0, states.schema[name]) for name in ("n", "n_bad", "covered_us", "good_us", "area")}
    empty = ("times", "sketch", f"{other_used}_ts", f"{other_used}_value")
    nulls = {name: pl.lit(None, states.schema[name]) for name in empty}
    columns = [name for name in states.columns if name not in OPTIONAL]
    return order.with_columns(**ends, **zeros, **nulls).select(columns)


def _write(task: FinishTask, table: pl.DataFrame, names: pl.DataFrame) -> list[NewFile]:
    """One or more data files for each date of the table."""
    contract = contract_of(task.terms)
    schema = base_schema(contract)
    outputs: list[NewFile] = []
    dated = table.sort("date", maintain_order=True)
    columns = arrow_of(dated, names, task.terms)
    start = 0
    for day, rows in dated["date"].rle().struct.unnest().select("value", "len").iter_rows():
        writer = PartitionWriter(task.writing, contract, (str(day),), schema=lambda: schema)
        writer.write(compact(columns.slice(start, rows)), breaks=False)
        writer.close()
        outputs += writer.outputs
        start += rows
    return outputs
