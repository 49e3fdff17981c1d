"""Makes rows of states: adds the time in a bucket before its first point and behind its last one, computes measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from siltstone.timeseries.buckets import Buckets
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.intervals import (
    NONE,
    BoundaryPoints,
    IntervalParts,
    Intervals,
    SeriesRules,
    pieces_between,
)
from siltstone.timeseries.points import BAD, Floats, Ints, Mask
from siltstone.timeseries.quantile_sketch import quantiles
from siltstone.timeseries.states import COLUMNS, KEY, OF_MEASURE, States, ends_of, merge_states, rise, times_of

Empty = Literal["skip", "carry"]
_SECOND = 1e6
_FAR_US = 1 << 55  # beyond every instant, and not beyond calendars
_COUNTED = ("n", "n_bad", "transitions", "sum", "m2", "increase")  # 0 where there are no points


@dataclass(frozen=True)
class MeasuredRows:
    """Measures of series and buckets.

    - `rows`: sorted by series and bucket; columns series, bucket, bucket_start, bucket_end (microseconds) and the
      measures, null where nothing is known.
    - `times`: the time in each state; columns series, bucket, value, us.
    - `states`: one state for each row that has points.
    """

    rows: pl.DataFrame
    times: pl.DataFrame
    states: States


def measures_of(
    states: States,
    interpretations: Sequence[Interpretation],
    buckets: Buckets,
    watermark_us: int,
    *,
    empty: Empty = "skip",
    min_pct_good: float = 0.0,
    wanted_quantiles: Mapping[str, float] | None = None,
    within: tuple[int, int] | None = None,
    wants_times: bool = True,
) -> MeasuredRows:
    """The measures of all buckets with states, or of buckets that begin `within` [start, end); states of other buckets
    say what is before and after them.

    - `interpretations`: how to read each series, by number.
    - `watermark_us`: what is known ends there; rows of buckets that end after it are provisional.
    - `empty`: with "carry" buckets without points have rows, too, from the first point of a series to the watermark.
    - `min_pct_good`: measures of rows with a smaller share of good time are null.
    - `wants_times`: without it the times in states are left out.
    """
    rules = SeriesRules.of(list(interpretations))
    merged = merge_states(states, rules, times=wants_times)
    if not len(merged):
        return MeasuredRows(pl.DataFrame(schema=_OUT), merged.times, merged)
    after = _After.of(merged.rows, rules, watermark_us)
    has_states = rules.has_states & wants_times
    rows_with_points, times = _with_points(merged, after, has_states, buckets, watermark_us)
    if empty == "carry":
        carried, more = _carried(merged.rows, after, has_states, buckets, watermark_us, within)
        rows_with_points = pl.concat([rows_with_points, carried], how="diagonal").sort(KEY)
        times = pl.concat([times, more])
    if within is not None:
        rows_with_points, times, merged = _inside(rows_with_points, times, merged, within)
    totals = [number for number, how in enumerate(interpretations) if how.kind == "bucketed"]
    rows = _measures(rows_with_points, watermark_us, min_pct_good, totals)
    if wanted_quantiles:
        shares = quantiles(merged.sketch, KEY, dict(wanted_quantiles))
        rows = rows.join(shares, on=KEY, how="left", maintain_order="left")
        is_enough = pl.col("pct_good") >= min_pct_good
        rows = rows.with_columns(pl.when(is_enough).then(name).alias(name) for name in wanted_quantiles)
    times = times.group_by(*KEY, "value").agg(pl.col("us").sum()).sort(*KEY, "value")
    return MeasuredRows(rows, times, merged)


def _inside(
    rows: pl.DataFrame, times: pl.DataFrame, merged: States, within: tuple[int, int]
) -> tuple[pl.DataFrame, pl.DataFrame, States]:
    """The rows, times and states of buckets that begin in the period."""
    kept = rows.filter(pl.col("bucket_start") >= within[0], pl.col("bucket_start") < within[1])
    if kept.height == rows.height:
        return rows, times, merged
    numbers = kept["bucket"]  # those within follow one another
    is_within = pl.col("bucket").is_between(numbers.min(), numbers.max())
    times, *states = (f.filter(is_within) for f in (times, merged.rows, merged.times, merged.sketch))
    return kept, times, States(*states)


@dataclass(frozen=True)
class _After:
    """For each row the interval behind it: `pieces` end at the next row of the series if the row has one (`has_next`),
    else at the watermark."""

    pieces: Intervals
    has_next: "np.ndarray[tuple[int], np.dtype[np.bool_]]"

    @classmethod
    def of(cls, rows: pl.DataFrame, rules: SeriesRules, watermark_us: int) -> "_After":
        series = rows["series"].to_numpy()
        has_next = np.append(series[1:] == series[:-1], False)
        last, first = ends_of(rows, "last"), ends_of(rows, "first")
        following = np.minimum(np.arange(len(series)) + 1, len(series) - 1)
        watermark = np.maximum(last.ts, watermark_us)
        right = BoundaryPoints(
            np.where(has_next, first.ts[following], watermark),
            first.value[following],
            np.where(has_next, first.quality[following], np.int8(NONE)),
        )
        return cls(pieces_between(last, right, rules.at(series)), has_next)


def _with_points(
    states: States, after: _After, series_has_states: Mask, buckets: Buckets, watermark_us: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of states with sums over their whole bucket: the time before the first point, between points and behind
    the last one; with the values known at the bucket's start and end. And the times at values, of series for which
    `series_has_states` is true."""
    rows = states.rows
    start, end = buckets.bounds(rows["bucket"].to_numpy())
    stop = np.minimum(end, watermark_us)
    tail = after.pieces.part(start, stop)
    place = np.arange(rows.height)
    has_before = np.concatenate(([False], after.has_next[:-1]))
    before = after.pieces.where(np.maximum(place - 1, 0))
    head = _only(before.part(start, stop), has_before)
    covered, area = rows["covered_us"].to_numpy(), rows["area"].to_numpy()
    total_us, total = covered + head.width + tail.width, area + head.area + tail.area
    more: dict[str, pl.Series] = {}
    if "area_m2" in rows.columns:
        inside, average = _quotient(area, covered), _quotient(total, total_us)
        m2 = rows["area_m2"].to_numpy() + head.squares + tail.squares
        for mean, width in ((inside, covered), (head.mean, head.width), (tail.mean, tail.width)):
            m2 = m2 + width * (mean - average) ** 2
        more["total_m2"] = pl.Series(m2)
    is_held = has_before & (before.begin <= start) & (start < before.end)
    first = ends_of(rows, "first")
    at_first = (first.ts == start) & (first.quality > BAD)
    start_value = np.where(at_first, first.value, before.at(start))
    knows_start = at_first | (is_held & (first.ts > start))
    knows_end = (after.pieces.begin < end) & (end <= after.pieces.end) & (end <= watermark_us)
    summed = rows.with_columns(
        bucket_start=pl.Series(start),
        bucket_end=pl.Series(end),
        total_us=pl.Series(total_us),
        good_us=pl.Series(rows["good_us"].to_numpy() + head.good_us + tail.good_us),
        total=pl.Series(total),
        start_known=_known(start_value, knows_start),
        end_known=_known(after.pieces.at(end), knows_end),
        carried_in=pl.Series(is_held & (before.begin < start) & (first.ts > start)),
        **more,
        **_stepped(rows),
    )
    keys, has_states = rows.select(KEY), series_has_states[rows["series"].to_numpy()]
    parts = [times_of(keys, pieces.value, part, has_states) for pieces, part in ((before, head), (after.pieces, tail))]
    return summed, pl.concat([states.times, *parts])


def _quotient(values: Floats, widths: Ints) -> Floats:
    """The values divided by the widths; 0 if there is no width."""
    return np.divide(values, widths, out=np.zeros(len(values)), where=widths > 0)


def _stepped(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    """The columns of changes and increases, with the step from the last usable value of earlier rows of the series to
    the first usable value of each row."""
    before = pl.col("stop_value").forward_fill().shift().over("series")
    now = pl.col("start_value")
    changes = {"transitions": (before != now).fill_null(value=False).cast(pl.Int64), "increase": rise(before, now)}
    return {name: pl.col(name) + more for name, more in changes.items() if name in rows.columns}


def _carried(
    rows: pl.DataFrame,
    after: _After,
    series_has_states: Mask,
    buckets: Buckets,
    watermark_us: int,
    within: tuple[int, int] | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows for the buckets without points, at least for those that begin `within`; and the times at values in them."""
    bucket, series = rows["bucket"].to_numpy(), rows["series"].to_numpy()
    newest = buckets.number(np.array([watermark_us - 1]))[0] + 1
    until = np.where(after.has_next, np.append(bucket[1:], newest), np.maximum(newest, bucket + 1))
    first = bucket + 1
    if within is not None:
        edges = buckets.number(np.clip(within, -_FAR_US, _FAR_US))
        first, until = np.maximum(first, edges[0]), np.minimum(until, edges[1] + 1)
    counts = np.maximum(until - first, 0)
    origin = np.repeat(np.arange(len(bucket)), counts)
    numbers = first[origin] + np.arange(len(origin)) - np.repeat(np.cumsum(counts) - counts, counts)
    start, end = buckets.bounds(numbers)
    pieces = after.pieces.where(origin)
    part = pieces.part(start, np.minimum(end, watermark_us))
    is_held = (pieces.begin <= start) & (start < pieces.end)
    knows_end = (pieces.begin < end) & (end <= pieces.end) & (end <= watermark_us)
    keys = pl.DataFrame({"series": series[origin], "bucket": numbers})
    carried = keys.with_columns(
        bucket_start=pl.Series(start),
        bucket_end=pl.Series(end),
        total_us=pl.Series(part.width),
        good_us=pl.Series(part.good_us),
        total=pl.Series(part.area),
        start_known=_known(pieces.at(start), is_held),
        end_known=_known(pieces.at(end), knows_end),
        carried_in=pl.Series(is_held & (pieces.begin < start)),
        **({"total_m2": pl.Series(part.squares)} if "area_m2" in rows.columns else {}),
        **{name: pl.lit(0, COLUMNS[name]) for name in _COUNTED if name in rows.columns},
    )
    return carried, times_of(keys, pieces.value, part, series_has_states[series[origin]])


def _only(part: IntervalParts, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> IntervalParts:
    return IntervalParts(np.where(chosen, part.width, 0), np.where(chosen, part.mean, 0.0), part.slope, part.is_good)


def _known(values: Floats, where: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> pl.Series:
    """The values where the mask is true, else null."""
    return pl.select(pl.when(pl.Series(where)).then(pl.Series(values))).to_series()


def _measures(rows: pl.DataFrame, watermark_us: int, min_pct_good: float, totals: Sequence[int]) -> pl.DataFrame:
    """The rows with every measure for which they have the columns. `totals`: the numbers of series that are totals of
    periods; they cover no time, so the least share of good time is not asked of them."""
    c = pl.col
    length = c("bucket_end") - c("bucket_start")
    pct_good = 100.0 * c("good_us") / length
    has_time, has_points = c("total_us") > 0, c("n") > 0
    low = pl.min_horizontal("low", "start_known", "end_known")
    high = pl.max_horizontal("high", "start_known", "end_known")
    at = {
        name: pl.when(c("start_known") == extreme)
        .then(c("bucket_start"))
        .when(c(inner) == extreme)
        .then(c(f"{inner}_ts"))
        .when(c("end_known") == extreme)
        .then(c("bucket_end"))
        for name, inner, extreme in (("min_ts", "low", low), ("max_ts", "high", high))
    }
    values = {
        "time_weighted_average": pl.when(has_time).then(c("total") / c("total_us")),
        "integral": pl.when(has_time).then(c("total") / _SECOND),
        "transitions": c("transitions"),
        "first": c("start_value"),
        "last": c("stop_value"),
        "start_value": c("start_known"),
        "end_value": c("end_known"),
        "min": low,
        "min_ts": at["min_ts"],
        "max": high,
        "max_ts": at["max_ts"],
        "sum": pl.when(has_points).then(c("sum")),
        "mean": pl.when(has_points).then(c("sum") / c("n")),
        "stddev": pl.when(c("n") > 1).then((c("m2") / (c("n") - 1)).sqrt()),
        "time_weighted_stddev": pl.when(has_time).then((c("total_m2") / c("total_us")).sqrt()),
        "increase": c("increase"),
    }
    existing = set(rows.columns) | ({"area_m2"} if "total_m2" in rows.columns else set())
    values = {name: value for name, value in values.items() if existing.issuperset(OF_MEASURE.get(name, ()))}
    if min_pct_good > 0:
        enough = (pct_good >= min_pct_good) | c("series").is_in(list(totals))
        values = {name: pl.when(enough).then(value) for name, value in values.items()}
    return rows.select(
        *KEY,
        "bucket_start",
        "bucket_end",
        **values,
        count=c("n"),
        n=c("n"),
        n_bad=c("n_bad"),
        covered_s=c("total_us") / _SECOND,
        good_s=c("good_us") / _SECOND,
        pct_good=pct_good,
        carried_in=c("carried_in"),
        first_ts=c("start_ts"),
        last_ts=c("stop_ts"),
        provisional=c("bucket_end") > watermark_us,
    )


_OUT: dict[str, pl.DataType] = {
    **{name: pl.Int64() for name in (*KEY, "bucket_start", "bucket_end")},
    **{name: pl.Float64() for name in ("time_weighted_average", "integral")},
}
