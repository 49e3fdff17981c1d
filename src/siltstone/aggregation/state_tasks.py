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
from siltstone.model.periods import EVER, Window
from siltstone.storage import Storage
from siltstone.table.reader import DataFileReader, opened
from siltstone.timeseries import kernel
from siltstone.timeseries.buckets import AllTime
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.intervals import SeriesRules
from siltstone.timeseries.states import EXTREMES, KEY, States, joined, united

_BATCH_ROWS = 1 << 19
_CHUNK_BYTES = 32 << 20
_UNITE_ROWS = 1 << 20  # of states that wait to be united


@dataclass(frozen=True)
class StateTask:
    """Row groups of data files of one partition (`groups`: of each file, none for all), whose rows of `window` become
    states. With several files their rows are merged. `rows`: how many each file has by the table's log. `only`: names
    the file with the series and buckets that are wanted, "" for all. What is written to `out` has a name that begins
    with `run_name`. With `edges` there is one state for each series of the file, kept there under the file's name: the
    first and last point of the window are looked up, whatever the buckets."""

    table: Storage
    out: Storage
    files: tuple[str, ...]
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
    rows: tuple[int, ...] = ()

    def run(self) -> "StatesFound":
        return _found(self)


@dataclass(frozen=True)
class StatesFound:
    """The file with the states, "" where there are none; how many; the points in them; evenly spread names of their
    series; what was read; the first and the last instant of the states."""

    path: str
    states: int
    points: int
    names: list[str]
    counted: PointCounts
    first_us: int = 0
    last_us: int = 0


def _found(task: StateTask) -> StatesFound:
    if task.edges is not None and (there := task.edges.size(_edge_name(task))):
        return StatesFound(_edge_name(task), there, 0, [], PointCounts())
    reader: WidePoints | ReadingPoints
    if task.terms.columns:
        reader = WidePoints(task.terms, task.site, task.window, task.unit, task.time, task.source)
    else:
        reader = ReadingPoints(task.terms, task.site, task.window)
    with ExitStack() as open_files:
        states = _states(task, reader, tables_of(task, task.files, task.groups, open_files, rows=task.rows))
    names = reader.names.frame()
    if task.only:
        states = _chosen(states, names, read_keys(task.out, task.only))
    if not len(states) and task.edges is None:
        return StatesFound("", 0, 0, [], reader.counted)
    path = f"{task.run_name}-{uuid.uuid4().hex}.parquet" if task.edges is None else _edge_name(task)
    write_states(task.edges or task.out, path, states, names, reader.names.texts)
    keys = names.sort("site", "series_id").select(pl.concat_str("site", "series_id", separator="\0")).to_series()
    spread = keys.gather_every(max(1, len(keys) // 64)).to_list()
    points = sum(int(states.rows[name].sum()) for name in ("n", "n_bad"))
    ends = states.rows.select(pl.col("first_ts").min(), pl.col("last_ts").max()).fill_null(0).row(0)
    return StatesFound(path, len(states), points, spread, reader.counted, *ends)


def _edge_name(task: StateTask) -> str:
    """Named like the data file, and after the window where that is a part of it."""
    name = task.files[0].rpartition("/")[2]
    return name if task.window == EVER else f"{task.window[0]}_{task.window[1]}_{name}"


def _chosen(states: States, names: pl.DataFrame, keys: pl.DataFrame) -> States:
    """The states of the keys alone."""
    numbered = names.select("site", "series_id").with_row_index("series").cast({"series": pl.Int64})
    wanted = keys.join(numbered, on=["site", "series_id"]).select(KEY)
    frames = (states.rows, states.times, states.sketch)
    return States(*(f.join(wanted, on=KEY, how="semi", maintain_order="left") for f in frames))


class ReadsFiles(Protocol):
    """What a task says of the data files that it reads."""

    @property
    def table(self) -> Storage: ...
    @property
    def unit(self) -> str: ...
    @property
    def time(self) -> str: ...
    @property
    def terms(self) -> AggregateSpec: ...


def tables_of(
    task: ReadsFiles, files: Sequence[str], groups: Sequence[int], open_files: ExitStack, rows: Sequence[int] = ()
) -> Iterator[pa.Table]:
    """The rows of data files of one partition as one sorted run; of `groups` of the only one, where there are any.
    `rows`: how many each has by the table's log, where that is known."""
    counts: Sequence[int | None] = rows or [None] * len(files)
    found = [
        open_files.enter_context(opened(task.table, path, rows=count, coded=None))
        for path, count in zip(files, counts, strict=True)
    ]
    whole = pa.unify_schemas([file.schema for file in found], promote_options="permissive")
    idle = set.intersection(*(says_nothing(file.metadata) for file in found)) if not task.terms.columns else set()
    columns = [n for n in needed_columns(task.terms, task.unit, task.time, whole.names) if n not in idle]
    runs = [_run(task, file, groups, [whole.field(name) for name in columns]) for file in found]
    return runs[0] if len(runs) == 1 else merge_sorted(runs, (task.unit, task.time), _CHUNK_BYTES)


def _run(
    task: ReadsFiles, file: DataFileReader, groups: Sequence[int], fields: Sequence[pa.Field]
) -> Iterator[pa.Table]:
    """The rows of a file with all of the fields; one that it has not is null."""
    there = set(file.schema.names)
    columns = [field.name for field in fields if field.name in there]
    tables = file.batches(columns, batch_rows=_BATCH_ROWS)
    if groups:
        tables = _portion(file, groups, columns, (task.unit, task.time))
    for table in tables:
        for place, field in enumerate(fields):
            if field.name not in there:
                table = table.add_column(place, field, pa.nulls(len(table), field.type))
        yield table


def _portion(
    file: DataFileReader, groups: Sequence[int], columns: Sequence[str], order: tuple[str, str]
) -> Iterator[pa.Table]:
    """The rows of some row groups of a sorted file; those of one unit and instant that a cut parts are all of the
    portion in which they begin."""
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
    """Whether a row group may end with the unit and instant that the next one begins with, by their statistics."""
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
    """How many rows, from the first on, have this unit and instant."""
    columns = [pl.col(order[0]).cast(pl.String()), pl.col(order[1])]
    is_equal = pl.all_horizontal(c.eq_missing(pl.lit(v)) for c, v in zip(columns, values, strict=True))
    others = (~pl.DataFrame(table.select(order)).select(is_equal).to_series()).arg_true()
    return int(others[0]) if len(others) else table.num_rows


def _states(task: StateTask, reader: ReadingPoints | WidePoints, tables: Iterator[pa.Table]) -> States:
    """The states of what is read; without long tables there may be several of a series and bucket."""
    terms = task.terms
    fields = terms.fields if task.edges is None else frozenset()
    ways: list[Interpretation] = []
    waiting: list[States] = []
    held = 0
    for read in reader.of(tables):
        count = len(read.points.starts) - 1
        ways += terms.read_as(reader.names.about[len(ways) :])
        found = kernel.states(
            read.points,
            ways[read.first : read.first + count],
            terms.buckets if task.edges is None else AllTime(),
            fields=fields.union(EXTREMES) if reader.may_have_texts else fields,  # they find a text in the middle
            times=terms.wants_times,
            sketch=bool(terms.quantiles),
            first_series=read.first,
        )
        waiting.append(found)
        held += len(found)
        if held > _UNITE_ROWS:
            waiting = [united(joined(waiting), SeriesRules.of(ways), times=terms.wants_times)]
            held = 0
    if not waiting:
        return States.empty()
    whole = joined(waiting)
    is_light = not whole.times.height and not whole.sketch.height and task.edges is None
    return whole if is_light else united(whole, SeriesRules.of(ways), times=terms.wants_times)
