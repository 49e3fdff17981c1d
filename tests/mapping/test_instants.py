"""Texts of times: what each means to the nanosecond, and which are none."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.mapping.instants import localized, parse_instants, refusal

SECOND = 1_000_000
SEVEN = 1_472_713_200 * SECOND  # 2016-09-01T07:00:00Z


def parsed(*texts: str | None, zone: str = "UTC") -> list[tuple[int | None, int | None]]:
    us, nanos = parse_instants(pl.Series(texts, dtype=pl.String()), zone)
    assert (us.dtype, nanos.dtype) == (pl.Int64(), pl.Int32())
    return list(zip(us, nanos, strict=True))


@pytest.mark.parametrize(
    ("text", "us", "nanos"),
    [
        ("2016-09-01T07:00:00Z", SEVEN, 0),
        ("2016-09-01t07:00:00z", SEVEN, 0),
        ("2016-09-01 07:00:00+00:00", SEVEN, 0),
        ("2016-09-01 07:00:00", SEVEN, 0),
        ("2016-09-01 07:00", SEVEN, 0),
        ("2016-09-01T07:00Z", SEVEN, 0),
        ("2016-09-01", SEVEN - 7 * 3_600 * SECOND, 0),
        ("2016-09-01T12:30:00+05:30", SEVEN, 0),
        ("2016-09-01T01:30:00-0530", SEVEN, 0),
        ("2016-09-01T09:00:00+02", SEVEN, 0),
        ("2016-09-01T07:00:00.5Z", SEVEN + 500_000, 0),
        ("2016-09-01T07:00:00,123456Z", SEVEN + 123_456, 0),
        ("2016-09-01T07:00:00.123456789+00:00", SEVEN + 123_456, 789),
        ("2016-09-01T07:00:00.00000000199", SEVEN, 1),
        ("1969-12-31T23:59:59.9999999Z", -1, 900),
        ("1949-10-01T00:00:00Z", -7_397 * 86_400 * SECOND, 0),  # 20 years, 5 leap days, 92 days
        ("2000-02-29T00:00:00Z", 951_782_400 * SECOND, 0),
        ("0001-01-01T00:00:00Z", -62_135_596_800 * SECOND, 0),
    ],
)
def test_a_time_in_each_of_its_forms(text: str, us: int, nanos: int) -> None:
    assert parsed(text) == [(us, nanos)]


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "now",
        "2016-13-01T00:00:00Z",
        "2016-00-01T00:00:00Z",
        "1900-02-29",
        "2016-04-31 00:00:00",
        "2016-09-01T24:00:00Z",
        "2016-09-01T07:60:00Z",
        "2016-12-31T23:59:60Z",
        "2016-09-01T07:00:00.Z",
        "2016-09-01T07:00:00.5.5Z",
        "2016-09-01T07:00.5Z",
        "2016-09-01T07:00:00+5:00",
        "2016-09-01T07:00:00+24:00",
        "2016-09-01T07:00:00*05:00",
        "2016-09-01T07:00:00 UTC",
        "2016/09/01 07:00:00",
        " 2016-09-01T07:00:00",
        "2016-09-01T07-00-00Z",
        "+016-09-01T07:00:00Z",
        "é16-09-01",
        "2016-09-01T07:00:00." + "0" * 60,
    ],
)
def test_what_is_no_time_is_null_and_says_so(text: str | None) -> None:
    assert parsed(text) == [(None, None)]
    assert ("missing" if not text else "is none: expected one as") in refusal(text, "UTC")


def test_texts_of_several_forms_in_one_column_keep_their_places() -> None:
    forms = ["2016-09-01T07:00:00Z", None, "2016-09-01 07:00:01+00:00", "x", "2016-09-01T07:00:02.0000001"]
    expected = [(SEVEN, 0), (None, None), (SEVEN + SECOND, 0), (None, None), (SEVEN + 2 * SECOND, 100)]
    assert parsed(*forms) == expected
    assert parsed(*forms * 2_000) == expected * 2_000  # many rows share few times: each is parsed once


def test_a_local_time_that_comes_twice_is_the_first_and_one_that_is_skipped_is_none() -> None:
    # Rome, UTC+1 in winter: on 2020-10-25 the clocks went back from 03:00 to 02:00, on 2020-03-29 from 02:00 to 03:00.
    twice = datetime(2020, 10, 25, 0, 30, tzinfo=UTC)
    winter = datetime(2020, 1, 1, 11, tzinfo=UTC)
    texts = ("2020-10-25 02:30:00", "2020-03-29 02:30:00", "2020-01-01 12:00:00", "2020-01-01T12:00:00+01:00")
    us = [u for u, _ in parsed(*texts, zone="Europe/Rome")]
    assert us == [twice.timestamp() * SECOND, None, winter.timestamp() * SECOND, winter.timestamp() * SECOND]
    assert refusal(texts[1], "Europe/Rome").endswith("does not exist in Europe/Rome: the clocks skip it")
    assert localized(pl.Series([0]), "Europe/Rome").to_list() == [-3_600 * SECOND]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.datetimes(), st.integers(0, 999), st.integers(-1_439, 1_439), st.sampled_from("T t")), max_size=20
    )
)
def test_what_python_prints_is_read_to_the_nanosecond(times: list[tuple[datetime, int, int, str]]) -> None:
    texts, expected = [], []
    for naive, nanos, minutes, joint in times:
        zone = timezone(timedelta(minutes=minutes))
        local = naive.replace(tzinfo=zone)
        text = local.isoformat(joint, "microseconds")
        texts.append(f"{text[:26]}{nanos:03}{text[26:]}")
        since = (naive - datetime(1970, 1, 1)) - timedelta(minutes=minutes)
        expected.append(((since.days * 86_400 + since.seconds) * SECOND + since.microseconds, nanos))
    assert parsed(*texts) == expected
