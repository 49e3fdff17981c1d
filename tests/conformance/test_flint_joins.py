"""Flint's as-of joins and sums over intervals: each case is ours too, or differs or is not offered for a reason."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.timeseries.asof import asof
from siltstone.timeseries.buckets import buckets_of

VECTORS = json.loads((Path(__file__).parent / "vectors" / "flint-joins-windows.json").read_text())
CASES = {case["id"]: case for case in VECTORS["cases"]}
S = 1_000_000
_START = "a bucket is stamped with its start, Flint's interval with its end; both edges are columns here"
DIFFERENT = {"summarize_intervals": _START, "summarize_intervals_per_key": _START}
NOT_OFFERED = {
    "rolling_sum": "a window of its own for each row grows with the rows; aggregates are of buckets",
    "ema_time_decay": "a mean that decays without end can't be put together from the states of buckets",
}


def table(given: dict[str, Any]) -> pl.DataFrame:
    frame = pl.DataFrame(given["rows"], given["columns"], orient="row")
    return frame.with_columns(pl.col("time").cast(pl.Int64()) * S)


def joined(case: dict[str, Any]) -> pl.DataFrame:
    right = table(case["right"]).with_columns(pl.col("time") + case.get("right_times_shifted_by_us", 0))
    return asof(
        *(table(case["left"]), right),
        on="time",
        by=case["key"],
        direction=case["op"].removeprefix("asof_"),
        tolerance_us=case["tolerance_s"] * S,
        allow_exact=not case.get("strict", False),
    ).drop("time_right")


def summed(case: dict[str, Any], edge: str) -> pl.DataFrame:
    """The sums of the buckets that hold rows, under one of their edges."""
    data = table(case["data"])
    width = case["interval_bounds_s"][1] - case["interval_bounds_s"][0]
    buckets = buckets_of(f"{width}s")
    start, end = buckets.bounds(buckets.number(data["time"].to_numpy()))
    data = data.with_columns(time=pl.Series(start if edge == "start" else end))
    return data.group_by("time", *case["key"]).agg(volume_sum=pl.col("volume").sum().cast(pl.Float64()))


def rows(frame: pl.DataFrame) -> list[Any]:
    return sorted(frame.rows(), key=str)


def cases(*operations: str) -> list[str]:
    return [name for name, case in CASES.items() if case["op"] in operations]


@pytest.mark.parametrize("name", cases("asof_backward", "asof_forward"))
def test_an_asof_join_of_flint(name: str) -> None:
    expected = table(CASES[name]["expect"])
    found = joined(CASES[name])
    assert found.columns == expected.columns
    assert found.rows() == expected.rows()


@pytest.mark.parametrize("name", DIFFERENT)
def test_sums_of_intervals_are_flints_but_for_the_stamp(name: str) -> None:
    expected = rows(table(CASES[name]["expect"]).select("time", *CASES[name]["key"], "volume_sum"))
    assert rows(summed(CASES[name], "end")) == expected
    assert rows(summed(CASES[name], "start")) != expected, f"as in Flint now; yet it is listed: {DIFFERENT[name]}"


def test_no_case_is_left_out() -> None:
    tested = {*cases("asof_backward", "asof_forward"), *DIFFERENT}
    assert {CASES[name]["op"] for name in CASES.keys() - tested} == NOT_OFFERED.keys()
