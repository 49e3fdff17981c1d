"""Runs of which a part is committed and the rest fails: the others have their turn, and what is said is what is so."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.errors import OtherTermsError, PartlyError, StorageError, UnknownOutcomeError
from siltstone.ingest import table_run
from siltstone.table.delta_table import Table
from support.commands import command
from support.fleet import NOON, InProcess, World, record
from support.haltian import file_of, path_of
from support.plant import Plant, raw, raw_path

HOUR = datetime(2021, 7, 8, 12, tzinfo=UTC)
APART, CLOSED = "optimize.after_compact=false", "optimize.closed_after_hours=0"


@dataclass(frozen=True)
class Broken(InProcess):
    """Tasks of a table end with an error of no kind that is expected."""

    table: str = ""
    error: BaseException | None = None

    def run(self, tasks: Sequence[Any], done: Any) -> list[Any]:
        if any(task.table.root.endswith(f"/{self.table}") for task in tasks):
            assert self.error is not None
            raise self.error
        return super().run(tasks, done)


def building(number: int) -> dict[str, bytes]:
    """What a building exports in an hour: two readings, and its device and organization under other names."""
    hour = HOUR + timedelta(hours=number)
    status = [{"deviceId": "d", "ts": hour + timedelta(minutes=m), "organizationId": "o", "status": 1} for m in (1, 2)]
    rows = {
        "measurementOccupancyStatus": status,
        "device": [{"id": "d", "name": f"name {number}", "organizationId": "o"}],
        "organization": [{"id": "o", "name": f"name {number}"}],
    }
    return {path_of(entity, hour): file_of(entity, of_entity) for entity, of_entity in rows.items()}


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def plant_with_a_damaged_table(plant: Plant) -> Plant:
    """Two small files of readings, which could be merged if one were not damaged; new files for every table."""
    for number in (0, 1):
        plant.deliver("haltian", building(number))
        plant.compact("haltian", APART, "compaction.grain=day")
    damaged = min((plant.lake / "readings").rglob("data_*.parquet"))
    damaged.write_bytes(b"PAR1" + b"\xff" * (damaged.stat().st_size - 4))
    plant.deliver("haltian", building(2))
    return plant


def newest(plant: Plant, table: str) -> list[str]:
    """The names that are in force."""
    return [name for name, end in plant.frame(table).select("name", "valid_to").rows() if end is None]


def test_a_table_that_can_not_be_optimized_leaves_the_others_their_turn(
    plant_with_a_damaged_table: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    plant = plant_with_a_damaged_table
    words = ["compact", "haltian", plant.input("haltian"), plant.lake, "--json", "--set", CLOSED]
    assert command(words) == 9
    said = capsys.readouterr()
    told = json.loads(said.out)
    runs = {t["table"].rpartition("/")[2]: t["runs"] for t in told["tables"]}
    assert {name: [run[:8] for run in found] for name, found in runs.items()} == {
        "readings": ["00000003"],  # its new rows are in, though its files are not merged
        "device": ["00000003"],
        "organization": ["00000003"],
    }
    assert [(f["table"], f["exit_code"]) for f in told["failed"]] == [(f"{plant.lake}/readings", 6)]
    assert "merging small files failed" in told["failed"][0]["error"]
    assert "siltstone: haltian is done in part\n  not done: " in said.err
    assert f"  is committed: {plant.lake}/device run {runs['device'][0]}\n" in said.err
    assert (newest(plant, "device"), newest(plant, "organization")) == (["name 2"], ["name 2"])

    assert command(words) == 9  # and every time, with no table left out
    told = json.loads(capsys.readouterr().out)
    assert [t["runs"] for t in told["tables"]] == [[], [], []]


def test_a_table_that_can_not_be_read_at_all_leaves_the_others_their_turn(plant: Plant) -> None:
    plant.deliver("haltian", building(0))
    plant.compact("haltian")
    (plant.lake / "device/_delta_log/00000000000000000001.json").write_text("{")
    plant.deliver("haltian", building(1))
    with pytest.raises(PartlyError, match=r"not done: .*/device: can't read the table") as partly:
        plant.compact("haltian")
    assert {t.table.rpartition("/")[2]: t.files_ingested for t in partly.value.summary.tables} == {
        "readings": 1,
        "organization": 1,
    }


@pytest.mark.parametrize("error", [ValueError("a surprise"), pl.exceptions.PanicException("a surprise")])
def test_a_surprise_in_one_table_is_told_with_what_is_committed(plant: Plant, error: BaseException) -> None:
    plant.deliver("haltian", building(0))
    with pytest.raises(PartlyError, match=rf"device: unexpected {type(error).__name__}: a surprise.*report") as partly:
        plant.compact("haltian", engine=Broken(table="device", error=error))
    (failed,) = partly.value.summary.failed
    assert (failed.exit_code, newest(plant, "organization")) == (1, ["name 0"])
    assert partly.value.__cause__ is error


def test_where_every_table_fails_the_error_is_that_of_all(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any) -> None:
        raise StorageError("the disk is gone", "Bring it back.")

    plant.deliver("haltian", building(0))
    monkeypatch.setattr(Table, "create", down)
    with pytest.raises(
        StorageError, match=r"(?s)3 tables of haltian failed\n.*/device: the disk is gone\. Bring it back\."
    ):
        plant.compact("haltian")


def test_other_settings_stop_all_tables_before_the_first(plant: Plant) -> None:
    plant.deliver("haltian", building(0))
    plant.compact("haltian")
    plant.deliver("haltian", building(1))
    with pytest.raises(OtherTermsError, match="was written with"):
        plant.compact("haltian", f"compaction.source_root={plant.input('haltian')}")
    assert newest(plant, "organization") == ["name 0"]


def failing_at(number: int, error: Exception, real: Callable[..., Any]) -> Callable[..., Any]:
    calls: Iterator[int] = iter(range(1, 100))

    def call(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            raise error
        return real(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    "error",
    [
        UnknownOutcomeError("the outcome is unknown"),
        pytest.param(StorageError("the store is gone"), marks=pytest.mark.slow("faults")),
        pytest.param(ValueError("a surprise"), marks=pytest.mark.slow("faults")),
    ],
)
def test_portions_that_are_committed_are_told(plant: Plant, error: Exception) -> None:
    plant.deliver("sitewise", {raw_path(n): raw((n, float(n), 1)) for n in (1, 2, 3)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_run, "_SHARE_OF_MEMORY", 1 << 20)  # so that a portion is one file
        patch.setattr(Table, "commit", failing_at(3, error, Table.commit))
        with pytest.raises(PartlyError, match=f"not done: .*{error}") as partly:
            plant.compact("sitewise", APART)
    (table,) = partly.value.summary.tables
    assert ([run[:8] for run in table.runs], table.rows_out) == (["00000001", "00000002"], 2)
    assert all(f"is committed: {table.table} run {run}" in str(partly.value) for run in table.runs)
    assert [name for name, _ in plant.rows("s", "value")] == [1, 2]
    plant.compact("sitewise")
    assert [name for name, _ in plant.rows("s", "value")] == [1, 2, 3]
    assert plant.problems() == []


def test_the_first_portion_fails_with_its_own_error(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((1, 1.0, 1))})
    monkeypatch.setattr(Table, "commit", failing_at(1, UnknownOutcomeError("the outcome is unknown"), Table.commit))
    with pytest.raises(UnknownOutcomeError):
        plant.compact("sitewise")


def test_a_commit_whose_files_get_no_names_is_told_as_one(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stuck(*_: Any) -> None:
        raise StorageError("can't rename it")

    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5)]})
    compact = ("compact", "datalog", world.input, world.lake, "--json", "--format", "parquet")
    aggregate = ("aggregate", world.table, world.lake / "hourly", "--columns", "gpsspeed", "--every", "1h", "--json")
    for words in (compact, (*aggregate, "--format", "parquet")):
        with monkeypatch.context() as patch:
            patch.setattr("siltstone.storage.Storage.rename", stuck)
            assert command(words) == 9
        said = capsys.readouterr()
        told = json.loads(said.out)
        assert f"run {told['run']} of {told['table']} is committed, but its data files could not be given" in said.err
        assert command(words) == 0
        assert json.loads(capsys.readouterr().out)["run"] == ""
        assert pl.read_parquet(f"{told['table']}/**/data_*.parquet").height == 1
