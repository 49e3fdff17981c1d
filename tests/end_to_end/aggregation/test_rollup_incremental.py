"""Later runs of `siltstone rollup`: they give what a new rollup gives, and write no more than they must."""

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.aggregation import finish_tasks
from siltstone.cli import main as cli
from support.aggregates import ALL, RULES, Aggregates, above, assert_same, scattered
from support.commands import run_tasks_here
from support.readings_table import Readings, reading
from support.rounds import rounds


@pytest.fixture
def lake(tmp_path: Path) -> Readings:
    return Readings(str(tmp_path / "lake"))


@pytest.fixture
def base(lake: Readings, tmp_path: Path) -> Aggregates:
    lake.add([reading("a", f"2025-12-{day:02}T08:30", float(day)) for day in range(1, 8)])
    return Aggregates(tmp_path / "base", tmp_path / "lake" / "readings")


def as_rolled_up_anew(output: Aggregates, every: str, **terms: Any) -> None:
    fresh = output.twin(f"fresh{len(list(output.root.parent.iterdir()))}")
    fresh.roll_up(every, **terms)
    assert_same(output.frame(), fresh.frame())


def test_nothing_new_writes_nothing(
    base: Aggregates, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tasks_here(monkeypatch)
    base.run("1h")
    words = ["rollup", str(base.root), str(base.root.parent / "daily"), "--every", "1d", "--engine", "local"]
    for told in ("rows of 1d for 1 series", "nothing to do: "):
        assert cli.main(words) == 0
        assert told in capsys.readouterr().out
    daily = above(base, "daily")
    assert daily.roll_up("1d")["run"] == ""
    # another run of the base that changes nothing of it
    assert base.run("1h")["run"] == ""
    assert daily.roll_up("1d")["run"] == ""
    base.run("1h", full=True)
    assert daily.roll_up("1d")["files_removed"] == 7
    assert daily.roll_up("1d")["run"] == ""


def test_only_the_dates_near_a_change_are_written_and_read(base: Aggregates, lake: Readings) -> None:
    base.run("1h")
    daily = above(base, "daily")
    daily.roll_up("1d", measures=["integral"])
    before = daily.dates()
    # 2 from the 2nd 8:30 on, now until 20:00; then 9 until the 3rd 8:30. The bucket of the 3rd sees 9 at its begin
    lake.add([reading("a", "2025-12-02T20:00", 9.0)])
    base.run("1h")
    summary = daily.roll_up("1d", measures=["integral"])
    after = daily.dates()
    # the base has written the 2nd, the 3rd, which sees its value, and the 7th, which time had not passed; the rollup
    # also what sees the 3rd's value
    written = {f"2025-12-0{day}" for day in (2, 3, 4, 7)}
    assert {date for date in after if after[date] != before[date]} == written
    assert (summary["files_written"], summary["files_removed"], summary["rows"]) == (4, 4, 7)
    hour = 3600.0
    assert daily.rows("at", "integral")[1:3] == [
        ("12-02 00:00", hour * (8.5 * 1 + 11.5 * 2 + 4 * 9)),
        ("12-03 00:00", hour * (8.5 * 9 + 15.5 * 3)),
    ]
    as_rolled_up_anew(daily, "1d", measures=["integral"])


def test_a_base_that_loses_a_date_loses_it_in_the_rollup(base: Aggregates, lake: Readings) -> None:
    base.run("1h", ALL)
    weekly, daily = above(base, "weekly"), above(base, "daily")
    weekly.roll_up("1w")
    daily.roll_up("1d")
    lake.add([reading("a", "2025-12-05T10:00", 5.0)], replaces=[("2025-12-04", "bldg1"), ("2025-12-07", "bldg1")])
    base.run("1h", ALL)
    assert daily.roll_up("1d")["rows"] == 5
    assert weekly.roll_up("1w")["rows"] == 1
    as_rolled_up_anew(daily, "1d")
    as_rolled_up_anew(weekly, "1w")


@pytest.mark.part("laws")
@pytest.mark.parametrize("seed", rounds(1))
def test_whatever_the_base_went_through_the_rollup_is_that_of_the_base(
    lake: Readings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    draws, rules = random.Random(seed), tmp_path / "rules.yaml"
    rules.write_text(RULES)
    base = Aggregates(tmp_path / "base", tmp_path / "lake" / "readings")
    kept: dict[str, Any] = {"empty": ("skip", "carry")[seed % 2], "zone": ("Europe/Helsinki", "UTC")[seed // 2 % 2]}
    every = ("1d", "6h", "2d")[seed % 3]
    period: dict[str, Any] = {"start": "2025-12-02 05:00", "end": "2025-12-20 00:00"} if seed % 3 == 1 else {}
    output, partial = above(base, "output"), False
    for count in (6, 1, 2):
        days = draws.sample(range(28), count)
        new = [row for day in days for row in scattered(draws, day, draws.choice([1, 2, 9]))]
        places = {(str(row["ts"].date()), row["site"]) for row in new}
        lake.add(new, replaces=[place for place in sorted(places) if draws.random() < 0.4])
        base.run("1h", ALL, rules=rules, **period)
        with monkeypatch.context() as patch:
            patch.setattr(finish_tasks, "_FEWEST", (7, 1, 300_000)[seed % 3])
            summary = output.roll_up(every, **kept)
        partial |= summary["run"] != "" and 0 < summary["rows_out"] < summary["rows"]
        as_rolled_up_anew(output, every, **kept)
        assert output.roll_up(every, **kept)["run"] == ""
    assert partial or seed  # where chance may let each change reach every row
    assert pl.scan_delta(str(output.root)).select(pl.col("n").sum()).collect().item() > 0
