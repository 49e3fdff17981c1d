"""What is known of the time between a series' buckets: those without points have no row in a table made with --empty
skip, though their value may be known all the while."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from siltstone.aggregates.interpretation import Interpretation
from siltstone.aggregates.pieces import NONE, Ends, Ways, pieces_between
from siltstone.aggregates.points import Ints

STATE_FIELDS = ("first_ts", "first_value", "first_quality", "last_ts", "last_value", "last_quality", "texts")
"""What of a bucket's state tells of the time around it."""


@dataclass(frozen=True)
class Gap:
    """Time without buckets after the row `after` (-1: before the first row), in microseconds since 1970 UTC.

    From `known_from` to `known_to` the value is known, which goes from `first` to `last` in a line; the two are equal
    where nothing is known. `state`: the value as time in states names it.
    """

    after: int
    start: int
    end: int
    known_from: int
    known_to: int
    first: float
    last: float
    is_good: bool
    state: str = ""

    @property
    def is_known(self) -> bool:
        return self.known_from < self.known_to


def gaps_of(
    rows: pl.DataFrame, how: Interpretation, watermark_us: int, *, begin_us: int | None = None, only_good: bool = False
) -> tuple[Gap, ...]:
    """The gaps between rows in order of time, after the last one up to the watermark, and before the first one.

    `rows`: bucket_start, bucket_end (int64 microseconds), `state` with STATE_FIELDS, null in rows without points;
    carried_in and perhaps start_value, which tell of the time from `begin_us` to the first row where that is given.
    `only_good`: what is known but not good counts as unknown.
    """
    if not rows.height:
        return ()
    start, end = rows["bucket_start"].to_numpy(), rows["bucket_end"].to_numpy()
    until = np.append(start[1:], max(watermark_us, int(end[-1])))
    has_points = rows["state"].is_not_null().to_numpy()
    after = np.flatnonzero((end < until) & has_points & np.append(has_points[1:], True))
    return (*_before(rows, how, begin_us), *_between(rows, how, after, until, only_good=only_good))


def _between(rows: pl.DataFrame, how: Interpretation, after: Ints, until: Ints, *, only_good: bool) -> tuple[Gap, ...]:
    states = rows["state"].struct
    following = np.minimum(after + 1, rows.height - 1)
    has_next = after + 1 < rows.height
    left, right = _ends(states, "last", after), _ends(states, "first", following)
    nothing = np.maximum(until[after], left.ts)
    right = Ends(np.where(has_next, right.ts, nothing), right.value, np.where(has_next, right.quality, np.int8(NONE)))
    pieces = pieces_between(left, right, Ways.of([how]).at(np.zeros(len(after), np.int64)))
    start = rows["bucket_end"].to_numpy()[after]
    known_from = np.maximum(pieces.begin, start)
    known_to = np.maximum(np.minimum(pieces.end, until[after]), known_from)
    if only_good:
        known_to = np.where(pieces.is_good, known_to, known_from)
    first, last = pieces.at(known_from), pieces.at(known_to)
    texts = states.field("texts").to_list()
    return tuple(
        Gap(
            int(i), int(start[n]), int(until[i]), int(known_from[n]), int(known_to[n]), float(first[n]), float(last[n]),
            bool(pieces.is_good[n]), _state(float(first[n]), [*(texts[i] or ()), *(texts[following[n]] or ())]),
        )
        for n, i in enumerate(after)
    )  # fmt: skip


def _before(rows: pl.DataFrame, how: Interpretation, begin_us: int | None) -> tuple[Gap, ...]:
    """What the first row says of the time before it: of a step that it was at its start value."""
    start = int(rows["bucket_start"][0])
    if begin_us is None or begin_us >= start or how.kind not in ("step", "counter") or not rows["carried_in"][0]:
        return ()
    value = rows["start_value"][0] if "start_value" in rows.columns else None
    if value is None:
        return ()
    return (Gap(-1, begin_us, start, begin_us, start, value, value, how.uncertain != "keep", _state(value, [])),)


def _ends(states: "pl.series.struct.StructNameSpace", which: str, places: Ints) -> Ends:
    ts, value, quality = (states.field(f"{which}_{part}")[places] for part in ("ts", "value", "quality"))
    return Ends(ts.to_numpy(), value.fill_null(0.0).to_numpy(), quality.to_numpy())


def _state(value: float, texts: list[dict[str, object]]) -> str:
    """The name of a value: its text, or the shortest one of the number."""
    text = next((t["text"] for t in texts if t["value"] == value), None)
    return str(text) if text is not None else str(pl.Series([value]).cast(pl.String())[0]).removesuffix(".0")
