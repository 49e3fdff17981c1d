"""Values of typed columns as texts: exact, and each by itself."""

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from siltstone.formats.typed_texts import json_texts, temporal_texts

LEAST, MOST = -(1 << 63), (1 << 63) - 1


def shown(column: pl.Series, instants: str = "") -> list[str | None]:
    """The texts of a column of instants."""
    named = column.alias("at").to_frame()
    texts: list[str | None] = named.select(temporal_texts(pl.col("at"), column.dtype, instants)).to_series().to_list()
    return texts


@pytest.mark.parametrize(
    ("dtype", "least", "most"),
    [(pl.Date(), -(1 << 31), (1 << 31) - 1), (pl.Datetime("ms", "UTC"), LEAST, MOST), (pl.Datetime("us"), LEAST, MOST)],
)
def test_instants_that_no_calendar_has_are_their_number(dtype: pl.DataType, least: int, most: int) -> None:
    column = pl.Series([least, most, None, 0], dtype=pl.Int64()).cast(dtype)
    assert shown(column)[:3] == [str(least), str(most), None]
    assert shown(column, "iso:strict")[:3] == [str(least), str(most), None]
    assert shown(column)[3] == shown(column[3:])[0]  # the neighbours change nothing


def test_times_of_day_keep_their_fractions() -> None:
    column = pl.Series([1, 36_618_100_000_000, 0], dtype=pl.Int64()).cast(pl.Time())
    assert shown(column) == ["00:00:00.000000001", "10:10:18.100", "00:00:00"]


def test_durations_are_iso_8601() -> None:
    column = pl.Series([1, -90_061_000_001, LEAST], dtype=pl.Int64()).cast(pl.Duration("us"))
    assert shown(column) == ["PT0.000001S", "-P1DT1H1M1.000001S", str(LEAST)]


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        ([1.5, float("nan"), float("-inf"), None], None, '[1.5,"NaN","-Infinity",null]'),
        ({"at": datetime(2025, 12, 10, 2, 10, 18), "on": date(2025, 12, 10)}, None,
         '{"at":"2025-12-10T02:10:18","on":"2025-12-10"}'),
        ([time(0, 0, 0, 1), time(10)], None, '["00:00:00.000001","10:00:00"]'),
        ([timedelta(seconds=1.5), timedelta(0), timedelta(seconds=-1)], None, '["PT1.5S","PT0S","-PT1S"]'),
        ([Decimal("1.10")], None, '["1.10"]'),
        ([b"\x00\xff"], None, '["AP8="]'),
        ([[(1 << 31) - 1], None], pl.List(pl.List(pl.Date())), '[["2147483647"],null]'),
        ([1_765_332_618_123_456_789], pl.List(pl.Datetime("ns", "Asia/Makassar")),
         '["2025-12-10T10:10:18.123456789+08:00"]'),
        ([LEAST], pl.List(pl.Datetime("us", "Asia/Makassar")), f'["{LEAST}"]'),
    ],
)  # fmt: skip
def test_nested_values_are_json_without_loss(value: Any, dtype: pl.DataType | None, text: str) -> None:
    column = pl.Series([value, None]) if dtype is None else pl.Series([value, None], dtype=_numbers(dtype)).cast(dtype)
    assert json_texts(column).to_list() == [text, None]


def _numbers(dtype: Any) -> pl.DataType:
    return pl.List(_numbers(dtype.inner)) if isinstance(dtype, pl.List) else pl.Int64()


def test_a_map_is_an_object_unless_it_has_a_key_twice() -> None:
    kind = pa.map_(pa.string(), pa.float64())
    column = pl.Series(pa.array([[("a", 1.0), ("b", float("nan"))], [("a", 1.0), ("a", 2.0)]], kind))
    assert json_texts(column).to_list() == ['{"a":1.0,"b":"NaN"}', '[["a",1.0],["a",2.0]]']


def test_keys_of_maps_are_texts() -> None:
    column = pl.Series(pa.array([[(1, "x"), (-2, None)]], pa.map_(pa.int64(), pa.string())))
    assert json_texts(column).to_list() == ['{"1":"x","-2":null}']
