"""What is known of the time between the buckets of a series. In a table made with --empty skip, buckets without points
have no row, although the value may be known in them."""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl

from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.intervals import NONE, BoundaryPoints, SeriesRules, pieces_between
from siltstone.timeseries.points import Ints

EVER = 1 << 61  # microseconds: after every instant
STATE_FIELDS = ("first_ts", "first_value", "first_quality", "last_ts", "last_value", "last_quality", "texts")
"""The fields of a bucket's state that say something of the time around it."""


@dataclass(frozen=True)
class Gap:
    """Time without buckets after the row `after` (-1: before the first row), in microseconds since 1970 UTC.

    From `known_from` to `known_to` the value is known; the two are equal if nothing is known. The value goes from
    `first` to `last` in a line; both are NaN if it is a text, or not in the table. `state`: the value as a text, as in
    time in states; empty if it is not in the table.
    """

    after: int
    start: int
    end: int
    known_from: int
    known_to: int
    first: float
    last: float
    state: str
    is_good: bool

    @property
    def is_known(self) -> bool:
        return self.known_from < self.known_to

    def shown(self, span: tuple[int, int]) -> tuple[int, int]:
        """The part of the known time within a span: start and end, equal if there is none."""
        start, end = max(self.known_from, span[0]), min(self.known_to, span[1])
        return start, max(start, end)


def gaps_of(
    rows: pl.DataFrame,
    how: Interpretation,
    watermark_us: int,
    *,
    begin_us: int | None = None,
    end_us: int = EVER,
    only_good: bool = False,
) -> tuple[Gap, ...]:
    """The gaps before, between and after rows that are sorted by time; the last one ends at the watermark.

    - `rows`: columns bucket_start, bucket_end (int64 microseconds); `state` with STATE_FIELDS, null without points;
      carried_in and perhaps start_value, for the time from `begin_us` to the first row if that is given.
    - `end_us`: rows from there on were not read. Then the last gap of a series that looks ahead is left out.
    - `only_good`: what is known but not good counts as unknown.
    """
    if not rows.height:
        return ()
    start, end = rows["bucket_start"].to_numpy(), rows["bucket_end"].to_numpy()
    until = np.append(start[1:], max(watermark_us, int(end[-1])))
    has_points = rows["state"].is_not_null().to_numpy()
    is_last_told = end_us >= watermark_us or not how.looks_ahead
    after = np.flatnonzero((end < until) & has_points & np.append(has_points[1:], is_last_told))
    return (*_before(rows, how, begin_us), *_between(rows, how, after, until, only_good=only_good))


def _between(rows: pl.DataFrame, how: Interpretation, after: Ints, until: Ints, *, only_good: bool) -> tuple[Gap, ...]:
    states = rows["state"].struct
    following = np.minimum(after + 1, rows.height - 1)
    has_next = after + 1 < rows.height
    left, right = _ends(states, "last", after), _ends(states, "first", following)
    gap_end = np.maximum(until[after], left.ts)
    right = BoundaryPoints(
        np.where(has_next, right.ts, gap_end), right.value, np.where(has_next, right.quality, np.int8(NONE))
    )
    pieces = pieces_between(left, right, SeriesRules.of([how]).at(np.zeros(len(after), np.int64)))
    start = rows["bucket_end"].to_numpy()[after]
    known_from = np.maximum(pieces.begin, start)
    known_to = np.maximum(np.minimum(pieces.end, until[after]), known_from)
    if only_good:
        known_to = np.where(pieces.is_good, known_to, known_from)
    values = pieces.at(known_from).tolist(), pieces.at(known_to).tolist()
    texts = states.field("texts").to_list()
    gaps = []
    for n, (i, first, last) in enumerate(zip(after.tolist(), *values, strict=True)):
        named = {t["value"]: t["text"] for row in {i, int(following[n])} for t in texts[row] or ()}
        if first in named:
            state, first, last = named[first], math.nan, math.nan
        else:
            state = _number(first)
        known_span, is_good = (int(known_from[n]), int(known_to[n])), bool(pieces.is_good[n])
        gaps.append(Gap(i, int(start[n]), int(until[i]), *known_span, first, last, state, is_good))
    return tuple(gaps)


def _before(rows: pl.DataFrame, how: Interpretation, begin_us: int | None) -> tuple[Gap, ...]:
    """The gap before the first row, if the row says what is known of it: a step had its start value."""
    start = int(rows["bucket_start"][0])
    if begin_us is None or begin_us >= start or how.kind not in ("step", "counter") or not rows["carried_in"][0]:
        return ()
    start_value = rows["start_value"][0] if "start_value" in rows.columns else None
    value, state = (math.nan, "") if start_value is None else (float(start_value), _number(start_value))
    return (Gap(-1, begin_us, start, begin_us, start, value, value, state, how.uncertain != "keep"),)


def _ends(states: "pl.series.struct.StructNameSpace", which: str, places: Ints) -> BoundaryPoints:
    ts, value, quality = (states.field(f"{which}_{part}")[places] for part in ("ts", "value", "quality"))
    return BoundaryPoints(ts.to_numpy(), value.fill_null(0.0).to_numpy(), quality.to_numpy())


def _number(value: float) -> str:
    """A number as a text, as in time in states."""
    return str(pl.Series([value]).cast(pl.String())[0]).removesuffix(".0")
