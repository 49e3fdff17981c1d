"""Values, texts and kinds of cells, and what does not fit."""

import struct
from datetime import date, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.mapping.cells import CELLS, of_column, of_texts, same_as
from support.rounds import examples


def texts(*cells: str | None, decimal: str = ".") -> list[tuple[float | None, str | None, str | None, str | None]]:
    found = of_texts(pl.Series(cells, dtype=pl.String()), decimal)
    assert found.schema == CELLS
    return found.rows()


def test_cells_of_csv_are_told_by_their_looks() -> None:
    assert texts("1", " 2.50 ", "-1e3", "TRUE", "false", "a b", "", None) == [
        (1.0, None, "integer", None),
        (2.5, None, "double", None),
        (-1000.0, None, "double", None),
        (1.0, None, "boolean", None),
        (0.0, None, "boolean", None),
        (None, "a b", "string", None),
        (None, "", "string", None),
        (None, None, None, None),
    ]


def test_what_a_double_does_not_hold_is_a_misfit() -> None:
    assert texts("9007199254740992", "9007199254740993", "18446744073709551616", "1e999", "NaN", "-inf") == [
        (9007199254740992.0, None, "integer", None),
        (None, None, "integer", "9007199254740993"),
        (18446744073709551616.0, None, "integer", None),
        (None, None, "double", "1e999"),
        (None, None, "double", "NaN"),
        (None, None, "double", "-inf"),
    ]


def test_decimal_commas() -> None:
    assert texts("13,6", "-0,5", "7", "1.5", "1.234,5", "1,2,3", decimal=",") == [
        (13.6, None, "double", None),
        (-0.5, None, "double", None),
        (7.0, None, "integer", None),
        (None, "1.5", "string", None),
        (None, "1.234,5", "string", None),
        (None, "1,2,3", "string", None),
    ]


@given(st.floats(allow_nan=False, allow_infinity=False))
@settings(max_examples=examples(100), deadline=None)
def test_the_nearest_double_is_taken(number: float) -> None:
    (value, _, _, misfit) = texts(repr(number))[0]
    assert misfit is None
    assert value is not None
    assert struct.pack("d", value) == struct.pack("d", number)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pl.Series([2**53 + 1, -7]), [(None, None, "integer", str(2**53 + 1)), (-7.0, None, "integer", None)]),
        (pl.Series([2**64 - 1], dtype=pl.UInt64()), [(None, None, "integer", str(2**64 - 1))]),
        (pl.Series([0.1], dtype=pl.Float32()), [(0.10000000149011612, None, "double", None)]),
        (pl.Series([float("inf"), None]), [(None, None, "double", "inf"), (None, None, None, None)]),
        (pl.Series([True, None]), [(1.0, None, "boolean", None), (None, None, None, None)]),
        (pl.Series([Decimal("1.10")]), [(1.1, None, "double", None)]),
        (pl.Series(["5"]), [(None, "5", "string", None)]),
        (pl.Series([b"\x00\xff"]), [(None, "AP8=", "string", None)]),
        (pl.Series([{"a": 1, "b": [date(2020, 1, 2)]}]), [(None, '{"a":1,"b":["2020-01-02"]}', "json", None)]),
        (pl.Series([datetime(2020, 1, 2, 3)]), [(None, "2020-01-02T03:00:00.000000", "string", None)]),
        (pl.Series([None]), [(None, None, None, None)]),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else "",
)  # fmt: skip
def test_typed_columns_say_what_their_type_says(column: pl.Series, expected: list[object]) -> None:
    found = of_column(column)
    assert found.schema == CELLS
    assert found.rows() == expected


def test_sentinels_are_numbers_by_value_and_texts_by_words() -> None:
    cells = of_texts(pl.Series(["-200", "-200,0", "200", "n/a", "NaN", None]), ",")
    assert same_as(cells, ["-200", "n/a"]).to_list() == [True, True, False, True, False, False]
    assert same_as(cells, ["NaN"]).to_list() == [False, False, False, False, True, False]
