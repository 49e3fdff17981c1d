"""Values of a file's own types as texts, each exactly and by itself: whatever stands beside it, it reads the same.

Instants that no calendar has are their number, and so is the least duration; of JSON, whose numbers have no NaN and
whose objects have a key once, what it lacks is text or a list of pairs.
"""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import polars as pl

_MOST_DAYS = 94_960_000  # 260,000 years: polars ends at 262,142, and an offset may be added
_A_DAY = {"ns": 86_400_000_000_000, "us": 86_400_000_000, "ms": 86_400_000}
_A_SECOND = {"ns": 1_000_000_000, "us": 1_000_000, "ms": 1_000}
_LEAST = -(1 << 63)
_EPOCH = datetime(1970, 1, 1)
_US_OF_YEARS = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # 1 to 9999, as Python has them


def on_calendar(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Whether dates or timestamps are such that polars can show them; null for null."""
    a_day = _A_DAY[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1
    most = min(_MOST_DAYS * a_day, (1 << 63) - 1)
    return column.to_physical().is_between(-most, most)


def temporal_texts(column: pl.Expr, dtype: pl.DataType, instants: str = "") -> pl.Expr:
    """The texts of dates, timestamps (in the form `instants`; as polars casts them without one), times and
    durations."""
    number = column.to_physical().cast(pl.String())
    if dtype == pl.Time():
        return column.dt.to_string("iso")  # a cast cuts the fraction
    if isinstance(dtype, pl.Duration):
        return pl.when(column.to_physical() > _LEAST).then(column).dt.to_string("iso").fill_null(number)
    shown = pl.when(on_calendar(column, dtype)).then(column)
    is_cast = dtype == pl.Date() or not instants
    return (shown.cast(pl.String()) if is_cast else shown.dt.to_string(instants)).fill_null(number)


def json_texts(column: pl.Series) -> pl.Series:
    """Nested values as JSON: bytes in Base64, NaN and infinities by name, a map whose keys are not all different as a
    list of pairs."""
    dtype = column.dtype
    plain = _countable(dtype)
    values = (column if plain == dtype else column.cast(plain)).to_list()
    shown = _shown(dtype)
    texts = [None if value is None else _json(value if shown is None else shown(value)) for value in values]
    return pl.Series(column.name, texts, dtype=pl.String())


def _json(value: Any) -> str:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: object) -> object:
    """What orjson does not know, as text."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)


def _countable(dtype: pl.DataType) -> pl.DataType:
    """The type with numbers in the place of instants and durations, and pairs in that of maps: Python has them all."""
    match dtype:
        case pl.List():
            return pl.List(_countable(_inner(dtype)))
        case pl.Array():
            return pl.Array(_countable(_inner(dtype)), dtype.size)
        case pl.Struct():
            return pl.Struct({f.name: _countable(_type(f.dtype)) for f in dtype.fields})
        case pl.Map():
            return pl.List(pl.Struct({name: _countable(kind) for name, kind in _pair(dtype).items()}))
        case pl.Datetime() | pl.Duration() | pl.Time():
            return pl.Int64()
        case pl.Date():
            return pl.Int32()
    return dtype


def _shown(dtype: pl.DataType) -> Callable[[Any], Any] | None:
    """What makes a value for JSON of one that was read as a number or pair; None where it is one already."""
    match dtype:
        case pl.List() | pl.Array():
            item = _shown(_inner(dtype))
            return None if item is None else _nullable(lambda values: [item(value) for value in values])
        case pl.Struct():
            fields = {f.name: shown for f in dtype.fields if (shown := _shown(_type(f.dtype))) is not None}
            return _nullable(lambda value: value | {n: f(value[n]) for n, f in fields.items()}) if fields else None
        case pl.Map():
            key, value = (_shown(kind) or _same for kind in _pair(dtype).values())
            return _nullable(lambda pairs: _mapping([(key(p["key"]), value(p["value"])) for p in pairs]))
        case pl.Datetime():
            return _nullable(lambda ticks: _instant(ticks, dtype.time_unit, dtype.time_zone))
        case pl.Date():
            return _nullable(lambda days: _instant(days * _A_DAY["us"], "us", None, days))
        case pl.Time():
            return _nullable(_time)
        case pl.Duration():
            return _nullable(lambda ticks: _duration(ticks, _A_SECOND[dtype.time_unit]))
        case pl.Float64() | pl.Float32() | pl.Float16():
            return _number
    return None


def _nullable(shown: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else shown(value)


def _same(value: Any) -> Any:
    return value


def _type(dtype: Any) -> pl.DataType:
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def _inner(dtype: Any) -> pl.DataType:
    return _type(dtype.inner)


def _pair(dtype: Any) -> Mapping[str, pl.DataType]:
    return {"key": _type(dtype.key), "value": _type(dtype.value)}


def _mapping(pairs: list[tuple[Any, Any]]) -> Any:
    """An object, or a list of pairs where JSON would take two of the keys for one."""
    names = [key if isinstance(key, str) else _json(key).strip('"') for key, _ in pairs]
    return dict(zip(names, (value for _, value in pairs), strict=True)) if len(set(names)) == len(names) else pairs


def _instant(ticks: int, unit: str, zone: str | None, number: int | None = None) -> str:
    """As Python writes it, with nanoseconds where there are such; a date where a `number` of days is given."""
    us, rest = divmod(ticks * _A_SECOND["us"], _A_SECOND[unit])
    if not _US_OF_YEARS[0] <= us <= _US_OF_YEARS[1]:
        return str(ticks if number is None else number)
    instant = _EPOCH + timedelta(microseconds=us)
    if number is not None:
        return instant.date().isoformat()
    try:
        instant = instant.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)) if zone else instant
    except OverflowError:
        return str(ticks)
    if not rest:
        return instant.isoformat()
    text = instant.isoformat(timespec="microseconds")
    return f"{text[:26]}{rest // _A_SECOND['us']:03d}{text[26:]}"


def _time(ns: int) -> str:
    second, fraction = divmod(ns, _A_SECOND["ns"])
    clock = (_EPOCH + timedelta(seconds=second)).time().isoformat()
    digits = f"{fraction:09d}"
    return f"{clock}.{digits[:6]}{digits[6:] if int(digits[6:]) else ''}" if fraction else clock


def _duration(ticks: int, a_second: int) -> str:
    second, fraction = divmod(abs(ticks), a_second)
    digits = str(a_second + fraction)[1:].rstrip("0")
    return f"{'-' if ticks < 0 else ''}PT{second}{'.' if digits else ''}{digits}S"


def _number(value: float | None) -> float | str | None:
    if value is None or -_INFINITE < value < _INFINITE:
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


_INFINITE = float("inf")
