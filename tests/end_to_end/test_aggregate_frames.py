"""Aggregates of Spark DataFrames: the numbers of the command, by the same kernels."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from siltstone.aggregates.interpretation import Interpretation
from siltstone.aggregation.frames import aggregate
from siltstone.errors import UsageError

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


def test_one_way_of_reading_holds_for_every_series(spark: "SparkSession") -> None:
    rows = [("a", at(0), 0.0), ("a", at(1), 4.0), ("a", at(2), 4.0)]
    given = spark.createDataFrame(rows, "series_id string, ts timestamp, value double")
    found = aggregate(given, "1h", ["time_weighted_average"], interpretation=Interpretation("linear"))
    assert sorted(r.time_weighted_average or -1 for r in found.collect()) == [-1, 2.0, 4.0]


def test_a_frame_without_the_columns_is_refused(spark: "SparkSession") -> None:
    with pytest.raises(UsageError, match="no column ts, value"):
        aggregate(spark.createDataFrame([("a",)], "series_id string"), "1h")
