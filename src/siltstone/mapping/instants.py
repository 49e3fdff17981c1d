"""Texts of times to instants, in exact integers over whole columns.

What is read: RFC 3339 and its common forms, `2016-11-30T19:31:37.123456789+01:00` with a blank or `t` for `T`, `Z` or
`z`, `+01:00`, `+0100`, `+01` or nothing for the zone, a comma for the point, seconds left out, or the date alone
(midnight). A time without a zone is local in a given zone. Leap seconds and 24:00 are no instants.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.model.arrays import Bytes, Ints, Mask
from siltstone.model.periods import DAY_US

_SECOND_US = 1_000_000
_SAMPLE = 2_048
_CHUNK = 16_384  # rows whose numbers stay in the cache from one step to the next
_UTC = ("UTC", "Etc/UTC", "Z", "")
_SHAPES = [(end, zone) for end in (19, 16) for zone in (1, 6, 0, 5, 3)]  # where the clock ends, length of the zone


def parse_instants(column: pl.Series, zone: str) -> tuple[pl.Series, pl.Series]:
    """Microseconds since 1970 UTC (Int64, rounded down; null where the text is no time) and the 0 to 999 nanoseconds
    that were cut off (Int32, null in the same rows); digits after the ninth are dropped.

    A local time that the clocks of `zone` show twice is taken as the first of the two, one that they skip is null.
    """
    sample = column.gather_every(max(1, len(column) // _SAMPLE))
    if len(column) > _SAMPLE and 2 * sample.n_unique() < len(sample):
        distinct = column.unique()
        us, nanos = _parsed(distinct, zone)
        table = pl.DataFrame({"text": distinct, "us": us, "nanos": nanos})
        instants = pl.DataFrame({"text": column}).join(
            table, on="text", how="left", nulls_equal=True, maintain_order="left"
        )
        return instants["us"], instants["nanos"]
    return _parsed(column, zone)


def localized(naive_us: pl.Series, zone: str) -> pl.Series:
    """Instants (Int64 us UTC) of wall-clock times (us as if they were UTC) in a zone: the first of two, null where the
    clocks skip."""
    if zone in _UTC:
        return naive_us
    local = naive_us.cast(pl.Datetime("us")).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    return local.cast(pl.Int64())


def refusal(text: str | None, zone: str) -> str:
    """Why a text that `parse_instants` gives null for is no instant."""
    if not text:
        return "its time is missing"
    us, _ = _parsed(pl.Series([text], dtype=pl.String()), "UTC")
    if us[0] is not None:
        return f"its time {text[:40]!r} does not exist in {zone}: the clocks skip it"
    return f"its time {text[:40]!r} is none: expected one as 2016-11-30T19:31:37Z"


def _parsed(column: pl.Series, zone: str) -> tuple[pl.Series, pl.Series]:
    rows = len(column)
    us, nanos = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
    is_time, is_local = np.zeros(rows, bool), np.zeros(rows, bool)
    lengths = column.str.len_bytes()
    for length in lengths.drop_nulls().unique().to_list():
        if length < 10 or length > 64:
            continue
        is_so = lengths == length
        here = is_so.fill_null(value=False).to_numpy()
        text = _characters(column.filter(is_so), length)
        chunks = [_of_length(np.ascontiguousarray(text[i : i + _CHUNK].T)) for i in range(0, len(text), _CHUNK)]
        us[here], nanos[here], is_time[here], is_local[here] = map(np.concatenate, zip(*chunks, strict=True))
    instants = pl.Series(us)
    if is_local.any() and zone not in _UTC:
        local = pl.Series(is_local)
        instants = localized(instants, zone).zip_with(local, instants)
    has_time = pl.Series(is_time)
    none = pl.Series([None], dtype=pl.Int64())
    instants = instants.zip_with(has_time, none)
    return instants, pl.Series(nanos).zip_with(instants.is_not_null(), none.cast(pl.Int32()))


def _characters(column: pl.Series, length: int) -> Bytes:
    """The bytes of texts of one length, shape (rows, length)."""
    texts = column.to_arrow(compat_level=pl.CompatLevel.oldest())
    start = int(np.frombuffer(texts.buffers()[1], np.int64)[texts.offset])
    data = np.frombuffer(texts.buffers()[2], np.uint8)[start : start + length * len(column)]
    return data.reshape(-1, length)


def _of_length(text: Bytes) -> tuple[Ints, npt.NDArray[np.int32], Mask, Mask]:
    """For texts of one length: us as if local times were UTC, nanos, whether it is a time, whether it has no zone."""
    length, rows = text.shape
    us, nanos = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
    is_local = np.zeros(rows, bool)
    day, is_day = _days(text)
    if length == 10:
        return day * DAY_US, nanos, is_day, ~is_local
    is_time = np.zeros(rows, bool)
    if length < 16:
        return us, nanos, is_time, is_local
    hour, minute = _number(text, 11, 13), _number(text, 14, 16)
    is_clock = is_day & _is_any(text[10], b"T t") & (text[13] == ord(":")) & _within(hour, 24) & _within(minute, 60)
    is_open = is_clock.copy()  # a clock whose rest is still to be told
    to_minute = day * DAY_US + (hour * 60 + minute) * 60 * _SECOND_US
    for end, zone_length in _SHAPES:
        digits = length - end - zone_length - 1  # behind the point, which is counted too; -1 without a fraction
        if digits < -1 or digits == 0 or (end == 16 and digits > 0):
            continue
        shift, is_so = _zone(text, zone_length)
        is_so &= is_open
        if not is_so.any():
            continue
        fraction = np.zeros(rows, np.int64)
        if end == 19:
            second = _number(text, 17, 19)
            is_so &= (text[16] == ord(":")) & _within(second, 60)
            shift = shift - second * _SECOND_US
        if digits > 0:
            is_so &= _is_any(text[19], b".,") & _are_digits(text[20 : 20 + digits])
            kept = min(digits, 9)
            fraction = _number(text, 20, 20 + kept) * 10 ** (9 - kept)
        us = np.where(is_so, to_minute - shift + fraction // 1_000, us)
        nanos = np.where(is_so, fraction % 1_000, nanos).astype(np.int32)
        is_local |= is_so & (zone_length == 0)
        is_time |= is_so
        is_open &= ~is_so
        if not is_open.any():
            break
    return us, nanos, is_time, is_local


def _days(text: Bytes) -> tuple[Ints, Mask]:
    """Days since 1970 of YYYY-MM-DD at the beginning, and whether the calendar has such a date."""
    year, month, day = _number(text, 0, 4), _number(text, 5, 7), _number(text, 8, 10)
    is_date = (year >= 0) & (text[4] == ord("-")) & (text[7] == ord("-")) & (month >= 1) & (month <= 12) & (day >= 1)
    months = np.where(is_date, (year - 1970) * 12 + month - 1, 0)
    first, after = _first_days(months), _first_days(months + 1)
    return first + day - 1, is_date & (day <= after - first)


def _first_days(months: Ints) -> Ints:
    """Days since 1970 of the first day of each month, months counted from January 1970."""
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _zone(text: Bytes, length: int) -> tuple[Ints, Mask]:
    """What the last `length` characters say: microseconds ahead of UTC, and whether they are a zone of that length."""
    rows = text.shape[1]
    shift = np.zeros(rows, np.int64)
    if length == 0:
        return shift, np.ones(rows, bool)
    if length == 1:
        return shift, _is_any(text[-1], b"Zz")
    tail = text[-length:]
    is_zone = _is_any(tail[0], b"+-")
    if not is_zone.any():
        return shift, is_zone
    hours = _number(tail, 1, 3)
    minutes = _number(tail, length - 2, length) if length > 3 else shift
    is_zone &= _within(hours, 24) & _within(minutes, 60)
    if length == 6:
        is_zone &= tail[3] == ord(":")
    sign = np.where(tail[0] == ord("-"), -1, 1)
    return sign * (hours * 60 + minutes) * 60 * _SECOND_US, is_zone


def _number(text: Bytes, start: int, end: int) -> Ints:
    """The decimal number in some characters; -1 where one is no digit."""
    digits = text[start:end] - ord("0")
    number = np.zeros(text.shape[1], np.int64)
    for digit in digits:
        number = number * 10 + digit
    return np.where((digits <= 9).all(axis=0), number, -1)


def _are_digits(text: Bytes) -> Mask:
    return np.asarray((text - ord("0") <= 9).all(axis=0))


def _within(number: Ints, bound: int) -> Mask:
    return (number >= 0) & (number < bound)


def _is_any(characters: Bytes, accepted: Sequence[int]) -> Mask:
    is_accepted = np.zeros(len(characters), bool)
    for character in accepted:
        is_accepted |= characters == character
    return is_accepted
