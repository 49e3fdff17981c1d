"""The demo's real building: its numbers were counted by separate programs from the sample's CSVs."""

import math
import sys
from pathlib import Path

import polars as pl
import pytest
from worlds import World

sys.path.insert(0, str(Path(__file__).parents[1] / "demo"))

from building import write_building

SENSORS = 19  # fields that occur in the first three hours


@pytest.fixture
def three_hours(world: World) -> World:
    assert write_building(world.input, hours=3) == 1_221  # 609 of SITA and 612 of SITB
    return world


def test_three_hours_of_the_building_arrive_whole(three_hours: World) -> None:
    summary = three_hours.compact("sources.datalog.zone=UTC")
    assert (summary["files_ingested"], summary["files_written"]) == (1_221, 2)
    assert (summary["records_in"], summary["rows_out"]) == (4_884, 4_884)
    assert summary["cells_stored"] == 15_384 + 3 * 4_884  # the readings; heartbeat, unitno and deviceid of each row
    table = pl.read_delta(str(three_hours.table))
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


def test_a_day_by_local_date_is_cut_where_the_zone_says(three_hours: World) -> None:
    # 2015-01-01T00:00Z .. 02:59Z is 08:00 .. 10:59 of the same day at UTC+8, and 2014-12-31 at UTC-8
    three_hours.compact("sources.datalog.zone=Etc/GMT+8", "sources.datalog.earliest='2014-01-01'")
    days = pl.read_delta(str(three_hours.table), columns=["hiveperiod"])["hiveperiod"].unique()
    assert [str(day) for day in days] == ["2014-12-31"]
