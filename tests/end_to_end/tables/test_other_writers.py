"""Other engines write into siltstone's tables: what they only stored anew is taken over by the next run, what they
changed ends it with a sentence, and nothing is deleted meanwhile."""

import json
import re
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from siltstone.errors import OtherWriterError
from siltstone.maintenance.describe import open_table
from siltstone.maintenance.vacuum import vacuum
from siltstone.model.contracts import DATALOG
from siltstone.model.data_files import is_own_name
from siltstone.storage import open_root
from siltstone.table.delta_table import Table
from support.aggregates import Aggregates, assert_same
from support.fleet import NOON, World, quiet, record
from support.old_lakes import change_header
from support.other_writers import (
    CLOSED,
    HOURS,
    LATER,
    OF_FILES,
    OF_NEITHER,
    OF_ROWS,
    SLOW,
    adopted,
    all_but,
    clean_up_log,
    deliver_a_changed_file,
    deliver_a_new_file,
    delta,
    insert,
    newest_manifest_of,
    numbers,
    three_runs,
    vacuumed,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def after_nothing(world: World) -> Any:
    return world.compact(LATER)


def after_a_new_file(world: World) -> Any:
    deliver_a_new_file(world)
    return world.compact(LATER)


def after_a_changed_file(world: World) -> Any:
    deliver_a_changed_file(world)
    return world.compact(LATER)


def after_optimize(world: World) -> Any:
    return world.settle(CLOSED)


NEXT_RUNS: dict[str, tuple[Callable[[World], Any], list[float]]] = {
    "nothing new": (after_nothing, [0, 0, 1, 1, 2, 2]),
    "a new file": (after_a_new_file, [0, 0, 1, 1, 2, 2, 99]),
    "a changed file": (after_a_changed_file, [1, 1, 2, 2, 5, 6, 7]),
    "optimize": (after_optimize, [0, 0, 1, 1, 2, 2]),
}


@pytest.fixture
def fleet(world: World) -> World:
    return three_runs(world)


def hourly(world: World, name: str = "hourly") -> Aggregates:
    return Aggregates(world.lake / name, world.table)


def average(world: World, *, full: bool = False, name: str = "hourly") -> Any:
    return hourly(world, name).run("1h", ["count", "sum", "time_weighted_average"], columns=("n",), full=full)


@pytest.mark.parametrize(("operation", "next_run"), all_but("OPTIMIZE-a changed file", product(OF_FILES, NEXT_RUNS)))
def test_the_next_run_takes_over_files_with_the_same_rows(fleet: World, operation: str, next_run: str) -> None:
    OF_FILES[operation](delta(fleet.table))
    run, expected = NEXT_RUNS[next_run]
    taken_over = run(fleet)["taken_over"]
    assert (taken_over["what"], taken_over["files_removed"], taken_over["rows"]) == ("files", 1, 6)
    assert taken_over["by"].startswith("version 5: OPTIMIZE by delta-rs")
    assert numbers(fleet) == expected
    assert all(map(is_own_name, fleet.stored()))
    assert fleet.verify()["problems"] == []
    assert after_nothing(fleet)["taken_over"] is None


@SLOW
def test_files_that_were_taken_over_are_as_siltstone_writes_them(fleet: World) -> None:
    OF_FILES["ZORDER"](delta(fleet.table))
    fleet.compact(LATER)
    ((path, size),) = fleet.stored().items()
    rows = pq.read_table(fleet.table / path, partitioning=None)
    assert rows["ts"].to_pylist() == sorted(rows["ts"].to_pylist())
    (add,) = [action["add"] for action in fleet.actions() if "add" in action]
    assert (add["size"], add["dataChange"]) == (size, False)
    assert {"numRecords", "minValues", "maxValues", "nullCount"} == set(json.loads(add["stats"]))


@pytest.mark.parametrize("between", [False, pytest.param(True, marks=SLOW)])
def test_an_aggregate_computes_nothing_anew(fleet: World, between: bool) -> None:
    average(fleet)
    OF_FILES["OPTIMIZE"](delta(fleet.table))
    if between:
        assert average(fleet)["run"] != ""  # it reads the other engine's file, in whatever order its rows are
        average(fleet, name="twin")
        assert_same(hourly(fleet).frame(), hourly(fleet, "twin").frame())
    fleet.compact(LATER)
    assert average(fleet)["run"] == ""


def test_files_before_an_optimize_are_kept_for_a_restore(fleet: World) -> None:
    OF_FILES["OPTIMIZE"](delta(fleet.table))
    assert [path for path in vacuumed(fleet)["files"] if path.endswith(".parquet")] == []
    delta(fleet.table).restore(4)
    assert fleet.compact(LATER)["taken_over"] is None
    assert numbers(fleet) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("operation", all_but("DELETE", ((operation,) for operation in OF_ROWS)))
def test_changed_rows_end_every_run_that_writes(fleet: World, operation: str) -> None:
    OF_ROWS[operation](delta(fleet.table))
    before, stored = fleet.version(), fleet.files()
    expected = rf"changed by another writer since siltstone's run 00000003-\w+ \(version 5: {operation} by delta-rs"
    for run in (after_nothing, after_a_new_file, after_a_changed_file, after_optimize, vacuumed):
        with pytest.raises(OtherWriterError, match=rf"{expected}.*siltstone adopt .*/lake/datalog names") as refused:
            run(fleet)
        assert refused.value.exit_code == 2
    assert (fleet.version(), fleet.files()) == (before, stored)
    problems = fleet.verify()["problems"]
    assert problems[0].startswith("other writers have changed rows of the table since run 00000003-")
    average(fleet)  # reading goes on
    assert sum(count for (count,) in hourly(fleet).rows("count")) == fleet.frame().height


@pytest.mark.parametrize("operation", all_but("VACUUM", ((operation,) for operation in OF_NEITHER)))
def test_what_changes_no_data_file_does_not_count(fleet: World, operation: str) -> None:
    OF_NEITHER[operation](delta(fleet.table))
    summary = after_a_changed_file(fleet)
    assert (summary["taken_over"], summary["rows_superseded"]) == (None, 2)
    assert fleet.verify()["problems"] == []


def test_a_restore_makes_later_source_files_unknown(fleet: World) -> None:
    average(fleet)
    delta(fleet.table).restore(delta(fleet.table).version() - 1)  # as after the second run
    assert vacuumed(fleet)["files"] == []
    summary = fleet.compact(LATER)
    assert summary["taken_over"]["what"] == "restored"
    assert (summary["taken_over"]["sources_unknown"], summary["files_ingested"], summary["files_skipped"]) == (1, 1, 2)
    assert numbers(fleet) == [0, 0, 1, 1, 2, 2]
    assert fleet.verify()["problems"] == []
    average(fleet)
    average(fleet, name="twin")
    assert_same(hourly(fleet).frame(), hourly(fleet, "twin").frame())


@SLOW
def test_a_restore_of_the_empty_table_begins_again(fleet: World) -> None:
    delta(fleet.table).restore(0)
    summary = fleet.settle(CLOSED)
    assert (summary["taken_over"]["what"], summary["taken_over"]["sources_unknown"]) == ("restored", 3)
    assert fleet.compact(LATER)["rows_out"] == 6
    assert fleet.verify()["problems"] == []


@SLOW
def test_data_files_that_a_restore_took_out_stay_for_the_grace(fleet: World) -> None:
    (last,) = (output["path"] for output in newest_manifest_of(fleet.table)[1]["outputs"])
    delta(fleet.table).restore(delta(fleet.table).version() - 1)
    fleet.compact(LATER)
    config = fleet.config()
    assert vacuum(open_table(str(fleet.lake), "datalog", config.storage), config, quiet, dry_run=True)["files"] == []
    assert (fleet.table / last).exists()


def test_a_log_that_was_cleaned_up_hides_nothing(fleet: World) -> None:
    OF_FILES["OPTIMIZE"](delta(fleet.table))
    clean_up_log(fleet.table)
    taken_over = fleet.compact(LATER)["taken_over"]
    assert (taken_over["what"], taken_over["rows"]) == ("files", 6)
    assert taken_over["by"].endswith("; the log of before is cleaned up")
    OF_ROWS["UPDATE"](delta(fleet.table))  # as many rows as before
    delta(fleet.table).alter.set_table_description("fleet")
    clean_up_log(fleet.table)
    with pytest.raises(OtherWriterError, match=r"\(the log is cleaned up and does not say by whom\)"):
        fleet.compact(LATER)


@SLOW
def test_where_files_of_before_are_gone_too_nothing_is_guessed(fleet: World) -> None:
    before = fleet.stored()
    OF_FILES["OPTIMIZE"](delta(fleet.table))
    clean_up_log(fleet.table)
    (fleet.table / min(before)).unlink()
    with pytest.raises(OtherWriterError):
        fleet.compact(LATER)
    summary = adopted(fleet)
    assert (summary["what"], summary["files_missing"], summary["sources"]) == ("rows", 1, [])
    assert numbers(fleet) == [0, 0, 1, 1, 2, 2]
    assert fleet.verify()["problems"] == []


def test_a_table_of_an_older_release_is_taken_as_it_is_until_its_next_run(fleet: World) -> None:
    change_header(fleet.table, lambda header: {k: v for k, v in header.items() if k != "data_files"})
    OF_FILES["OPTIMIZE"](delta(fleet.table))
    assert fleet.compact(LATER)["taken_over"]["what"] == "files"  # the log tells of it
    change_header(fleet.table, lambda header: {k: v for k, v in header.items() if k != "data_files"})
    clean_up_log(fleet.table)
    deliver_a_new_file(fleet)
    assert fleet.compact(LATER)["rows_out"] == 1
    assert newest_manifest_of(fleet.table)[1]["data_files"]["count"] == len(fleet.stored()) == 2


@SLOW
def test_a_table_that_others_wrote_before_the_first_run_is_refused(world: World) -> None:
    three_runs(world)
    rows = delta(world.table).to_pyarrow_table()
    other = World(world.root / "other")
    Table(open_root(str(other.table)), DATALOG).create()
    insert(other.table, rows.select([f.name for f in delta(other.table).schema().to_arrow()]))
    other.deliver({HOURS[0]: [record(NOON)]})
    with pytest.raises(OtherWriterError, match=r"run \(none\) \(version 1: WRITE"):
        other.compact(LATER)


def test_new_tables_ask_platforms_not_to_optimize_them(fleet: World) -> None:
    properties = delta(fleet.table).metadata().configuration
    assert properties["delta.autoOptimize.autoCompact"] == properties["delta.autoOptimize.optimizeWrite"] == "false"


@pytest.mark.parametrize("how", ["ZORDER", pytest.param("DELETE", marks=SLOW)])
def test_a_table_of_aggregates_that_others_changed_is_made_anew(fleet: World, how: str) -> None:
    fleet.deliver({"BRCB/SLS30I009/2025121013": [record(NOON + 3600 * h, n=h) for h in range(1, 4)]})
    fleet.compact(LATER)
    average(fleet)
    output = delta(hourly(fleet).root)
    if how == "ZORDER":
        output.optimize.z_order(["count"])
    else:
        output.delete("count = 1")
    with pytest.raises(OtherWriterError, match=r"version 2: \w+ by delta-rs.*siltstone aggregate with --full"):
        average(fleet)
    if how == "DELETE":
        with pytest.raises(OtherWriterError, match=r"version 2: DELETE by delta-rs.*siltstone aggregate with --full"):
            vacuumed(fleet, "hourly")
    average(fleet, full=True)
    average(fleet, name="twin")
    assert_same(hourly(fleet).frame(), hourly(fleet, "twin").frame())
    assert average(fleet)["run"] == ""


@SLOW
def test_a_rollup_that_others_changed_is_made_anew_by_itself(fleet: World) -> None:
    average(fleet)
    daily = Aggregates(fleet.lake / "daily", hourly(fleet).root)
    daily.roll_up("1d")
    expected = daily.frame()
    delta(daily.root).delete()
    assert daily.roll_up("1d")["rows_out"] == expected.height
    assert_same(daily.frame(), expected)
    assert daily.roll_up("1d")["run"] == ""


@SLOW
def test_what_a_platform_does_again_and_again_ends_no_run(fleet: World) -> None:
    for hour in (15, 16):
        fleet.deliver({f"BRCB/SLS30I009/20251210{hour}": [record(NOON + 60 * hour, n=hour)]})
        assert fleet.compact(LATER)["rows_out"] == 1
        delta(fleet.table).optimize.compact()
    assert fleet.compact(LATER)["taken_over"]["files_removed"] == 1
    assert numbers(fleet) == [0, 0, 1, 1, 2, 2, 15, 16]
    assert fleet.verify()["problems"] == []


@pytest.mark.slow("spark")
def test_what_spark_writes_is_taken_over_and_adopted(fleet: World, spark: "SparkSession") -> None:
    average(fleet)
    path = f"delta.`{fleet.table}`"
    spark.sql(f"OPTIMIZE {path}")
    taken_over = fleet.compact(LATER)["taken_over"]
    assert (taken_over["what"], taken_over["rows"]) == ("files", 6)
    assert re.match(r"version 5: OPTIMIZE by Apache-Spark/\S+ Delta-Lake/", taken_over["by"])
    assert (average(fleet)["run"], numbers(fleet)) == ("", [0, 0, 1, 1, 2, 2])
    spark.sql(f"UPDATE {path} SET n = n + 100 WHERE n = 1")
    with pytest.raises(OtherWriterError, match="UPDATE by Apache-Spark"):
        fleet.compact(LATER)
    assert [(one["rows_before"], one["rows"]) for one in adopted(fleet)["sources"]] == [(2, 2)]
    assert numbers(fleet) == [0, 0, 2, 2, 101, 101]
    assert fleet.verify()["problems"] == []
    average(fleet)
    average(fleet, name="twin")
    assert_same(hourly(fleet).frame(), hourly(fleet, "twin").frame())
    spark.sql(f"RESTORE TABLE {path} TO VERSION AS OF 4")
    assert fleet.compact(LATER)["taken_over"]["what"] == "restored"
    assert numbers(fleet) == [0, 0, 1, 1, 2, 2]
    assert fleet.verify()["problems"] == []


@pytest.mark.slow("spark")
def test_deletion_vectors_are_refused(fleet: World, spark: "SparkSession") -> None:
    path = f"delta.`{fleet.table}`"
    spark.sql(f"ALTER TABLE {path} SET TBLPROPERTIES (delta.enableDeletionVectors = true)")
    fleet.settle(CLOSED)  # one file, of which a DELETE takes some rows
    spark.sql(f"DELETE FROM {path} WHERE n = 1")
    for run in (after_nothing, after_optimize, vacuumed, World.verify, average):
        with pytest.raises(OtherWriterError, match=r"has deletion vectors.*REORG TABLE ... APPLY \(PURGE\)"):
            run(fleet)
    spark.sql(f"REORG TABLE {path} APPLY (PURGE)")
    with pytest.raises(OtherWriterError, match=r"REORG by Apache-Spark.*DELETE by Apache-Spark"):
        fleet.compact(LATER)
    assert [(one["rows_before"], one["rows"]) for one in adopted(fleet)["sources"]] == [(2, 0)]
    assert fleet.verify()["problems"] == []
