"""The ticks of an axis and their labels: by the clock and calendar of a zone, or at round numbers."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
_DAY_S = 86_400
_CLOCK_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_DAYS = (1, 2, 7, 14)
_MONTHS = (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200)
_MOST_TRIED = 8
_MONTH_S = 30.4 * _DAY_S
_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True)
class Tick:
    """A tick. `at`: microseconds since 1970 UTC, or a value. `under`: a second line, such as the date of a time."""

    at: float
    label: str
    under: str = ""


def local(ts_us: int, zone: str) -> datetime:
    """An instant in local time of a zone."""
    return (_EPOCH + ts_us * _MICRO).astimezone(ZoneInfo(zone))


def day_text(day: date) -> str:
    return f"{day.day} {_NAMES[day.month - 1]} {day.year}"


def time_ticks(start_us: int, end_us: int, zone: str, most: int) -> list[Tick]:
    """Ticks in [start, end] at round local times of the zone; not many more than `most`."""
    span_s = max(end_us - start_us, 1) / 1e6
    for step in _CLOCK_S:
        if span_s / step <= most:
            return _clock_ticks(start_us, end_us, zone, step)
    for step in _DAYS:
        if span_s / _DAY_S / step <= most:
            days = _days(local(start_us, zone).date(), local(end_us, zone).date(), step)
            return _date_ticks(days, zone, start_us, end_us, lambda d: f"{d.day} {_NAMES[d.month - 1]}")
    step = next((m for m in _MONTHS if span_s / _MONTH_S / m <= most), _MONTHS[-1])
    months = _months(local(start_us, zone).date(), local(end_us, zone).date(), step)
    if step >= 12:
        return [
            Tick(t.at, t.under or t.label) for t in _date_ticks(months, zone, start_us, end_us, lambda d: str(d.year))
        ]
    return _date_ticks(months, zone, start_us, end_us, lambda d: _NAMES[d.month - 1])


def _clock_ticks(start_us: int, end_us: int, zone: str, step_s: int) -> list[Tick]:
    first = local(start_us, zone).replace(tzinfo=None)
    midnight = datetime.combine(first.date(), datetime.min.time())
    wall = midnight + timedelta(seconds=(first - midnight).seconds // step_s * step_s)
    last = local(end_us, zone).replace(tzinfo=None)
    ticks: list[Tick] = []
    shown = None
    while wall <= last:
        at = _instant_us(wall, zone)
        is_on_the_clock = local(at, zone).replace(tzinfo=None) == wall
        if start_us <= at <= end_us and is_on_the_clock:
            label = wall.strftime("%H:%M" if step_s >= 60 else "%H:%M:%S")
            ticks.append(Tick(at, label, day_text(wall.date()) if wall.date() != shown else ""))
            shown = wall.date()
        wall += timedelta(seconds=step_s)
    return ticks


def _date_ticks(
    days: Iterator[date], zone: str, start_us: int, end_us: int, label: Callable[[date], str]
) -> list[Tick]:
    ticks: list[Tick] = []
    year = None
    for day in days:
        at = _instant_us(datetime.combine(day, datetime.min.time()), zone)
        if start_us <= at <= end_us:
            ticks.append(Tick(at, label(day), str(day.year) if day.year != year else ""))
            year = day.year
    return ticks


def _days(first: date, last: date, step: int) -> Iterator[date]:
    """Every `step` days; weeks begin on Monday."""
    for number in range((first.toordinal() - 1) // step * step + 1, last.toordinal() + 1, step):
        if number > 0:
            yield date.fromordinal(number)


def _months(first: date, last: date, step: int) -> Iterator[date]:
    for number in range((first.year * 12 + first.month - 1) // step * step, last.year * 12 + last.month, step):
        if number >= 12:
            yield date(number // 12, number % 12 + 1, 1)


def _instant_us(wall: datetime, zone: str) -> int:
    return (wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC) - _EPOCH) // _MICRO


def value_ticks(low: float, high: float, most: int) -> list[Tick]:
    """Ticks in [low, high] at round numbers: about `most` of them or fewer, but at least two."""
    raw = (high - low) / max(most, 1)
    if not (math.isfinite(raw) and raw > 0):
        return [Tick(low, number_text(low))]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    if last - first < 1 and most < _MOST_TRIED:
        return value_ticks(low, high, most + 1)
    return [Tick(n * step, _axis_text(n * step, step, max(abs(low), abs(high)))) for n in range(first, last + 1)]


def _axis_text(value: float, step: float, most: float) -> str:
    """The number of a tick, with enough digits to differ from the next one."""
    if most >= 1e15 or most < 1e-4:
        return f"{value:.4g}"
    scale, suffix = next(((s, t) for s, t in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "")) if most >= s), (1.0, ""))
    scale = scale if suffix else 1.0
    digits = max(0, -math.floor(math.log10(step / scale) + 1e-9))
    digits += not math.isclose(round(step / scale, digits), step / scale, rel_tol=1e-6)
    return f"{value / scale:,.{digits}f}{suffix}"


def number_text(value: float) -> str:
    """A number for people, to seven digits."""
    return f"{value:,.7g}"
