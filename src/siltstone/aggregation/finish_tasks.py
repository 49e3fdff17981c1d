"""The tasks that make rows of states: each takes a range of series through all of its files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import polars as pl

from siltstone.aggregates.finishing import finished
from siltstone.aggregates.states import COLUMNS, OPTIONAL
from siltstone.aggregation.output import arrow_of, contract_of, table_of
from siltstone.aggregation.reading_plan import EARLIEST_US, LATEST_US
from siltstone.aggregation.state_files import (
    NAME,
    ROWS,
    NamedStates,
    Wanted,
    numbered,
    read_keys,
    read_states,
    stored_states,
    unfolded,
)
from siltstone.aggregation.terms import Terms
from siltstone.aggregation.text_rows import textual_rows
from siltstone.arrays import compact
from siltstone.conform import base_schema
from siltstone.planning import Sizes
from siltstone.storage import Storage
from siltstone.writing import Output, PartitionWriter

_FEW_TASKS, _FEWEST, _MOST = 4, 300_000, 4_000_000  # tasks, and states of each


def finish_tasks(states: int) -> int:
    """How many tasks finish so many states: each writes a file of every date, so they are few."""
    return max(1, min(_FEW_TASKS, round(states / _FEWEST)), round(states / _MOST))


@dataclass(frozen=True)
class FinishTask:
    """Series whose names (site, NUL, series) lie in [low, high) ("": no bound).

    Their states are in the files `states` of `folder`, and in the data files `stored` of `base`, an output table, but
    for the keys in the file `replaced`. `before` and `after` are files in `edges` with the first and last points that
    lie outside the window (microseconds, [start, end)). Rows of buckets that start within it go to `table`, of the
    `dates` alone where there are any.
    """

    table: Storage
    folder: Storage
    edges: Storage
    states: tuple[str, ...]
    low: str
    high: str
    terms: Terms
    window: tuple[int, int]
    watermark_us: int
    sizes: Sizes
    group_bytes: int
    is_staged: bool
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    base: Storage | None = None
    stored: tuple[str, ...] = ()
    replaced: str = ""
    dates: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "terms": self.terms.as_dict()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "FinishTask":
        names = ("table", "folder", "edges", "base")
        places = {name: Storage.from_dict(row[name]) if row[name] else None for name in names}
        lists = {name: tuple(row[name]) for name in ("states", "window", "before", "after", "stored", "dates")}
        return cls(**{**row, **places, **lists, "terms": Terms.from_dict(row["terms"]), "sizes": Sizes(**row["sizes"])})

    def run(self) -> "Written":
        return _written(self)

    def result(self, row: Mapping[str, Any]) -> "Written":
        return Written(**{**row, "outputs": [Output.from_dict(o) for o in row["outputs"]]})


@dataclass(frozen=True)
class Written:
    """The new data files; in them points (usable ones and others), series, and rows that are provisional."""

    outputs: list[Output]
    points: int
    series: int
    provisional: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "outputs": [o.as_dict() for o in self.outputs]}


def _written(task: FinishTask) -> Written:
    terms = task.terms
    states = _states(task)
    rows, names, texts = states.rows, states.names, states.texts
    if not rows.height:
        return Written([], 0, 0, 0)
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
    return Written(outputs, points, table["series"].n_unique(), int(table["provisional"].sum()))


def _states(task: FinishTask) -> NamedStates:
    """The states of all inputs, and the texts that values stand for."""
    wanted = Wanted(task.low, task.high)
    fresh = [read_states(task.folder, path).of(wanted) for path in task.states]
    sides = []
    for paths, is_before in ((task.before, True), (task.after, False)):
        if paths:
            edges = numbered([read_states(task.edges, path).of(wanted) for path in paths])
            sides.append(replace(edges, rows=edge_of(edges.rows, is_before=is_before)))
    old = []
    if task.base is not None and task.stored:
        old = [stored_states(task.base, task.stored, task.terms.fields, wanted)]
        if task.replaced:
            gone = read_keys(task.folder, task.replaced)
            old = [_without(part, gone, task.terms) for part in old]
    if not (parts := [*fresh, *sides, *old]):
        return NamedStates.none()
    whole = numbered(parts)
    missing = {name: pl.lit(None, COLUMNS[name]) for name in task.terms.fields if name not in whole.rows.columns}
    return replace(
        whole,
        rows=whole.rows.with_columns(**missing).select(n for n in ROWS if n in missing or n in whole.rows.columns),
    )


def _without(states: NamedStates, gone: pl.DataFrame, terms: Terms) -> NamedStates:
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


def _files(task: FinishTask, table: pl.DataFrame, names: pl.DataFrame) -> list[Output]:
    contract = contract_of(task.terms)
    schema = base_schema(contract)
    outputs: list[Output] = []
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
