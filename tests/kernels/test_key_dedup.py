"""Which of the rows with one key stays, against a slow reference that knows of one key at a time."""

from itertools import groupby
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.errors import RepeatedKeyError
from siltstone.kernels.key_dedup import DUPLICATE, KEPT, SUPERSEDED, Deduplicated, deduplicate_keys

KEY = ("series", "ts")
SCHEMA = pl.Schema(
    {"series": pl.String(), "ts": pl.Int64(), "value": pl.Float64(), "version": pl.Int64(), "line": pl.Int64(),
     "source_file": pl.String()}
)  # fmt: skip
Row = tuple[str, int, float | None, int | None, int, str]


def settled(new: list[Row], old: list[Row], policy: Any) -> Deduplicated:
    assert new == sorted(new, key=lambda row: row[:2])
    frames = [pl.DataFrame(rows, schema=SCHEMA, orient="row") for rows in (new, old)]
    return deduplicate_keys(frames[0], frames[1], KEY, policy)


def fates(new: list[Row], old: list[Row], policy: Any) -> tuple[list[int], list[int], list[int]]:
    found = settled(new, old, policy)
    return found.fate.tolist(), sorted(found.replaced.tolist()), sorted(found.kept_by.tolist())


NEW: list[Row] = [
    ("a", 1, 1.0, 2, 0, "f1"),
    ("a", 1, 1.0, 2, 1, "f1"),
    ("a", 1, 2.0, 1, 0, "f2"),
    ("b", 1, 5.0, 1, 0, "f2"),
]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("all", [KEPT, KEPT, KEPT, KEPT]),
        ("distinct", [KEPT, DUPLICATE, KEPT, KEPT]),
        ("first", [KEPT, DUPLICATE, SUPERSEDED, KEPT]),
        ("last", [SUPERSEDED, SUPERSEDED, KEPT, KEPT]),
        ("version", [DUPLICATE, KEPT, SUPERSEDED, KEPT]),  # of equal versions the last
    ],
)
def test_each_policy_in_one_run(policy: str, expected: list[int]) -> None:
    assert fates(NEW, [], policy) == (expected, [], [])


@pytest.mark.parametrize("policy", ["distinct", "first", "last"])
def test_minus_zero_is_a_duplicate_of_zero(policy: str) -> None:
    rows: list[Row] = [("a", 1, 0.0, 1, 0, "f1"), ("a", 1, -0.0, 1, 0, "f2")]
    fate, *_ = fates(rows, [], policy)
    assert sorted(fate) == [KEPT, DUPLICATE]


@pytest.mark.parametrize(
    ("policy", "value", "version", "source", "expected"),
    [
        ("first", 9.0, 1, "f0", ([SUPERSEDED], [], [0])),
        ("first", 9.0, 1, "f9", ([KEPT], [0], [])),
        ("last", 9.0, 1, "f0", ([KEPT], [0], [])),
        ("last", 9.0, 1, "f9", ([SUPERSEDED], [], [0])),
        ("last", 1.0, 2, "f0", ([DUPLICATE], [], [0])),  # equal: nothing is written anew
        ("version", 9.0, 1, "f9", ([KEPT], [0], [])),
        ("version", 9.0, 3, "f0", ([SUPERSEDED], [], [0])),
        ("version", 9.0, None, "f9", ([KEPT], [0], [])),
        ("version", 9.0, 2, "f0", ([KEPT], [0], [])),  # of equal versions the later file's
        ("version", 9.0, 2, "f9", ([SUPERSEDED], [], [0])),
        ("distinct", 9.0, 1, "f0", ([KEPT], [], [0])),
        ("distinct", 1.0, 2, "f0", ([DUPLICATE], [], [0])),
        ("all", 1.0, 2, "f0", ([KEPT], [], [])),
    ],
)
def test_each_policy_against_the_table(
    policy: str, value: float, version: int | None, source: str, expected: tuple[list[int], list[int], list[int]]
) -> None:
    assert fates([("a", 1, 1.0, 2, 0, "f1")], [("a", 1, value, version, -1, source)], policy) == expected


def test_the_policy_error_names_the_key_and_the_file() -> None:
    with pytest.raises(
        RepeatedKeyError, match=r"f1: more than one row for series a, ts 1 .* policy for duplicates is error"
    ):
        settled(NEW, [], "error")
    assert fates([NEW[0], NEW[3]], [], "error") == ([KEPT, KEPT], [], [])
    with pytest.raises(RepeatedKeyError):
        settled([NEW[0]], [("a", 1, 7.0, 1, -1, "f0")], "error")


def winner_of(group: list[tuple[bool, int, Row]], policy: str) -> Row:
    """The row that stays by the policy's words alone."""
    rows = [row for _, _, row in group]
    place = {"first": lambda r: (r[5], r[4]), "last": lambda r: (r[5], r[4])}
    if policy == "first":
        return min(rows, key=place["first"])
    if policy == "last":
        return max(rows, key=place["last"])
    return max(rows, key=lambda r: (r[3] is not None, r[3] or 0, r[5], r[4]))


ROWS = st.tuples(
    st.sampled_from("ab"), st.integers(0, 2), st.sampled_from([None, 1.0, 2.0, float("nan")]),
    st.sampled_from([None, 0, 1]),
)  # fmt: skip


@settings(deadline=None)
@given(
    new=st.lists(st.tuples(ROWS, st.sampled_from(["f1", "f3"])), max_size=12),
    old=st.lists(st.tuples(ROWS, st.sampled_from(["f0", "f2", "f4"])), max_size=6, unique_by=lambda r: r[0][:2]),
    policy=st.sampled_from(["first", "last", "version"]),
)
def test_what_stays_is_what_the_policy_says(new: list[Any], old: list[Any], policy: str) -> None:
    news: list[Row] = sorted(((*row, line, file) for line, (row, file) in enumerate(new)), key=lambda row: row[:2])
    olds: list[Row] = [(*row, -1, file) for row, file in old]
    found = settled(news, olds, policy)
    gone = set(found.replaced.tolist())
    tagged = [(False, n, row) for n, row in enumerate(news)] + [(True, n, row) for n, row in enumerate(olds)]
    for _, members in groupby(sorted(tagged, key=lambda t: (t[2][:2], t[:2])), key=lambda t: t[2][:2]):
        group = list(members)
        if all(is_old for is_old, _, _ in group):
            assert not gone & {n for _, n, _ in group}
            continue
        stay = [(is_old, n, row) for is_old, n, row in group if (n not in gone if is_old else found.fate[n] == KEPT)]
        assert len(stay) == 1
        content, winner = repr(stay[0][2][2:4]), winner_of(group, policy)
        assert content == repr(winner[2:4])
        for is_old, n, row in group:
            if not is_old and found.fate[n] != KEPT:
                assert (found.fate[n] == DUPLICATE) == (repr(row[2:4]) == content)
