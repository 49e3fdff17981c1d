"""Data files written anew: merged in order, without the rows of superseded sources, older ones completed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from siltstone.engine.codec import encode
from siltstone.engine.plan_files import plan_of, result_of, run_plan
from siltstone.errors import AccountsError, StorageError
from siltstone.maintenance import rewrite_task as rewriting
from siltstone.model.contracts import TIMESTAMP
from siltstone.model.data_files import Sizes
from siltstone.storage import Storage
from support.data_files import NOON_US, WIDE, Rig, noise
from support.parsing import assert_same


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_files_become_one_in_order_with_the_statistics_of_all_rows(rig: Rig) -> None:
    one = rig.store([(None, 5, "a"), ("U1", 1, "a"), ("U3", 9, "a")])
    two = rig.store([("U1", 0, "b"), ("U2", 7, "b")], [("U4", 2, "b")])
    result = rig.run(one, two)
    assert rig.rows(result) == [
        (None, 5, "a"),
        ("U1", 0, "b"),
        ("U1", 1, "a"),
        ("U2", 7, "b"),
        ("U3", 9, "a"),
        ("U4", 2, "b"),
    ]
    (output,) = result.outputs
    # cells of the record columns: six heartbeats, five units; no device
    assert (result.rows, result.cells, result.dropped, result.is_untouched) == (6, 11, {}, False)
    assert output.bytes == (rig.root / output.path).stat().st_size
    assert output.statistics == {
        "numRecords": 6,
        "minValues": {"ts": "2025-12-10T04:00:00.000000Z", "unitno": "U1"},
        "maxValues": {"ts": "2025-12-10T04:00:00.000009Z", "unitno": "U4"},
        "nullCount": {"ts": 0, "unitno": 1, "deviceid": 6},
    }
    assert rig.files() == {one, two, output.path}  # what it read stays until somebody commits


def test_rows_of_superseded_sources_are_dropped_and_counted(rig: Rig) -> None:
    path = rig.store([("U1", 0, "a"), ("U1", 1, "b"), ("U1", 2, "a")], [("U2", 0, "c"), ("U2", 1, "b")])
    result = rig.run(path, drop=("a", "c", "not there"))
    assert rig.rows(result) == [("U1", 1, "b"), ("U2", 1, "b")]
    assert (result.dropped, result.cells, result.is_untouched) == ({"a": 2, "c": 1}, 4, False)
    # U1's former bounds were 0 .. 2; what is left has its own
    assert result.outputs[0].statistics["minValues"] == {"ts": "2025-12-10T04:00:00.000001Z", "unitno": "U1"}
    assert result.outputs[0].statistics["maxValues"] == {"ts": "2025-12-10T04:00:00.000001Z", "unitno": "U2"}


def test_a_file_of_which_no_row_is_left_becomes_no_file(rig: Rig) -> None:
    path = rig.store([("U1", 0, "a")], [("U2", 0, "a")])
    result = rig.run(path, drop=("a",))
    assert (result.outputs, result.cells, result.dropped, result.is_untouched) == ([], 0, {"a": 2}, False)
    assert rig.files() == {path}


@pytest.mark.parametrize("drop", ["a", "m", "n", "z"])  # below, within (each group's a..c and x..y too) and above
def test_a_file_without_such_rows_stays_as_it_is(rig: Rig, drop: str) -> None:
    path = rig.store([("U1", 0, "b"), ("U1", 1, "n1")], [("U2", 0, "x"), ("U2", 1, "y")])
    result = rig.run(path, drop=(drop,))
    assert (result.outputs, result.dropped, result.is_untouched) == ([], {}, True)
    assert rig.files() == {path}


def test_an_older_file_is_completed_and_every_type_kept(rig: Rig) -> None:
    older = rig.store([("U1", 0, "a"), ("U1", 2, "a")])
    newer = rig.store(
        [("U1", 1, "b"), ("U1", 3, "b")],
        schema=WIDE,
        speed=pa.array([1.5, None]),
        on=pa.array([None, True]),
        gear=pa.array([3, -1], pa.int32()),
        deep=pa.array(['{"é":[1]}', None], pa.large_string()),
        _rescued=pa.array([None, '{"x":"1"}'], pa.large_string()),
    )
    result = rig.run(older, newer, schema=WIDE)
    expected = pa.table(
        {
            "ts": pa.array([NOON_US + t for t in range(4)], pa.int64()).cast(TIMESTAMP),
            "unitno": ["U1"] * 4,
            "deviceid": pa.nulls(4, pa.string()),
            "heartbeat": pa.array([NOON_US + t for t in range(4)], pa.int64()),
            "speed": [None, 1.5, None, None],
            "on": pa.array([None, None, None, True]),
            "gear": pa.array([None, 3, None, -1], pa.int32()),
            "deep": [None, '{"é":[1]}', None, None],
            "source_file": ["a", "b", "a", "b"],
            "_rescued": [None, None, None, '{"x":"1"}'],
        }
    )
    assert_same(rig.read(result.outputs[0]), expected)
    assert result.cells == 4 + 4 + 1 + 1 + 2 + 1  # units, heartbeats, speed, on, gear, deep; not what siltstone adds


def test_a_column_that_the_table_has_not_is_refused(rig: Rig) -> None:
    path = rig.store([("U1", 0, "a")], schema=WIDE, speed=pa.array([1.5]))
    with pytest.raises(StorageError, match=rf"{path} can't be read: it has columns .*: deep, gear, on, speed"):
        rig.run(path)


def test_a_file_that_siltstone_did_not_write_is_refused(rig: Rig) -> None:
    pq.write_table(pa.table({"unitno": ["U1"], "ts": pa.array([1]).cast(TIMESTAMP)}), rig.root / "foreign.parquet")
    with pytest.raises(StorageError, match=r"foreign.parquet can't be read: it has no column _rescued, source_file"):
        rig.run("foreign.parquet")
    with pytest.raises(StorageError, match=r"foreign.parquet can't be read: it has no column source_file"):
        rig.run("foreign.parquet", drop=("a",))


def test_a_file_whose_rows_are_not_in_order_is_refused(rig: Rig) -> None:
    path = rig.store([("U1", 5, "a"), ("U1", 1, "a")])
    with pytest.raises(StorageError, match=f"can't be merged: the run is not sorted; it is one of {path}"):
        rig.run(path)


def flipped(data: bytes) -> bytes:
    """Another byte in the middle of the first column's data."""
    return data[:40] + bytes([data[40] ^ 0xFF]) + data[41:]


@pytest.mark.parametrize("damage", [lambda data: b"garbage", lambda data: data[:-20], flipped])
@pytest.mark.parametrize("drop", [(), ("a",)])
def test_a_damaged_file_is_named(rig: Rig, damage: Any, drop: tuple[str, ...]) -> None:
    good = rig.store([("U1", 0, "a")])
    bad = rig.store([(f"U{i:05d}", i * 7919 % 1000, "a") for i in range(1000)])
    (rig.root / bad).write_bytes(damage((rig.root / bad).read_bytes()))
    with pytest.raises(StorageError, match=rf"{bad} can't be read: .*siltstone verify") as raised:
        rig.run(good, bad, drop=drop)
    assert len(str(raised.value).splitlines()) == 1
    assert good not in str(raised.value)


def test_a_file_that_is_gone_is_named(rig: Rig) -> None:
    with pytest.raises(StorageError, match=r"/gone\.parquet is gone"):
        rig.run("gone.parquet")


@pytest.mark.usefixtures("large_dictionaries")
def test_new_files_have_the_target_size_and_the_order_goes_on_from_one_to_the_next(rig: Rig) -> None:
    # four files of 5,000 rows that interleave; each row is 16 to 20 bytes, so all are 320 to 400 kB
    paths = [rig.store(noise(first, 5_000, "x")) for first in (0, 1, 10_000, 10_001)]
    stored = sum((rig.root / p).stat().st_size for p in paths)
    target = stored // 4 * 2  # two files
    sizes = Sizes(target, round(target * 0.75), round(target * 1.25))
    result = rig.run(*paths, sizes=sizes, group_bytes=100_000, memory_bytes=1 << 20)
    assert [sizes.smallest <= o.bytes <= sizes.largest for o in result.outputs] == [True, True]
    assert [unit for unit, _, _ in rig.rows(result)] == [f"{i:06d}" for i in range(20_000)]
    assert {o.statistics["minValues"]["unitno"] for o in result.outputs} >= {"000000"}
    assert result.outputs[0].statistics["maxValues"]["unitno"] < result.outputs[1].statistics["minValues"]["unitno"]


@pytest.mark.usefixtures("large_dictionaries")
@pytest.mark.parametrize("group_bytes", [300_000, 500_000])
def test_a_target_near_the_largest_size_is_met_however_coarse_the_row_groups(rig: Rig, group_bytes: int) -> None:
    # two files of half the bytes each, at most 5 % more; a row group is a quarter to a third of a file
    paths = [rig.store(noise(first, 5_000, "x")) for first in (0, 1, 10_000, 10_001)]
    target = sum((rig.root / p).stat().st_size for p in paths) // 2
    sizes = Sizes(target, round(target * 0.9), round(target * 1.05))
    result = rig.run(*paths, sizes=sizes, group_bytes=group_bytes, memory_bytes=1 << 20)
    assert [sizes.smallest <= o.bytes <= sizes.largest for o in result.outputs] == [True, True]


def test_a_task_and_its_result_travel_as_json(rig: Rig) -> None:
    path = rig.store([("U1", 0, "a"), ("U1", 1, "b")], schema=WIDE, speed=pa.array([1.5, 2.5]))
    task = rig.task(path, drop=("a",), schema=WIDE)
    (rig.root / "plan.json").write_bytes(plan_of(task))
    result = result_of(task, run_plan(encode(Storage(str(rig.root))), "plan.json"))
    assert rig.rows(result) == [("U1", 1, "b")]
    assert (result.dropped, result.cells) == ({"a": 1}, 3)


def test_a_merge_that_changes_a_value_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = rewriting.merge_sorted

    def spoil(*args: Any) -> Iterator[pa.Table]:
        for chunk in real(*args):
            place = chunk.column_names.index("heartbeat")
            yield chunk.set_column(place, "heartbeat", pc.add(chunk.column("heartbeat"), 1))

    monkeypatch.setattr(rewriting, "merge_sorted", spoil)
    rig = Rig(tmp_path)
    files = [rig.store([("LD1", 1, "a")]), rig.store([("LD2", 2, "b")])]
    with pytest.raises(AccountsError, match="the rows merged are not those that were read"):
        rig.task(*files).run()
