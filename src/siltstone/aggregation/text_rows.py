"""Which rows of aggregates have texts as values: the numbers that stand for texts must not be shown as numbers."""

from collections.abc import Mapping
from typing import Literal

import polars as pl

_VALUES = ("start", "stop", "low", "high")


def textual_rows(rows: pl.DataFrame, states: pl.DataFrame, texts: Mapping[float, str], ahead: pl.Series) -> pl.Series:
    """For each row whether a text is a value in its bucket: of a point in it, of the point before it if that value is
    carried in, or, in series that look ahead, of the next point. Boolean, in the order of the rows.

    `rows`: columns series, bucket_start, bucket_end (microseconds). `states`: the states of these series, and of the
    time before the rows. `texts`: number -> the text that it stands for. `ahead`: the numbers of the series that look
    ahead: a point says something of the time before it.
    """
    if not texts:
        return pl.repeat(value=False, n=rows.height, eager=True)
    points = _points(states, list(texts))
    buckets = rows.select("series", "bucket_start", "bucket_end").with_row_index("row")
    nearest = _nearest(buckets, points.filter("is_text").select("series", text_ts="ts"), "bucket_end", "backward")
    nearest = _nearest(nearest, points.select("series", before_ts="ts"), "bucket_start", "backward")
    nearest = _nearest(nearest, points.select("series", "is_text", next_ts="ts"), "bucket_end", "forward").sort("row")
    is_next = pl.col("series").is_in(ahead.implode()) & pl.col("is_text")
    is_own = pl.col("text_ts") >= pl.col("before_ts").fill_null(pl.col("text_ts"))
    return nearest.select(is_own.fill_null(value=False) | is_next.fill_null(value=False)).to_series()


def _points(states: pl.DataFrame, texts: list[float]) -> pl.DataFrame:
    """The usable points of which states have the time: columns series, ts, is_text, sorted by ts."""
    named = [(f"{n}_ts", f"{n}_value" if n in ("start", "stop") else n) for n in _VALUES if f"{n}_ts" in states.columns]
    values = pl.concat([states.select("series", ts=ts, value=value) for ts, value in named]).drop_nulls()
    is_text = pl.col("value").is_in(texts)
    return values.group_by("series", "ts").agg(is_text=is_text.any()).sort("ts")


def _nearest(
    rows: pl.DataFrame, points: pl.DataFrame, on: str, strategy: Literal["backward", "forward"]
) -> pl.DataFrame:
    """The rows, each with the columns of the last point before the instant in its column `on`, or with `forward` of the
    first point at that instant or later. The last column of the points is their time."""
    return rows.sort(on).join_asof(
        points,
        left_on=on,
        right_on=points.columns[-1],
        by="series",
        strategy=strategy,
        allow_exact_matches=strategy == "forward",
        coalesce=False,
        check_sortedness=False,
    )
