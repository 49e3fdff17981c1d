"""As-of join: gives each row of one table the row of another that was valid at its time, by a sorted search per key."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.errors import UsageError
from siltstone.timeseries.points import Ints, Mask
from siltstone.timeseries.series_search import places

Direction = Literal["backward", "forward", "nearest"]
How = Literal["left", "inner", "right"]
_KEY = "#key"
_NONE = -1
_ONE_NUMBER = 1 << 62


def asof(
    left: pl.DataFrame,
    right: pl.DataFrame,
    *,
    on: str = "ts",
    by: Sequence[str] = ("series_id",),
    direction: Direction = "backward",
    tolerance_us: int | None = None,
    allow_exact: bool = True,
    how: How = "left",
    suffix: str = "_right",
) -> pl.DataFrame:
    """The rows of `left`, in their order, each with the row of `right` that has the same key and the nearest time.

    - `on`: the column of times in both: timestamps of any unit, or whole numbers.
    - `by`: the columns of the key, none for one common series. A null in the key or in the time matches nothing.
    - `direction`: backward: the latest at or before the row's time, forward: the earliest at or after it, nearest: the
      nearer one of both, the earlier one if both are as near. Without `allow_exact` a row at exactly the same time
      does not count. If several rows of `right` have the same key and time, the last one counts.
    - `tolerance_us`: the greatest distance, included; microseconds, or in the unit of whole numbers.
    - `how`: left: every row of `left`, with nulls if nothing matches; inner: only rows of `left` with a match; right:
      rows with a match, then every row of `right` that matches none.

    Columns: all of `left`, then all of `right` without the key. A name that `left` has, too, gets the suffix, and so
    does the time (`ts_right`: null if nothing matched). Raises UsageError for columns that don't fit.
    """
    _check(left, right, on, by, suffix)
    left_ts, right_ts, tolerance = _times(left[on], right[on], tolerance_us)
    left_key, right_key = _keys(left, right, by)
    usable = [(ts.is_not_null() & (key >= 0)).arg_true() for ts, key in ((left_ts, left_key), (right_ts, right_key))]
    asking = _sorted(usable[0].to_numpy(), left_key.to_numpy(), left_ts.fill_null(0).to_numpy())
    events = _distinct(_sorted(usable[1].to_numpy(), right_key.to_numpy(), right_ts.fill_null(0).to_numpy()))
    match: Ints = np.full(left.height, _NONE, np.int64)
    match[asking.row] = _nearest(events, asking, direction, tolerance, allow_exact)
    beside = right.drop(by).rename(_names_beside(left, right, on, by, suffix))
    rows = pl.Series(match).set(pl.Series(match < 0), None)
    joined = pl.concat([left, beside.select(pl.all().gather(rows))], how="horizontal")
    if how == "left":
        return joined
    joined = joined.filter(pl.Series(match >= 0))
    if how == "inner":
        return joined
    untaken = np.setdiff1d(np.arange(right.height), match)
    alone = pl.concat([right.select(by), beside], how="horizontal")[untaken]
    return pl.concat([joined, alone], how="diagonal")


@dataclass(frozen=True)
class _Rows:
    """Rows of a table by their place `row`, with the number of their key and their time."""

    row: Ints
    key: Ints
    ts: Ints

    def where(self, chosen: Ints | Mask) -> "_Rows":
        return _Rows(self.row[chosen], self.key[chosen], self.ts[chosen])


def _sorted(rows: npt.NDArray[np.integer], key: Ints, ts: Ints) -> _Rows:
    """Chosen rows of a table, sorted by key, time and row."""
    chosen = _Rows(rows.astype(np.int64), key[rows], ts[rows])
    key, ts = chosen.key, chosen.ts
    if ((key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & (ts[1:] >= ts[:-1]))).all():
        return chosen
    low = int(ts.min())
    width = int(ts.max()) - low + 1
    if (int(key.max()) + 1) * width > _ONE_NUMBER:
        return chosen.where(np.lexsort((ts, key)))
    both = pl.DataFrame({"both": key * width + (ts - low)}).with_row_index("place")
    return chosen.where(both.sort("both", maintain_order=True)["place"].to_numpy().astype(np.int64))


def _distinct(rows: _Rows) -> _Rows:
    """The rows, of several with equal key and time only the last one."""
    is_last = np.ones(len(rows.row), bool)
    is_last[:-1] = (rows.key[1:] != rows.key[:-1]) | (rows.ts[1:] != rows.ts[:-1])
    return rows.where(is_last)


def _nearest(events: _Rows, asking: _Rows, direction: Direction, tolerance: int | None, allow_exact: bool) -> Ints:
    """For each row of `asking` the place of the event that it matches, -1 for none."""
    result = np.full(len(asking.row), _NONE, np.int64)
    if len(events.row) == 0 or len(asking.row) == 0:
        return result
    distance = np.full(len(result), np.iinfo(np.int64).max if tolerance is None else tolerance, np.int64)
    starts: Ints = np.searchsorted(events.key, np.arange(max(events.key[-1], asking.key[-1]) + 2))

    def take(place: Ints, is_there: Mask) -> None:
        """Match the event at each place if it is not further away than `distance`; then `distance` is how far it is."""
        chosen = np.flatnonzero(is_there)
        away = np.abs(events.ts[place[chosen]] - asking.ts[chosen])
        near = away <= distance[chosen]
        chosen = chosen[near]
        result[chosen], distance[chosen] = events.row[place[chosen]], away[near]

    if direction != "forward":
        place = places(starts, events.ts, asking.key, asking.ts, "right" if allow_exact else "left") - 1
        take(place, place >= starts[asking.key])
    if direction != "backward":
        place = places(starts, events.ts, asking.key, asking.ts, "left" if allow_exact else "right")
        distance[result >= 0] -= 1  # as near is not nearer
        take(place, place < starts[asking.key + 1])
    return result


def _check(left: pl.DataFrame, right: pl.DataFrame, on: str, by: Sequence[str], suffix: str) -> None:
    for column in (on, *by):
        for side, frame in (("left", left), ("right", right)):
            if column not in frame.columns:
                raise UsageError(
                    f"as-of join: the {side} table has no column {column}",
                    f"Join by one that both have; the {side} one has {', '.join(frame.columns)}.",
                )
        if column != on and left[column].dtype != right[column].dtype:
            raise UsageError(
                f"as-of join: {column} is {left[column].dtype} on the left and {right[column].dtype} on the right",
                "Cast one of them.",
            )
    added = list(_names_beside(left, right, on, by, suffix).values())
    repeated = sorted({name for name in added if name in left.columns or added.count(name) > 1})
    if repeated:
        raise UsageError(f"as-of join: {', '.join(repeated)} would stand twice in the result", "Give another `suffix`.")


def _names_beside(left: pl.DataFrame, right: pl.DataFrame, on: str, by: Sequence[str], suffix: str) -> dict[str, str]:
    """The names in the result of the columns of the right table, without its key."""
    names = [name for name in right.columns if name not in by]
    return {name: name + suffix if name == on or name in left.columns else name for name in names}


def _times(left: pl.Series, right: pl.Series, tolerance_us: int | None) -> tuple[pl.Series, pl.Series, int | None]:
    """The times of both sides as int64 in one unit, and the tolerance in that unit."""
    if left.dtype.is_integer() and right.dtype.is_integer():
        return left.cast(pl.Int64()), right.cast(pl.Int64()), tolerance_us
    kinds = [series.dtype for series in (left, right)]
    zoned = [isinstance(kind, pl.Datetime) and kind.time_zone is not None for kind in kinds]
    if not all(isinstance(kind, pl.Datetime) for kind in kinds) or zoned[0] != zoned[1]:
        raise UsageError(
            f"as-of join: {left.name} is {kinds[0]} on the left and {kinds[1]} on the right",
            "Cast both to timestamps with a zone, or both to whole numbers.",
        )
    is_fine = any(isinstance(kind, pl.Datetime) and kind.time_unit == "ns" for kind in kinds)
    cast = [series.dt.cast_time_unit("ns" if is_fine else "us").to_physical() for series in (left, right)]
    return cast[0], cast[1], tolerance_us * 1_000 if is_fine and tolerance_us is not None else tolerance_us


def _keys(left: pl.DataFrame, right: pl.DataFrame, by: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """A number for the key of each row, from 0; -1 if the right table does not have the key, or if it has a null."""
    if not by:
        return pl.zeros(left.height, pl.Int64(), eager=True), pl.zeros(right.height, pl.Int64(), eager=True)
    distinct = right.select(by).drop_nulls().unique(maintain_order=True).with_row_index(_KEY)
    numbered = [
        frame.select(by)
        .join(distinct, on=list(by), how="left", maintain_order="left")[_KEY]
        .cast(pl.Int64())
        .fill_null(-1)
        for frame in (left, right)
    ]
    return numbered[0], numbered[1]
