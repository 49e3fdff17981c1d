"""`siltstone aggregate --columns`: each column of a wide table is a measurement of its unit."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from siltstone.aggregation import aggregate as job
from siltstone.errors import UsageError
from support.aggregates import Aggregates, assert_same
from support.fleet import NOON, World, record

HOUR, DAY = 3600, 86_400


@pytest.fixture
def fleet(world: World) -> Aggregates:
    """Two trucks from 4:00 UTC on: a speed every half minute with a gap, a text, and cells without a value."""
    world.deliver(
        {
            "BRCB/SLS30I009/2025121012": [
                record(NOON, gpsspeed=10, Gear="D", load=1.5),
                record(NOON + 30, gpsspeed=20, load=None),
                record(NOON + 60, gpsspeed=-9999, Gear="R"),
                record(NOON + 90, gpsspeed=40),
                record(NOON + 390, gpsspeed=50, Gear="D"),
            ],
            "BRCG/SLS30I623/2025121012": [
                record(NOON + 10, None, "SLS30I623", load=4),
                record(NOON + 20, "LD783", "SLS30I623", load=7),
            ],
        }
    )
    world.compact("optimize.after_compact=false")
    return Aggregates(world.root / "fleet", world.table)


def test_a_column_is_a_series_of_each_unit(fleet: Aggregates) -> None:
    summary = fleet.run(
        "1h", ["integral", "time_in_state", "count", "transitions"], columns=("gpsspeed", "Gear", "load")
    )
    assert (summary["rows_in"], summary["points"]) == (7, 5 + 3 + 1 + 2)
    told = (
        "series_id",
        "device_id",
        "measurement",
        "site",
        "source",
        "integral",
        "time_in_state",
        "count",
        "covered_s",
    )
    assert fleet.rows(*told) == [
        # a text: 60 s of D, 330 s of R
        ("LD772/Gear", "LD772", "Gear", "BRCB", "datalog", None, {"D": 60.0, "R": 330.0}, 3, 390.0),
        # a line of 30 s from 10 to 20, 20 held 30 s to the sentinel, and 40 held for 60 s: the gap is above a minute
        ("LD772/gpsspeed", "LD772", "gpsspeed", "BRCB", "datalog", 450.0 + 600.0 + 2400.0, None, 4, 120.0),
        # one cell with a value, held until the last instant of the table
        ("LD772/load", "LD772", "load", "BRCB", "datalog", 1.5 * 390, {"1.5": 390.0}, 1, 390.0),
        # a unit that has no name
        ("/load", "", "load", "BRCG", "datalog", 4.0 * 380, {"4": 380.0}, 1, 380.0),
        ("LD783/load", "LD783", "load", "BRCG", "datalog", 7.0 * 370, {"7": 370.0}, 1, 370.0),
    ]


def test_filters_and_a_later_hour(fleet: Aggregates, world: World) -> None:
    terms = {"columns": ("gpsspeed", "load"), "measurements": ("gps*",), "devices": ("LD7[78]*",)}
    fleet.run("1h", ["time_weighted_average", "count"], **terms)
    assert fleet.rows("series_id", "count") == [("LD772/gpsspeed", 4)]
    before = fleet.dates()
    world.deliver(
        {
            "BRCB/SLS30I009/2025121013": [record(NOON + HOUR, gpsspeed=1), record(NOON + 420, gpsspeed=60)],
            "BRCB/SLS30I009/2025121112": [record(NOON + DAY, gpsspeed=2)],
        }
    )
    world.compact()
    summary = fleet.run("1h", ["time_weighted_average", "count"], **terms)
    assert summary["buckets_touched"] == 3
    assert fleet.rows("at", "count") == [("12-10 04:00", 5), ("12-10 05:00", 1), ("12-11 04:00", 1)]
    assert set(before) == {"2025-12-10"}
    fresh = fleet.twin("fresh")
    fresh.run("1h", ["time_weighted_average", "count"], **terms)
    assert_same(fleet.frame(), fresh.frame())
    assert fleet.run("1h", ["time_weighted_average", "count"], **terms)["run"] == ""


def test_rows_of_one_instant_on_both_sides_of_a_cut_are_taken_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # rows 0, 1, 2, ... at the seconds 0, 0, 1, 1, ..., but rows 20 to 39 at second 10; 7 to a row group and a task
    seconds = [n // 2 if n < 20 else 10 if n < 40 else n - 20 for n in range(60)]
    world.deliver({"BRCB/D/2025121012": [record(NOON + s, a=float(n)) for n, s in enumerate(seconds)]})
    world.compact("optimize.after_compact=false")
    (path,) = world.table.rglob("data_*.parquet")
    pq.write_table(pq.read_table(path, partitioning=None), path, row_group_size=7)
    (log,) = [entry for entry in (world.table / "_delta_log").glob("*.json") if path.name in entry.read_text()]
    log.write_text(re.sub(r'"size":\d+', f'"size":{path.stat().st_size}', log.read_text()))
    monkeypatch.setattr(job, "_TASK_ROWS", 7)
    output = Aggregates(world.root / "output", world.table)
    summary = output.run("1h", ["count", "sum"], columns=("a",))
    # of each second the last row: 1, 3, ..., 19; 39; 40 to 59
    assert output.rows("count", "sum") == [(31, 100.0 + 39.0 + sum(range(40, 60)))]
    assert (summary["rows_in"], summary["repeated"]) == (60, 29)


def test_columns_that_are_not_there_and_columns_left_out(fleet: Aggregates) -> None:
    with pytest.raises(UsageError, match=r"has no column gps_speed. Did you mean gpsspeed\? It has Gear, "):
        fleet.run("1h", columns=("gps_speed", "load"))
    with pytest.raises(UsageError, match=r"datalog is a wide table\. Say which columns: --columns a,b"):
        fleet.run("1h")
    assert not Path(fleet.root).exists()


def test_rows_without_a_unit_in_two_files_are_read_together(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, None, load=4), record(NOON + 20, "AAA", load=1)]})
    world.compact("optimize.after_compact=false")
    world.deliver({"BRCB/SLS30I009/2025121013": [record(NOON + 10, None, load=6), record(NOON + 30, "ZZZ", load=1)]})
    world.compact("optimize.after_compact=false")
    output = Aggregates(world.root / "fleet", world.table)
    output.run("1h", ["count", "first", "last"], columns=("load",))
    assert output.rows("series_id", "count", "first", "last") == [
        ("/load", 2, 4.0, 6.0),
        ("AAA/load", 1, 1.0, 1.0),
        ("ZZZ/load", 1, 1.0, 1.0),
    ]


def test_of_two_cells_of_one_instant_that_of_the_later_source_counts(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, load=4), record(NOON, load=9, Gear="x")]})
    world.compact("optimize.after_compact=false")
    world.deliver({"BRCB/SLS30I009/2025121013": [record(NOON, load=6)]})
    world.compact("optimize.after_compact=false")
    output = Aggregates(world.root / "fleet", world.table)
    output.run("1h", ["last"], columns=("load",))
    assert output.rows("series_id", "last") == [("LD772/load", 6.0)]
    world.settle()
    output.run("1h", ["last"], full=True, columns=("load",))
    assert output.rows("series_id", "last") == [("LD772/load", 6.0)]
