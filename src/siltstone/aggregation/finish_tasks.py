"""The tasks that make rows of states: each takes a range of series through all of its files."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import polars as pl

from siltstone.aggregation.output_rows import arrow_of, contract_of, table_of
from siltstone.aggregation.spec import AggregateSpec
from siltstone.aggregation.state_files import (
    NAME,
    ROWS,
    NamedStates,
    SeriesRange,
    numbered,
    read_keys,
    read_states,
    stored_states,
    unfolded,
)
from siltstone.aggregation.state_tasks import StatesFound
from siltstone.aggregation.text_rows import textual_rows
from siltstone.model.arrow import compact
from siltstone.model.data_files import NewFile, Sizes
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.model.schema import base_schema
from siltstone.storage import Storage
from siltstone.table.writer import PartitionWriter
from siltstone.timeseries.measures import finished
from siltstone.timeseries.states import COLUMNS, OPTIONAL

_FEW_TASKS, _FEWEST, _MOST = 4, 300_000, 4_000_000  # tasks, and states of each
_UNEVEN = 1.5  # times its share a part may have
DAY_US = 86_400_000_000


def finish_tasks(states: int) -> int:
    """How many tasks finish so many states: each writes a file of every date, so they are few."""
    return max(1, min(_FEW_TASKS, round(states / _FEWEST)), round(states / _MOST))


@dataclass(frozen=True)
class FinishTask:
    """Series whose names (site, NUL, series) lie in [low, high) ("": no bound).

    Their states are in the files `states` of `folder`, and in the data files `stored` of `base`, an output table, but
    for the keys in the file `replaced`. `before` and `after` are files in `edges` with the first and last points that
    lie outside the window (microseconds, [start, end)), `earlier` and `later` files of `folder` whose states all do:
    other parts, of which this is the one of that number, write their rows.
    Rows of buckets that start within it go to `table`, of the `dates` alone where there are any.
    """

    table: Storage
    folder: Storage
    edges: Storage
    states: tuple[str, ...]
    low: str
    high: str
    terms: AggregateSpec
    window: tuple[int, int]
    watermark_us: int
    sizes: Sizes
    group_bytes: int
    is_staged: bool
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    later: tuple[str, ...] = ()
    part: int = 0
    base: Storage | None = None
    stored: tuple[str, ...] = ()
    replaced: str = ""
    dates: tuple[str, ...] = ()

    def run(self) -> "FinishedFiles":
        return _written(self)


def in_windows(task: FinishTask, found: Sequence[StatesFound], count: int) -> list[FinishTask]:
    """The task in about so many parts, each of some dates, which are then written once; the task itself where the files
    with states do not tell dates apart."""
    buckets, total = task.terms.buckets, sum(f.states for f in found)
    firsts = sorted((f.first_us, f.states) for f in found)
    held = np.cumsum([0, *(states for _, states in firsts)])
    places = {int(np.searchsorted(held, total * part / count)) for part in range(1, count)}
    days = {firsts[place][0] // DAY_US * DAY_US for place in places if place < len(firsts)}
    starts, ends = buckets.bounds(buckets.number(np.array(sorted(days), np.int64)))
    edges = sorted(set(np.where(starts < sorted(days), ends, starts).tolist()))  # a bucket is of the date of its start
    cuts = [edge for edge in edges if task.window[0] < edge < task.window[1]]
    parts: list[FinishTask] = []
    most = 0
    for start, end in pairwise([task.window[0], *cuts, task.window[1]]):
        inside = [f for f in found if f.last_us >= start and f.first_us < end]
        most = max(most, sum(f.states for f in inside))
        part = replace(
            task,
            window=(start, end),
            states=tuple(f.path for f in inside),
            earlier=tuple(f.path for f in found if f.last_us < start),
            later=tuple(f.path for f in found if f.first_us >= end),
            part=len(parts),
        )
        parts.append(part)
    return parts if most * len(parts) <= _UNEVEN * total else [task]


@dataclass(frozen=True)
class FinishedFiles:
    """The new data files; in them points (usable ones and others), series that no earlier part has, and rows that are
    provisional."""

    outputs: list[NewFile]
    points: int
    series: int
    provisional: int


def _written(task: FinishTask) -> FinishedFiles:
    terms = task.terms
    states, begun = _states(task)
    rows, names, texts = states.rows, states.names, states.texts
    if not rows.height:
        return FinishedFiles([], 0, 0, 0)
    rows = rows.with_columns(bucket=pl.Series(terms.buckets.number(rows["first_ts"].to_numpy()), dtype=pl.Int64))
    ways = terms.read_as(names.rows())
    found = finished(
        unfolded(rows),
        ways,
        terms.buckets,
        task.watermark_us,
        empty=terms.empty,
        min_pct_good=terms.min_pct_good,
        wanted_quantiles=terms.quantiles,
        wants_times=terms.wants_times,
        within=None if task.window == (EARLIEST_US, LATEST_US) else task.window,
    )
    ahead = pl.Series([n for n, way in enumerate(ways) if way.looks_ahead], dtype=pl.Int64)
    table = table_of(found, texts, textual_rows(found.rows, rows, texts, ahead), terms)
    if task.dates:
        table = table.filter(pl.col("date").cast(pl.String()).is_in(task.dates))
    outputs = _files(task, table, names)
    points = sum(int(value) for name in ("n", "n_bad") for value in table.select(pl.col(name).sum()).to_series())
    series = names.select(NAME)[table["series"].unique()].join(begun, on=NAME, how="anti").height
    return FinishedFiles(outputs, points, series, int(table["provisional"].sum()))


def _states(task: FinishTask) -> tuple[NamedStates, pl.DataFrame]:
    """The states of all inputs; and the names of the series that earlier parts write."""
    wanted = SeriesRange(task.low, task.high)
    fresh = [read_states(task.folder, path).of(wanted) for path in task.states]
    early = [_edges_of(task.folder, path, wanted, is_before=True) for path in task.earlier]
    late = [_edges_of(task.folder, path, wanted, is_before=False) for path in task.later]
    known = [[read_states(task.edges, path).of(wanted) for path in paths] for paths in (task.before, task.after)]
    sides = []
    for parts, is_before in (([*known[0], *early], True), ([*known[1], *late], False)):
        if parts:
            edges = numbered(parts)
            sides.append(replace(edges, rows=edge_of(edges.rows, is_before=is_before)))
    begun = [part.names.select(NAME)[part.rows["series"]] for part in early]
    if task.part and task.terms.empty == "carry":
        begun += [part.names.select(NAME) for part in known[0]]
    for part in fresh:
        rows = part.rows.filter(pl.col("first_ts") < task.window[0])
        begun.append(part.names.select(NAME)[rows["series"].unique()])
    old = []
    if task.base is not None and task.stored:
        old = [stored_states(task.base, task.stored, task.terms.kept, wanted)]
        if task.replaced:
            gone = read_keys(task.folder, task.replaced)
            old = [_without(part, gone, task.terms) for part in old]
    if not (parts := [*fresh, *sides, *old]):
        return NamedStates.none(), NamedStates.none().names
    whole = numbered(parts)
    missing = {name: pl.lit(None, COLUMNS[name]) for name in task.terms.fields if name not in whole.rows.columns}
    rows = whole.rows.with_columns(**missing).select(n for n in ROWS if n in missing or n in whole.rows.columns)
    return replace(whole, rows=rows), pl.concat([NamedStates.none().names.select(NAME), *begun])


def _edges_of(folder: Storage, path: str, wanted: SeriesRange, *, is_before: bool) -> NamedStates:
    """Of a file with states those that have the last points of each wanted series, or the first ones."""
    states = read_states(folder, path).of(wanted)
    series = states.rows["series"].to_numpy()
    differs = series[1:] != series[:-1]  # they are in order
    is_end = np.append(differs, True) if is_before else np.append(True, differs)
    ends = states.rows.filter(pl.Series(is_end[: len(series)]))
    has_all = ends["stop_ts" if is_before else "start_ts"].null_count() == 0
    return replace(states, rows=ends) if has_all else states


def _without(states: NamedStates, gone: pl.DataFrame, terms: AggregateSpec) -> NamedStates:
    """The states but for the keys that are computed again."""
    numbers = states.names.select(NAME).with_row_index("series").cast({"series": pl.Int64})
    keys = gone.join(numbers, on=NAME).select("series", "bucket")
    bucket = pl.Series(terms.buckets.number(states.rows["first_ts"].to_numpy()), dtype=pl.Int64)
    rows = states.rows.with_columns(bucket=bucket).join(
        keys, on=["series", "bucket"], how="anti", maintain_order="left"
    )
    return replace(states, rows=rows)


def edge_of(edges: pl.DataFrame, *, is_before: bool) -> pl.DataFrame:
    """Of each series a state of one point alone, which counts nothing: the last one of files before a window, or the
    first one of files after it."""
    side, used = ("last", "stop") if is_before else ("first", "start")
    other, other_used = ("first", "start") if is_before else ("last", "stop")
    order = edges.sort(f"{side}_ts", descending=is_before).unique("series", keep="first", maintain_order=True)
    usable = edges.drop_nulls(f"{used}_ts").sort(f"{used}_ts", descending=is_before)
    values = usable.unique("series", keep="first", maintain_order=True).select("series", f"{used}_ts", f"{used}_value")
    order = order.drop(f"{used}_ts", f"{used}_value").join(values, on="series", how="left")
    ends = {f"{other}_{part}": pl.col(f"{side}_{part}") for part in ("ts", "value", "quality")}
    nothing = {name: pl.lit(0, edges.schema[name]) for name in ("n", "n_bad", "covered_us", "good_us", "area")}
    none = ("times", "sketch", f"{other_used}_ts", f"{other_used}_value")
    missing = {name: pl.lit(None, edges.schema[name]) for name in none}
    told = [name for name in edges.columns if name not in OPTIONAL]
    return order.with_columns(**ends, **nothing, **missing).select(told)


def _files(task: FinishTask, table: pl.DataFrame, names: pl.DataFrame) -> list[NewFile]:
    contract = contract_of(task.terms)
    schema = base_schema(contract)
    outputs: list[NewFile] = []
    dated = table.sort("date", maintain_order=True)
    whole = arrow_of(dated, names, task.terms)
    start = 0
    for day, rows in dated["date"].rle().struct.unnest().select("value", "len").iter_rows():
        writer = PartitionWriter(
            task.table,
            contract,
            (str(day),),
            None,
            sizes=task.sizes,
            group_bytes=task.group_bytes,
            schema=lambda: schema,
            expected=lambda: 0.0,
            is_staged=task.is_staged,
        )
        writer.write(compact(whole.slice(start, rows)), breaks=False)
        writer.close()
        outputs += writer.outputs
        start += rows
    return outputs
