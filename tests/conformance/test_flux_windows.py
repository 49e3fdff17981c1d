"""Flux's calendar windows: each is ours too, or differs for a reason."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siltstone.timeseries.buckets import buckets_of

VECTORS = json.loads((Path(__file__).parent / "vectors" / "flux-calendar-windows.json").read_text())
CASES = {case["id"]: case for case in VECTORS["cases"]}
_ELAPSED = "hours are elapsed time here: on the wall clock they would last 30 min or 2 h where the clocks change"
DIFFERENT = {"us_pacific_offset": _ELAPSED, "australia_east_offset": _ELAPSED}
ORIGINS = {"0s": None, "30m": "2017-01-01T00:30", "12h": "2011-01-01T12:00"}  # of the offsets, local time


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def windows(case: dict[str, Any]) -> list[list[int]]:
    """Start and end of the bucket of each row's instant."""
    buckets = buckets_of(case["every"], case["timezone"], ORIGINS[case["offset"]])
    starts, ends = buckets.bounds(buckets.number(np.array([us(instant) for instant, _, _ in case["expect"]])))
    return [[int(start), int(end)] for start, end in zip(starts, ends, strict=True)]


def expected(case: dict[str, Any]) -> list[list[int]]:
    return [[us(start), us(end)] for _, start, end in case["expect"]]


@pytest.mark.parametrize("name", sorted(CASES.keys() - DIFFERENT.keys()))
def test_a_case_of_flux(name: str) -> None:
    assert windows(CASES[name]) == expected(CASES[name])


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_case_that_differs(name: str) -> None:
    assert windows(CASES[name]) != expected(CASES[name]), f"as in Flux now; yet it is listed: {DIFFERENT[name]}"
    assert {end - start for start, end in windows(CASES[name])} == {3_600_000_000}
