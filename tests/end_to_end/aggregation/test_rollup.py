"""`siltstone rollup`: coarser buckets from states are what the readings themselves would give."""

import math
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from siltstone.cli import main as cli
from siltstone.errors import UsageError
from siltstone.storage import Storage
from support.aggregates import Aggregates, above, assert_same
from support.commands import run_tasks_here
from support.folders import put_back
from support.readings_table import Readings, reading
from support.rounds import some

ALL = ["time_weighted_average", "integral", "transitions", "first", "last", "start_value", "end_value"]
ALL += ["min", "min_ts", "max", "max_ts", "count", "sum", "mean", "stddev", "time_weighted_stddev", "increase"]
ALL += ["time_in_state", "p50", "p90"]


@pytest.fixture(scope="module")
def quarters(tmp_path_factory: pytest.TempPathFactory) -> Aggregates:
    """Quarters of three days of a step and a line around each change of Helsinki's clocks in 2025 (30 March, 26
    October), every hour or so; and of a text."""
    draws, rows = random.Random(1), []
    for begin in ("2025-03-29", "2025-10-25"):
        for series in ("step", "Temp"):
            minute = draws.randrange(60)
            while minute < 3 * 1440:
                time = datetime.fromisoformat(begin) + timedelta(minutes=minute)
                quality = "bad" if draws.random() < 0.1 else "good"
                rows.append(reading(series, time.isoformat(), float(draws.randrange(9)), quality=quality))
                minute += draws.randrange(50, 70)
        for hour, text in ((5, "eco"), (28, "off"), (50, "eco")):
            time = datetime.fromisoformat(begin) + timedelta(hours=hour)
            rows.append(reading("mode", time.isoformat(), None, text=text, kind="string"))
    root = tmp_path_factory.mktemp("rollup")
    Readings(str(root / "lake")).add(rows)
    output = Aggregates(root / "quarters", root / "lake" / "readings")
    output.run("15m", ALL)
    return output


@pytest.fixture
def base(quarters: Aggregates) -> Iterator[Aggregates]:
    """The quarters, made once; what a test changes or adds beside them is undone."""
    with put_back(quarters.root.parent):
        yield quarters


def test_days_of_23_and_25_hours_from_quarters_are_those_from_readings(
    base: Aggregates, monkeypatch: pytest.MonkeyPatch
) -> None:
    daily = above(base, "daily")
    opened: list[str] = []
    real = Storage.open
    monkeypatch.setattr(Storage, "open", lambda s, path: (opened.append(s.uri(path)), real(s, path))[1])
    summary = daily.roll_up("1d", "Europe/Helsinki")
    assert opened != []
    assert not [path for path in opened if path.startswith(str(base.base))]  # the readings are not read
    monkeypatch.undo()
    direct = base.twin("direct")
    direct.run("1d", ALL, zone="Europe/Helsinki")
    assert_same(daily.frame(), direct.frame())
    frame = daily.frame().filter(pl.col("series_id") == "step")
    hours = (frame["bucket_end"] - frame["bucket_start"]).dt.total_hours().to_list()
    assert hours == [24, 23, 24, 24, 24, 25, 24, 24]  # from 29 March and from 25 October, 0:00 there
    assert (summary["base"], summary["every"]) == ("15m", "1d Europe/Helsinki")
    assert summary["points"] == sum(row[0] + row[1] for row in base.rows("n", "n_bad"))
    # a text from 7:00 local on the 29th of March: 17 hours; from 7:00 on the 30th, the day of 23 hours, another
    assert daily.rows("at", "time_in_state", series="mode")[:2] == [
        ("03-28 22:00", {"eco": 61_200.0}),
        ("03-29 22:00", {"eco": 21_600.0, "off": 61_200.0}),
    ]


def test_a_base_of_few_measures_has_the_states_of_these_alone(base: Aggregates) -> None:
    few = base.twin("few")
    few.run("15m", ["integral", "max"])
    numbers = few.frame().filter(pl.col("series_id") != "mode")
    assert numbers.select(pl.col("state").struct.field("low", "sum", "m2").is_null().all()).row(0) == (True,) * 3
    daily, direct = above(few, "few_daily"), base.twin("direct_few")
    daily.roll_up("1d")
    direct.run("1d", ["integral", "max"])
    assert_same(daily.frame(), direct.frame())
    few = above(base, "of_all")
    few.roll_up("1d", measures=["integral"])
    kept = few.frame().select(pl.col("state").struct.field("times", "sketch", "sum").is_null().all())
    assert kept.row(0) == (True,) * 3
    with pytest.raises(UsageError, match="states say nothing of min, stddev"):
        above(base.twin("few"), "more").roll_up("1d", measures=["max", "min", "stddev"])


def test_by_way_of_hours_and_with_empty_days(base: Aggregates) -> None:
    hourly = above(base, "hourly")
    hourly.roll_up("1h")
    weekly = above(hourly, "weekly")
    weekly.roll_up("1w", "Europe/Helsinki", empty="carry")
    direct = base.twin("direct")
    direct.run("1w", ALL, zone="Europe/Helsinki", empty="carry")
    assert_same(weekly.frame(), direct.frame())
    assert len(weekly.rows("at", series="step")) == 32  # from the week of 24 March to that of 27 October
    shifts = above(base, "shifts")
    shifts.roll_up("shifts@06:00,18:00", "Asia/Makassar", measures=["integral"])
    direct = base.twin("direct_shifts")
    direct.run("shifts@06:00,18:00", ["integral"], zone="Asia/Makassar")
    assert_same(shifts.frame().drop("state"), direct.frame().drop("state"))


def test_of_a_period_the_whole_coarse_buckets(base: Aggregates) -> None:
    start, end = "2025-03-29 13:15", "2025-03-31 05:30"
    part = base.twin("part")
    part.run("15m", ALL, start=start, end=end)
    daily = Aggregates(base.root.parent / "part_daily", part.root)
    daily.roll_up("1d")
    direct = base.twin("direct")
    direct.run("1d", ALL)
    inside = pl.col("bucket_start").is_between(datetime(2025, 3, 30), datetime(2025, 3, 31), closed="left")
    expected = direct.frame().with_columns(pl.col("bucket_start").dt.replace_time_zone(None)).filter(inside)
    found = daily.frame().with_columns(pl.col("bucket_start").dt.replace_time_zone(None))
    assert found.height == 3
    assert_same(found, expected)


@pytest.mark.part("laws")
@pytest.mark.parametrize(
    ("middle", "coarse", "empty", "start", "end"),
    some(
        [
            ("1h", "1d", "carry", "2025-10-25 13:45", "2025-10-27 00:45"),
            ("2h", "12h", "skip", "2025-03-29 13:45", "2025-10-27 12:30"),
        ],
        1,
    ),
)
def test_of_a_rollup_of_a_period_too(
    base: Aggregates, middle: str, coarse: str, empty: str, start: str, end: str
) -> None:
    """Of a period that neither begins nor ends where a bucket in the middle does."""
    part = base.twin("part")
    part.run("15m", ALL, start=start, end=end)
    between = Aggregates(base.root.parent / "between", part.root)
    between.roll_up(middle, empty=empty)
    above_it = Aggregates(base.root.parent / "above_it", between.root)
    assert above_it.roll_up(coarse)["rows"] > 2
    at_once = Aggregates(base.root.parent / "at_once", part.root)
    at_once.roll_up(coarse, empty=empty)
    assert_same(above_it.frame(), at_once.frame())
    direct = base.twin("direct")
    direct.run(coarse, ALL, empty=empty)
    first, last = above_it.frame().select(pl.col("bucket_start").min(), pl.col("bucket_end").max()).row(0)
    assert (first.date().isoformat(), last.isoformat()) == (
        {"1d": "2025-10-26", "12h": "2025-03-30"}[coarse],
        {"1d": "2025-10-27T00:00:00+00:00", "12h": "2025-10-27T12:00:00+00:00"}[coarse],
    )
    inside = pl.col("bucket_start").is_between(first, last, closed="left")
    assert_same(above_it.frame(), direct.frame().filter(inside))
    # once more: nothing is new, though the rollup in the middle has edges of its own
    assert (between.roll_up(middle, empty=empty)["run"], above_it.roll_up(coarse)["run"]) == ("", "")


def test_quantiles_are_within_one_percent_of_a_value_of_that_rank(base: Aggregates) -> None:
    whole = above(base, "whole")
    whole.roll_up("1y", measures=["p50", "p90"])
    raw = pl.scan_delta(str(base.base)).filter(pl.col("quality") == "good").collect()
    for series, p50, p90 in whole.rows("series_id", "p50", "p90"):
        values = sorted(raw.filter(pl.col("series_id") == series)["value"].drop_nulls().to_list())
        for share, told in ((0.5, p50), (0.9, p90)):
            if values:
                exact = values[math.floor(share * (len(values) - 1))]
                assert told == pytest.approx(exact, rel=0.01 + 1e-9)
            else:
                assert told is None


def test_it_follows_its_base(base: Aggregates) -> None:
    daily = above(base, "daily")
    daily.roll_up("1d")
    Readings(str(base.base.parent)).add([reading("step", "2025-11-01T12:00", 5.0)])
    base.run("15m", ALL)
    summary = daily.roll_up("1d")
    assert summary["files_removed"] > 0
    direct = base.twin("direct")
    direct.run("1d", ALL)
    assert_same(daily.frame(), direct.frame())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--every", "20m"], "20m can't be made of 15m: the edges don't meet. Use a base of 5m"),
        (["--every", "1d", "--zone", "Asia/Kathmandu"], None),  # an offset of 5:45 is one of quarters
        (["--every", "1d", "--zone", "Africa/Monrovia", "--origin", "2025-01-01T00:07:00Z"], "the edges don't meet"),
        (["--every", "1h", "--measure", "p5x"], "no measure 'p5x'"),
        (["--every", "0h"], "a part of no length"),
    ],
)
def test_buckets_that_do_not_meet_name_a_base_that_does(
    base: Aggregates,
    words: list[str],
    told: str | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_tasks_here(monkeypatch)
    code = cli.main(["rollup", str(base.root), str(base.root.parent / "out"), "--engine", "local", *words])
    error = capsys.readouterr().err
    assert code == (2 if told else 0), error
    assert (told or "") in error


def test_what_the_base_lacks_is_said(base: Aggregates) -> None:
    bare = base.twin("bare")
    bare.run("1h", ["integral"])
    for measure, told in (("time_in_state", "--measure time_in_state"), ("p50", "such as --measure p50")):
        with pytest.raises(UsageError, match=told):
            Aggregates(base.root.parent / "out", bare.root).roll_up("1d", measures=[measure])
    with pytest.raises(UsageError, match="is no table of aggregates"):
        Aggregates(base.root.parent / "out", base.base).roll_up("1d")
    with pytest.raises(UsageError, match="would overwrite its base"):
        Aggregates(base.root, base.root).roll_up("1d")
    with pytest.raises(UsageError, match="is made of readings"):
        Aggregates(bare.root, base.root).roll_up("1d")
    other = above(base, "other")
    other.roll_up("1h")
    with pytest.raises(UsageError, match="--every 1h, now 1d"):
        other.roll_up("1d")


def test_plain_files_roll_up_too(base: Aggregates) -> None:
    plain = Aggregates(base.root.parent / "plain", base.base, ["compaction.format=parquet"])
    plain.run("15m", ALL)
    daily = Aggregates(base.root.parent / "plain_daily", plain.root, ["compaction.format=parquet"])
    daily.roll_up("1d")
    expected = above(base, "daily")
    expected.roll_up("1d")
    names = sorted(expected.frame().columns)
    assert_same(daily.frame().select(names), expected.frame().select(names))


def test_an_edge_inside_the_last_bucket_of_the_base_is_seen(tmp_path: Path) -> None:
    Readings(str(tmp_path / "lake")).add([reading("s", "2025-11-01 08:00", 1.0), reading("s", "2025-11-30 20:00", 0.0)])
    days = Aggregates(tmp_path / "days", tmp_path / "lake" / "readings")
    days.run("1d")
    with pytest.raises(UsageError, match="can't be made of 1d"):
        above(days, "months").roll_up("1mo", zone="Asia/Makassar")
