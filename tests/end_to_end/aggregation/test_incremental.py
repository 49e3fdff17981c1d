"""Later runs of `siltstone aggregate`: what they give is what computing all again gives, and they touch no more than
they must."""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from siltstone.aggregation import finish_tasks
from siltstone.storage import Storage
from support.aggregates import ALL, RULES, Aggregates, assert_same, deliver_occupancy, occupancy, scattered
from support.plant import Plant, raw, raw_path
from support.readings_table import Readings, reading
from support.rounds import rounds

UNSETTLED = "optimize.after_compact=false"


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    return Plant(tmp_path)


@pytest.fixture
def hourly(plant: Plant) -> Aggregates:
    return Aggregates(plant.root / "hourly", plant.lake / "readings")


@pytest.fixture
def lake(tmp_path: Path) -> Readings:
    return Readings(str(tmp_path / "lake"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The data files of the input that are opened from here on, by name."""
    found: list[str] = []
    real = Storage.open

    def noted(storage: Storage, path: str) -> Any:
        if storage.root.endswith("readings"):
            found.append(path.rpartition("/")[2])
        return real(storage, path)

    monkeypatch.setattr(Storage, "open", noted)
    return found


def as_computed_anew(output: Aggregates, every: str = "1h", measures: Sequence[str] = ALL, **terms: Any) -> None:
    """Check that an output is what a new one of the same table is."""
    fresh = output.twin(f"fresh{len(list(output.root.parent.iterdir()))}")
    fresh.run(every, measures, **terms)
    assert_same(output.frame(), fresh.frame())


def compacted(plant: Plant, *events: tuple[str, int], hour: str, device: str = "D1") -> None:
    deliver_occupancy(plant, occupancy(*events, device=device), hour)
    plant.compact("haltian", "compaction.grain=day", UNSETTLED)


def test_buckets_at_the_watermark_are_computed_again(plant: Plant, hourly: Aggregates) -> None:
    compacted(plant, ("2025-12-01 08:30", 1), ("2025-12-01 09:15", 0), hour="2025-12-01 09:00")
    assert hourly.run("1h", ALL)["provisional"] == 1
    told = ("at", "integral", "covered_s", "end_value", "provisional")
    assert hourly.rows(*told) == [
        ("12-01 08:00", 1800.0, 1800.0, 1.0, False),
        ("12-01 09:00", 900.0, 900.0, None, True),
    ]
    # another device's event tells that time went on
    compacted(plant, ("2025-12-01 10:05", 1), hour="2025-12-01 10:00", device="D2")
    summary = hourly.run("1h", ALL)
    assert (summary["buckets_touched"], summary["provisional"]) == (1, 1)
    assert hourly.rows(*told)[1:] == [
        ("12-01 09:00", 900.0, 3600.0, 0.0, False),
        ("12-01 10:00", None, 0.0, None, True),
    ]
    as_computed_anew(hourly)
    assert hourly.run("1h", ALL)["run"] == ""


@pytest.mark.parametrize("empty", ["skip", "carry"])
def test_an_hour_that_comes_late_changes_its_day_and_what_its_value_reaches(
    plant: Plant, hourly: Aggregates, empty: str
) -> None:
    for day in (1, 3, 5, 7):
        compacted(plant, (f"2025-12-0{day} 08:30", day % 4), hour=f"2025-12-0{day} 08:00")
    hourly.run("1h", ALL, empty=empty)
    before = hourly.dates()
    compacted(plant, ("2025-12-03 20:30", 0), ("2025-12-03 20:40", 2), hour="2025-12-03 20:00")
    summary = hourly.run("1h", ALL, empty=empty)
    assert (summary["buckets_touched"], summary["rows_in"]) == (1, 2)
    changed = {day for day, files in hourly.dates().items() if files != before.get(day)}
    # its value stands until the next event on the 5th; the row before it, of the 3rd, is of its day
    expected = {"2025-12-03", "2025-12-05"} | ({"2025-12-04"} if empty == "carry" else set())
    # rows that end after the watermark, 8:30 on the 7th, are always computed again
    assert changed == expected | {"2025-12-07"}
    as_computed_anew(hourly, empty=empty)


def test_an_older_first_event_gives_the_hours_after_it_rows(plant: Plant, hourly: Aggregates) -> None:
    compacted(plant, ("2025-12-05 08:30", 1), ("2025-12-05 10:00", 0), hour="2025-12-05 08:00")
    hourly.run("1h", ALL, empty="carry")
    assert len(hourly.rows("at")) == 3
    compacted(plant, ("2025-12-01 23:30", 2), hour="2025-12-01 23:00")
    hourly.run("1h", ALL, empty="carry")
    assert len(hourly.rows("at")) == 1 + 3 * 24 + 11
    as_computed_anew(hourly, empty="carry")
    # a new series' event does so too, up to the watermark
    compacted(plant, ("2025-12-02 12:00", 1), hour="2025-12-02 12:00", device="D2")
    hourly.run("1h", ALL, empty="carry")
    assert len(hourly.rows("at", series="D2/OccupancyStatus")) == 12 + 2 * 24 + 10
    as_computed_anew(hourly, empty="carry")


def test_a_source_file_that_comes_again_replaces_what_it_had_told(plant: Plant, hourly: Aggregates) -> None:
    compacted(plant, ("2025-12-01 08:30", 1), hour="2025-12-01 08:00")
    compacted(plant, ("2025-12-02 09:00", 0), ("2025-12-02 09:30", 1), hour="2025-12-02 09:00")
    compacted(plant, ("2025-12-04 09:00", 0), hour="2025-12-04 09:00")
    for empty in ("skip", "carry"):
        hourly.twin(empty).run("1h", ALL, empty=empty)
    compacted(plant, ("2025-12-02 09:45", 3), hour="2025-12-02 09:00")
    for empty in ("skip", "carry"):
        hourly.twin(empty).run("1h", ALL, empty=empty)
        as_computed_anew(hourly.twin(empty), empty=empty)
    assert hourly.twin("skip").rows("at", "first", "count") == [
        ("12-01 08:00", 1.0, 1),
        ("12-02 09:00", 3.0, 1),
        ("12-04 09:00", 0.0, 1),
    ]
    # the last and the first event go: the watermark falls, and rows with them
    compacted(plant, ("2025-12-02 09:50", 5), hour="2025-12-04 09:00")
    compacted(plant, ("2025-12-02 09:40", 4), hour="2025-12-01 08:00")
    for empty in ("skip", "carry"):
        summary = hourly.twin(empty).run("1h", ALL, empty=empty)
        assert (summary["rows"], summary["provisional"]) == (1, 1)
        as_computed_anew(hourly.twin(empty), empty=empty)


def test_versions_that_come_late(plant: Plant, hourly: Aggregates) -> None:
    plant.deliver("sitewise", {raw_path(1): raw((0, 1.0, 1), (1800, 3.0, 1), (90_000, 5.0, 1))})
    plant.compact("sitewise", "compaction.grain=day", UNSETTLED)
    hourly.run("1h", ALL)
    assert hourly.rows("at", "integral", "count") == [("07-08 12:00", 7200.0, 2), ("07-09 13:00", None, 1)]
    before = hourly.dates()
    plant.deliver("sitewise", {raw_path(2): raw((1800, 4.0, 2), (0, 9.0, 0))})
    plant.compact("sitewise", "compaction.grain=day", UNSETTLED)
    hourly.run("1h", ALL)
    # 30 min of 1 and 30 min of 4; the older version of noon changes nothing
    assert hourly.rows("at", "integral", "count") == [("07-08 12:00", 9000.0, 2), ("07-09 13:00", None, 1)]
    assert before.keys() == hourly.dates().keys()
    as_computed_anew(hourly)


def test_settling_of_the_input_is_no_change(plant: Plant, hourly: Aggregates, opened: list[str]) -> None:
    for hour in (8, 9, 10):
        compacted(plant, (f"2025-12-01 {hour:02}:30", hour), hour=f"2025-12-01 {hour:02}:00")
    hourly.run("1h", ALL)
    assert plant.settle("readings", "optimize.closed_after_hours=0")["files_removed"] == 3
    opened.clear()
    assert hourly.run("1h", ALL)["run"] == ""
    assert opened == []
    # settled together with what is new
    compacted(plant, ("2025-12-01 11:30", 2), hour="2025-12-01 11:00")
    plant.settle("readings", "optimize.closed_after_hours=0")
    assert hourly.run("1h", ALL)["rows"] == 4
    # replaced in a settled file
    compacted(plant, ("2025-12-01 09:10", 7), hour="2025-12-01 09:00")
    plant.settle("readings", "optimize.closed_after_hours=0")
    hourly.run("1h", ALL)
    as_computed_anew(hourly)
    assert hourly.run("1h", ALL)["run"] == ""


def test_files_outside_of_a_period_are_read_once_for_their_edges(
    plant: Plant, hourly: Aggregates, opened: list[str]
) -> None:
    for day in range(1, 8):
        compacted(plant, (f"2025-12-0{day} 08:00", day), hour=f"2025-12-0{day} 08:00")
    period: dict[str, Any] = {"start": "2025-12-03 12:00", "end": "2025-12-05 09:00"}
    hourly.run("1h", ["start_value", "end_value"], **period)
    expected = [("12-04 08:00", 4.0, 4.0), ("12-05 08:00", 5.0, 5.0)]
    assert hourly.rows("at", "start_value", "end_value") == expected
    assert len(opened) == len(set(opened)) == 7
    opened.clear()
    assert hourly.run("1h", ["start_value", "end_value"], **period)["run"] == ""
    assert opened == []
    compacted(plant, ("2025-12-04 18:15", 9), hour="2025-12-04 18:00")
    compacted(plant, ("2025-12-01 18:15", 9), hour="2025-12-01 18:00")
    opened.clear()
    hourly.run("1h", ["start_value", "end_value"], **period)
    assert hourly.rows("at", "start_value", "end_value")[1] == ("12-04 18:00", 4.0, 9.0)
    assert len(set(opened)) == 2  # the two new ones
    opened.clear()
    hourly.run("1h", ["start_value", "end_value"], full=True, **period)
    assert len(set(opened)) == 3  # those with points in the period
    fresh = hourly.twin("fresh")
    fresh.run("1h", ["start_value", "end_value"], **period)
    assert_same(hourly.frame(), fresh.frame())


def test_what_comes_late_before_a_period_is_carried_into_it(plant: Plant, hourly: Aggregates) -> None:
    for day in (1, 3, 5):
        compacted(plant, (f"2025-12-0{day} 08:30", day), hour=f"2025-12-0{day} 08:00")
    start = "2025-12-04 23:40"  # the first bucket of the period begins at 0:00
    for empty in ("skip", "carry"):
        hourly.twin(empty).run("1h", ALL, empty=empty, start=start)
    assert hourly.twin("skip").rows("at", "start_value") == [("12-05 08:00", 3.0)]
    compacted(plant, ("2025-12-04 23:50", 8), ("2025-12-02 00:00", 1), hour="2025-12-04 23:00")
    for empty in ("skip", "carry"):
        hourly.twin(empty).run("1h", ALL, empty=empty, start=start)
        as_computed_anew(hourly.twin(empty), empty=empty, start=start)
    assert hourly.twin("skip").rows("at", "start_value") == [("12-05 08:00", 8.0)]
    assert hourly.twin("carry").rows("at", "start_value")[0] == ("12-05 00:00", 8.0)


def test_computing_all_again_gives_the_same(plant: Plant, hourly: Aggregates) -> None:
    compacted(plant, ("2025-12-01 08:30", 1), ("2025-12-03 09:15", 0), hour="2025-12-01 09:00")
    hourly.run("1h", ALL)
    before = hourly.frame()
    summary = hourly.run("1h", ALL, full=True)
    assert (summary["files_written"], summary["files_removed"], summary["buckets_touched"]) == (2, 2, None)
    assert_same(hourly.frame(), before)


@pytest.mark.part("laws")
@pytest.mark.parametrize("seed", [*rounds(1), 808657])  # the last one leaves no series to divide among tasks
def test_any_order_of_files_gives_what_computing_all_at_once_gives(
    lake: Readings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Also where several tasks finish, and whatever the measures are whose states are kept."""
    draws, rules = random.Random(seed), tmp_path / "rules.yaml"
    rules.write_text(RULES)
    empty, zone = ("skip", "carry")[seed % 2], ("UTC", "Europe/Helsinki")[seed // 2 % 2]
    every = ("1h", "1d", "6h")[seed % 3]
    starts, ends = ("2025-12-02 00:00", "2025-12-03 07:10", None), ("2025-12-06 00:00", None, "2025-12-10 00:00")
    terms: dict[str, Any] = {"empty": empty, "zone": zone, "rules": rules}
    terms |= {"start": starts[seed % 3], "end": ends[seed // 2 % 3]}
    output = Aggregates(tmp_path / "output", tmp_path / "lake" / "readings")
    measures = ALL if seed % 2 == 0 else draws.sample(ALL, draws.choice([1, 3]))
    for _ in range(4):
        days = draws.sample(range(8), draws.choice([1, 2, 3]))
        new = [row for day in days for row in scattered(draws, day, draws.choice([1, 2, 9]))]
        places = {(str(row["ts"].date()), row["site"]) for row in new}
        lake.add(new, replaces=[place for place in sorted(places) if draws.random() < 0.4])
        with monkeypatch.context() as patch:
            patch.setattr(finish_tasks, "_FEWEST", (7, 1, 300_000)[seed % 3])
            output.run(every, measures, **terms)
        as_computed_anew(output, every, measures, **terms)


def test_a_value_is_carried_on_past_a_watermark_at_the_edge_of_a_date(lake: Readings, tmp_path: Path) -> None:
    lake.add([reading("D2", "2025-11-01 08:00", 1.0), reading("D1", "2025-11-02 00:00", 1.0)])
    output = Aggregates(tmp_path / "hourly", tmp_path / "lake" / "readings")
    output.run("1h", ALL, empty="carry")
    lake.add([reading("D1", "2025-11-02 03:00", 0.0)])
    output.run("1h", ALL, empty="carry")
    as_computed_anew(output, empty="carry")
