"""Dataclasses as JSON by their annotations: what comes back is equal, and what does not fit is an error."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.codec import decode, encode
from siltstone.errors import SiltstoneError


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: float = 0.0


@dataclass(frozen=True)
class Single:
    name: str


@dataclass(frozen=True)
class Everything:
    """A field of each kind that may travel."""

    text: str
    number: int
    share: float
    flag: bool
    word: Literal["a", "b"]
    anything: Any
    maybe: int | None
    point: Point
    maybe_point: Point | None
    names: tuple[str, ...]
    pair: tuple[str, int]
    nested: tuple[tuple[str, tuple[str, ...]], ...]
    points: tuple[Point, ...]
    singles: list[Single]
    numbers: list[int]
    by_name: dict[str, list[int]]
    bounds: Mapping[str, tuple[Any, Any]]
    points_by_name: dict[str, Point]
    tables_by_name: Mapping[str, tuple[Point, ...]]
    maybe_names: tuple[str, ...] | None = None
    text_or_number: str | int = 0
    either: int | str | None = field(default=None)


texts, integers = st.text(max_size=5), st.integers(-(1 << 63), (1 << 64) - 1)
points = st.builds(Point, integers, st.floats(allow_nan=False))
values = st.none() | st.booleans() | integers | texts | st.lists(integers, max_size=2)
kinds: dict[str, st.SearchStrategy[Any]] = {
    "text": texts,
    "number": integers,
    "share": st.floats(allow_nan=False),
    "flag": st.booleans(),
    "word": st.sampled_from(["a", "b"]),
    "anything": values,
    "maybe": st.none() | integers,
    "point": points,
    "maybe_point": st.none() | points,
    "names": st.lists(texts, max_size=2).map(tuple),
    "pair": st.tuples(texts, integers),
    "nested": st.lists(st.tuples(texts, st.lists(texts, max_size=2).map(tuple)), max_size=2).map(tuple),
    "points": st.lists(points, max_size=2).map(tuple),
    "singles": st.lists(st.builds(Single, texts), max_size=2),
    "numbers": st.lists(integers, max_size=2),
    "by_name": st.dictionaries(texts, st.lists(integers, max_size=2), max_size=2),
    "bounds": st.dictionaries(texts, st.tuples(values, values), max_size=2),
    "points_by_name": st.dictionaries(texts, points, max_size=2),
    "tables_by_name": st.dictionaries(texts, st.lists(points, max_size=2).map(tuple), max_size=2),
    "maybe_names": st.none() | st.lists(texts, max_size=2).map(tuple),
    "text_or_number": texts | integers,
    "either": st.none() | texts | integers,
}


def travelled(value: Any) -> Any:
    return decode(type(value), json.loads(json.dumps(encode(value))))


@given(st.builds(Everything, **kinds))
def test_an_equal_value_comes_back(value: Everything) -> None:
    there = travelled(value)
    assert there == value
    assert repr(there) == repr(value)  # 1 is 1.0 and True, a tuple is no list


def test_many_dataclasses_are_a_table_with_the_names_once() -> None:
    @dataclass
    class Line:
        points: tuple[Point, ...]
        end: Point

    row = encode(Line((Point(1, 0.5), Point(2)), Point(3)))
    assert json.loads(json.dumps(row)) == {
        "points": {"fields": ["x", "y"], "rows": [[1, 0.5], [2, 0.0]]},
        "end": {"x": 3, "y": 0.0},
    }


@dataclass(frozen=True)
class Line:
    points: tuple[Point, ...]


def test_json_is_only_read() -> None:
    @dataclass(frozen=True)
    class Lines:
        lines: list[Line]

    row = json.loads(json.dumps(encode(Lines([Line((Point(1),))]))))
    assert decode(Lines, row) == decode(Lines, row) == Lines([Line((Point(1),))])


@pytest.mark.parametrize(
    ("cls", "row", "problem"),
    [
        (Point, {"x": 1}, r"Point as JSON lacks y\. Install the driver's release on every worker\."),  # default or not
        (Point, {"x": 1, "y": 0.0, "z": 2}, r"Point as JSON has unknown z\."),
        (Point, {"y": 0.0, "z": 2}, r"Point as JSON lacks x and has unknown z\."),
        (Point, [1, 0.0], r"Point as JSON is no object, but \[1, 0\.0\]\."),
        (Point, None, r"Point as JSON is no object, but None\."),
        (Line, {"points": [[1, 0.0]]}, r"Point as JSON is no object, but \[\[1, 0\.0\]\]\."),
        (Line, {"points": {"fields": ["x"], "rows": [[1]]}}, r"Point as JSON lacks y\."),
        (Line, {"points": {"fields": ["y", "x"], "rows": []}}, r"Point as JSON has its values in another order"),
        (Line, {"points": {"fields": ["x", "y"], "rows": [[1]]}}, r"Point as JSON has its values in another order or"),
    ],
)
def test_json_that_does_not_fit_is_an_error_with_class_and_field(cls: type[Any], row: Any, problem: str) -> None:
    with pytest.raises(SiltstoneError, match=problem):
        decode(cls, row)


class Deep(Point):
    """A point that knows more than its fields."""


@pytest.mark.parametrize("hint", [Sequence[int], set[int], bytes, dict[int, str], Point | Single, list])
def test_a_field_without_a_form_in_json_is_named(hint: Any) -> None:
    @dataclass
    class Odd:
        content: hint

    with pytest.raises(TypeError, match=r"^Odd\.content: "):
        encode(Odd(None))


def test_a_subclass_is_not_cut_down_to_the_annotated_class() -> None:
    with pytest.raises(TypeError, match="a Deep where Point is annotated would lose what it adds"):
        encode(Line((Point(1), Deep(2))))


def test_a_dataclass_that_is_not_made_of_its_fields_in_order_is_refused() -> None:
    @dataclass(kw_only=True)
    class ByName:
        x: int

    with pytest.raises(TypeError, match="ByName can't be made of its fields in order"):
        encode(ByName(x=1))
