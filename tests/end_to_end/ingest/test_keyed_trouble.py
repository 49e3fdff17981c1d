"""What goes wrong with keyed sources in practice: junk in place of a file, copies, damage, files shared by mistake."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from siltstone.errors import ConfigError, StorageError, UsageError
from siltstone.table.delta_table import Table
from support.haltian import file_of, path_of
from support.plant import Plant, raw, raw_path
from support.races import Once, between

STREAM = "a0dd74ce-05ee-5fee-8335-2d9856bd52be"
HOUR = datetime(2025, 11, 28, 14, tzinfo=UTC)
DEVICE = {"id": "d1", "name": "door", "model": "m", "installationStatus": "new", "createdTs": HOUR}


@pytest.fixture
def plant(tmp_path: Any) -> Plant:
    return Plant(tmp_path)


def devices(number: int, *names: str) -> dict[str, bytes]:
    rows = [{**DEVICE, "id": f"d{n}", "name": name} for n, name in enumerate(names)]
    return {path_of("device", HOUR + timedelta(hours=number)): file_of("device", rows)}


def events(number: int, *minutes: int) -> dict[str, bytes]:
    rows = [
        {"deviceId": "d", "ts": HOUR + timedelta(minutes=m), "organizationId": "o", "status": m % 2} for m in minutes
    ]
    name = "measurementOccupancyStatus"
    return {path_of(name, HOUR + timedelta(hours=number)): file_of(name, rows)}


def names(plant: Plant) -> list[tuple[str, bool]]:
    frame = plant.frame("device").sort("id", "valid_from")
    return [(name, end is None) for name, end in frame.select("name", "valid_to").rows()]


def touch(plant: Plant, source: str) -> None:
    for path in plant.input(source).rglob("*.*"):
        os.utime(path, (1_766_900_000, 1_766_900_000))


def test_a_damaged_data_file_is_named_by_who_looks_for_keys_in_it(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 5), (9, 1.0, 5))})
    plant.deliver("haltian", devices(0, "a"))
    plant.compact("sitewise")
    plant.compact("haltian")
    for file in plant.lake.rglob("data_*.parquet"):
        file.write_bytes(b"PAR1" + b"\xff" * (file.stat().st_size - 4))
    plant.deliver("sitewise", {raw_path(2): raw((5, 7.0, 1))})
    plant.deliver("haltian", devices(1, "b"))
    for source in ("sitewise", "haltian"):
        with pytest.raises(StorageError, match=r"data_.*\.parquet can't be read: .*siltstone verify names"):
            plant.compact(source)


@pytest.mark.parametrize(("version", "expected"), [(9, 7.0), (1, 1.0)])
def test_a_file_replaced_by_junk_keeps_its_rows_and_they_still_count(
    plant: Plant, version: int, expected: float
) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 5))})
    plant.compact("sitewise")
    plant.deliver("sitewise", {raw_path(1): b"junk", raw_path(2): raw((0, 7.0, version))})
    plant.compact("sitewise")
    assert plant.rows("s", "value") == [(0, expected)]
    assert plant.problems() == []


def test_a_file_whose_repeats_stand_for_others_is_read_again_with_them(plant: Plant) -> None:
    plant.deliver("haltian", {**events(0, 1, 2, 3), **events(1, 1, 2, 3)})
    plant.compact("haltian")
    plant.deliver("haltian", events(0, 1))
    plant.compact("haltian")
    assert plant.frame().height == 3
    assert plant.problems() == []


def test_one_stream_in_two_collections_is_two(plant: Plant) -> None:
    text = b"datetime,temp\n2021-07-08T12:00:00Z,%d\n"
    plant.deliver("mortar", {f"b1/{STREAM}.csv": text % 1, f"b2/{STREAM}.csv": text % 2})
    plant.compact("mortar")
    assert plant.rows("site", "value") == [("b1", 1.0), ("b2", 2.0)]
    assert plant.problems() == []


def test_a_file_is_of_one_source_only(plant: Plant) -> None:
    block = ["sources.records.x={format: csv, time: [datetime], value: temp, measurement: '=t'}"]
    plant.deliver("records", {f"b1/{STREAM}.csv": b"datetime,temp\n2021-07-08T12:00:00Z,1\n"})
    plant.compact("records.x", *block)
    with pytest.raises(UsageError, match=r"rows of .* from records\.x, and takes a file from one source only"):
        plant.compact("records.y", block[0].replace(".x=", ".y="))


def test_a_damaged_page_refuses_the_file_and_deletes_nothing(plant: Plant) -> None:
    plant.deliver("haltian", devices(0, "a", "b"))
    plant.compact("haltian")
    ((path, whole),) = devices(1, "a", "b").items()
    plant.deliver("haltian", {path: whole[:4] + b"\xff" * 40 + whole[44:]})
    summary = plant.compact("haltian")["device"]
    assert (summary["files_quarantined"], summary["files_ingested"]) == (1, 0)
    assert names(plant) == [("a", True), ("b", True)]
    assert plant.problems("device") == []


def test_copied_snapshots_are_known_snapshots(plant: Plant) -> None:
    plant.deliver("haltian", {**devices(0, "a"), **devices(1, "b")})
    plant.compact("haltian")
    touch(plant, "haltian")
    plant.compact("haltian")
    plant.deliver("haltian", devices(2, "c"))
    plant.compact("haltian")
    assert names(plant) == [("a", False), ("b", False), ("c", True)]
    assert plant.problems("device") == []


def test_a_snapshot_replaced_by_junk_stays_what_it_was(plant: Plant) -> None:
    plant.deliver("haltian", {**devices(0, "a"), **devices(1, "b")})
    plant.compact("haltian")
    plant.deliver("haltian", {next(iter(devices(1))): b"junk", **devices(2, "b", "c")})
    plant.compact("haltian")
    plant.deliver("haltian", devices(3, "b"))
    plant.compact("haltian")
    assert names(plant) == [("a", False), ("b", True), ("c", False)]
    assert plant.problems("device") == []


def test_a_history_looks_again_when_another_run_brought_an_empty_snapshot(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant.deliver("haltian", devices(0))
    plant.compact("haltian")
    plant.deliver("haltian", devices(1, "a"))

    def other() -> None:
        from siltstone.ingest.job import compact
        from support.fleet import quiet

        plant.deliver("haltian", devices(2))
        file = plant.input("haltian") / next(iter(devices(2)))
        compact("haltian", str(file), str(plant.lake), plant.config(), plant.engine, quiet)

    between(monkeypatch, Table, "commit", Once(other))
    plant.compact("haltian")
    assert names(plant) == [("a", False)]
    assert plant.problems("device") == []


def test_a_copied_file_whose_row_gives_way_in_the_same_run_has_one_account(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 1), (1, 1.0, 1))})
    plant.compact("sitewise")
    touch(plant, "sitewise")
    plant.deliver("sitewise", {raw_path(2): raw((0, 2.0, 2))})
    plant.compact("sitewise")
    plant.deliver("sitewise", {raw_path(1): raw((5, 5.0, 1))})
    plant.compact("sitewise")
    assert plant.rows("s", "value") == [(0, 2.0), (5, 5.0)]
    assert plant.problems() == []


def test_since_leaves_older_folders_of_exports_alone_and_is_refused_where_there_are_no_hours(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1, day=8): raw((0, 1.0, 1)), raw_path(1, day=9): raw((86_400, 2.0, 1))})
    plant.deliver("mortar", {f"b1/{STREAM}.csv": b"datetime,temp\n2021-07-08T12:00:00Z,1\n"})
    plant.compact("sitewise", since=datetime(2021, 7, 9))
    assert plant.rows("s") == [(86_400,)]
    with pytest.raises(UsageError, match="folders of mortar tell no hour"):
        plant.compact("mortar", since=datetime(2021, 7, 9))


def test_a_collection_that_is_no_folder_name_is_refused(plant: Plant) -> None:
    with pytest.raises(ConfigError, match=r"sources\.mortar\.collection: 'My Building' is no safe folder name"):
        plant.config("sources.mortar.collection=My Building")


def test_the_site_of_a_cold_tier_stays(plant: Plant) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 1))})
    plant.compact("sitewise", "sources.sitewise.site=north")
    plant.deliver("sitewise", {raw_path(2): raw((0, 2.0, 2))})
    for site in ("south", ""):
        with pytest.raises(UsageError, match=rf"written with site 'north', this run has '{site}'"):
            plant.compact("sitewise", f"sources.sitewise.site='{site}'")
