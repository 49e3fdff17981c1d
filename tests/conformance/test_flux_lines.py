"""Flux's resampling by lines: each case is ours too, or differs for a reason."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siltstone.timeseries.buckets import buckets_of
from siltstone.timeseries.fill import Instants, fill, grid
from siltstone.timeseries.points import GOOD, Points

VECTORS = json.loads((Path(__file__).parent / "vectors" / "flux-interpolate-linear.json").read_text())
CASES = {case["id"]: case for case in VECTORS["cases"]}
DIFFERENT = {
    "go_ints": "whole numbers are cast, where Flux stops with an error",
    "go_nulls": "a field that a row lacks is no point, where Flux stops with an error",
}


def us(time: str | int) -> int:
    if isinstance(time, int):
        return time * 1_000_000
    return (datetime.fromisoformat(time) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def resampled(case: dict[str, Any]) -> list[tuple[int, float]]:
    """The values at the points and at the edges between them."""
    given = [(us(time), float(value)) for time, value in case["points"] if value is not None]
    ts = np.array([time for time, _ in given], np.int64)
    values = np.array([value for _, value in given], np.float64)
    points = Points(np.array([0, len(ts)]), ts, values, np.full(len(ts), GOOD, np.int8))
    edges = grid(points, buckets_of(case["every"] if "every" in case else f"{case['every_s']}s"))
    at = np.union1d(points.ts, edges.ts)
    filled = fill(points, Instants(np.array([0, len(at)]), at), "linear")
    return list(zip(filled.ts.tolist(), filled.value.tolist(), strict=True))


@pytest.mark.parametrize("name", sorted(CASES.keys() - DIFFERENT.keys()))
def test_a_case_of_flux(name: str) -> None:
    found = resampled(CASES[name])
    assert [ts for ts, _ in found] == [us(time) for time, _ in CASES[name]["expect"]]
    assert [value for _, value in found] == pytest.approx([value for _, value in CASES[name]["expect"]], rel=1e-9)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # a line from 1 at 1 s to 2 at 9 s: half way at 5 s
        ("go_ints", [(1, 1.0), (5, 1.5), (9, 2.0)]),
        # from 1 at 1 s to 9 at 9 s
        ("go_nulls", [(1, 1.0), (5, 5.0), (9, 9.0)]),
    ],
)
def test_a_case_that_differs(name: str, expected: list[tuple[int, float]]) -> None:
    assert "expect_error" in CASES[name], DIFFERENT[name]
    assert resampled(CASES[name]) == [(us(ts), value) for ts, value in expected]


def test_each_difference_has_its_numbers() -> None:
    assert {name for name, case in CASES.items() if "expect" not in case} == DIFFERENT.keys()
