"""The arithmetic of publishing: spans of time, pieces of streams, and which files must change."""

from datetime import date
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.model.contracts import TIMESTAMP
from siltstone.publishing.mortar_layout import FIRST_US, LAST_US, Windows, in_files, pieces, revised, stream_of
from support.rounds import examples

DAY_US = 86_400_000_000


@pytest.mark.parametrize(
    "series",
    [
        "{01f5cba4-111b-42a4-bbb4-4844ec3ad6f6}",
        "01f5cba4111b42a4bbb44844ec3ad6f6",
        "0_f5cba4-111b-42a4-bbb4-4844ec3ad6f6",
    ],
)
def test_only_a_uuid_in_its_usual_form_is_one(series: str) -> None:
    assert stream_of(series) != series
    assert stream_of(stream_of(series)) == stream_of(series)


def test_a_partition_covers_its_day_or_its_month() -> None:
    days = Windows.of_partitions([date(1970, 1, 3), date(1970, 1, 1)], is_monthly=False)
    assert days.hold(np.array([-1, 0, DAY_US - 1, DAY_US, 2 * DAY_US])).tolist() == [False, True, True, False, True]
    assert [days.touch(*span) for span in ((DAY_US, DAY_US + 5), (DAY_US, 2 * DAY_US), (-5, -1))] == [
        False,
        True,
        False,
    ]
    february = Windows.of_partitions([date(1970, 2, 1)], is_monthly=True)
    assert february.hold(np.array([31, 58, 59]) * DAY_US).tolist() == [True, True, False]
    assert february.between(40 * DAY_US, LAST_US).starts.tolist() == [40 * DAY_US]


def chunk(*rows: tuple[str, int]) -> pa.Table:
    times = pa.array([t for _, t in rows], pa.int64())
    texts = pa.array(["u"] * len(rows))
    columns = [pa.array([s for s, _ in rows]), times.cast(TIMESTAMP), texts, texts, times.cast(pa.float64())]
    return pa.table(columns, names=["series_id", "ts", "device_id", "measurement", "value"])


def test_a_series_over_several_chunks_is_cut_where_no_published_file_is() -> None:
    chunks = [chunk(("a", 1), ("b", 1), ("b", 2)), chunk(*(("b", t) for t in (3, 4, 5))), chunk(("b", 6), ("c", 0))]
    found = list(pieces(chunks, 2, lambda series, at: min(at, 3)))  # a published file begins at 3 and ends after 6
    spans = [(p.series, p.start, p.end, p.rows["time"].to_pylist()) for p in found]
    assert spans == [
        ("a", FIRST_US, LAST_US, [1]),
        ("b", FIRST_US, 3, [1, 2]),
        ("b", 3, LAST_US, [3, 4, 5, 6]),
        ("c", FIRST_US, LAST_US, [0]),
    ]


def rows(pairs: list[tuple[int, float | None]]) -> pa.Table:
    """Rows of (time, value) as pieces have them."""
    texts = pa.array(["u"] * len(pairs), pa.large_string()).dictionary_encode()
    values = pa.array([v for _, v in pairs], pa.float64())
    return pa.table(
        [pa.array([t for t, _ in pairs], pa.int64()), values, texts, texts], names=["time", "value", "uri", "label"]
    )


def pairs_of(table: pa.Table) -> list[tuple[int, float | None]]:
    return list(zip(table["time"].to_pylist(), table["value"].to_pylist(), strict=True))


def in_order(pairs: list[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    return sorted(pairs, key=lambda p: (p[0], p[1] is not None, p[1] or 0))


PAIRS = st.lists(st.tuples(st.integers(0, 5 * DAY_US), st.sampled_from([None, 1.0, 2.0])), max_size=12)
FEW_TIMES = st.lists(
    st.tuples(st.sampled_from(range(0, 5 * DAY_US, DAY_US // 2)), st.sampled_from([None, 1.0])), max_size=12
)


@settings(max_examples=examples(60), deadline=None)
@given(
    before=PAIRS | FEW_TIMES, now=PAIRS | FEW_TIMES, days=st.sets(st.integers(0, 4), min_size=1), most=st.integers(1, 5)
)
def test_a_revision_makes_the_windows_say_what_is_wanted_and_nothing_else(
    before: list[tuple[int, float | None]], now: list[tuple[int, float | None]], days: set[int], most: int
) -> None:
    windows = Windows.of_partitions([date(1970, 1, 1 + d) for d in days], is_monthly=False)
    files = [pairs_of(part) for part in in_files(rows(in_order(before)), most)]
    touched = [f for f in files if windows.touch(f[0][0], f[-1][0])]
    inside = lambda pairs: [p for p in pairs if p[0] // DAY_US in days]  # noqa: E731
    wanted = in_order(inside(now))
    if not touched:
        return
    revision = revised(rows(wanted), [rows(f) for f in touched], windows, [f[0][0] for f in files])
    left = [f for f in files if f not in [touched[i] for i in revision.dropped]]
    after = left + [pairs_of(part) for table in revision.written for part in in_files(table, most)]
    outside = [p for f in files for p in f if p not in inside([p])]
    assert in_order([p for f in after for p in f]) == in_order([*outside, *wanted])
    after.sort()
    assert all(a[-1][0] < b[0][0] for a, b in pairwise(after))
    assert revision.added - revision.removed == len(wanted) - len(inside([p for f in files for p in f]))


def test_rows_of_one_instant_are_never_parted() -> None:
    parts = [pairs_of(p) for p in in_files(rows([(1, 2.0), (1, 1.0), (1, None), (2, 1.0), (3, 1.0)]), 2)]
    assert parts == [[(1, None), (1, 1.0), (1, 2.0)], [(2, 1.0), (3, 1.0)]]
