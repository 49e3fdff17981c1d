"""DuckDB's as-of joins: each case is ours too."""

import json
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from siltstone.timeseries.asof import How, asof

VECTORS = json.loads((Path(__file__).parent / "vectors" / "duckdb-asof.json").read_text())
CASES = {case["id"]: case for case in VECTORS["cases"]}


def instant(text: str | None) -> datetime | None:
    return datetime.max if text == "infinity" else text and datetime.fromisoformat(text)  # no infinite times here


def times(texts: list[str | None]) -> pl.Series:
    return pl.Series("ts", [instant(text) for text in texts], pl.Datetime("us"))


@pytest.mark.parametrize("how", ["inner", "left", "right"])
def test_a_case_of_duckdb(how: How) -> None:
    probes = times(VECTORS["probe"]).to_frame()
    events = pl.DataFrame(
        [times([ts for ts, _ in VECTORS["events"]]), pl.Series("event", [v for _, v in VECTORS["events"]])]
    )
    joined = asof(probes, events, by=(), how=how)
    found = sorted(joined.select("ts", "event").rows(), key=str)
    assert found == sorted(((instant(ts), event) for ts, event in CASES[how]["expect"]), key=str)


def test_no_case_is_left_out() -> None:
    assert CASES.keys() == {"inner", "left", "right"}
