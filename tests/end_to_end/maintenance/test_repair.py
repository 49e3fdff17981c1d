"""Repair: a table whose newest run has lost its manifest or data files goes on from the run before it."""

import json
import os
from collections.abc import Callable
from itertools import product
from pathlib import Path

import polars as pl
import pytest

from siltstone.errors import SiltstoneError, StorageError, UsageError
from siltstone.maintenance.describe import open_table
from support.commands import command
from support.fleet import World
from support.other_writers import (
    CLOSED,
    HOURS,
    LATER,
    OF_FILES,
    OF_ROWS,
    SLOW,
    adopted,
    all_but,
    clean_up_log,
    deliver_a_changed_file,
    deliver_a_new_file,
    delta,
    newest_manifest_of,
    repaired,
    three_runs,
    vacuumed,
)


def without_manifest(root: Path) -> None:
    newest_manifest_of(root)[0].unlink()


def without_data_files(root: Path) -> None:
    for output in newest_manifest_of(root)[1]["outputs"]:
        (root / output["path"]).unlink()


def without_both(root: Path) -> None:
    without_data_files(root)
    without_manifest(root)


LOSSES: dict[str, Callable[[Path], None]] = {
    "manifest": without_manifest,
    "data": without_data_files,
    "both": without_both,
}
NEWEST: dict[str, Callable[[World], object]] = {
    "new file": lambda world: None,
    "changed file": lambda world: (deliver_a_changed_file(world), world.compact(LATER)),
    "optimize": lambda world: world.settle(CLOSED),
}
ROWS = {"new file": [0, 0, 1, 1, 2, 2], "changed file": [1, 1, 2, 2, 5, 6, 7], "optimize": [0, 0, 1, 1, 2, 2]}
TAKEN_BACK = {"new file": 0, "changed file": 1, "optimize": 3}


def values(world: World) -> list[float]:
    """The column n, by the data files that the table names."""
    table = open_table(str(world.lake), "datalog", world.config().storage)
    snapshot = table.snapshot()
    assert snapshot is not None
    frames = [pl.read_parquet(world.table / path, hive_partitioning=False) for path in table.paths(snapshot)]
    return sorted(pl.concat(frames, how="diagonal")["n"].to_list())


def problems(world: World) -> list[str]:
    return list(world.verify()["problems"])


@pytest.mark.parametrize(
    ("kind", "loss", "newest"),
    all_but("delta-both-changed file parquet-data-optimize", product(["delta", "parquet"], LOSSES, NEWEST)),
)
def test_a_destroyed_table_is_right_after_repair_and_compact(world: World, kind: str, loss: str, newest: str) -> None:
    three_runs(world, f"compaction.format={kind}")
    NEWEST[newest](world)
    LOSSES[loss](world.table)
    files = world.files()
    told = repaired(world, yes=False)
    assert (told["run"], world.files()) == ("", files)
    done = repaired(world)
    assert done["dropped"] == told["dropped"] != []
    if kind == "delta":  # a plain table deletes what a commit takes out
        assert (done["files_taken_back"], done["files_lost"]) == (TAKEN_BACK[newest], 0)
    assert done["sources_lost"] == []
    world.compact(LATER)
    assert values(world) == ROWS[newest]
    assert problems(world) == []
    assert repaired(world)["dropped"] == []


def test_rows_whose_source_files_are_gone_are_named_first(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    three_runs(world)
    without_data_files(world.table)
    world.path(HOURS[2]).unlink()
    assert command(["repair", world.table]) == 0
    lines = capsys.readouterr().out.splitlines()
    why = "not at the input any more, or with rows that another writer had edited"
    assert lines[0] == f"lost         rows of 1 source files that can't be read again ({why}):"
    assert lines[1].endswith(f"{HOURS[2]}/2025121012.txt.gz")
    assert lines[2].startswith("dropped      00000003-")
    assert lines[-1].startswith("nothing was done; --yes does it")
    assert command(["repair", world.table, "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run"].startswith("00000004-")
    world.compact(LATER)
    assert (values(world), problems(world)) == ([0, 0, 1, 1], [])
    assert command(["repair", world.table]) == 0
    assert capsys.readouterr().out.startswith("nothing to repair: ")


@pytest.mark.parametrize("is_newest", [True, pytest.param(False, marks=SLOW)])
def test_edits_of_another_writer_are_lost_with_their_data_files(world: World, is_newest: bool) -> None:
    three_runs(world)
    OF_ROWS["UPDATE"](delta(world.table))
    adopted(world)
    of_adopt = newest_manifest_of(world.table)[1]["outputs"]
    if not is_newest:
        deliver_a_new_file(world)
        world.compact(LATER)
    for output in of_adopt:
        (world.table / output["path"]).unlink()
    done = repaired(world)
    assert done["sources_lost"] == [os.path.realpath(world.path(HOURS[1]))]
    left = [0, 0, 1, 1, 2, 2] if is_newest else [0, 0, 2, 2, 99]  # as before the edit, or without the edited rows
    assert values(world) == left
    world.compact(LATER)
    assert values(world) == left
    assert problems(world) == []


@SLOW
def test_data_files_of_an_earlier_run_are_read_again(world: World) -> None:
    three_runs(world)
    (path,) = (p for p in world.stored() if 1.0 in pl.read_parquet(world.table / p, hive_partitioning=False)["n"])
    (world.table / path).unlink()
    summary = repaired(world)
    assert (summary["dropped"], summary["files_lost"], len(summary["sources_again"])) == ([], 1, 1)
    assert values(world) == [0, 0, 2, 2]
    assert problems(world) == []
    assert world.compact(LATER)["rows_out"] == 2
    assert (values(world), problems(world)) == ([0, 0, 1, 1, 2, 2], [])


@SLOW
def test_two_destroyed_runs_are_dropped(world: World) -> None:
    three_runs(world)
    for _ in range(2):
        without_both(world.table)
    assert len(repaired(world)["dropped"]) == 2
    assert world.compact(LATER)["rows_out"] == 4
    assert (values(world), problems(world)) == ([0, 0, 1, 1, 2, 2], [])


@SLOW
def test_a_plain_run_that_can_t_publish_its_files_is_given_up(world: World) -> None:
    three_runs(world, "compaction.format=parquet")
    log = world.table / "_siltstone" / "log"
    newest = max(log.glob("*.json"))
    newest.with_suffix(".published").unlink()
    without_both(world.table)
    with pytest.raises(SiltstoneError):
        world.compact(LATER)
    repaired(world)
    world.compact(LATER)
    assert (values(world), problems(world)) == ([0, 0, 1, 1, 2, 2], [])


@SLOW
def test_where_nobody_tells_the_run_before_it_is_refused(world: World) -> None:
    three_runs(world)
    without_manifest(world.table)
    clean_up_log(world.table)
    with pytest.raises(UsageError, match=r"the log does not reach back to the run before it. Restore _siltstone/runs"):
        repaired(world)


@SLOW
def test_a_cut_log_does_not_make_a_run_the_first_one(world: World) -> None:
    three_runs(world)
    without_manifest(world.table)
    without_manifest(world.table)
    clean_up_log(world.table, kept=2)
    with pytest.raises(UsageError, match=r"the log does not reach back to the run before it"):
        repaired(world)
    assert len(world.stored()) == 3


@SLOW
def test_data_files_of_another_writer_are_never_dropped(world: World) -> None:
    three_runs(world)
    OF_FILES["OPTIMIZE"](delta(world.table))
    without_manifest(world.table)
    with pytest.raises(UsageError, match="has data files of another writer too"):
        repaired(world)


def test_vacuum_leaves_what_repair_takes_back(world: World) -> None:
    three_runs(world)
    world.settle(CLOSED)
    without_data_files(world.table)
    files = world.files()
    with pytest.raises(StorageError, match=r"1 data files are missing in .*/datalog, such as .*siltstone repair tells"):
        vacuumed(world)
    assert world.files() == files
    assert repaired(world)["files_taken_back"] == 3
    vacuumed(world)
    assert values(world) == [0, 0, 1, 1, 2, 2]


@SLOW
def test_adopted_edits_that_are_lost_are_named_and_no_format_is_lowered(world: World) -> None:
    three_runs(world)
    OF_ROWS["UPDATE"](delta(world.table))
    adopted(world)
    without_data_files(world.table)
    summary = repaired(world)
    assert (len(summary["dropped"]), summary["sources_again"]) == (1, [os.path.realpath(world.path(HOURS[1]))])
    assert (values(world), problems(world)) == ([0, 0, 1, 1, 2, 2], [])
    assert newest_manifest_of(world.table)[1]["format"]["min_reader_version"] == 2
