"""Partial states: what the points of a bucket say without other points. States of neighbouring buckets merge exactly.

A state covers the time from its first point to its last one. Between two states lies the interval from the last point
of one to the first point of the next. So merging needs no other points, and the state of a coarser bucket is made of
the states of finer ones.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from siltstone.errors import OverlapError
from siltstone.timeseries.intervals import BoundaryPoints, IntervalParts, SeriesRules, pieces_between
from siltstone.timeseries.points import Ints

KEY = ["series", "bucket"]
COLUMNS: dict[str, pl.DataType] = {
    "series": pl.Int64(),
    "bucket": pl.Int64(),
    # points of any quality
    "first_ts": pl.Int64(),
    "first_value": pl.Float64(),
    "first_quality": pl.Int8(),
    "last_ts": pl.Int64(),
    "last_value": pl.Float64(),
    "last_quality": pl.Int8(),
    # usable points; null if there is none
    "start_ts": pl.Int64(),
    "start_value": pl.Float64(),
    "stop_ts": pl.Int64(),
    "stop_value": pl.Float64(),
    "low": pl.Float64(),
    "low_ts": pl.Int64(),
    "high": pl.Float64(),
    "high_ts": pl.Int64(),
    "n": pl.Int64(),
    "n_bad": pl.Int64(),
    "sum": pl.Float64(),
    "m2": pl.Float64(),  # sum of the squared distances from the mean
    "transitions": pl.Int64(),
    "increase": pl.Float64(),
    # the time between the first and the last point
    "covered_us": pl.Int64(),
    "good_us": pl.Int64(),
    "area": pl.Float64(),  # value x microseconds
    "area_m2": pl.Float64(),  # integral of the squared distance from the average
}
OF_MEASURE: Mapping[str, tuple[str, ...]] = {
    "transitions": ("transitions",),
    "min": ("low",),
    "min_ts": ("low", "low_ts"),
    "max": ("high",),
    "max_ts": ("high", "high_ts"),
    "sum": ("sum",),
    "mean": ("sum",),
    "stddev": ("sum", "m2"),
    "time_weighted_stddev": ("area_m2",),
    "increase": ("increase",),
}
"""The columns of states that only some measures need; states have all others always."""
EXTREMES = ("low", "low_ts", "high", "high_ts")
OPTIONAL = frozenset(name for names in OF_MEASURE.values() for name in names)
TIMES: dict[str, pl.DataType] = {**{k: pl.Int64() for k in KEY}, "value": pl.Float64(), "us": pl.Int64()}
SKETCH: dict[str, pl.DataType] = {**{k: pl.Int64() for k in KEY}, "key": pl.Int32(), "count": pl.Int64()}


@dataclass(frozen=True)
class States:
    """States of series and buckets in three tables.

    - `rows`: columns COLUMNS, of OPTIONAL only some, sorted by series and time.
    - `times`: the microseconds at each value of a row, columns TIMES; empty if they are not asked for.
    - `sketch`: the number of values for each key of the quantile sketch, columns SKETCH; empty if not asked for.
    """

    rows: pl.DataFrame
    times: pl.DataFrame
    sketch: pl.DataFrame

    def __len__(self) -> int:
        return self.rows.height

    @classmethod
    @cache
    def empty(cls) -> "States":
        return cls(pl.DataFrame(schema=COLUMNS), pl.DataFrame(schema=TIMES), pl.DataFrame(schema=SKETCH))


def fields_of(measures: Iterable[str]) -> frozenset[str]:
    """The optional columns that the measures need."""
    return frozenset(name for measure in measures for name in OF_MEASURE.get(measure, ()))


def columns_of(rows: pl.DataFrame) -> list[str]:
    """The columns of states (COLUMNS) among the columns of rows, in the order of COLUMNS."""
    return [name for name in COLUMNS if name in rows.columns]


def concat_states(states: Sequence[States]) -> States:
    """The rows of several states, at least one, sorted; null in a column that only others of them have."""
    if len(states) == 1:
        return states[0]
    rows = sort_rows(stack_rows([s.rows for s in states]))
    return States(rows, pl.concat([s.times for s in states]), pl.concat([s.sketch for s in states]))


def stack_rows(rows: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Rows of states one below the other; null in a column that only others of them have."""
    if all(part.columns == rows[0].columns for part in rows):
        return pl.concat(rows)
    joined = pl.concat(rows, how="diagonal")
    return joined.select(*columns_of(joined), pl.exclude(COLUMNS))


def sort_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows sorted by series and time; fast if they are sorted already, or if the rows of each series are."""
    series, first = rows["series"].to_numpy(), rows["first_ts"].to_numpy()
    if _rise(series, first):
        return rows
    order = np.argsort(series, kind="stable")
    return rows[order if _rise(series[order], first[order]) else np.lexsort((first, series))]


def _rise(series: Ints, first: Ints) -> bool:
    return bool(((series[1:] > series[:-1]) | ((series[1:] == series[:-1]) & (first[1:] >= first[:-1]))).all())


def ends_of(rows: pl.DataFrame, which: str) -> BoundaryPoints:
    """The `first` or the `last` point of each row of states, as `which` says; the value 0 if it is null."""
    value = rows[f"{which}_value"].fill_null(0.0).to_numpy()
    return BoundaryPoints(rows[f"{which}_ts"].to_numpy(), value, rows[f"{which}_quality"].to_numpy())


def merge_states(states: States, rules: SeriesRules, *, times: bool = True) -> States:
    """One state for each series and bucket: its rows merged, with the intervals between them. `rules`: one for each
    series. Without `times` the long table of times gets nothing for these intervals.

    Raises OverlapError if two rows of a series overlap in time: then their points would be needed.
    """
    rows, long, sketch = states.rows, states.times, states.sketch
    series, first, last, bucket = (rows[n].to_numpy() for n in ("series", "first_ts", "last_ts", "bucket"))
    same_series = series[1:] == series[:-1]
    if (same_series & (first[1:] <= last[:-1])).any():
        raise OverlapError("two states of a series overlap in time")
    within = same_series & (bucket[1:] == bucket[:-1])
    if within.any():
        together = np.flatnonzero(np.append(within, False) | np.concatenate(([False], within)))
        shared, apart = rows[together], np.ones(rows.height, bool)
        apart[together] = False
        one, gap_times = _merge_rows(shared, rules)
        rows = sort_rows(stack_rows([rows.filter(pl.Series(apart)), one]))
        long = pl.concat([long, gap_times]) if times else long
    if long.height:
        long = long.group_by(*KEY, "value", maintain_order=True).agg(pl.col("us").sum())
    if sketch.height:
        sketch = sketch.group_by(*KEY, "key", maintain_order=True).agg(pl.col("count").sum())
    return States(rows, long, sketch)


def _merge_rows(rows: pl.DataFrame, rules: SeriesRules) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sorted rows, each of which has its key in common with another one, as one row for each key; and the time at each
    value between them, columns TIMES."""
    series, bucket = rows["series"].to_numpy(), rows["bucket"].to_numpy()
    left = np.flatnonzero((series[1:] == series[:-1]) & (bucket[1:] == bucket[:-1]))
    ways_at = rules.at(series[left])
    pieces = pieces_between(ends_of(rows, "last").where(left), ends_of(rows, "first").where(left + 1), ways_at)
    parts = pieces.part(pieces.begin, pieces.end)
    times = times_of(rows.select(KEY)[left], pieces.value, parts, ways_at.has_states)
    return _group(rows, left, parts), times


def times_of(
    keys: pl.DataFrame,
    value: "np.ndarray[tuple[int], np.dtype[np.float64]]",
    parts: IntervalParts,
    has_states: "np.ndarray[tuple[int], np.dtype[np.bool_]]",
) -> pl.DataFrame:
    """The time of each part at its value, columns TIMES. `has_states`: whether the series of a part has states, values
    that stay the same between points."""
    frame = keys.with_columns(value=pl.Series(value), us=pl.Series(parts.width))
    return frame.filter(pl.Series(has_states & (parts.width > 0)))


def _group(rows: pl.DataFrame, left: Ints, parts: IntervalParts) -> pl.DataFrame:
    """One row for each key of the rows, with the parts of intervals behind the rows at the places `left`."""
    gap = {
        "gap_us": parts.width,
        "gap_good": parts.good_us,
        "gap_area": parts.area,
        "gap_mean": parts.mean,
        "gap_m2": parts.squares,
    }
    spread = {name: np.zeros(rows.height, values.dtype) for name, values in gap.items()}
    for name, values in gap.items():
        spread[name][left] = values
    c = pl.col
    used = c("n") > 0
    existing = set(rows.columns)
    mean, average = (
        c("sum").sum() / c("n").sum(),
        (c("area") + c("gap_area")).sum() / (c("covered_us") + c("gap_us")).sum(),
    )
    before, now = c("stop_value").filter(used).shift(), c("start_value").filter(used)
    first_of = {
        **{f"first_{part}": c(f"first_{part}").first() for part in ("ts", "value", "quality")},
        **{f"last_{part}": c(f"last_{part}").last() for part in ("ts", "value", "quality")},
        **{f"start_{part}": c(f"start_{part}").drop_nulls().first() for part in ("ts", "value")},
        **{f"stop_{part}": c(f"stop_{part}").drop_nulls().last() for part in ("ts", "value")},
    }
    optional = {
        "low": c("low").min(),
        "low_ts": c("low_ts").filter(c("low") == c("low").min()).first(),
        "high": c("high").max(),
        "high_ts": c("high_ts").filter(c("high") == c("high").max()).first(),
        "sum": c("sum").sum(),
        "m2": (c("m2") + pl.when(used).then(c("n") * (c("sum") / c("n") - mean).pow(2)).otherwise(0.0)).sum(),
        "transitions": c("transitions").sum() + (before != now).sum(),
        "increase": c("increase").sum() + rise(before, now).sum(),
        "area_m2": c("area_m2").sum()
        + c("gap_m2").sum()
        + _apart(c("area") / c("covered_us"), c("covered_us"), average)
        + _apart(c("gap_mean"), c("gap_us"), average),
    }
    always = {
        "n": c("n").sum(),
        "n_bad": c("n_bad").sum(),
        "covered_us": c("covered_us").sum() + c("gap_us").sum(),
        "good_us": c("good_us").sum() + c("gap_good").sum(),
        "area": c("area").sum() + c("gap_area").sum(),
    }
    return (
        rows.with_columns(**{name: pl.Series(values) for name, values in spread.items()})
        .group_by(KEY, maintain_order=True)
        .agg(**first_of, **always, **{name: value for name, value in optional.items() if name in existing})
        .select(pl.col(name).cast(COLUMNS[name]) for name in columns_of(rows))
    )


def _apart(mean: pl.Expr, width: pl.Expr, average: pl.Expr) -> pl.Expr:
    """The second moment that parts have as their means differ from the average of all."""
    return pl.when(width > 0).then(width * (mean - average).pow(2)).otherwise(0.0).sum()


def rise(before: pl.Expr, now: pl.Expr) -> pl.Expr:
    """What a counter has counted between two values; if the second one is less, it has restarted from 0."""
    return pl.when(now >= before).then(now - before).when(now < before).then(now).otherwise(0.0)
