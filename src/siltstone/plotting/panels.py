"""What the picture of a series shows: the measure, the shape in which it is drawn, the buckets."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.plotting.gaps import Gap
from siltstone.timeseries.interpretation import Kind
from siltstone.timeseries.points import Floats, Ints

Shape = Literal["step", "linear", "bars", "states"]

TIME_IN_STATE = "time_in_state"
USUAL = "time_weighted_average"
TRUST = ("n", "n_bad", "covered_s", "good_s", "pct_good")
INSTANTS = ("min_ts", "max_ts")
_AMOUNTS = ("integral", "transitions", "count", "sum", "increase", "n", "n_bad", "covered_s", "good_s")
_OF_OTHER_UNITS = (*_AMOUNTS, "stddev", "time_weighted_stddev", "pct_good")
_OF_ALL_TIME = (USUAL, "start_value", "end_value", "min", "max", TIME_IN_STATE)
"""Measures of the value over all time: a bucket without points has them, too, if a value is carried into it."""
_BY_KIND: Mapping[Kind, str] = {"counter": "increase", "bucketed": "sum"}


@dataclass(frozen=True)
class Panel:
    """A series over its buckets, sorted by time; null is NaN.

    - `name`, `about`: the measurement, and what else names the series. `measure`, `shape`: what is drawn, and how.
    - `start`, `end`: of the buckets, microseconds since 1970 UTC. `value`; `low` and `high`: the band, NaN for none.
    - `pct_good`: 0 to 100. `n`: points. `provisional`: bool.
    - `states`: of the shape "states" a mapping state -> seconds for each bucket.
    - `gaps`: the time between buckets. `can_cover`: False for totals of periods, which cover no time.
    - `is_text`: whether the values are texts.
    """

    name: str
    about: tuple[str, ...]
    measure: str
    shape: Shape
    start: Ints
    end: Ints
    value: Floats
    low: Floats
    high: Floats
    pct_good: Floats
    n: Ints
    provisional: npt.NDArray[np.bool_]
    states: tuple[Mapping[str, float], ...] = ()
    gaps: tuple[Gap, ...] = ()
    can_cover: bool = True
    is_text: bool = False

    @property
    def holds(self) -> bool:
        """Whether the measure is drawn between buckets, too, where its value is known."""
        return self.measure in _OF_ALL_TIME

    def gaps_to_draw(self, span: tuple[int, int]) -> list[Gap]:
        """The gaps to draw in a span: some of their time in it is known, and the table has the value."""
        has_value = [bool(g.state) if self.shape == "states" else math.isfinite(g.first) for g in self.gaps]
        is_inside = [start < end for start, end in (gap.shown(span) for gap in self.gaps)]
        return [gap for gap, *yes in zip(self.gaps, has_value, is_inside, strict=True) if self.holds and all(yes)]

    @property
    def is_known(self) -> npt.NDArray[np.bool_]:
        """For each bucket whether it has something to draw."""
        return np.array([bool(s) for s in self.states], bool) if self.shape == "states" else np.isfinite(self.value)

    def runs(self) -> Iterator[tuple[int, int]]:
        """The first and the last bucket of each run of buckets with values and without gaps. Lines end with a run."""
        has_value, touches = self.is_known, self.end[:-1] == self.start[1:]
        breaks = [0, *(np.flatnonzero(~(has_value[1:] & has_value[:-1] & touches)) + 1).tolist(), len(has_value)]
        for first, stop in pairwise(breaks):
            if stop > first and has_value[first]:
                yield first, stop - 1


def usual_measure(kind: Kind, rows: pl.DataFrame) -> str:
    """The measure to draw by default: the sum of totals of periods, the increase of a counter, time in states of texts,
    else the average; if the table does not have it, the first measure that it has."""
    measures = [name for name in rows.columns if name not in INSTANTS]
    usual = _BY_KIND.get(kind, USUAL)
    if usual in measures and (rows[usual].count() or TIME_IN_STATE not in measures):
        return usual
    if TIME_IN_STATE in measures and rows[TIME_IN_STATE].count():
        return TIME_IN_STATE
    return next((name for name in measures if name in (USUAL, "mean", "last", "max", "sum")), measures[0])


def panel_of(
    name: str, about: tuple[str, ...], kind: Kind, measure: str, rows: pl.DataFrame, gaps: tuple[Gap, ...] = ()
) -> Panel:
    """The panel of a series, made of its rows, sorted by time: columns bucket_start, bucket_end (int64 microseconds),
    pct_good, n, provisional, the measure, and min and max if the table has them."""
    nothing = np.full(rows.height, np.nan)
    is_states = measure == TIME_IN_STATE
    shape: Shape = "step"
    if is_states or measure in _AMOUNTS:
        shape = "states" if is_states else "bars"
    elif kind == "linear" and measure not in _OF_OTHER_UNITS:
        shape = "linear"
    has_band = shape in ("step", "linear") and measure not in _OF_OTHER_UNITS and {"min", "max"} <= {*rows.columns}
    value = nothing if is_states else _reals(rows[measure])
    is_known = np.isfinite(value)
    return Panel(
        name=name,
        about=about,
        measure=measure,
        shape=shape,
        start=rows["bucket_start"].to_numpy(),
        end=rows["bucket_end"].to_numpy(),
        value=value,
        low=np.where(is_known, _reals(rows["min"]), np.nan) if has_band else nothing,
        high=np.where(is_known, _reals(rows["max"]), np.nan) if has_band else nothing,
        pct_good=np.nan_to_num(_reals(rows["pct_good"])),
        n=rows["n"].fill_null(0).to_numpy(),
        provisional=rows["provisional"].fill_null(value=False).to_numpy(),
        states=tuple(s or {} for s in rows[TIME_IN_STATE].to_list()) if is_states else (),
        gaps=gaps,
        can_cover=kind != "bucketed",
        is_text="state" in rows.columns and bool(rows["state"].struct.field("texts").list.len().sum()),
    )


def _reals(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def states_by_time(panels: list[Panel], most: int) -> list[str]:
    """The `most` states with the most time in all panels, sorted by number or name."""
    seconds: dict[str, float] = {}
    for panel in panels:
        for times in panel.states:
            for state, s in times.items():
                seconds[state] = seconds.get(state, 0.0) + s
    return sorted(sorted(seconds, key=lambda s: (-seconds[s], s))[:most], key=_by_number)


def _by_number(state: str) -> tuple[float, str]:
    try:
        return float(state), state
    except ValueError:
        return float("inf"), state
