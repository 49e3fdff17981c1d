"""One table of readings for several sources: at once, with one grain of dates, each with its own ledger entries."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from siltstone.errors import UsageError
from siltstone.table.delta_table import Table
from support.plant import Plant, raw, raw_path
from support.races import Once, between, together

STREAM = "a0dd74ce-05ee-5fee-8335-2d9856bd52be"
CSV = b"datetime,temp\n2021-07-08T12:00:00Z,20.5\n2021-07-08T12:01:00Z,21\n2021-07-09T00:00:00Z,22\n"


@pytest.fixture
def plant(tmp_path: Any) -> Plant:
    plant = Plant(tmp_path)
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 1), (1, 2.0, 1))})
    plant.deliver("mortar", {f"bldg7/{STREAM}.csv": CSV})
    return plant


def test_one_query_spans_both(plant: Plant) -> None:
    plant.compact("sitewise")
    plant.compact("mortar")
    assert plant.rows("source", "site", "s", "value") == [
        ("mortar", "bldg7", 0, 20.5), ("mortar", "bldg7", 60, 21.0), ("mortar", "bldg7", 43_200, 22.0),
        ("sitewise", "_none", 0, 1.0), ("sitewise", "_none", 1, 2.0),
    ]  # fmt: skip
    assert plant.problems() == []
    assert plant.compact("mortar")["files_skipped"] == 1
    assert plant.compact("sitewise")["readings"]["files_skipped"] == 1


@pytest.mark.parametrize("moment", ["create", "commit"])
def test_a_source_that_commits_while_another_is_at_work_hinders_it_not(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    tasks: list[str] = []
    real = plant.engine.run

    def counted(given: Any, done: Callable[[int], None]) -> list[Any]:
        tasks.extend(type(task).__name__ + getattr(task, "dataset", "") for task in given)
        return real(given, done)

    monkeypatch.setattr(type(plant.engine), "run", lambda _, given, done: counted(given, done))
    between(monkeypatch, Table, moment, Once(lambda: plant.compact("mortar")))
    summary = plant.compact("sitewise")["readings"]
    assert summary["rows_out"] == 2
    assert plant.frame().height == 5
    assert tasks.count("KeyedTasksitewise.raw") == 1  # what was read before the other's commit is not read again
    assert plant.problems() == []


@pytest.mark.parametrize("_", range(4))
def test_both_at_once_lose_nothing(plant: Plant, _: int) -> None:
    together(lambda: plant.compact("mortar"), lambda: plant.compact("sitewise"))
    assert sorted(plant.frame()["source"]) == ["mortar"] * 3 + ["sitewise"] * 2
    assert plant.problems() == []


def test_a_run_that_met_newer_rows_of_its_own_keys_reads_again(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    late = plant.root / "in/late"
    plant.deliver("late", {raw_path(9): raw((1, 9.0, 8))})
    between(monkeypatch, Table, "commit", Once(lambda: _compact_from(plant, late)))
    plant.compact("sitewise")
    assert plant.rows("s", "value") == [(0, 1.0), (1, 9.0)]
    assert plant.problems() == []


def _compact_from(plant: Plant, folder: Any) -> None:
    from siltstone.ingest.job import compact
    from support.fleet import quiet

    compact("sitewise", str(folder), str(plant.lake), plant.config(), plant.engine, quiet)


def test_the_grain_is_fixed_by_the_first_run(plant: Plant) -> None:
    assert plant.compact("mortar", "compaction.grain=day")["grain"] == "day"
    assert plant.compact("sitewise")["readings"]["grain"] == "day"
    assert set(plant.frame()["date"]) == {date(2021, 7, 8), date(2021, 7, 9)}
    plant.deliver("mortar", {f"bldg8/{STREAM}.csv": CSV})
    with pytest.raises(UsageError, match="has dates by the day, not by the month"):
        plant.compact("mortar", "compaction.grain=month")


def test_a_little_data_a_day_gets_months(plant: Plant) -> None:
    assert plant.compact("mortar")["grain"] == "month"
    assert set(plant.frame()["date"]) == {date(2021, 7, 1)}


def test_a_first_run_that_loses_the_race_goes_by_the_winners_grain(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    between(monkeypatch, Table, "commit", Once(lambda: plant.compact("mortar", "compaction.grain=day")))
    assert plant.compact("sitewise")["readings"]["grain"] == "day"
    assert set(plant.frame()["date"]) == {date(2021, 7, 8), date(2021, 7, 9)}
    assert plant.frame().height == 5
    assert plant.problems() == []


def test_settling_takes_files_of_both(plant: Plant) -> None:
    for source in ("sitewise", "mortar"):
        plant.compact(source, "optimize.after_compact=false", "sources.sitewise.site=bldg7")
    settled = plant.settle()
    assert (settled["files_removed"], settled["files_written"], settled["rows"]) == (2, 1, 5)
    assert plant.problems("readings", "sources.sitewise.site=bldg7") == []
    plant.deliver("sitewise", {raw_path(2): raw((1, 5.0, 2))})
    plant.compact("sitewise", "sources.sitewise.site=bldg7")
    assert plant.rows("source", "s", "value")[-1] == ("sitewise", 1, 5.0)
    assert plant.problems("readings", "sources.sitewise.site=bldg7") == []


def test_a_commit_between_a_runs_look_at_the_version_and_at_its_files_is_planned_around(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.compact("sitewise")
    plant.deliver("sitewise", {raw_path(2): raw((5, 5.0, 1))})
    between(monkeypatch, Table, "files", Once(lambda: plant.compact("mortar")))
    plant.compact("sitewise")
    assert plant.frame().height == 6
    assert plant.problems() == []
