"""Instants of foreign records to the nanosecond, worked by hand."""

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from siltstone.mapping.record_times import Times, record_times
from siltstone.mapping.records_options import RecordsOptions


def times(*columns: Sequence[Any], **options: Any) -> Times:
    return record_times([pl.Series(column) for column in columns], RecordsOptions(**options))


def instants(found: Times) -> list[tuple[int | None, int]]:
    return list(zip(found.us, found.nanos, strict=True))


def utc_us(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("text", "unit", "us", "nanos"),
    [
        ("1351181576.6507802", "auto", 1_351_181_576_650_780, 200),
        ("1351181576.650780299", "s", 1_351_181_576_650_780, 299),
        ("1351181576650.780299", "auto", 1_351_181_576_650_780, 299),
        ("1351181576650780.299", "auto", 1_351_181_576_650_780, 299),
        ("1351181576650780299", "auto", 1_351_181_576_650_780, 299),
        ("-0.0000015", "s", -2, 500),  # 1,500 ns before 1970
        ("-619524000000", "ms", -619_524_000_000_000, 0),
        ("1.3511815766507802e9", "auto", 1_351_181_576_650_780, 200),
        ("+5", "s", 5_000_000, 0),
        (" 5 ", "s", 5_000_000, 0),
    ],
)
def test_numbers_keep_all_digits(text: str, unit: str, us: int, nanos: int) -> None:
    assert instants(times([text], time_unit=unit)) == [(us, nanos)]


def test_units_are_told_by_magnitude_row_by_row() -> None:
    found = times([9_999_999_999, 10**10, 10**13, 10**16, None])
    expected = [9_999_999_999_000_000, 10**13, 10**13, 10**13, None]
    assert found.us.to_list() == expected


def test_digits_behind_nanoseconds_are_noticed() -> None:
    found = times(["1.0000000001", "1.0000000000", "1.5", "1.0000000009"], time_unit="s")
    assert found.cut.to_list() == [True, False, False, True]
    assert times(["1.0000001", "1.000001"], time_unit="ms").cut.to_list() == [True, False]


def test_numbers_that_are_no_time_have_a_reason() -> None:
    found = times(["1e300", "99999999999999999999", "5"], time_unit="s")
    assert found.us.to_list() == [None, None, 5_000_000]
    assert found.reason[1] == "its time '99999999999999999999' is no number of s"
    assert found.reason[2] is None


def test_doubles_go_by_their_shortest_text() -> None:
    assert instants(times([1351181576.6507802, 0.1], time_unit="s")) == [(1_351_181_576_650_780, 200), (100_000, 0)]


def test_texts_with_and_without_a_zone_and_numbers_mixed() -> None:
    found = times(
        ["2020-07-01T12:00:00", "2020-07-01T12:00:00Z", "2020-07-01 12:00:00.5+05:30", "1593604800", "x", None],
        zone="Europe/Rome",
    )
    noon = utc_us(2020, 7, 1, 12)
    expected = [noon - 2 * 3_600_000_000, noon, noon - 19_800_000_000 + 500_000, noon, None, None]
    assert found.us.to_list() == expected
    assert found.reason.to_list() == [None] * 4 + ["its time 'x' is none: expected one as 2016-11-30T19:31:37Z", None]


@pytest.mark.parametrize("form", ["", "%Y-%m-%d %H:%M"])
@pytest.mark.parametrize(("choice", "hour"), [("earliest", 0), ("latest", 1), ("refuse", None)])
def test_a_repeated_hour_means_what_the_block_says_and_a_skipped_one_nothing(
    form: str, choice: str, hour: int | None
) -> None:
    # clocks in Rome show 02:30 on 2020-10-25 at 00:30 and 01:30 UTC, and never on 2020-03-29
    found = times(
        ["2020-10-25 02:30", "2020-03-29 02:30"], zone="Europe/Rome", on_repeated_hour=choice, time_format=form
    )
    assert found.us.to_list() == [None if hour is None else utc_us(2020, 10, 25, hour, 30), None]
    twice = "its time '2020-10-25 02:30' happens twice in Europe/Rome, and on_repeated_hour is refuse"
    assert found.reason[0] == (twice if hour is None else None)
    assert found.reason[1] == "its time '2020-03-29 02:30' does not exist in Europe/Rome: the clocks skip it"


@pytest.mark.parametrize(
    ("text", "form", "us", "nanos"),
    [
        ("10/03/2004 18.00.00", "%d/%m/%Y %H.%M.%S", utc_us(2004, 3, 10, 18), 0),
        ("20040310180000.123456", "%Y%m%d%H%M%S.%f", utc_us(2004, 3, 10, 18) + 123_456, 0),
        ("20040310 180000.123456789", "%Y%m%d %H%M%S.%f", utc_us(2004, 3, 10, 18) + 123_456, 789),
        ("Mar 10 2004 06:00 PM", "%b %d %Y %I:%M %p", utc_us(2004, 3, 10, 18), 0),
        ("10.03.2004", "%d.%m.%Y", utc_us(2004, 3, 10), 0),
        ("10/03/2004 18:00:00 +0130", "%d/%m/%Y %H:%M:%S %z", utc_us(2004, 3, 10, 16, 30), 0),
    ],
)
def test_own_forms(text: str, form: str, us: int, nanos: int) -> None:
    assert instants(times([text], time_format=form)) == [(us, nanos)]


def test_a_text_of_another_form_has_a_reason() -> None:
    found = times(["03-10-2004"], time_format="%d/%m/%Y")
    assert found.reason.to_list() == ["its time '03-10-2004' is none: expected one of the form %d/%m/%Y"]


def test_a_date_and_a_time_are_joined() -> None:
    found = times(["10/03/2004", "10/03/2004"], ["18.00.00", None], time_format="%d/%m/%Y %H.%M.%S")
    assert found.us.to_list() == [utc_us(2004, 3, 10, 18), None]
    assert times([date(2004, 3, 10)], ["18:00:00"]).us.to_list() == [utc_us(2004, 3, 10, 18)]


def test_typed_instants() -> None:
    stored = pl.Series([1_500_000_000_123_456_789], dtype=pl.Datetime("ns", "UTC"))
    found = record_times([stored], RecordsOptions(zone="Europe/Rome"))
    assert instants(found) == [(1_500_000_000_123_456, 789)]
    local = record_times([pl.Series([datetime(2020, 7, 1, 12)])], RecordsOptions(zone="Europe/Rome"))
    assert local.us.to_list() == [utc_us(2020, 7, 1, 10)]
    assert times([date(1950, 1, 1)]).us.to_list() == [utc_us(1950, 1, 1)]


@pytest.mark.parametrize(
    ("text", "us", "is_cut"),
    [
        ("1e-99999999999999", 0, True),
        ("-1e-1000000000", 0, True),
        ("1e-99999999999999999999999", 0, True),
        ("0e-99999999999999", 0, False),
        ("0.00000000017653326180e19", 1_765_332_618_000_000, False),
        ("1e-999999", 0, True),
    ],
)
def test_numbers_of_any_exponent_take_no_time_and_no_memory(text: str, us: int, is_cut: bool) -> None:
    found = times([text], time_unit="s")
    assert (found.us.to_list(), found.cut.to_list(), found.reason.to_list()) == ([us], [is_cut], [None])


@pytest.mark.parametrize("text", ["1e99999999999999", "-1e41", "1e308"])
def test_numbers_beyond_all_time_have_a_reason(text: str) -> None:
    found = times([text, "5"], time_unit="s")
    assert found.us.to_list() == [None, 5_000_000]
    assert re.match(f"its time '{text.strip('-')}' is no", found.reason[0])


@pytest.mark.parametrize(
    ("dtype", "ticks"),
    [
        (pl.Date(), (1 << 31) - 1),
        (pl.Datetime("ms"), (1 << 63) - 1),
        (pl.Datetime("us", "Asia/Makassar"), -(1 << 63)),
        (pl.Datetime("us"), (1 << 63) - 1),
    ],
)
def test_instants_beyond_the_calendar_have_a_reason(dtype: pl.DataType, ticks: int) -> None:
    column = pl.Series([ticks, 0], dtype=pl.Int64()).cast(dtype)
    found = record_times([column], RecordsOptions(zone="Europe/Rome"))
    assert found.us.is_null().to_list() == [True, False]
    assert found.reason.to_list() == [f"its time '{ticks}' is none: expected one as 2016-11-30T19:31:37Z", None]


def test_times_of_day_in_a_column_of_their_own_keep_their_fractions() -> None:
    clock = pl.Series([36_618_100_000_000, 36_618_600_000_001], dtype=pl.Int64()).cast(pl.Time())
    found = record_times([pl.Series([date(2025, 12, 10)] * 2), clock], RecordsOptions())
    noon = utc_us(2025, 12, 10, 10, 10, 18)
    assert instants(found) == [(noon + 100_000, 0), (noon + 600_000, 1)]
