"""Columns of a file with a schema, as the contract's kinds: a value that would change becomes null.

A file whose column has another type than expected is accepted as long as nothing is lost: 3.0 is the integer 3, and a
timestamp of nanoseconds that are whole microseconds is one of microseconds. The caller rescues a value that becomes
null.
"""

import polars as pl

from siltstone.formats.typed_texts import json_texts
from siltstone.mapping.misfits import as_double, as_integer, nothing
from siltstone.model.kinds import Kind
from siltstone.model.periods import DAY_US

_EXACT = 1 << 53
_CALENDAR_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # the years 1 to 9999: others can't be shown
_PER_US = {"ns": 1_000, "us": 1, "ms": 1}
_US_PER = {"ns": 1, "us": 1, "ms": 1_000}


def exact(frame: pl.DataFrame, name: str, kind: Kind) -> pl.Expr:
    """The column under its name as a contract has values of the kind; no NaN, no infinity."""
    if kind in ("string", "json"):
        values = text(frame, name)
    elif kind == "timestamp":
        values = _timestamp(frame, name)
    elif kind in ("bigint", "int"):
        values = whole(frame, name).cast(pl.Int32() if kind == "int" else pl.Int64(), strict=False)
    elif kind == "boolean":
        values = pl.col(name) if frame.schema[name] == pl.Boolean else nothing(pl.Boolean())
    else:
        values = as_double(frame, name)
        if kind == "float":
            narrow = values.cast(pl.Float32())
            values = pl.when(narrow.cast(pl.Float64()) == values).then(narrow)
    return values.alias(name)


def whole(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Integers, and decimals, floats and booleans that are such, as Int64; text is none."""
    column, dtype = pl.col(name), frame.schema[name]
    if dtype.is_decimal():
        integer = column.cast(pl.Int64(), strict=False)
        return pl.when(integer.cast(dtype, strict=False) == column).then(integer)
    if dtype == pl.Boolean:
        return column.cast(pl.Int64())
    return nothing(pl.Int64()) if dtype == pl.String else as_integer(frame, name)


def whole_double(frame: pl.DataFrame, name: str) -> pl.Expr:
    """The same as Float64; null beyond 2^53, where doubles leave integers out."""
    if frame.schema[name] in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32):
        return pl.col(name).cast(pl.Float64())
    integer = whole(frame, name)
    return pl.when(integer.is_between(-_EXACT, _EXACT)).then(integer.cast(pl.Float64()))


def text(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Text, coded or not; null for values of other types."""
    is_text = frame.schema[name] in (pl.String, pl.Categorical, pl.Enum)
    return pl.col(name).cast(pl.String()) if is_text else nothing(pl.String())


def instant(frame: pl.DataFrame, name: str) -> tuple[pl.Expr, pl.Expr]:
    """A timestamp column as Int64 microseconds (cut, UTC; without a zone taken as UTC) and Int32 nanoseconds, 0 to 999.

    What no 64 bits hold is the nearest that they do, and so out of all bounds.
    """
    dtype = frame.schema[name]
    assert isinstance(dtype, pl.Datetime), f"{name} is {dtype}"
    per_us, us_per = _PER_US[dtype.time_unit], _US_PER[dtype.time_unit]
    ticks = pl.col(name).cast(pl.Int64())
    limit = (1 << 63) // us_per - 1
    us = ticks.clip(-limit, limit) * us_per if us_per > 1 else ticks // per_us if per_us > 1 else ticks
    nanos = ticks % per_us if per_us > 1 else pl.lit(0)
    return us, nanos.cast(pl.Int32())


def with_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame, with texts in place of values that polars can't turn into text by itself: nested values become JSON,
    bytes hexadecimal digits, and instants that no calendar has their number."""
    return frame.with_columns(
        _text_of(frame[name].alias("")).alias(name) for name, dtype in frame.schema.items() if _is_mute(dtype)
    )


def _is_mute(dtype: pl.DataType) -> bool:
    return dtype.is_nested() or dtype == pl.Binary or isinstance(dtype, pl.Datetime)


def _text_of(column: pl.Series) -> pl.Series:
    if column.dtype == pl.Binary:
        return column.bin.encode("hex")
    if isinstance(column.dtype, pl.Datetime):
        ticks = column.to_physical()
        us, _ = instant(column.to_frame(), column.name)
        is_shown = column.to_frame().select(us.is_between(*_CALENDAR_US)).to_series()
        if is_shown.all():
            return column
        shown = pl.select(pl.when(is_shown).then(column).cast(pl.String())).to_series()
        return pl.select(pl.coalesce(shown, ticks.cast(pl.String()))).to_series().alias(column.name)
    return json_texts(column)


def _timestamp(frame: pl.DataFrame, name: str) -> pl.Expr:
    dtype = frame.schema[name]
    if isinstance(dtype, pl.Datetime):
        us, nanos = instant(frame, name)
        is_exact = us.is_between(*_CALENDAR_US) & (nanos == 0)
    elif dtype == pl.Date:
        us = pl.col(name).cast(pl.Int64()) * DAY_US
        is_exact = us.is_between(*_CALENDAR_US)
    else:
        return nothing(pl.Datetime("us", "UTC"))
    return pl.when(is_exact).then(us.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
