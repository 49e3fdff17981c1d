"""Aggregates of Spark DataFrames: the numbers of the command, by the same kernels."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as sql

from siltstone.dataframes.aggregate import aggregate
from siltstone.dataframes.asof import asof
from siltstone.errors import UsageError
from siltstone.timeseries.interpretation import Interpretation

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = ["series_id", "site", "ts", "value", "quality", "version"]


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def test_events_become_the_averages_and_times_of_their_hours(spark: "SparkSession") -> None:
    rows = [
        ("a", "x", at(0), 1.0, "good", None),
        ("a", "x", at(0.5), 3.0, None, None),
        ("a", "x", at(2.5), 9.0, "good", 1),
        ("a", "x", at(2.5), 5.0, "good", 2),
        ("a", "y", at(1), 7.0, "good", None),
        ("b", "x", at(1), 2.0, "bad", None),
    ]
    given = spark.createDataFrame(
        rows, "series_id string, site string, ts timestamp, value double, quality string, version long"
    )
    found = aggregate(given, "1h", ["time_weighted_average", "last", "time_in_state"], empty="carry", until=at(3))
    told = {(r.series_id, r.site, r.bucket_start.hour): r for r in found.collect()}
    averages = {key: row.time_weighted_average for key, row in told.items()}
    assert averages == {
        ("a", "x", 0): 2.0, ("a", "x", 1): 3.0, ("a", "x", 2): 4.0,
        ("a", "y", 1): 7.0, ("a", "y", 2): 7.0,
        ("b", "x", 1): None, ("b", "x", 2): None,
    }  # fmt: skip
    assert told["a", "x", 2].last == 5.0  # of one instant the higher version
    assert told["a", "x", 0].time_in_state == {"1": 1800.0, "3": 1800.0}
    assert [told["a", "x", hour].carried_in for hour in (0, 1, 2)] == [False, True, True]


@pytest.mark.slow("spark")
def test_one_way_of_reading_holds_for_every_series(spark: "SparkSession") -> None:
    rows = [("a", at(0), 0.0), ("a", at(1), 4.0), ("a", at(2), 4.0)]
    given = spark.createDataFrame(rows, "series_id string, ts timestamp, value double")
    found = aggregate(given, "1h", ["time_weighted_average"], interpretation=Interpretation("linear"))
    assert sorted(r.time_weighted_average or -1 for r in found.collect()) == [-1, 2.0, 4.0]


def test_a_frame_without_the_columns_is_refused(spark: "SparkSession") -> None:
    with pytest.raises(UsageError, match="no column ts, value"):
        aggregate(spark.createDataFrame([("a",)], "series_id string"), "1h")


def test_the_zone_of_the_session_changes_nothing(spark: "SparkSession") -> None:
    with session_of(spark, "America/St_Johns"):
        # 02:30 is an hour that St. John's clock skips on this day
        rows = [
            ("a", "2026-03-08T02:30:00", 1.0),
            ("a", "2026-03-08T03:30:00", 3.0),
            (None, "2026-03-08T05:30:00", 9.0),
        ]
        given = spark.createDataFrame(
            [(*row, "x") for row in rows], "series_id string, at string, value double, site string"
        )
        with_zone = given.withColumn("ts", sql.concat("at", sql.lit("Z")).cast("timestamp_ltz"))
        without = given.withColumn("ts", sql.col("at").cast("timestamp_ntz"))
        for df in (with_zone, without):
            found = aggregate(df, "1h", ["last"], until=datetime(2026, 3, 8, 4)).withColumns(
                {name: sql.unix_micros(name) for name in ("bucket_start", "first_ts")}
            )
            assert [(r.bucket_start, r.first_ts, r.last, r.provisional) for r in found.collect()] == [
                (hour(2), hour(2.5), 1.0, False),
                (hour(3), hour(3.5), 3.0, False),
            ]
        met = asof(without.drop("at"), with_zone.drop("at"), allow_exact=False, tolerance="1h").orderBy("ts")
        assert [r.value_right for r in met.collect()] == [None, 1.0, None]


def hour(number: float) -> int:
    """Microseconds of an hour of 2026-03-08."""
    return int((datetime(2026, 3, 8, tzinfo=UTC) + timedelta(hours=number)).timestamp()) * 1_000_000


@contextmanager
def session_of(spark: "SparkSession", zone: str) -> Iterator[None]:
    """The session in a zone, its `timestamp` without one."""
    given = {"spark.sql.session.timeZone": zone, "spark.sql.timestampType": "TIMESTAMP_NTZ"}
    before = {name: spark.conf.get(name) for name in given}
    try:
        for name, value in given.items():
            spark.conf.set(name, value)
        yield
    finally:
        for name, old in before.items():
            spark.conf.set(name, old)


@pytest.mark.slow("spark")
def test_texts_are_states(spark: "SparkSession") -> None:
    rows = [("a", at(0), "eco", "good"), ("a", at(0.25), "off", "good"), ("a", at(1), "off", "bad")]
    given = spark.createDataFrame(rows, "series_id string, ts timestamp, text string, quality string")
    asked = ["time_weighted_average", "transitions", "time_in_state"]
    found = aggregate(given.withColumn("value", sql.lit(None)), "1h", asked, until=at(2), min_pct_good=50)
    told = [(r.time_weighted_average, r.transitions, r.time_in_state) for r in found.orderBy("bucket_start").collect()]
    # in the second hour nothing is known
    assert told == [(None, 1, {"eco": 900.0, "off": 2700.0}), (None, None, None)]


@pytest.mark.slow("spark")
def test_a_text_between_numbers_is_not_told_as_one(spark: "SparkSession") -> None:
    rows = [
        ("a", at(0), 1.0, None),
        ("a", at(0.25), None, "open"),
        ("a", at(0.5), 2.0, None),
        ("a", at(1.5), 2.0, None),
    ]
    given = spark.createDataFrame(rows, "series_id string, ts timestamp, value double, text string")
    found = aggregate(given, "1h", ["time_weighted_average", "sum"], until=at(2)).orderBy("bucket_start").collect()
    assert [(r.time_weighted_average, r["sum"]) for r in found] == [(None, None), (2.0, 2.0)]


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("series_id string, ts string, value double", "column ts is a string, not a time"),
        ("series_id int, ts timestamp, value double", "series_id is a string on the left and a number on the right"),
    ],
)
def test_columns_that_do_not_fit_are_refused(spark: "SparkSession", columns: str, told: str) -> None:
    other = spark.createDataFrame([], "series_id string, ts timestamp, value double")
    with pytest.raises(UsageError, match=told):
        asof(other, spark.createDataFrame([], columns))
