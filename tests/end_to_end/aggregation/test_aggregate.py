"""`siltstone aggregate`: rows worked out by hand, from lakes made through the real sources."""

from pathlib import Path

import duckdb
import polars as pl
import pytest

from siltstone.aggregation import state_tasks
from support.aggregates import Aggregates, assert_same, office_hours
from support.readings_table import Readings, reading

STATUS = "D1/OccupancyStatus"


@pytest.fixture
def office(tmp_path: Path) -> Aggregates:
    return office_hours(tmp_path)


@pytest.fixture
def lake(tmp_path: Path) -> Readings:
    return Readings(str(tmp_path / "lake"))


def of(lake: Readings, name: str = "hourly") -> Aggregates:
    return Aggregates(Path(lake.lake).parent / name, Path(lake.lake) / "readings")


def test_the_value_in_force_counts_from_the_start_of_an_hour_however_long_ago_it_was_set(office: Aggregates) -> None:
    summary = office.run("1h", ["time_weighted_average", "integral", "time_in_state", "transitions", "count"])
    assert (summary["rows_in"], summary["points"], summary["rows_out"], summary["series"]) == (5, 5, 4, 2)
    told = ("at", "time_weighted_average", "integral", "time_in_state", "transitions", "count")
    assert office.rows(*told, series=STATUS) == [
        # known from 8:30: 15 min of 1 and 15 min of 0
        ("12-01 08:00", 0.5, 900.0, {"0": 900.0, "1": 900.0}, 1, 2),
        # 0 until 9:15
        ("12-01 09:00", 0.75, 2700.0, {"0": 900.0, "1": 2700.0}, 1, 1),
        # 41 hours and two midnights without events later: 1 until 3:20
        ("12-03 03:00", pytest.approx(1 / 3, rel=1e-15), 1200.0, {"0": 2400.0, "1": 1200.0}, 1, 1),
    ]
    trust = ("covered_s", "good_s", "pct_good", "carried_in", "n", "n_bad", "provisional")
    assert office.rows(*trust) == [
        (1800.0, 1800.0, 50.0, False, 2, 0, False),
        (3600.0, 3600.0, 100.0, True, 1, 0, False),
        (3600.0, 3600.0, 100.0, True, 1, 0, False),
        (0.0, 0.0, 0.0, False, 1, 0, True),  # 6:30 is the last instant known
    ]


def test_values_and_times_at_the_ends_and_extremes(office: Aggregates) -> None:
    names = ["first", "last", "start_value", "end_value", "min", "max", "sum", "mean", "stddev", "increase"]
    office.run("1h", [*names, "time_weighted_stddev", "min_ts", "max_ts"])
    half = pytest.approx(0.5**0.5, rel=1e-15)
    assert office.rows("at", *names, series=STATUS) == [
        ("12-01 08:00", 1.0, 0.0, None, 0.0, 0.0, 1.0, 1.0, 0.5, half, 0.0),
        ("12-01 09:00", 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, None, 1.0),
        ("12-03 03:00", 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, None, 0.0),
    ]
    # 3/4 of the hour 1, 1/4 of it 0: sqrt(3/4 x 1/16 + 1/4 x 9/16)
    assert office.rows("time_weighted_stddev", series=STATUS)[1] == (pytest.approx(0.1875**0.5, rel=1e-14),)
    clock = office.frame().select(pl.col("min_ts", "max_ts").dt.strftime("%d %H:%M")).rows()
    assert clock[:3] == [("01 08:45", "01 08:30"), ("01 09:00", "01 09:15"), ("03 03:20", "03 03:00")]


def test_hours_without_events_have_rows_where_they_are_wanted_and_are_never_0(office: Aggregates) -> None:
    summary = office.run("1h", ["time_weighted_average", "time_in_state", "count"], empty="carry")
    assert summary["provisional"] == 2
    rows = office.rows("at", "time_weighted_average", "time_in_state", "count", "carried_in", series=STATUS)
    assert len(rows) == 16 + 24 + 7  # from 8 o'clock on the 1st to 6 o'clock on the 3rd
    assert rows[2:43] == [(at, 1.0, {"1": 3600.0}, 0, True) for at, *_ in rows[2:43]]
    assert [at for at, *_ in rows[2:43]][::20] == ["12-01 10:00", "12-02 06:00", "12-03 02:00"]
    assert rows[44:] == [
        ("12-03 04:00", 0.0, {"0": 3600.0}, 0, True),
        ("12-03 05:00", 0.0, {"0": 3600.0}, 0, True),
        ("12-03 06:00", 0.0, {"0": 1800.0}, 0, True),  # known until 6:30
    ]
    # the other sensor has told nothing before 6:30, and nothing is known at that instant's bucket but the instant
    assert office.rows("at", "time_weighted_average", "count", series="D2/OccupancyStatus") == [
        ("12-03 06:00", None, 1)
    ]
    assert office.frame()["state"].null_count() == 44


@pytest.mark.parametrize("batch", [1 << 19, 3])
def test_the_first_row_of_a_series_in_a_file_decides_how_it_is_read(
    lake: Readings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("measurements:\n  - {match: {measurement: line}, kind: linear}\n")
    rows = [
        reading(
            "a", f"2025-12-01T0{hour}:00", float(hour), measurement="line" if hour < 5 else "step", device_id=f"d{hour}"
        )
        for hour in range(8)
    ]
    lake.add([*rows, reading("b", "2025-12-01T09:00", 1.0, device_id="d0")])
    monkeypatch.setattr(state_tasks, "_BATCH_ROWS", batch)
    output = of(lake)
    summary = output.run("2h", ["time_weighted_average"], rules=rules, devices=("d0",))
    told = output.rows("at", "time_weighted_average", "measurement", "device_id", series="a")
    line = [(f"12-01 0{hour}:00", hour + 1.0, "line", "d0") for hour in (0, 2, 4)]
    # in a line to 7:00, where 7 is, which then holds
    assert told == [*line, ("12-01 06:00", 6.75, "line", "d0")]
    assert (summary["points"], summary["rows_left_out"]) == (9, 0)


@pytest.mark.parametrize("empty", ["skip", "carry"])
@pytest.mark.parametrize(
    ("start", "end"), [("2025-12-02 05:00", None), ("2025-12-01 08:50", "2025-12-03 03:00"), (None, "2025-12-01 09:00")]
)
def test_a_period_has_the_rows_of_the_whole(office: Aggregates, empty: str, start: str | None, end: str | None) -> None:
    measures = ["time_weighted_average", "time_in_state", "transitions", "increase", "start_value", "end_value", "p50"]
    office.run("1h", measures, empty=empty)
    part = office.twin("part")
    part.run("1h", measures, empty=empty, start=start, end=end)
    inside = pl.lit(value=True)
    if start:
        inside &= pl.col("bucket_start") >= pl.lit(start).str.to_datetime(time_zone="UTC")
    if end:
        inside &= pl.col("bucket_start") < pl.lit(end).str.to_datetime(time_zone="UTC")
    expected = office.frame().filter(inside)
    assert (expected.height > 0) == (empty == "carry" or part.rows("at") != [])
    assert_same(part.frame(), expected)


def test_a_later_end_holds_values_until_it(office: Aggregates) -> None:
    summary = office.run("1h", ["integral"], end="2025-12-03 08:00", empty="carry")
    assert office.rows("at", "integral", series="D2/OccupancyStatus") == [
        ("12-03 06:00", 1800.0),
        ("12-03 07:00", 3600.0),
    ]
    assert summary["provisional"] == 0


def test_two_sites_with_one_series_name_are_two_series(lake: Readings) -> None:
    at = ["2025-12-01T00:00", "2025-12-01T01:00"]
    for site, value in (("a", 1.0), ("b", 5.0)):
        lake.add([reading("temp", t, value + n, site=site, measurement="count") for n, t in enumerate(at)])
    found = of(lake)
    found.run("1h", ["time_weighted_average", "transitions"])
    assert found.rows("site", "at", "time_weighted_average", "transitions") == [
        ("a", "12-01 00:00", 1.0, 0),
        ("a", "12-01 01:00", None, 1),
        ("b", "12-01 00:00", 5.0, 0),
        ("b", "12-01 01:00", None, 1),
    ]
    one = of(lake, "b")
    one.run("1h", ["integral"], sites=("b",))
    assert one.rows("site", "integral") == [("b", 18_000.0), ("b", None)]


def test_texts_are_states_and_nothing_is_told_of_them_as_numbers(lake: Readings) -> None:
    texts = [("2025-12-01T00:10", "eco"), ("2025-12-01T00:30", "boost"), ("2025-12-01T00:40", "eco")]
    lake.add([reading("mode", t, None, text=text, kind="string") for t, text in texts])
    lake.add([reading("on", "2025-12-01T00:00", 1.0, kind="boolean"), reading("on", "2025-12-02T00:45", 0.0)])
    found = of(lake)
    found.run(
        "1h", ["time_in_state", "transitions", "count", "time_weighted_average", "min", "min_ts", "p50"], empty="carry"
    )
    told = ("time_in_state", "transitions", "count", "time_weighted_average", "min", "min_ts", "p50", "covered_s")
    rows = found.rows("at", *told, series="mode")
    assert rows[0] == ("12-01 00:00", {"boost": 600.0, "eco": 2400.0}, 2, 3, None, None, None, None, 3000.0)
    assert rows[1] == ("12-01 01:00", {"eco": 3600.0}, 0, 0, None, None, None, None, 3600.0)
    assert found.rows("time_in_state", "time_weighted_average", series="on")[-1] == ({"1": 2700.0}, 1.0)
    # a period with nothing but the value carried in does not tell it as a number either
    late = of(lake, "late")
    late.run(
        "1h", ["time_weighted_average", "time_in_state"], start="2025-12-01 05:00", empty="carry", series=("mode",)
    )
    assert set(late.rows("time_weighted_average")) == {(None,)}
    assert late.rows("at", "time_in_state")[0] == ("12-01 05:00", {"eco": 3600.0})


def test_quality_and_rules_of_ones_own(lake: Readings, tmp_path: Path) -> None:
    minutes = [(0, 10.0, "good"), (20, 20.0, "uncertain"), (30, 99.0, "bad"), (40, 30.0, "good"), (50, -1.0, "good")]
    for name in ("step", "kept", "line", "held"):
        lake.add([reading(name, f"2025-12-01T00:{m:02}", v, quality=q, measurement=name) for m, v, q in minutes])
    lake.add([reading("end", "2025-12-01T01:00", 1.0)])
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        """measurements:
  - match: {measurement: step}
    sentinels: [-1]
  - match: {measurement: kept}
    sentinels: [-1]
    uncertain: keep
  - match: {measurement: line}
    kind: linear
    uncertain: good
    sentinels: [-1]
    max_gap: 15m
    max_hold: 5m
  - match: {measurement: held}
    max_hold: 4m
    uncertain: good
"""
    )
    found = of(lake)
    found.run("1h", ["integral", "time_weighted_average"], rules=rules, min_pct_good=0.0)
    told = {name: row for name, *row in found.rows("series_id", "integral", "covered_s", "good_s", "n", "n_bad")}
    # 20 min of 10; from 20 on bad; 10 min of 30; from 50 on bad
    assert told["step"] == [12_000 + 18_000, 1800.0, 1800.0, 2, 3]
    # and 10 min of 20, known but not good
    assert told["kept"] == [12_000 + 12_000 + 18_000, 2400.0, 1800.0, 3, 2]
    # 20 min are too far for a line: 5 min of 10; 20 held 5 min towards the bad point; 30 likewise
    assert told["line"] == [3_000 + 6_000 + 9_000, 900.0, 900.0, 3, 2]
    # 4 min of each of 10, 20, 30 and -1
    assert told["held"] == [240 * (10 + 20 + 30 - 1), 960.0, 960.0, 4, 1]
    strict = of(lake, "strict")
    strict.run("1h", ["integral", "count", "p50", "time_in_state"], rules=rules, min_pct_good=50.0)
    kept = strict.rows("series_id", "integral", "p50", "time_in_state", "count")
    assert [row for row in kept if row[0] in ("held", "step")] == [
        ("held", None, None, None, 4),  # 26.7 %
        ("step", 30_000.0, pytest.approx(10, rel=0.01), {"10": 1200.0, "30": 600.0}, 2),  # 50 %
    ]


def test_a_line_goes_on_into_the_next_hour_and_states_that_differ_a_little_stay_two(lake: Readings) -> None:
    lake.add([reading("Temp", "2025-12-01T00:30", 0.0), reading("Temp", "2025-12-02T02:30", 26.0)])
    lake.add(
        [
            reading("x", "2025-12-01T00:00", v) if n == 0 else reading("x", "2025-12-01T00:30", v)
            for n, v in enumerate((0.3, 0.1 + 0.2))
        ]
    )
    found = of(lake)
    found.run("1h", ["start_value", "end_value", "time_weighted_average", "time_in_state"])
    # one degree an hour; a line has no states
    assert found.rows("at", "start_value", "end_value", "time_weighted_average", "time_in_state", series="Temp") == [
        ("12-01 00:00", None, 0.5, 0.25, None),
        ("12-02 02:00", pytest.approx(25.5), None, pytest.approx(25.75), None),
    ]
    assert found.rows("time_in_state", series="x") == [({"0.3": 1800.0, "0.30000000000000004": 1800.0},)]


def test_minus_zero_is_the_state_of_zero(lake: Readings) -> None:
    minutes = enumerate((-0.0, 0.0, -0.0, 1.0))
    lake.add([reading("x", f"2025-12-01T00:{10 * n:02}", value) for n, value in minutes])
    found = of(lake)
    found.run("1h", ["time_in_state", "transitions"])
    assert found.rows("time_in_state", "transitions", series="x") == [({"0": 1800.0}, 1)]


def test_other_readers_and_plain_files_say_the_same(office: Aggregates) -> None:
    measures = ["time_weighted_average", "time_in_state", "p90"]
    office.run("1h", measures)
    plain = Aggregates(office.root.parent / "plain", office.base, ["compaction.format=parquet"])
    plain.run("1h", measures)
    assert not (plain.root / "_delta_log").exists()
    assert_same(
        plain.frame().select(sorted(plain.frame().columns)), office.frame().select(sorted(plain.frame().columns))
    )
    files = [str(path) for path in plain.root.glob("date=*/*.parquet")]
    sql = """select series_id, time_in_state['1'], state.n, state.first_ts, bucket_end - bucket_start
        from read_parquet(?, hive_partitioning = true) where series_id like 'D1%' order by bucket_start"""
    found = duckdb.execute(sql, [files]).fetchall()
    assert [row[1:3] for row in found] == [(900.0, 2), (2700.0, 1), (1200.0, 1)]
    schema = duckdb.execute("describe select * from read_parquet(?, hive_partitioning = true)", [files]).fetchall()
    kinds = {name: kind for name, kind, *_ in schema}
    assert kinds["time_in_state"] == "MAP(VARCHAR, DOUBLE)"
    assert kinds["state"].startswith("STRUCT(first_ts BIGINT")
    assert kinds["bucket_start"] == "TIMESTAMP WITH TIME ZONE"
    assert kinds["date"] == "DATE"
    plan = ["series_id", "device_id", "measurement", "bucket_start", "bucket_end", *measures, "state", "n", "covered_s"]
    assert set(plan) <= set(office.frame().columns)
    assert plain.run("1h", measures)["run"] == ""


def test_an_aggregate_of_nothing_has_no_rows(office: Aggregates, lake: Readings) -> None:
    assert office.run("1h", series=("nothing*",))["rows_out"] == 0
    assert office.run("1h", series=("nothing*",))["run"] == ""
    bare = Readings(str(Path(lake.lake).parent / "bare"))
    bare.table.create()
    assert of(bare, "none").run("1h")["rows_out"] == 0
