"""Readings with versions: the newest wins, in a file, across files, across runs and when it comes too late."""

import pytest

from siltstone.ingest import job as job_module
from siltstone.ingest import table_run
from support.plant import SERIES, Plant, raw, raw_path
from support.races import Once, between

OTHER = "7020c8e2-e6db-40fa-9845-ed0dddd4c77d_c706d54d-4c11-42dc-9a01-63662fc697b4"


@pytest.fixture
def plant(tmp_path):  # type: ignore[no-untyped-def]
    return Plant(tmp_path)


def test_the_highest_version_of_a_run_wins_and_none_is_the_oldest(plant: Plant) -> None:
    plant.deliver("sitewise", {
        raw_path(1): raw((0, 1.0, None), (1, 2.0, 5), (1, 2.5, 4), (2, 3.0, 1)),
        raw_path(2): raw((0, 1.5, 0), (2, 3.5, 1), (3, 4.0, None)),
    })  # fmt: skip
    summary = plant.compact("sitewise")["readings"]
    assert (summary["records_in"], summary["rows_out"]) == (7, 4)
    assert (summary["keys_superseded"], summary["duplicates_dropped"]) == (3, 0)
    assert plant.rows("s", "value", "version") == [(0, 1.5, 0), (1, 2.0, 5), (2, 3.5, 1), (3, 4.0, None)]
    assert plant.problems() == []


def test_the_same_row_again_is_a_duplicate_and_writes_nothing_anew(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 3), (1, 2.0, 3))})
    plant.compact("sitewise")
    before = plant.frame()
    plant.deliver("sitewise", {raw_path(2): raw((0, 1.0, 3), (1, 2.0, 3))})
    summary = plant.compact("sitewise")["readings"]
    assert (summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]) == (2, 0, 2)
    assert not [action for action in plant.log() if "add" in action or "remove" in action]
    assert plant.frame().equals(before)
    assert plant.problems() == []


def test_a_newer_version_of_a_later_run_replaces_the_row_and_only_its_file(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 1), (1, 2.0, 1)), raw_path(1, OTHER, 9): raw(
        (86_400, 7.0, 1), series=OTHER)})  # fmt: skip
    plant.compact("sitewise", "compaction.grain=day")
    plant.deliver("sitewise", {raw_path(2): raw((1, 2.5, 2), (2, 3.0, 1))})
    summary = plant.compact("sitewise", "optimize.after_compact=false")["readings"]
    assert (summary["rows_out"], summary["keys_replaced"]) == (2, 1)
    removed = [a["remove"]["path"] for a in plant.log() if "remove" in a]
    assert len(removed) == 1
    assert "date=2021-07-08" in removed[0]
    assert plant.rows("s", "value", "version") == [(0, 1.0, 1), (1, 2.5, 2), (2, 3.0, 1), (86_400, 7.0, 1)]
    old = plant.accounts()[raw_path(1).rpartition("/")[2]]
    assert old == {"records_in": 2, "rows_out": 1, "duplicates_dropped": 0, "keys_superseded": 1, "rows_kept": 0}
    assert plant.problems() == []


def test_an_older_version_that_comes_late_changes_nothing_and_is_counted(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 9))})
    plant.compact("sitewise")
    plant.deliver("sitewise", {raw_path(2): raw((0, 0.5, 8), (1, 2.0, None))})
    summary = plant.compact("sitewise")["readings"]
    assert (summary["rows_out"], summary["keys_superseded"], summary["keys_replaced"]) == (1, 1, 0)
    assert plant.rows("s", "value") == [(0, 1.0), (1, 2.0)]
    assert plant.problems() == []


def test_the_result_does_not_depend_on_the_order_of_the_runs(tmp_path) -> None:  # type: ignore[no-untyped-def]
    files = {raw_path(n): raw((0, n * 1.0, 7 - n), (n, 1.0, None), (5, 9.0, 2)) for n in range(1, 5)}
    results = []
    for order in (sorted(files), sorted(files, reverse=True), [*sorted(files)[2:], *sorted(files)[:2]]):
        plant = Plant(tmp_path / str(len(results)))
        for name in order:
            plant.deliver("sitewise", {name: files[name]})
            plant.compact("sitewise")
        results.append(plant.rows("s", "value", "version"))
        assert plant.problems() == []
    assert results[0] == results[1] == results[2]
    assert results[0][0] == (0, 1.0, 6)


def test_rows_superseded_after_settling_are_found_in_the_merged_file(plant: Plant) -> None:
    for n in range(4):
        plant.deliver("sitewise", {raw_path(n): raw((n, float(n), 1))})
        plant.compact("sitewise", "optimize.after_compact=false")
    assert plant.settle()["files_written"] == 1
    plant.deliver("sitewise", {raw_path(9): raw((2, 20.0, 2))})
    assert plant.compact("sitewise")["readings"]["keys_replaced"] == 1
    assert plant.rows("s", "value") == [(0, 0.0), (1, 1.0), (2, 20.0), (3, 3.0)]
    assert plant.problems() == []


def test_an_object_that_comes_again_with_other_content_replaces_its_rows_and_frees_what_they_superseded(
    plant: Plant,
) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 1), (1, 2.0, 1)), raw_path(2): raw((0, 5.0, 2))})
    plant.compact("sitewise")
    assert plant.rows("s", "value") == [(0, 5.0), (1, 2.0)]
    plant.deliver("sitewise", {raw_path(2): raw((3, 6.0, 2))})
    plant.compact("sitewise")
    assert plant.rows("s", "value") == [(0, 1.0), (1, 2.0), (3, 6.0)]
    assert plant.problems() == []


def test_a_corrupt_file_is_quarantined_with_its_reason_and_the_rest_goes_on(plant: Plant) -> None:
    whole = raw((0, 1.0, 1), (1, 2.0, 1))
    plant.deliver("sitewise", {
        raw_path(1): whole,
        raw_path(2): whole[:-3] + b"xyz",
        raw_path(3): b"",
        raw_path(4): b"no avro at all",
        raw_path(5): whole.replace(b"seriesId", b"serialId"),
    })  # fmt: skip
    summary = plant.compact("sitewise")["readings"]
    assert (summary["files_ingested"], summary["files_quarantined"], summary["rows_out"]) == (1, 4, 2)
    assert plant.problems() == []


def test_readings_go_to_the_date_of_their_own_instant(plant: Plant) -> None:
    midnight = 43_200
    plant.deliver("sitewise", {raw_path(1): raw((midnight - 1, 1.0, 1), (midnight, 2.0, 1))})
    plant.compact("sitewise", "compaction.grain=day")
    assert plant.rows("date", "s", "site", "series_id", "source") == [
        (plant.frame()["date"].min(), midnight - 1, "_none", SERIES, "sitewise"),
        (plant.frame()["date"].max(), midnight, "_none", SERIES, "sitewise"),
    ]
    assert plant.frame()["date"].cast(str).to_list().count("2021-07-09") == 1


def test_nothing_new_writes_nothing(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 1))})
    plant.compact("sitewise")
    files = sorted(plant.lake.rglob("*"))
    assert plant.compact("sitewise")["readings"]["run"] == ""
    assert sorted(plant.lake.rglob("*")) == files


def test_a_device_with_more_than_a_task_can_hold_is_taken_in_batches(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(n): raw((0, float(n), n), (n, 1.0, 1)) for n in range(1, 6)})
    whole = plant.compact("sitewise", "engine.memory_mb=1", "optimize.after_compact=false")["readings"]
    assert whole["files_ingested"] == 5
    other = Plant(plant.root / "other")
    other.deliver("sitewise", {raw_path(n): raw((0, float(n), n), (n, 1.0, 1)) for n in range(1, 6)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_run, "_SHARE_OF_MEMORY", 1 << 12)
        parts = other.compact("sitewise", "engine.memory_mb=1", "optimize.after_compact=false")["readings"]
    assert parts["files_ingested"] == 5
    assert parts["run"].startswith("00000005")
    assert other.rows("s", "value", "version") == plant.rows("s", "value", "version")
    assert other.problems() == []


def test_a_file_that_changed_in_the_first_batch_is_left_and_the_others_go_on(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.deliver("sitewise", {raw_path(n): raw((n, float(n), 1)) for n in range(1, 4)})
    monkeypatch.setattr(table_run, "_SHARE_OF_MEMORY", 1 << 20)
    change = Once(lambda: plant.deliver("sitewise", {raw_path(1): raw((9, 9.0, 1))}))
    between(monkeypatch, job_module, "list_input", change, after=True)
    summary = plant.compact("sitewise")["readings"]
    assert (summary["files_ingested"], summary["files_deferred"]) == (2, 1)
    assert plant.rows("s", "value") == [(2, 2.0), (3, 3.0)]
    assert plant.compact("sitewise")["readings"]["files_ingested"] == 1
