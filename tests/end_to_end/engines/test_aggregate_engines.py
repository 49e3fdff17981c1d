"""Tables of tables, made by Spark's tasks, have the rows that this process makes."""

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from siltstone.cli import main as cli
from support.commands import run_tasks_here
from support.readings_table import Readings, quarters, reading

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COMMANDS = {
    "hourly": ("aggregate", "readings", "--every", "1h", "--measure", "p50", "--measure", "time_in_state"),
    "daily": ("rollup", "hourly", "--every", "1d", "--zone", "Asia/Makassar", "--empty", "carry"),
    "grid": ("resample", "readings", "--every", "10m", "--fill", "linear"),
    "joined": ("asof", "readings", "readings", "--left-measurement", "door", "--right-measurement", "Temp"),
}
KEY = ("site", "series_id", "ts", "bucket_start")


@pytest.fixture
def lake(tmp_path: Path) -> Readings:
    found = Readings(str(tmp_path / "lake"))
    device = {"device_id": "urn:bldg1/door"}
    others = quarters("Temp", "2015-01-01T00:00", 9, quality="uncertain", **device)
    text = reading("mode", "2015-01-03T05:00", None, text="eco", kind="string")
    found.add([*quarters("door", "2015-01-01T00:05", 30), *others, text])
    return found


def test_spark_makes_the_same_tables(lake: Readings, spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> None:
    assert spark.version.startswith("4.")
    run_tasks_here(monkeypatch)

    def make(engine: str, name: str) -> pl.DataFrame:
        command, *words = COMMANDS[name]
        tables = {"readings": "readings", "hourly": f"hourly_{engine}"}
        given = [f"{lake.lake}/{tables[w]}" if w in tables else w for w in words]
        place = 2 if command == "asof" else 1
        given.insert(place, out := f"{lake.lake}/{name}_{engine}")
        assert cli.main([command, *given, "--engine", engine, "--debug"]) == 0
        found = pl.scan_delta(out).collect()
        return found.sort([name for name in KEY if name in found.columns])

    for name in COMMANDS:
        found = make("spark", name)
        assert_frame_equal(found, make("local", name), check_exact=True)
        assert found.height > 2, name
