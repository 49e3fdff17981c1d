"""Columns of any type as values, and the text of what does not fit; exact instants of two columns."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from siltstone.mapping.epochs import instants
from siltstone.mapping.misfits import as_double, as_flag, as_integer, as_text, join_rescued, rescue_columns

NAN, INF = float("nan"), float("inf")


def column(values: list[Any], dtype: Any) -> pl.DataFrame:
    return pl.DataFrame({"x": pl.Series(values, dtype=dtype)})


@pytest.mark.parametrize(
    ("values", "dtype", "doubles", "integers"),
    [
        ([1.5, NAN, -INF, 2.0, 2.0**53], pl.Float64, [1.5, None, None, 2.0, 2.0**53], [None, None, None, 2, None]),
        ([0.5, INF, 3.0], pl.Float32, [0.5, None, 3.0], [None, None, 3]),
        ([2**53, 2**53 + 1, -(2**63)], pl.Int64, [2.0**53, None, None], [2**53, 2**53 + 1, -(2**63)]),
        ([2**64 - 1, 7], pl.UInt64, [None, 7.0], [None, 7]),
        ([-5, None], pl.Int32, [-5.0, None], [-5, None]),
        ([True, None], pl.Boolean, [None, None], [None, None]),
        ([Decimal("1.25")], pl.Decimal(5, 2), [1.25], [None]),
        (["5", "-0.1", '"7"', "1e400", "x", " 5", ""], pl.String, [5.0, -0.1, 7.0, *[None] * 4], [5, *[None] * 6]),
        (["9007199254740993", "9007199254740992.5"], pl.String, [None, 9007199254740992.0], [2**53 + 1, None]),
        (["99999999999999999999"], pl.String, [None], [None]),
        ([None, None], pl.Null, [None, None], [None, None]),
    ],
)
def test_numbers_of_any_type(values: list[Any], dtype: Any, doubles: list[Any], integers: list[Any]) -> None:
    frame = column(values, dtype)
    found = frame.select(double=as_double(frame, "x"), integer=as_integer(frame, "x"))
    assert found.schema == {"double": pl.Float64, "integer": pl.Int64}
    assert (found["double"].to_list(), found["integer"].to_list()) == (doubles, integers)
    assert frame.select(as_double(frame, "x")).height == len(values)  # alone, too


def test_flags_of_any_type() -> None:
    for values, dtype, flags in (
        ([True, False, None], pl.Boolean, [1.0, 0.0, None]),
        (["True", "false", "1"], pl.String, [1.0, 0.0, None]),
        ([1, 0], pl.Int64, [None, None]),
    ):
        frame = column(values, dtype)
        assert frame.select(as_flag(frame, "x")).to_series().to_list() == flags


def test_text_of_any_type() -> None:
    for values, dtype, texts in (
        ([0.1, 1e22, NAN, INF, -INF, None], pl.Float64, ["0.1", "1e+22", "NaN", "Infinity", "-Infinity", None]),
        ([True, None], pl.Boolean, ["true", None]),
        ([-7], pl.Int32, ["-7"]),
        (["NaN", "é"], pl.String, ["NaN", "é"]),
    ):
        frame = column(values, dtype)
        assert frame.select(as_text(frame, "x")).to_series().to_list() == texts


def test_what_is_rescued_is_json_whatever_names_and_values_hold() -> None:
    frame = pl.DataFrame({'a"\\': ['x"\n\\', None, "é\x01"], "b": [NAN, 1.0, 2.0]})
    found = rescue_columns(frame, {'a"\\': pl.col('a"\\').is_not_null(), "b": pl.col("b").is_nan()})
    assert found is not None
    assert found.to_list() == [r'{"a\"\\":"x\"\n\\","b":"NaN"}', None, r'{"a\"\\":"é\u0001"}']


def test_nothing_to_rescue() -> None:
    frame = pl.DataFrame({"a": [1.0, None]})
    assert rescue_columns(frame, {}) is None
    assert rescue_columns(frame, {"a": pl.col("a").is_nan()}) is None


def test_two_rescued_texts_become_one() -> None:
    frame = pl.DataFrame({"a": ['{"x":"1"}', None, '{"x":"1"}', None], "b": ['{"y":"2"}', '{"y":"2"}', None, None]})
    assert frame.select(join_rescued("a", "b")).to_series().to_list() == [
        '{"x":"1","y":"2"}',
        '{"y":"2"}',
        '{"x":"1"}',
        None,
    ]


def test_instants_without_a_column_of_nanoseconds() -> None:
    found = instants(column([5, None, -1], pl.Int64), "x", "n")
    assert found.rows() == [(5_000_000, 0, None), (None, 0, None), (-1_000_000, 0, None)]


def test_instants_that_leave_64_bits_have_a_reason() -> None:
    frame = pl.DataFrame({"s": [9_000_000_000_000, 9_000_000_000_001, 1], "n": ["0", "0", "half"]})
    found = instants(frame, "s", "n")
    assert found["ts"].to_list() == [9 * 10**18, None, None]
    assert found["reason"].to_list() == [None, "s 9000000000001, n 0 is no instant", "s 1, n half is no instant"]
