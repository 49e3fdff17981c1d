"""Rows of aggregates whose values are texts: the numbers that stand for them must not be told as numbers."""

from collections.abc import Mapping
from typing import Literal

import polars as pl

_VALUES = ("start", "stop", "low", "high")


def textual_rows(rows: pl.DataFrame, states: pl.DataFrame, texts: Mapping[float, str], ahead: pl.Series) -> pl.Series:
    """Whether a text is known in each of some rows (boolean, in their order): one of their own, the one carried in, and
    of series that look ahead the next one.

    `rows`: series, bucket_start, bucket_end (microseconds). `states`: of these series, also what was before. `texts`:
    those that values stand for. `ahead`: the numbers of the series whose next point tells of the time before it.
    """
    if not texts:
        return pl.repeat(value=False, n=rows.height, eager=True)
    points = _points(states, list(texts))
    asked = rows.select("series", "bucket_start", "bucket_end").with_row_index("row")
    found = _nearest(asked, points.filter("is_text").select("series", text_ts="ts"), "bucket_end", "backward")
    found = _nearest(found, points.select("series", before_ts="ts"), "bucket_start", "backward")
    found = _nearest(found, points.select("series", "is_text", next_ts="ts"), "bucket_end", "forward").sort("row")
    is_next = pl.col("series").is_in(ahead.implode()) & pl.col("is_text")
    is_own = pl.col("text_ts") >= pl.col("before_ts").fill_null(pl.col("text_ts"))
    return found.select(is_own.fill_null(value=False) | is_next.fill_null(value=False)).to_series()


def _points(states: pl.DataFrame, texts: list[float]) -> pl.DataFrame:
    """The usable points that states name: series, ts, is_text, rising by ts."""
    named = [(f"{n}_ts", f"{n}_value" if n in ("start", "stop") else n) for n in _VALUES if f"{n}_ts" in states.columns]
    found = pl.concat([states.select("series", ts=ts, value=value) for ts, value in named]).drop_nulls()
    is_text = pl.col("value").is_in(texts)
    return found.group_by("series", "ts").agg(is_text=is_text.any()).sort("ts")


def _nearest(
    rows: pl.DataFrame, points: pl.DataFrame, on: str, strategy: Literal["backward", "forward"]
) -> pl.DataFrame:
    """Beside each row what its last point before an instant says, or (forward) the first one at it or later. The last
    column of the points is their time."""
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
