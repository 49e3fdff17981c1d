"""Ticks where people expect them, with calendars and clocks of the zone."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from siltstone.plotting.axis import time_ticks, value_ticks


def us(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * 1_000_000


def ticks(first: str, last: str, zone: str = "UTC", most: int = 8) -> list[tuple[str, str]]:
    return [(t.label, t.under) for t in time_ticks(us(first, zone), us(last, zone), zone, most)]


def test_hours_are_those_of_the_clock_and_a_new_day_is_named_under_its_first() -> None:
    assert ticks("2026-03-01T19:30", "2026-03-02T09:00") == [
        ("20:00", "1 Mar 2026"), ("22:00", ""), ("00:00", "2 Mar 2026"),
        ("02:00", ""), ("04:00", ""), ("06:00", ""), ("08:00", ""),
    ]  # fmt: skip


def test_an_hour_that_the_clocks_skip_has_no_tick() -> None:
    found = ticks("2026-03-29T00:00", "2026-03-29T06:00", "Europe/Zurich")  # 02:00 is not on that night's clock
    assert [label for label, _ in found] == ["00:00", "01:00", "03:00", "04:00", "05:00", "06:00"]


def test_days_and_months_begin_at_midnight_of_the_zone() -> None:
    zone = "Asia/Makassar"
    found = time_ticks(us("2025-12-30T12:00", zone), us("2026-01-02T12:00", zone), zone, 4)
    assert [(t.at, t.label, t.under) for t in found] == [
        (us("2025-12-31T00:00", zone), "31 Dec", "2025"),
        (us("2026-01-01T00:00", zone), "1 Jan", "2026"),
        (us("2026-01-02T00:00", zone), "2 Jan", ""),
    ]
    assert ticks("2025-11-15T00:00", "2026-02-15T00:00", most=4) == [("Dec", "2025"), ("Jan", "2026"), ("Feb", "")]
    assert ticks("2019-06-01T00:00", "2024-06-01T00:00", most=6) == [(str(y), "") for y in range(2020, 2025)]


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (-1.0, 23.0, ["0", "10", "20"]),
        (20.9, 21.2, ["20.9", "21.0", "21.1", "21.2"]),
        (0.0, 0.7, ["0.00", "0.25", "0.50"]),
        (0.0, 60_000.0, ["0", "20,000", "40,000", "60,000"]),
        (0.0, 3e9, ["0G", "1G", "2G", "3G"]),
        (52.0, 148.0, ["75", "100", "125"]),  # by 50 there would be one
        (5.0, 5.0, ["5"]),
    ],
)
def test_values_have_round_ticks_and_as_many_digits_as_they_need(low: float, high: float, labels: list[str]) -> None:
    assert [t.label for t in value_ticks(low, high, 3)] == labels
