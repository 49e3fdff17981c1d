"""A cell of a foreign record as a reading: its value, text and kind, or that it does not fit.

A number becomes a value of kind integer or double by how it is written; a boolean the value 0 or 1; all else is text.
What a double can't hold (a longer integer, NaN, an infinity, 1e400) gives no value: it is a *misfit*, kept by its own
text.
"""

from collections.abc import Sequence

import polars as pl

from siltstone.formats.ndjson.members import BOOLEAN, JSON, MISFIT, NUMBER, TEXT
from siltstone.formats.typed_texts import json_texts, temporal_texts

CELLS = pl.Schema({"value": pl.Float64(), "text": pl.String(), "kind": pl.String(), "misfit": pl.String()})
"""`kind` is null for a cell without content; `misfit` the own text of a value that did not fit, else null."""

_KINDS = {NUMBER: "double", BOOLEAN: "boolean", TEXT: "string", JSON: "json", MISFIT: "double"}
_EXACT = float(1 << 53)


def of_members(text: pl.Series, kind: pl.Series, own: pl.Series) -> pl.DataFrame:
    """Cells of JSON values, as `formats.members` has them."""
    numbers = kind == NUMBER
    numeric = text if numbers.all() else text.zip_with(numbers, _none(text))
    value, is_integer, fits = _numbers(numeric)
    misfit = (numbers & ~fits) | (kind == MISFIT)
    booleans = kind == BOOLEAN
    if booleans.any():
        value = value.zip_with(~booleans, (text == "true").cast(pl.Float64()))
    words = kind.is_in([TEXT, JSON])
    names = kind.replace_strict(_KINDS, default=None, return_dtype=pl.String())
    frame = pl.DataFrame({"value": value, "written": text, "kind": names, "own": own})
    return frame.select(
        pl.when(~misfit).then("value").alias("value"),
        pl.when(words).then("written").alias("text"),
        pl.when(is_integer).then(pl.lit("integer")).otherwise("kind").alias("kind"),
        pl.when(misfit).then(pl.coalesce("own", "written")).alias("misfit"),
    )


def of_tokens(own: pl.Series) -> pl.DataFrame:
    """Cells of JSON values, given as their own text; null means no value. No value is nested, NaN, or has escapes."""
    value, is_integer, fits = _numbers(own)
    is_number, is_text, is_true = value.is_not_null(), own.str.starts_with('"'), own == "true"
    is_boolean = is_true | (own == "false")
    return pl.DataFrame({"value": value, "own": own}).select(
        pl.when(fits).then("value").when(is_boolean).then(is_true.cast(pl.Float64())).alias("value"),
        pl.when(is_text).then(unquoted("own")).alias("text"),
        pl.when(is_integer)
        .then(pl.lit("integer"))
        .when(is_number)
        .then(pl.lit("double"))
        .when(is_text)
        .then(pl.lit("string"))
        .when(pl.col("own").is_not_null())
        .then(pl.lit("boolean"))
        .alias("kind"),
        pl.when(is_number & ~fits).then("own").alias("misfit"),
    )


def unquoted(column: str) -> pl.Expr:
    """What JSON values without escapes say: strings without their quotes, others as they are."""
    return pl.col(column).str.strip_prefix('"').str.strip_suffix('"')


def of_texts(text: pl.Series, decimal: str) -> pl.DataFrame:
    """Cells of CSV by their looks: a number with the given decimal mark, true or false in any case, else text."""
    plain = text.str.strip_chars()
    if decimal == ",":
        # with a point too it is a number of other writing, such as 1.234,5
        points = plain.str.contains(".", literal=True)
        plain = plain.str.replace(",", ".", literal=True, n=1)
        plain = plain.zip_with(~points, _none(plain)) if points.any() else plain
    value, is_integer, fits = _numbers(plain)
    is_number = value.is_not_null()
    is_boolean = pl.repeat(False, len(text), dtype=pl.Boolean(), eager=True)
    if not is_number.all():
        words = plain.zip_with(~is_number, _none(text)).str.to_lowercase()
        is_true = words == "true"
        is_boolean = (is_true | (words == "false")).fill_null(value=False)
        value = value.zip_with(~is_boolean, is_true.cast(pl.Float64()))
    return pl.DataFrame({"value": value, "text": text}).select(
        pl.when(fits | is_boolean).then("value").alias("value"),
        pl.when(~is_number & ~is_boolean).then("text").alias("text"),
        pl.when(is_integer)
        .then(pl.lit("integer"))
        .when(is_number)
        .then(pl.lit("double"))
        .when(is_boolean)
        .then(pl.lit("boolean"))
        .when(pl.col("text").is_not_null())
        .then(pl.lit("string"))
        .alias("kind"),
        pl.when(is_number & ~fits).then("text").alias("misfit"),
    )


def of_column(column: pl.Series) -> pl.DataFrame:
    """Cells of a typed column, by its type."""
    dtype = column.dtype
    none = pl.lit(None, pl.String())
    is_present = column.is_not_null()
    if dtype.is_integer() or dtype.is_float() or dtype.is_decimal():
        value = column.cast(pl.Float64())
        fits = value.is_finite()
        if dtype.is_integer() and (value.abs() >= _EXACT).any():
            fits = value.cast(pl.Int128(), strict=False) == column.cast(pl.Int128())
        kind = "integer" if dtype.is_integer() else "double"
        own = none if fits.fill_null(value=True).all() else own_texts(column)
        frame = pl.DataFrame({"value": value})
        return frame.select(
            pl.when(fits).then("value").alias("value"),
            none.alias("text"),
            pl.when(is_present).then(pl.lit(kind)).alias("kind"),
            pl.when(~fits).then(own).alias("misfit"),
        )
    if dtype == pl.Boolean():
        return pl.DataFrame({"value": column.cast(pl.Float64())}).select(
            "value", none.alias("text"), pl.when(is_present).then(pl.lit("boolean")).alias("kind"), none.alias("misfit")
        )
    kind = "json" if dtype.is_nested() else "string"
    return pl.DataFrame({"text": own_texts(column)}).select(
        pl.lit(None, pl.Float64()).alias("value"),
        "text",
        pl.when(is_present).then(pl.lit(kind)).alias("kind"),
        none.alias("misfit"),
    )


def own_texts(column: pl.Series) -> pl.Series:
    """A typed column's values as text: numbers shortest, instants in ISO 8601, bytes in Base64, nested ones as JSON."""
    dtype = column.dtype
    if dtype == pl.String():
        return column
    if dtype.is_nested():
        return json_texts(column)
    if dtype == pl.Binary():
        return column.bin.encode("base64")
    if dtype == pl.Null():
        return column.cast(pl.String())
    if dtype == pl.Boolean():
        return column.cast(pl.String())
    if dtype.is_temporal():
        return column.to_frame().select(temporal_texts(pl.col(column.name), dtype, "iso:strict")).to_series()
    return column.cast(pl.String())


def same_as(cells: pl.DataFrame, sentinels: Sequence[str]) -> pl.Series:
    """Which cells hold one of the sentinels: a number by its value, a text by its words."""
    numbers = [number for s in sentinels if (number := _number(s)) is not None]
    is_sentinel = cells["text"].is_in(list(sentinels)).fill_null(value=False)
    if numbers:
        is_sentinel |= cells["value"].is_in(numbers).fill_null(value=False)
        is_sentinel |= cells["misfit"].is_in(list(sentinels)).fill_null(value=False)
    return is_sentinel


def _numbers(text: pl.Series) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Of decimal texts the nearest doubles, whether each is written as an integer, and whether its double says the
    same. Both are false for null and for texts that are no number."""
    value = text.cast(pl.Float64(), strict=False)
    is_integer = text.cast(pl.Int64(), strict=False).is_not_null()
    fits = value.is_finite().fill_null(value=False)
    suspects = (value.abs() >= _EXACT).fill_null(value=False)
    if suspects.any():
        at = suspects.arg_true()
        doubtful = text.gather(at)
        is_whole = ~doubtful.str.contains(r"[.eEnN]")
        exact = [not w or _is_exact(t) for t, w in zip(doubtful, is_whole, strict=True)]
        is_integer = is_integer.scatter(at, is_whole)
        fits = fits.scatter(at, fits.gather(at) & pl.Series(exact, dtype=pl.Boolean()))
    return value, is_integer, fits


def _is_exact(text: str) -> bool:
    if len(text) > 400:
        return False
    return int(float(text)) == int(text) if abs(float(text)) < float("inf") else False


def _number(text: str) -> float | None:
    try:
        return float(text.replace(",", ".")) if "_" not in text else None
    except ValueError:
        return None


def _none(like: pl.Series) -> pl.Series:
    return pl.Series([None], dtype=like.dtype)
