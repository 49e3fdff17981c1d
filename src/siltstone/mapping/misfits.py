"""Columns as a foreign file has them to values of the contract, and what they can't hold to `_rescued`.

A file's schema says what it holds, whatever its documentation promises: an average may come as double, integer or
text. Each reading here takes a column of any type; where it gives null for a value, that value's text is rescued.
"""

from collections.abc import Mapping

import orjson
import polars as pl

from siltstone.formats.exact_columns import column_named
from siltstone.formats.typed_texts import temporal_texts

_EXACT = 1 << 53
_NOT_FINITE = {"inf": "Infinity", "-inf": "-Infinity"}


def as_double(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Numbers and numeric text (as JSON too, in quotes) as Float64; null for all else, and for what no finite double
    holds exactly: NaN, infinities, integers beyond 2^53. Decimals in text take the nearest double."""
    column, dtype = column_named(name), frame.schema[name]
    if dtype.is_float():
        return pl.when(column.is_finite()).then(column.cast(pl.Float64()))
    if dtype in (pl.Int8, pl.Int16, pl.Int32, pl.UInt8, pl.UInt16, pl.UInt32) or dtype.is_decimal():
        return column.cast(pl.Float64())
    if dtype.is_integer():
        return pl.when(column.is_between(-_EXACT, _EXACT)).then(column.cast(pl.Float64()))
    if dtype == pl.String:
        number = column.str.strip_prefix('"').str.strip_suffix('"').cast(pl.Float64(), strict=False)
        is_near = (number.abs() < _EXACT) | column.str.contains("[.eE]")
        return pl.when(number.is_finite() & is_near).then(number)
    return nothing(pl.Float64())


def as_integer(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Integers, whole doubles below 2^53 and text of digits as Int64; null for all else."""
    column, dtype = column_named(name), frame.schema[name]
    if dtype.is_integer():
        return column.cast(pl.Int64(), strict=False)
    if dtype.is_float():
        return pl.when((column == column.floor()) & (column.abs() < _EXACT)).then(column.cast(pl.Int64(), strict=False))
    if dtype == pl.String:
        return pl.when(column.str.contains(r"^-?[0-9]+$")).then(column.cast(pl.Int64(), strict=False))
    return nothing(pl.Int64())


def as_flag(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Booleans, and true and false in text of any case, as 1.0 and 0.0; null for all else."""
    column, dtype = column_named(name), frame.schema[name]
    if dtype == pl.Boolean:
        return column.cast(pl.Float64())
    if dtype == pl.String:
        words = {"true": 1.0, "false": 0.0}
        return column.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Float64())
    return nothing(pl.Float64())


def as_text(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Any value as text: text as it is, numbers as short as they can be."""
    column, dtype = column_named(name), frame.schema[name]
    if dtype == pl.String:
        return column
    if dtype.is_temporal():
        return temporal_texts(column, dtype)
    text = column.cast(pl.String())
    return text.replace(_NOT_FINITE) if dtype.is_float() else text


def nothing(dtype: pl.DataType) -> pl.Expr:
    """A null for each row; a literal would be one row where nothing else is selected."""
    return pl.repeat(None, pl.len(), dtype=dtype)


def rescue_columns(frame: pl.DataFrame, lost: Mapping[str, pl.Expr]) -> pl.Series | None:
    """The text of `_rescued` for each row, null for none; None if no row has one.

    `lost` has, by column of the frame, an expression that is true in rows where the value has no other place.
    """
    if not lost:
        return None
    masks = frame.select(is_lost.fill_null(value=False).alias(str(n)) for n, is_lost in enumerate(lost.values()))
    names = {str(n): name for n, name in enumerate(lost) if masks[str(n)].any()}
    if not names:
        return None
    rows = masks.select(pl.any_horizontal(*names)).to_series().arg_true()
    parts = frame[rows].select(
        pl.when(masks[n][rows]).then(pl.lit(orjson.dumps(name).decode() + ":") + _json(as_text(frame, name))).alias(n)
        for n, name in names.items()
    )
    texts = parts.select("{" + pl.concat_str(pl.all(), separator=",", ignore_nulls=True) + "}").to_series()
    return pl.select(pl.repeat(None, frame.height, dtype=pl.String())).to_series().scatter(rows, texts)


def join_rescued(first: str, second: str) -> pl.Expr:
    """Two columns of `_rescued` texts as one; their keys are different."""
    one, other = pl.col(first), pl.col(second)
    both = one.str.head(-1) + "," + other.str.tail(-1)
    return pl.coalesce(both, one, other)


def _json(value: pl.Expr) -> pl.Expr:
    """The value as JSON."""
    return pl.struct(value.alias("v")).struct.json_encode().str.slice(5).str.head(-1)
