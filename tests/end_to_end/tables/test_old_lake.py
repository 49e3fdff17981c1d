"""A lake that siltstone wrote at 555e899 is read, and written on by the same command lines, by every later one."""

import json
from collections.abc import Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from support.commands import command
from support.old_lakes import COMMANDS, OldLake

FORMAT_1 = {
    "version": 1, "min_reader_version": 1, "min_writer_version": 1,
    "min_reader_release": "0.1.0", "min_writer_release": "0.1.0",
}  # fmt: skip
NAMES = ("daily", "datalog", "days", "device", "grid", "hourly", "hours", "joined", "opcua", "readings")
TABLES = [*(f"lake/{name}" for name in NAMES), "plain/datalog", "plain/fleet_hourly"]
_BUCKET = ["site", "series_id", "bucket_start"]
KEYS = {
    **dict.fromkeys((f"lake/{name}" for name in ("daily", "days", "hourly", "hours", "opcua")), _BUCKET),
    "plain/fleet_hourly": _BUCKET,
    "lake/grid": ["site", "series_id", "ts"],
    "lake/joined": ["site", "device_id", "ts"],
    "lake/readings": ["site", "series_id", "ts"],
    "lake/device": ["id", "valid_from"],
    "lake/datalog": ["unitno", "ts"],
    "plain/datalog": ["unitno", "ts"],
}
CHANGING = {
    "lake/datalog": [],
    "plain/datalog": [],
    "lake/readings": ["source_file", "value", "version"],
    "lake/device": ["valid_to"],
}
"""Columns that new source files change of rows that were there; all others stay as they were."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> OldLake:
    """The lake as it was; nobody changes it."""
    return OldLake.below(tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> tuple[OldLake, Mapping[str, Any]]:
    """The lake once more, with new files brought in by the command lines of then; and what each said, by its name."""
    lake, said = OldLake.below(tmp_path_factory.mktemp("continued")), {}
    lake.deliver()
    for name in COMMANDS["write"]:
        said[name] = answer(lake, "write", name)
    return lake, said


def answer(lake: OldLake, kind: str, name: str) -> Any:
    """What a command line says as JSON; it must end with 0."""
    with redirect_stdout(StringIO()) as out:
        assert command([*lake.arguments(kind, name), "--json"]) == 0
    return json.loads(out.getvalue().splitlines()[-1])


def in_order(frame: pl.DataFrame, table: str) -> pl.DataFrame:
    return frame.sort(KEYS[table])


def test_the_sample_has_a_table_of_each_kind(old: OldLake) -> None:
    assert old.tables() == TABLES
    kinds = {table: old.newest_header(table)["kind"] for table in TABLES}
    assert kinds == {
        **dict.fromkeys(("lake/datalog", "lake/readings", "plain/datalog"), "settle"),
        "lake/device": "compact",
        **dict.fromkeys(("lake/daily", "lake/days"), "rollup"),
        "lake/grid": "resample",
        "lake/joined": "asof",
        **dict.fromkeys(("lake/hourly", "lake/hours", "lake/opcua", "plain/fleet_hourly"), "aggregate"),
    }
    assert [table for table in TABLES if "format" in old.newest_header(table)] == []


@pytest.mark.parametrize("table", TABLES)
def test_its_rows_are_read_as_then(old: OldLake, table: str) -> None:
    assert_frame_equal(in_order(old.rows(table), table), in_order(old.rows_then(table), table))


@pytest.mark.parametrize("name", COMMANDS["show"])
def test_show_says_the_same_as_then_and_the_format(old: OldLake, name: str) -> None:
    said, then = answer(old, "show", name), old.told()["show"][name]
    assert {**said, "tables": [{k: v for k, v in t.items() if k != "format"} for t in said["tables"]]} == then
    assert [t["format"] for t in said["tables"]] == [FORMAT_1] * len(then["tables"])


@pytest.mark.parametrize("name", COMMANDS["verify"])
def test_verify_proves_as_much_as_then(old: OldLake, name: str) -> None:
    said, then = answer(old, "verify", name), old.told()["verify"][name]
    assert {**said, "seconds": 0} == {**then, "seconds": 0}
    assert said["problems"] == []


# Rows of the third round (make.py): LD1 comes again with 21 records in the place of 20, LD6 brings 4. SiteWise corrects
# one value and brings one, Mortar brings 6, Haltian one temperature and one CO2; and the newest state of three devices.
ADDED = {"lake/datalog": 1 + 4, "plain/datalog": 1 + 4, "lake/readings": 1 + 6 + 2, "lake/device": 3}


@pytest.mark.parametrize("table", ADDED)
def test_new_rows_come_beside_those_of_then(continued: tuple[OldLake, Any], table: str) -> None:
    lake, _ = continued
    now, then = lake.rows(table), lake.rows_then(table)
    assert now.height == then.height + ADDED[table]
    assert now.select(KEYS[table]).is_unique().all()
    assert then.join(now, on=KEYS[table], how="anti").height == 0
    kept, before = in_order(now.join(then, on=KEYS[table], how="semi"), table), in_order(then, table)
    changed = [name for name in then.columns if not kept[name].equals(before[name], check_dtypes=True)]
    assert changed == CHANGING[table]


def test_a_corrected_value_replaces_that_of_then_and_no_other(continued: tuple[OldLake, Any]) -> None:
    lake, _ = continued
    keys = KEYS["lake/readings"]
    both = lake.rows_then("lake/readings").join(lake.rows("lake/readings"), on=keys, suffix="_now")
    other = both.filter(pl.col("value").ne_missing(pl.col("value_now")))
    assert other.select("value", "value_now", "version_now").rows() == [(9.5, 10.5, 3)]


def test_the_states_of_devices_of_then_end_where_new_ones_begin(continued: tuple[OldLake, Any]) -> None:
    lake, _ = continued
    rows = lake.rows("lake/device").sort("id", "valid_from").select("id", "name", pl.col("valid_to").is_null()).rows()
    assert rows == [
        ("D1", "desk", False),
        ("D1", "desk by the window", False),
        ("D1", "desk by the window", True),  # with a later updatedTs
        ("D2", "door", False),
        ("D2", "door", False),
        ("D2", "gate", True),
        ("D3", "lift", True),
    ]


def test_aggregates_go_on_from_those_of_then(continued: tuple[OldLake, Any]) -> None:
    _, said = continued
    for name in ("lake/hourly", "lake/hours", "lake/days", "plain/fleet_hourly"):
        assert said[name]["run"], name
        assert said[name]["buckets_touched"], name  # a run of all buckets does not say how many


def test_dates_without_news_stay_in_their_files(continued: tuple[OldLake, Any]) -> None:
    lake, said = continued
    for name in ("lake/hours", "lake/days"):
        assert said[name]["rows_out"] < said[name]["rows"], name
        written = {output["path"].partition("/")[0] for output in lake.newest_header(name)["outputs"]}
        assert "date=2021-07-10" in written, name
        assert "date=2021-07-07" not in written, name


@pytest.mark.parametrize("name", [t for t in TABLES if t.startswith("lake/") and t not in ADDED])
def test_tables_made_of_others_are_what_new_ones_would_be(
    continued: tuple[OldLake, Any], name: str, tmp_path: Path
) -> None:
    lake, _ = continued
    anew = tmp_path / "anew"
    own = str(lake.root / name)
    arguments = [str(anew) if a == own else a for a in lake.arguments("write", name)]
    assert command(arguments) == 0
    made = pl.scan_delta(str(anew)).collect()
    assert made.height > lake.rows_then(name).height
    without = ["state"] if "state" in made.columns else []  # partial sums, in another order
    assert_frame_equal(
        in_order(lake.rows(name).drop(without), name), in_order(made.drop(without), name), rel_tol=1e-12, abs_tol=1e-12
    )


@pytest.mark.parametrize("table", TABLES)
def test_a_run_of_today_says_format_1(continued: tuple[OldLake, Any], table: str) -> None:
    lake, _ = continued
    assert lake.newest_header(table)["format"] == FORMAT_1


@pytest.mark.parametrize("name", COMMANDS["verify"])
def test_verify_proves_what_was_written_on(continued: tuple[OldLake, Any], name: str) -> None:
    lake, _ = continued
    said = answer(lake, "verify", name)
    assert (said["problems"], said["sources_gone"]) == ([], 0)


@pytest.mark.parametrize("name", [n for n in COMMANDS["write"] if n != "lake/opcua"])  # a convention is always whole
def test_again_there_is_nothing_to_do(continued: tuple[OldLake, Any], name: str) -> None:
    lake, _ = continued
    said = answer(lake, "write", name)
    assert [t["run"] for t in said.get("tables", [said])] == [""] * len(said.get("tables", [said]))
