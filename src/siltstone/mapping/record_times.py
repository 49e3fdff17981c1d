"""Instants of foreign records: numbers since 1970, texts of any form, typed columns, with or without a zone.

Numbers are read from their decimal text, so that 1351181576.6507802 keeps every digit: whole microseconds, and the
nanoseconds that they are cut by.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
import polars as pl

from siltstone.formats.typed_texts import on_calendar
from siltstone.mapping.cells import own_texts
from siltstone.mapping.instants import parse_instants
from siltstone.mapping.records_options import OnRepeatedHour, RecordsOptions, TimeUnit
from siltstone.model.arrays import Ints

_UNITS = ("s", "ms", "us", "ns")
_UNIT_BOUNDS = np.array([10**10, 10**13, 10**16])  # where a number's unit is told by its size
_PER_UNIT = np.array([1_000_000, 1_000, 1, 1])
_POWERS = 10 ** np.arange(10, dtype=np.int64)
_MOST_DIGITS = 40  # before and behind the point of what may be an instant
_LEAST = "0." + "0" * _MOST_DIGITS + "1"
_MOST = np.array([9 * 10**12, 9 * 10**15, 9 * 10**18, 9 * 10**18])  # so that no instant overflows


@dataclass(frozen=True)
class Times:
    """Per record: `us` since 1970 UTC (Int64, null where it can't be read), `nanos` 0 to 999 (Int32), `reason` why
    a given time can't be read (else null), and `cut`: whether digits after the nanoseconds were dropped."""

    us: pl.Series
    nanos: pl.Series
    reason: pl.Series
    cut: pl.Series


def record_times(columns: Sequence[pl.Series], options: RecordsOptions) -> Times:
    """The instant of each record, from one column or from two of text (date, time)."""
    if len(columns) == 2:
        texts = [own_texts(column).str.strip_chars() for column in columns]
        return _of_texts(pl.select(pl.concat_str(texts, separator=" ")).to_series(), options)
    column = columns[0]
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime) or dtype == pl.Date():
        return _of_datetimes(column, options)
    if dtype.is_integer() or dtype.is_float() or dtype.is_decimal():
        return _of_numbers(own_texts(column), column.is_not_null(), options.time_unit)
    return _of_texts(own_texts(column), options)


def _of_texts(text: pl.Series, options: RecordsOptions) -> Times:
    if options.time_format:
        return _of_format(text.str.strip_chars(), options)
    is_number = text.cast(pl.Float64(), strict=False).is_finite().fill_null(value=False)
    if is_number.all():
        return _of_numbers(text, is_number, options.time_unit)
    text = text.str.strip_chars()
    is_number = text.cast(pl.Float64(), strict=False).is_finite().fill_null(value=False)
    none = pl.Series([None], dtype=pl.String())
    numbers = _of_numbers(text.zip_with(is_number, none), is_number, options.time_unit)
    if (is_number | text.is_null()).all():
        return numbers
    words = text.zip_with(~is_number, none)
    us, nanos = parse_instants(words, "UTC")
    is_local = ~words.str.slice(10).str.contains("[Zz+-]")
    times = _to_utc(words, us, nanos, is_local.fill_null(value=False), options)
    return Times(
        numbers.us.zip_with(is_number, times.us),
        numbers.nanos.zip_with(is_number, times.nanos),
        numbers.reason.zip_with(is_number, times.reason),
        numbers.cut,
    )


def _of_format(text: pl.Series, options: RecordsOptions) -> Times:
    form = options.time_format.replace(".%f", "%.f").replace("%f", "%6f")
    parsed = text.str.to_datetime(form, time_unit="us", strict=False)
    has_zone = isinstance(parsed.dtype, pl.Datetime) and parsed.dtype.time_zone is not None
    us = parsed.cast(pl.Int64())
    nanos = _zeros(us)
    if "%.f" in form or "%9f" in form or "%.9f" in form:
        nanos = (text.str.to_datetime(form, time_unit="ns", strict=False).cast(pl.Int64()) % 1_000).cast(pl.Int32())
    is_local = pl.repeat(not has_zone, len(text), eager=True)
    return _to_utc(text, us, nanos, is_local, options)


def _of_datetimes(given: pl.Series, options: RecordsOptions) -> Times:
    dtype = given.dtype
    nanos = None
    column = (
        given.alias("given").to_frame().select(pl.when(on_calendar(pl.col("given"), dtype)).then("given")).to_series()
    )
    if isinstance(dtype, pl.Datetime) and dtype.time_unit == "ns":
        stored = column.to_physical()
        us = stored // 1_000
        nanos = (stored % 1_000).cast(pl.Int32())
    else:
        us = column.cast(pl.Datetime("us")).cast(pl.Int64())
    has_zone = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
    is_local = pl.repeat(not has_zone, len(column), eager=True)
    return _to_utc(given, us, _zeros(us) if nanos is None else nanos, is_local, options)


def _to_utc(given: pl.Series, us: pl.Series, nanos: pl.Series, is_local: pl.Series, options: RecordsOptions) -> Times:
    """The instants, wall-clock times of `zone` moved to UTC; a given time without an instant gets a reason."""
    shown = us
    if options.zone not in ("UTC", "Etc/UTC") and is_local.any():
        us = _in_zone(us, options.zone, options.on_repeated_hour).zip_with(is_local, us)
    lost = (us.is_null() & given.is_not_null()).arg_true().to_list()
    texts, walls = own_texts(given.gather(lost)), shown.gather(lost)
    reasons = [_reason(text, wall, options) for text, wall in zip(texts, walls, strict=True)]
    return Times(us, nanos, _reasons(len(us), lost, reasons), _zeros(us).cast(pl.Boolean()))


def _reasons(rows: int, lost: Sequence[int], reasons: Sequence[str]) -> pl.Series:
    reason_of_row = pl.repeat(None, rows, dtype=pl.String(), eager=True)
    return reason_of_row.scatter(lost, pl.Series(reasons, dtype=pl.String())) if lost else reason_of_row


def _in_zone(wall_us: pl.Series, zone: str, on_repeated: OnRepeatedHour) -> pl.Series:
    """UTC instants of wall-clock times; null where the clocks skip a time, or show it twice and that is refused."""
    ambiguous = "null" if on_repeated == "refuse" else on_repeated
    wall = wall_us.cast(pl.Datetime("us"))
    return wall.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null").cast(pl.Int64())


def _reason(text: str, wall_us: int | None, options: RecordsOptions) -> str:
    if wall_us is None:
        expected = f"of the form {options.time_format}" if options.time_format else "as 2016-11-30T19:31:37Z"
        return f"its time {text[:60]!r} is none: expected one {expected}"
    is_twice = _in_zone(pl.Series([wall_us]), options.zone, "earliest").item() is not None
    if is_twice:
        return f"its time {text[:60]!r} happens twice in {options.zone}, and on_repeated_hour is refuse"
    return f"its time {text[:60]!r} does not exist in {options.zone}: the clocks skip it"


def _of_numbers(text: pl.Series, is_number: pl.Series, unit: TimeUnit) -> Times:
    """Instants of decimal texts; only rows where `is_number` is true are read."""
    if (exponents := text.str.contains("[eE]").fill_null(value=False)).any():
        at = exponents.arg_true()
        text = text.scatter(at, [_without_exponent(t) for t in text.gather(at)])
    negative = text.str.starts_with("-").fill_null(value=False)
    if negative.any() or text.str.starts_with("+").any():
        text = text.str.strip_chars_start("+-")
    parts = text.str.split_exact(".", 1).struct
    whole, fraction = parts.field("field_0").cast(pl.Int64(), strict=False), parts.field("field_1")
    digits, is_long = _billionths(fraction)
    is_read = whole.is_not_null()
    number = whole.fill_null(0).to_numpy()
    place = np.searchsorted(_UNIT_BOUNDS, number, side="right")
    if unit != "auto":
        place = np.full(len(number), _UNITS.index(unit))
    is_read = is_read & pl.Series(number <= _MOST[place])
    us, nanos, rest = _scaled(np.where(is_read.to_numpy(), number, 0), digits, place)
    if negative.any():
        is_negative = negative.to_numpy()
        us = np.where(is_negative, -us - (nanos > 0), us)
        nanos = np.where(is_negative & (nanos > 0), 1_000 - nanos, nanos)
    lost = (~is_read & is_number).arg_true().to_list()
    reasons = [f"its time {text[row]!r} is no number of {'time' if unit == 'auto' else unit}" for row in lost]
    none = pl.Series([None], dtype=pl.Int64())
    return Times(
        pl.Series(us).zip_with(is_read, none),
        pl.Series(nanos).cast(pl.Int32()),
        _reasons(len(text), lost, reasons),
        pl.Series(rest > 0) | is_long,
    )


def _billionths(fraction: pl.Series) -> tuple[Ints, pl.Series]:
    """Digits after a point, in units of 10^-9, and whether a digit after the ninth, which is cut, is not 0."""
    length = fraction.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    is_long = length > 9
    cut = pl.Series(is_long)
    if is_long.any():
        cut &= (fraction.str.slice(9).str.strip_chars("0") != "").fill_null(value=False)
        fraction = fraction.str.slice(0, 9)
    digits = fraction.cast(pl.Int64(), strict=False).fill_null(0).to_numpy()
    return digits * _POWERS[np.maximum(9 - length, 0)], cut


def _scaled(number: Ints, digits: Ints, place: Ints) -> tuple[Ints, Ints, Ints]:
    """Of numbers with nine decimal digits: microseconds, nanoseconds within them, and the rest."""
    per_unit = _PER_UNIT[place]
    in_ns = place == 3
    below_us = digits * per_unit  # in 10^-9 us
    us = np.where(in_ns, number // 1_000, number * per_unit + below_us // 10**9)
    below_us = below_us % 10**9
    nanos = np.where(in_ns, number % 1_000, below_us // 10**6)
    rest = np.where(in_ns, digits, below_us % 10**6)
    return us, nanos, rest


def _without_exponent(text: str | None) -> str | None:
    """A number without its exponent, at most some digits longer: one that is less than any digit read is written as
    such a one, and one that no time is stays as it is."""
    if text is None:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:  # no number, or an exponent that Decimal doesn't take
        mantissa, _, exponent = text.lower().partition("e")
        is_tiny = exponent.startswith("-") and mantissa.strip("+-").replace(".", "").isdigit()
        return _LEAST if is_tiny else text
    if not number:
        return "0"
    if number.adjusted() > _MOST_DIGITS:
        return text
    return format(number, "f") if number.adjusted() > -_MOST_DIGITS else f"{'-' if number < 0 else ''}{_LEAST}"


def _zeros(like: pl.Series) -> pl.Series:
    return pl.zeros(len(like), pl.Int32(), eager=True)
