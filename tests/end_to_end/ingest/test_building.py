"""The demo's real building: its numbers were counted by separate programs from the sample's CSVs."""

import math
import sys
from pathlib import Path

import polars as pl
import pytest

from support.fleet import World
from support.places import ROOT

sys.path.insert(0, str(ROOT / "tests/demo"))

from building import write_building

SENSORS = 19  # fields that occur in the first three hours


@pytest.fixture(scope="module")
def three_hours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of input."""
    folder = tmp_path_factory.mktemp("three_hours")
    assert write_building(folder, hours=3) == 1_221  # 609 of SITA and 612 of SITB
    return folder


def test_three_hours_of_the_building_arrive_whole(world: World, three_hours: Path) -> None:
    summary = world.compact("sources.datalog.zone=UTC", source=three_hours)
    assert (summary["files_ingested"], summary["files_written"]) == (1_221, 2)
    assert (summary["records_in"], summary["rows_out"]) == (4_884, 4_884)
    assert summary["cells_stored"] == 15_384 + 3 * 4_884  # the readings; heartbeat, unitno and deviceid of each row
    table = pl.read_delta(str(world.table))
    added = ["ts", "hiveperiod", "dstrct_code", "unitno", "deviceid", "source_file", "_rescued"]
    sensors = table.drop([*added, "heartbeat"])
    assert sensors.width == SENSORS
    values = [v for column in sensors for v in column.drop_nulls()]
    assert len(values) == 15_384
    assert math.fsum(values) == pytest.approx(971_413.8899966431, rel=1e-15)
    assert table["heartbeat"].sum() == 6_935_648_009_400
    assert table["_rescued"].null_count() == 4_884
    assert table["unitno"].n_unique() == 407
    assert "Zone_Air_Temp" in sensors.columns


def test_a_day_by_local_date_is_cut_where_the_zone_says(world: World, three_hours: Path) -> None:
    # 2015-01-01T00:00Z .. 02:59Z is 08:00 .. 10:59 of the same day at UTC+8, and 2014-12-31 at UTC-8
    world.compact("sources.datalog.zone=Etc/GMT+8", "sources.datalog.earliest='2014-01-01'", source=three_hours)
    days = pl.read_delta(str(world.table), columns=["hiveperiod"])["hiveperiod"].unique()
    assert [str(day) for day in days] == ["2014-12-31"]
