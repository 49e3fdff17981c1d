"""Adopt: rows that another engine changed are named by source file, and with --yes the accounts close again."""

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from siltstone.errors import OtherWriterError
from siltstone.maintenance.adopt import adopt
from siltstone.maintenance.describe import open_table
from siltstone.table import ledger
from support.aggregates import at
from support.commands import command
from support.fleet import NOON, World, quiet, record
from support.haltian import file_of, path_of
from support.other_writers import (
    CLOSED,
    HOURS,
    LATER,
    OF_FILES,
    OF_ROWS,
    SLOW,
    adopted,
    all_but,
    deliver_a_changed_file,
    deliver_a_new_file,
    delta,
    insert,
    newest_manifest_of,
    numbers,
    three_runs,
    vacuumed,
)
from support.plant import SERIES, Plant, raw, raw_path

AFTER: dict[str, tuple[list[float], dict[str, tuple[int, int]]]] = {
    "DELETE": ([0, 0, 2, 2], {HOURS[1]: (2, 0)}),
    "UPDATE": ([0, 0, 2, 2, 101, 101], {HOURS[1]: (2, 2)}),
    "MERGE": ([-1, 0, 0, 2, 2, 10, 10], {HOURS[1]: (2, 2), "": (0, 1)}),
}
"""The column n afterwards, and of each touched source file the rows before and after."""


@pytest.fixture
def fleet(world: World) -> World:
    return three_runs(world)


def touched(world: World, summary: Any) -> dict[str, tuple[int, int]]:
    root = f"{os.path.realpath(world.input)}/"
    return {
        one["path"].removeprefix(root).rpartition("/")[0]: (one["rows_before"], one["rows"])
        for one in summary["sources"]
    }


def account_of(world: World, hour: str) -> dict[str, Any]:
    table = open_table(str(world.lake), "datalog", world.config().storage)
    snapshot = table.snapshot()
    assert snapshot is not None
    (row,) = ledger.accounts(table.storage, snapshot.head).filter(path=os.path.realpath(world.path(hour))).to_dicts()
    return row


@pytest.mark.parametrize("operation", all_but("MERGE", ((operation,) for operation in OF_ROWS)))
def test_touched_source_files_are_named_and_their_accounts_close(fleet: World, operation: str) -> None:
    OF_ROWS[operation](delta(fleet.table))
    rows, sources = AFTER[operation]
    before = fleet.version()
    told = adopted(fleet, yes=False)
    assert (told["run"], told["what"], touched(fleet, told), fleet.version()) == ("", "rows", sources, before)
    done = adopted(fleet)
    assert (touched(fleet, done), fleet.version()) == (sources, before + 1)
    assert numbers(fleet) == rows
    found = fleet.verify()
    assert (found["problems"], found["sources_proven"], found["sources_changed"]) == ([], 3, 0)
    assert found["sources_gone"] == sum(path == "" for path in sources)  # rows that name no source file
    assert newest_manifest_of(fleet.table)[1]["format"]["min_writer_version"] == 2  # others would read it again
    account = account_of(fleet, HOURS[1])
    assert (account["state"], account["records_in"]) == ("edited", 2)
    assert account["records_in"] + account["rows_adopted"] == account["rows_out"] == sources[HOURS[1]][1]
    assert ledger.account_of(account).account.problems() == []
    # from then on runs go on as ever
    deliver_a_new_file(fleet)
    deliver_a_changed_file(fleet, HOURS[2])
    assert fleet.compact(LATER)["rows_superseded"] == 2
    assert fleet.settle(CLOSED)["files_written"] == 1
    vacuumed(fleet)
    assert fleet.verify()["problems"] == []
    assert numbers(fleet) == sorted([*(n for n in rows if n != 2), 5, 6, 7, 99])
    assert adopted(fleet)["what"] == "nothing"


def test_a_later_change_of_an_edited_source_file_is_named_and_not_taken(fleet: World) -> None:
    OF_ROWS["UPDATE"](delta(fleet.table))
    adopted(fleet)
    deliver_a_changed_file(fleet, HOURS[1])
    for retry in (False, True):
        summary = fleet.compact(LATER, retry=retry)
        assert (summary["files_changed"], summary["files_ingested"]) == (1, 0)
        assert summary["changed"] == [os.path.realpath(fleet.path(HOURS[1]))]
    assert numbers(fleet) == [0, 0, 2, 2, 101, 101]


@SLOW
def test_edits_of_a_second_writer_add_up(fleet: World) -> None:
    OF_ROWS["DELETE"](delta(fleet.table))
    adopted(fleet)
    delta(fleet.table).delete("n = 2")
    adopted(fleet)
    insert(fleet.table, pa.table(delta(fleet.table).to_pyarrow_table()).slice(0, 1))
    assert touched(fleet, adopted(fleet)) == {HOURS[0]: (2, 3)}
    assert numbers(fleet) == [0, 0, 0]
    assert fleet.verify()["problems"] == []


@SLOW
def test_where_data_files_of_before_are_gone_rows_are_counted(fleet: World) -> None:
    fleet.settle(CLOSED)
    (merged,) = fleet.stored()
    OF_ROWS["DELETE"](delta(fleet.table))
    (fleet.table / merged).unlink()
    summary = adopted(fleet)
    assert (touched(fleet, summary), summary["files_missing"]) == ({HOURS[1]: (2, 0)}, 1)
    assert fleet.verify()["problems"] == []


@SLOW
def test_what_needs_no_adopting_is_taken_over_or_left(fleet: World) -> None:
    assert adopted(fleet)["what"] == "nothing"
    OF_FILES["OPTIMIZE"](delta(fleet.table))
    assert (adopted(fleet, yes=False)["what"], adopted(fleet)["what"]) == ("files", "files")
    assert adopted(fleet)["what"] == "nothing"
    assert fleet.verify()["problems"] == []


@SLOW
def test_readings_are_adopted_too(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    for number in range(3):
        plant.deliver("sitewise", {raw_path(number): raw((number, float(number), 1), (number + 10, 5.0, 1))})
        plant.compact("sitewise", LATER)
    root = plant.lake / "readings"
    delta(root).optimize.compact()
    plant.deliver("sitewise", {raw_path(3): raw((0, 7.0, 2))})  # a newer version of a row that lies in their file
    assert plant.compact("sitewise", LATER)["readings"]["keys_replaced"] == 1
    delta(root).update({"value": "9.0"}, predicate="value = 1.0")
    with pytest.raises(OtherWriterError, match="UPDATE by delta-rs"):
        plant.settle("readings", CLOSED)
    config = plant.config()
    summary = adopt(open_table(str(plant.lake), "readings", config.storage), config, plant.engine, quiet, does=True)
    assert [(one["rows_before"], one["rows"]) for one in summary["sources"]] == [(2, 2)]
    plant.deliver("sitewise", {raw_path(4): raw((1, 8.0, 2), (10, 6.0, 0))})  # replaces the edited row
    assert plant.compact("sitewise", LATER)["readings"]["keys_replaced"] == 1
    plant.settle("readings", CLOSED)
    assert plant.rows("s", "value") == [(0, 7.0), (1, 8.0), (2, 2.0), (10, 5.0), (11, 5.0), (12, 5.0)]
    assert plant.problems() == []
    assert set(plant.frame()["series_id"]) == {SERIES}


def test_the_command_prints_and_does_with_yes(fleet: World, capsys: pytest.CaptureFixture[str]) -> None:
    OF_ROWS["MERGE"](delta(fleet.table))
    assert command(["adopt", fleet.table]) == 0
    told = capsys.readouterr().out
    assert "changed      version 5: MERGE by delta-rs" in told
    assert "touched      2 source files, rows before and now:" in told
    assert "  (rows that name no source file): 0 -> 1 (no run has read it)" in told
    assert "nothing was done; --yes does it" in told
    assert command(["compact", "datalog", fleet.input, fleet.lake]) == 2
    assert "siltstone adopt" in capsys.readouterr().err
    assert command(["adopt", fleet.table, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"].startswith("00000004-")
    assert command(["adopt", fleet.table]) == 0
    assert capsys.readouterr().out.startswith("nothing to adopt: no other writer has changed data files of ")


@SLOW
def test_rows_that_a_restored_version_lacks_take_the_cells_of_their_columns_along(world: World) -> None:
    world.deliver({HOURS[0]: [record(NOON, n=1)]})
    world.compact(LATER)
    delta(world.table).update({"n": "2.0"})  # no run's version
    world.deliver({HOURS[1]: [record(NOON + 1, n=3, new=4)]})
    before = world.version()
    adopted(world)
    world.compact(LATER)  # adds the column
    delta(world.table).restore(before)
    assert touched(world, adopted(world)) == {HOURS[1]: (1, 0)}
    assert account_of(world, HOURS[1])["cells_stored"] == 0
    assert world.verify()["problems"] == []


@SLOW
def test_rows_are_put_back_into_a_table_that_was_emptied(fleet: World) -> None:
    newest = fleet.version()
    delta(fleet.table).restore(0)
    assert fleet.settle(CLOSED)["taken_over"]["what"] == "restored"
    delta(fleet.table).restore(newest)  # which the runs since then don't know
    assert len(adopted(fleet)["sources"]) == 3
    assert fleet.verify()["problems"] == []
    deliver_a_new_file(fleet)
    assert fleet.compact(LATER)["files_ingested"] == 1
    assert numbers(fleet) == [0, 0, 1, 1, 2, 2, 99]


@SLOW
def test_rows_of_a_file_of_another_source_stop_neither(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.deliver("sitewise", {raw_path(0): raw((0, 1.0, 1)), raw_path(1): raw((60, 2.0, 1))})
    plant.compact("sitewise", LATER)
    root = plant.lake / "readings"
    rows = pa.table(delta(root).to_pyarrow_table())
    at = rows.schema.get_field_index("source_file")
    unread = os.path.realpath(plant.input("sitewise") / raw_path(2))
    insert(root, rows.slice(0, 1).set_column(at, "source_file", pa.array([unread])))
    config = plant.config()
    adopt(open_table(str(plant.lake), "readings", config.storage), config, plant.engine, quiet, does=True)
    plant.deliver("sitewise", {raw_path(2): raw((120, 3.0, 1)), raw_path(3): raw((180, 4.0, 1))})
    summary = plant.compact("sitewise", LATER)["readings"]
    assert (summary["files_ingested"], summary["files_changed"]) == (1, 1)
    assert plant.problems() == []


@SLOW
def test_a_history_does_not_go_on_from_rows_of_no_snapshot(tmp_path: Path) -> None:
    plant, name = Plant(tmp_path), "device"
    device = {"id": "D1", "name": "a", "organizationId": "org"}
    for hour in ("2025-12-01 08:00", "2025-12-01 09:00"):
        plant.deliver("haltian", {path_of(name, at(hour)): file_of(name, [{**device, "name": hour}])})
        plant.compact("haltian", LATER)
    root, config = plant.lake / name, plant.config()
    rows = pa.table(delta(root).to_pyarrow_table()).slice(0, 1)
    nobody = rows.set_column(rows.schema.get_field_index("source_file"), "source_file", pa.nulls(1, pa.string()))
    insert(root, nobody)
    table = open_table(str(plant.lake), name, config.storage)
    with pytest.raises(OtherWriterError, match=r"device has 1 rows of no source file, which no run has read"):
        adopt(table, config, plant.engine, quiet, does=True)
    delta(root).delete("source_file is null")
    assert adopt(table, config, plant.engine, quiet, does=True)["sources"] == []
    assert plant.problems(name) == []


@SLOW
def test_an_adopted_row_without_a_source_file_gives_way_to_a_newer_version(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    plant.deliver("sitewise", {raw_path(0): raw((0, 1.0, 1), (60, 2.0, 1))})
    plant.compact("sitewise", LATER)
    root, config = plant.lake / "readings", plant.config()
    delta(root).update({"source_file": "null"}, predicate="value = 2.0")
    adopt(open_table(str(plant.lake), "readings", config.storage), config, plant.engine, quiet, does=True)
    plant.deliver("sitewise", {raw_path(1): raw((60, 3.0, 2))})
    assert plant.compact("sitewise", LATER)["readings"]["keys_replaced"] == 1
    assert plant.rows("s", "value") == [(0, 1.0), (60, 3.0)]
    assert plant.problems() == []
