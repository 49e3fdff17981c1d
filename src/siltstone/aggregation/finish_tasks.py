"""The tasks that make rows of states: each takes a range of series through all of its files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from siltstone.aggregates.finishing import finished
from siltstone.aggregation.output import arrow_of, contract_of, table_of
from siltstone.aggregation.state_files import Wanted, read_keys, read_states, stored_states, unfolded
from siltstone.aggregation.terms import Terms
from siltstone.aggregation.text_rows import textual_rows
from siltstone.conform import base_schema
from siltstone.planning import Sizes
from siltstone.storage import Storage
from siltstone.writing import Output, PartitionWriter

_NAME = ["site", "series_id"]


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
    rows, texts = _rows(task)
    if not rows.height:
        return Written([], 0, 0, 0)
    names = rows.select(*_NAME, "source", "device_id", "measurement").unique(_NAME, keep="first").sort(_NAME)
    numbers = names.select(_NAME).with_row_index("series").cast({"series": pl.Int64})
    rows = rows.drop("series", "bucket").join(numbers, on=_NAME, how="left", maintain_order="left")
    rows = rows.with_columns(bucket=pl.Series(terms.buckets.number(rows["first_ts"].to_numpy()), dtype=pl.Int64))
    ways = [terms.interpretations.of(source, device, name, series) for _, series, source, device, name in names.rows()]
    found = finished(
        unfolded(rows),
        ways,
        terms.buckets,
        task.watermark_us,
        empty=terms.empty,
        min_pct_good=terms.min_pct_good,
        wanted_quantiles=terms.quantiles,
        within=task.window,
    )
    ahead = pl.Series([n for n, way in enumerate(ways) if way.looks_ahead], dtype=pl.Int64)
    table = table_of(found, names, texts, textual_rows(found.rows, rows, texts, ahead), terms)
    if task.dates:
        table = table.filter(pl.col("date").cast(pl.String()).is_in(task.dates))
    outputs = _files(task, table)
    points = sum(int(value) for name in ("n", "n_bad") for value in table.select(pl.col(name).sum()).to_series())
    return Written(outputs, points, table.select(_NAME).n_unique(), int(table["provisional"].sum()))


def _rows(task: FinishTask) -> tuple[pl.DataFrame, dict[float, str]]:
    """The states of all inputs, and the texts that values stand for."""
    wanted = Wanted(task.low, task.high)
    rows, texts = read_states(task.folder, task.states, wanted)
    for paths, is_before in ((task.before, True), (task.after, False)):
        if paths:
            edges, more = read_states(task.edges, paths, wanted)
            rows, texts = pl.concat([rows, edge_of(edges, is_before=is_before)]), texts | more
    if task.base is not None and task.stored:
        old, more = stored_states(task.base, task.stored, wanted)
        if task.replaced:
            gone = read_keys(task.folder, task.replaced)
            numbers = pl.Series(task.terms.buckets.number(old["first_ts"].to_numpy()), dtype=pl.Int64)
            old = old.with_columns(bucket=numbers).join(gone, on=[*_NAME, "bucket"], how="anti", maintain_order="left")
        rows, texts = pl.concat([rows, old.select(rows.columns)]), texts | more
    return rows, texts


def edge_of(edges: pl.DataFrame, *, is_before: bool) -> pl.DataFrame:
    """Of each series a state of one point alone, which counts nothing: the last one of files before a window, or the
    first one of files after it."""
    side, used = ("last", "stop") if is_before else ("first", "start")
    other, other_used = ("first", "start") if is_before else ("last", "stop")
    order = edges.sort(f"{side}_ts", descending=is_before).unique(_NAME, keep="first", maintain_order=True)
    usable = edges.drop_nulls(f"{used}_ts").sort(f"{used}_ts", descending=is_before)
    values = usable.unique(_NAME, keep="first", maintain_order=True).select(*_NAME, f"{used}_ts", f"{used}_value")
    order = order.drop(f"{used}_ts", f"{used}_value").join(values, on=_NAME, how="left")
    ends = {f"{other}_{part}": pl.col(f"{side}_{part}") for part in ("ts", "value", "quality")}
    nothing = {name: pl.lit(0, order.schema[name]) for name in ("n", "n_bad", "covered_us", "good_us", "transitions")}
    nothing |= {name: pl.lit(0.0) for name in ("sum", "m2", "area", "area_m2", "increase")}
    none = ("low", "low_ts", "high", "high_ts", "times", "sketch", f"{other_used}_ts", f"{other_used}_value")
    missing = {name: pl.lit(None, edges.schema[name]) for name in none}
    return order.with_columns(**ends, **nothing, **missing).select(edges.columns)


def _files(task: FinishTask, table: pl.DataFrame) -> list[Output]:
    contract = contract_of(task.terms)
    schema = base_schema(contract)
    outputs: list[Output] = []
    for (day,), part in table.partition_by("date", as_dict=True, maintain_order=True).items():
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
        writer.write(arrow_of(part.sort("series_id", "site", "bucket_start"), task.terms), breaks=False)
        writer.close()
        outputs += writer.outputs
    return outputs
