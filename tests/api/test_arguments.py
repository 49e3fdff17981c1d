"""What callers may give: plain values of several kinds, and errors that name the argument."""

from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from siltstone import LocalEngine, compact, load_config
from siltstone.api.arguments import (
    config_or_default,
    engine_or_local,
    filters_of,
    instant_us,
    lake_and_name,
    length_us,
    names_of,
    one_of,
    period_between,
    place_of,
)
from siltstone.api.compact import folder_hour
from siltstone.cli.arguments import as_option
from siltstone.errors import UsageError
from siltstone.model.periods import EARLIEST_US, LATEST_US
from support.fleet import InProcess

DAY_US = 86_400_000_000


def test_instants_have_the_offset_that_they_say_or_that_of_the_zone() -> None:
    assert instant_us("1970-01-01T00:00:00.000001Z", "Asia/Makassar", "end") == 1
    assert instant_us("1970-01-01T00:00:01+08:00", "UTC", "end") == -28_799_000_000
    assert instant_us("1970-01-01 08:00", "Asia/Makassar", "end") == 0


def test_instants_may_be_dates_and_datetimes() -> None:
    assert instant_us(date(1970, 1, 2), "Asia/Makassar", "start") == DAY_US * 16 // 24  # 8 hours before UTC's
    assert instant_us(datetime(1970, 1, 1, 8), "Asia/Makassar", "start") == 0
    in_utc = datetime(1970, 1, 1, microsecond=1, tzinfo=UTC)
    assert instant_us(in_utc, "Asia/Makassar", "start") == 1
    assert instant_us(datetime(1970, 1, 1, tzinfo=timezone(timedelta(hours=1))), "UTC", "start") == -3_600_000_000


@pytest.mark.parametrize("given", ["soon", "2025-02-30", "2025-13-01T00:00", "", "0001-01-01", 5])
def test_what_is_no_time_names_its_argument(given: str) -> None:
    with pytest.raises(UsageError, match=f"start {given!r} is no time. Give a date such as"):
        instant_us(given, "Asia/Makassar", "start")


def test_dates_are_of_the_zone_and_what_is_left_out_is_all_of_time() -> None:
    period = period_between("1970-01-02", "1970-01-03T08:00", "Asia/Makassar")  # 8 hours before UTC's
    assert (period.start_us, period.end_us) == (DAY_US * 16 // 24, 2 * DAY_US)
    period = period_between(None, None, "UTC")
    assert (period.start_us, period.end_us) == (EARLIEST_US, LATEST_US)


def test_a_period_without_time_in_it_is_refused_in_the_words_of_the_caller() -> None:
    with pytest.raises(UsageError, match="end 2026-01-01 is not after start 2026-01-02"):
        period_between("2026-01-02", "2026-01-01", "UTC")
    with pytest.raises(UsageError, match="--to 2026-01-01 is not after --from 2026-01-02"):
        period_between("2026-01-02", "2026-01-01", "UTC", as_option)
    with pytest.raises(UsageError, match="Mars"):
        period_between(None, None, "Mars")


def test_lengths_and_words_that_mean_nothing_name_their_argument() -> None:
    assert length_us("90s", "limit") == 90_000_000
    assert length_us(None, "limit") is None
    with pytest.raises(UsageError, match="tolerance 'long' is no length of time"):
        length_us("long", "tolerance")
    with pytest.raises(UsageError, match="fill 'next' means nothing here"):
        one_of("next", ("previous", "linear"), "fill")


def test_one_name_is_a_list_of_one_and_paths_are_text() -> None:
    assert names_of("a*") == ("a*",)
    assert names_of(["a", "b"]) == ("a", "b")
    assert names_of(()) == ()
    assert (place_of(Path("lake") / "t"), place_of("s3://b/t")) == ("lake/t", "s3://b/t")


@pytest.mark.parametrize(
    ("table", "place"),
    [
        ("/data/lake/datalog", ("/data/lake", "datalog")),
        ("/data/lake/datalog/", ("/data/lake", "datalog")),
        (Path("/data/lake/datalog"), ("/data/lake", "datalog")),
        ("/datalog", ("/", "datalog")),
        ("s3://bucket/datalog", ("s3://bucket", "datalog")),
        ("s3://bucket/lake/datalog/", ("s3://bucket/lake", "datalog")),
    ],
)
def test_a_table_has_a_lake_and_a_name(table: str | Path, place: tuple[str, str]) -> None:
    assert lake_and_name(table) == place


def test_a_table_in_this_folder_needs_no_lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert lake_and_name("datalog") == (str(tmp_path), "datalog")


def test_a_bucket_and_nothing_are_no_tables() -> None:
    with pytest.raises(UsageError, match=r"s3://bucket is a bucket, not a table. Give LAKE/TABLE"):
        lake_and_name("s3://bucket/")
    for given in ("", "/"):
        with pytest.raises(UsageError, match=f"'{given}' is no table. Give LAKE/TABLE, such as lake/datalog"):
            lake_and_name(given)


@pytest.mark.parametrize("given", ["spark", LocalEngine, {}])
def test_what_is_no_engine_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"^engine .* is no engine\. Give LocalEngine\(\) or SparkEngine\(spark\)"):
        engine_or_local(given, load_config())


@pytest.mark.parametrize("given", [{}, "plant.yaml", {"engine": {"workers": 1}}])
def test_what_is_no_configuration_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match=r"^config .* is no configuration\. Give what load_config returns"):
        compact("datalog", "input", "lake", config=given)


@pytest.mark.parametrize("given", [-1, 1.5, "2", None])
def test_workers_are_a_number(given: Any) -> None:
    with pytest.raises(UsageError, match=f"^LocalEngine: workers {given!r} is no number of processes. Give 1 or more"):
        LocalEngine(given)


def test_one_pattern_may_stand_alone() -> None:
    assert filters_of("s", ["a*", "b"], (), "x") == {
        "series": ("s",), "devices": ("a*", "b"), "measurements": (), "sites": ("x",)
    }  # fmt: skip


def test_what_is_left_out_is_the_default_and_what_is_given_stays() -> None:
    config = load_config(settings=["engine.workers=3"])
    assert config_or_default(config) is config
    assert config_or_default(None) == load_config()
    engine = InProcess()
    assert engine_or_local(engine, config) is engine
    assert (engine_or_local(None, config).name, engine_or_local(None, config)) == ("local", LocalEngine(3))


@pytest.mark.parametrize(
    "given", ["2025-12-10", "2025121000", date(2025, 12, 10), datetime(2025, 12, 10, 0, 59, tzinfo=UTC)]
)
def test_a_folder_hour_may_be_a_date_or_ten_digits(given: str | date) -> None:
    assert folder_hour(given) == datetime(2025, 12, 10)


def test_what_is_no_folder_hour_is_refused() -> None:
    with pytest.raises(UsageError, match="--since 'today' is no date"):
        folder_hour("today", as_option("since"))
    for given in ("yesterday", "2025-13-01", "2025121099"):
        with pytest.raises(UsageError, match=f"since '{given}' is no date. Give YYYY-MM-DD or YYYYMMDDHH"):
            folder_hour(given)
