"""Least and greatest values of columns, and how the Delta log writes them: complete, whole strings, exact instants."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Bounds = tuple[Any, Any, int]
"""Minimum, maximum (None where there is no value; instants as `Instant`) and number of nulls."""


class Instant(int):
    """Microseconds since 1970, as a type of their own beside plain integers."""


def merged(earlier: Bounds | None, column: pa.ChunkedArray) -> Bounds:
    """The bounds of a column, together with those of the rows before it."""
    is_time, nulls = pa.types.is_timestamp(column.type), column.null_count
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries().unique().cast(column.type.value_type)
    bounds = pc.min_max(column.cast(pa.int64()) if is_time else column).as_py()
    low, high = bounds["min"], bounds["max"]
    if is_time:
        low, high = (None if us is None else Instant(us) for us in (low, high))
    if earlier is None:
        return low, high, nulls
    lows = [v for v in (earlier[0], low) if v is not None]
    highs = [v for v in (earlier[1], high) if v is not None]
    return min(lows, default=None), max(highs, default=None), earlier[2] + nulls


def delta_statistics(rows: int, bounds: Mapping[str, Bounds]) -> dict[str, Any]:
    """The statistics of an add action; a column that is null throughout has a null count only."""
    bounded = {name: s for name, s in bounds.items() if s[0] is not None}
    return {
        "numRecords": rows,
        "minValues": {name: _as_json(s[0]) for name, s in bounded.items()},
        "maxValues": {name: _as_json(s[1]) for name, s in bounded.items()},
        "nullCount": {name: s[2] for name, s in bounds.items()},
    }


def from_delta(action: Mapping[str, Any], name: str) -> Bounds:
    """A column's bounds as a flattened add action has them."""
    low, high = (_exact(action.get(f"{side}.{name}")) for side in ("min", "max"))
    return low, high, action.get(f"null_count.{name}") or 0


def from_json(statistics: Mapping[str, Any], time: str) -> dict[str, tuple[Any, Any]]:
    """The least and greatest value of each column, of the column `time` in microseconds, from statistics in the form
    of the Delta log."""
    sides = [statistics["minValues"], statistics["maxValues"]]
    bounds = {name: (sides[0].get(name), sides[1].get(name)) for name in statistics["nullCount"]}
    low, high = (None if text is None else _exact(datetime.fromisoformat(text)) for text in bounds[time])
    return {**bounds, time: (low, high)}


def overlaps(one: Mapping[str, tuple[Any, Any]], other: Mapping[str, tuple[Any, Any]]) -> bool:
    """Whether rows within both bounds may be equal in every bounded column; unknown bounds may have any value."""
    for name in one.keys() & other.keys():
        (low, high), (other_low, other_high) = one[name], other[name]
        if None not in (low, high, other_low, other_high) and (low > other_high or other_low > high):
            return False
    return True


def _exact(value: Any) -> Any:
    if isinstance(value, datetime):
        seconds = value.replace(microsecond=0)
        return Instant(int(seconds.timestamp()) * 1_000_000 + value.microsecond)
    return value


def _as_json(value: Any) -> Any:
    if isinstance(value, Instant):
        seconds, micros = divmod(int(value), 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{micros:06d}Z"
    return value
