"""The tasks that read data files: each makes partial states of some row groups and writes them to a file."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.aggregation.series_points import PointCounts, ReadingPoints, WidePoints, needed_columns, says_nothing
from siltstone.aggregation.spec import AggregateSpec
from siltstone.aggregation.state_files import read_keys, write_states
from siltstone.kernels.sorted_merge import merge_sorted
from siltstone.model.data_files import LoggedFile
from siltstone.model.periods import EVER, Window
from siltstone.storage import Storage
from siltstone.table.reader import DataFileReader, opened
from siltstone.timeseries import kernel
from siltstone.timeseries.buckets import AllTime
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.intervals import SeriesRules
from siltstone.timeseries.states import EXTREMES, KEY, States, concat_states, merge_states

_BATCH_ROWS = 1 << 19
_CHUNK_BYTES = 32 << 20
_UNITE_ROWS = 1 << 20  # of states that wait to be united


@dataclass(frozen=True)
class StateTask:
    """Makes states of the rows in `window` of some data files of one partition, and writes them to a file in `out`; its
    name begins with `run_name`.

    - `groups`: the row groups to read of the only file; () for all. The rows of several files are merged.
    - `only`: a file in `out` with the keys (series, bucket) to make states for; "" for all.
    - `edges`: where this is a folder, buckets don't matter: one state per series, with its first and last point in the
      window, is written there, under the name of the data file, for later runs.
    """

    table: Storage
    out: Storage
    files: tuple[LoggedFile, ...]
    groups: tuple[int, ...]
    site: str
    unit: str
    time: str
    source: str
    terms: AggregateSpec
    window: Window
    run_name: str
    only: str = ""
    edges: Storage | None = None

    def run(self) -> "StatesFound":
        return _read_states(self)


@dataclass(frozen=True)
class StatesFound:
    """What a task wrote: the path of the file with the states ("" where there are none), how many states and points it
    has, up to about 128 names of their series, evenly spread; what was counted while reading; the first and the last
    instant of the states, microseconds."""

    path: str
    states: int
    points: int
    names: list[str]
    counted: PointCounts
    first_us: int = 0
    last_us: int = 0


def _read_states(task: StateTask) -> StatesFound:
    if task.edges is not None and (size := task.edges.size(_edge_name(task))):
        return StatesFound(_edge_name(task), size, 0, [], PointCounts())
    reader: WidePoints | ReadingPoints
    if task.terms.columns:
        reader = WidePoints(task.terms, task.site, task.window, task.unit, task.time, task.source)
    else:
        reader = ReadingPoints(task.terms, task.site, task.window)
    with ExitStack() as open_files:
        states = _states(task, reader, tables_of(task, task.files, task.groups, open_files))
    names = reader.names.frame()
    if task.only:
        states = _chosen(states, names, read_keys(task.out, task.only))
    if not len(states) and task.edges is None:
        return StatesFound("", 0, 0, [], reader.counted)
    path = f"{task.run_name}-{uuid.uuid4().hex}.parquet" if task.edges is None else _edge_name(task)
    is_kept = task.edges is not None
    write_states(task.edges or task.out, path, states, names, reader.names.texts, is_kept=is_kept)
    keys = names.sort("site", "series_id").select(pl.concat_str("site", "series_id", separator="\0")).to_series()
    spread = keys.gather_every(max(1, len(keys) // 64)).to_list()
    points = sum(int(states.rows[name].sum()) for name in ("n", "n_bad"))
    ends = states.rows.select(pl.col("first_ts").min(), pl.col("last_ts").max()).fill_null(0).row(0)
    return StatesFound(path, len(states), points, spread, reader.counted, *ends)


def _edge_name(task: StateTask) -> str:
    """The name of the data file, after the window's bounds where the window is not all time."""
    name = task.files[0].path.rpartition("/")[2]
    return name if task.window == EVER else f"{task.window[0]}_{task.window[1]}_{name}"


def _chosen(states: States, names: pl.DataFrame, keys: pl.DataFrame) -> States:
    """The states of the keys (columns KEYS) alone."""
    numbered = names.select("site", "series_id").with_row_index("series").cast({"series": pl.Int64})
    rows = keys.join(numbered, on=["site", "series_id"]).select(KEY)
    frames = (states.rows, states.times, states.sketch)
    return States(*(f.join(rows, on=KEY, how="semi", maintain_order="left") for f in frames))


class ReadsFiles(Protocol):
    """A task with data files to read: their table, its columns of unit and time, and the terms."""

    @property
    def table(self) -> Storage: ...
    @property
    def unit(self) -> str: ...
    @property
    def time(self) -> str: ...
    @property
    def terms(self) -> AggregateSpec: ...


def tables_of(
    task: ReadsFiles, files: Sequence[LoggedFile], groups: Sequence[int], open_files: ExitStack
) -> Iterator[pa.Table]:
    """The rows of data files of one partition as tables in one sorted run; where `groups` are given, of these row
    groups of the only file."""
    readers = [open_files.enter_context(opened(task.table, file.path, rows=file.rows, coded=None)) for file in files]
    schema = pa.unify_schemas([file.schema for file in readers], promote_options="permissive")
    idle = set.intersection(*(says_nothing(file.metadata) for file in readers)) if not task.terms.columns else set()
    columns = [n for n in needed_columns(task.terms, task.unit, task.time, schema.names) if n not in idle]
    runs = [_run(task, file, groups, [schema.field(name) for name in columns]) for file in readers]
    return runs[0] if len(runs) == 1 else merge_sorted(runs, (task.unit, task.time), _CHUNK_BYTES)


def _run(
    task: ReadsFiles, file: DataFileReader, groups: Sequence[int], fields: Sequence[pa.Field]
) -> Iterator[pa.Table]:
    """The rows of a file with all of the fields; null in fields that the file does not have."""
    names = set(file.schema.names)
    columns = [field.name for field in fields if field.name in names]
    tables = file.batches(columns, batch_rows=_BATCH_ROWS)
    if groups:
        tables = _portion(file, groups, columns, (task.unit, task.time))
    for table in tables:
        for place, field in enumerate(fields):
            if field.name not in names:
                table = table.add_column(place, field, pa.nulls(len(table), field.type))
        yield table


def _portion(
    file: DataFileReader, groups: Sequence[int], columns: Sequence[str], order: tuple[str, str]
) -> Iterator[pa.Table]:
    """The rows of some row groups of a sorted file. Rows of one unit and instant may go on in the next row group: then
    all of them are of the portion in which the first one is."""
    before, behind = groups[0] - 1, groups[-1] + 1
    skipped = None
    if before >= 0 and _may_share(file.metadata, before, order):
        skipped = _last(file.table(order, [before]), order)
    last = None
    for table in file.batches(columns, groups, _BATCH_ROWS):
        rest = table
        if skipped is not None:
            rest = table.slice(_equal_first(table, order, skipped))
            skipped = None if rest.num_rows else skipped
        if rest.num_rows:
            last = _last(rest, order)
            yield rest
    if last is None or behind == file.groups or not _may_share(file.metadata, behind - 1, order):
        return
    for table in file.batches(columns, range(behind, file.groups), _BATCH_ROWS):
        yield table.slice(0, count := _equal_first(table, order, last))
        if count < table.num_rows:
            return


def _may_share(metadata: pq.FileMetaData, group: int, order: tuple[str, str]) -> bool:
    """Whether a row group may end with the unit and instant with which the next one begins, by their statistics."""
    names = metadata.schema.names
    (unit, next_unit), (time, next_time) = (
        [metadata.row_group(g).column(names.index(name)).statistics for g in (group, group + 1)] for name in order
    )
    if not all(s is not None and s.has_min_max for s in (unit, next_unit, time, next_time)):
        return True
    is_apart = unit.max_raw < next_unit.min_raw or (unit.min_raw == unit.max_raw and time.max_raw < next_time.min_raw)
    return not is_apart


def _last(table: pa.Table, order: tuple[str, str]) -> tuple[Any, ...]:
    """Unit and instant of the last row."""
    return pl.DataFrame(table.select(order).slice(table.num_rows - 1)).row(0)


def _equal_first(table: pa.Table, order: tuple[str, str], values: tuple[Any, ...]) -> int:
    """The number of rows with this unit and instant at the begin of the table."""
    columns = [pl.col(order[0]).cast(pl.String()), pl.col(order[1])]
    is_equal = pl.all_horizontal(c.eq_missing(pl.lit(v)) for c, v in zip(columns, values, strict=True))
    others = (~pl.DataFrame(table.select(order)).select(is_equal).to_series()).arg_true()
    return int(others[0]) if len(others) else table.num_rows


def _states(task: StateTask, reader: ReadingPoints | WidePoints, tables: Iterator[pa.Table]) -> States:
    """The states of the rows that the reader gets. A series and bucket may have several where neither times in states
    nor quantiles are asked for."""
    terms = task.terms
    fields = terms.fields if task.edges is None else frozenset()
    interpretations: list[Interpretation] = []
    waiting: list[States] = []
    waiting_rows = 0
    for read in reader.of(tables):
        count = len(read.points.starts) - 1
        interpretations += terms.read_as(reader.names.about[len(interpretations) :])
        states = kernel.states(
            read.points,
            interpretations[read.first : read.first + count],
            terms.buckets if task.edges is None else AllTime(),
            fields=fields.union(EXTREMES) if reader.may_have_texts else fields,  # they find a text in the middle
            times=terms.wants_times,
            sketch=bool(terms.quantiles),
            first_series=read.first,
        )
        waiting.append(states)
        waiting_rows += len(states)
        if waiting_rows > _UNITE_ROWS:
            waiting = [merge_states(concat_states(waiting), SeriesRules.of(interpretations), times=terms.wants_times)]
            waiting_rows = 0
    if not waiting:
        return States.empty()
    merged = concat_states(waiting)
    is_light = not merged.times.height and not merged.sketch.height and task.edges is None
    return merged if is_light else merge_states(merged, SeriesRules.of(interpretations), times=terms.wants_times)
