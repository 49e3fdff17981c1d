"""The digest of data files' names, and files of other engines read as siltstone's own are."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.errors import DamagedFileError
from siltstone.model.contracts import READINGS, TIMESTAMP
from siltstone.model.data_files import DataFile, is_own_name
from siltstone.model.run_header import RunHeader
from siltstone.model.schema import base_schema
from siltstone.storage import open_root
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.other_writers import files_after_newest_run, with_digest
from siltstone.table.reader import fetched, opened

THEIRS = "part-00000-1.snappy.parquet"
AT = Snapshot(7, base_schema(READINGS), None)


class Named(Table):
    """A table with data files a, b, c."""

    def paths(self, planned: Snapshot) -> list[str]:
        return ["c", "a", "b"]


def of(path: str) -> DataFile:
    return DataFile(path, (), 1, 1, "")


def output(path: str) -> dict[str, object]:
    return {"path": path, "partition": [], "bytes": 1, "rows": 1}


def digest_of(header: RunHeader) -> dict[str, object]:
    told: dict[str, object] = header.more["data_files"]
    return told


def test_a_digest_is_brought_up_to_date_by_what_a_run_changes(tmp_path: Path) -> None:
    table = Named(open_root(str(tmp_path)), READINGS)
    first = with_digest(RunHeader(), table, AT, None, [], [])
    without_b = with_digest(RunHeader(), table, AT, None, [], [of("b")])
    again = with_digest(RunHeader(), table, AT, without_b, [of("b")], [])  # type: ignore[list-item]
    assert digest_of(first) == digest_of(again)
    assert (digest_of(first)["version"], digest_of(first)["count"], digest_of(without_b)["count"]) == (8, 3, 2)
    assert digest_of(without_b)["digest"] != digest_of(first)["digest"]
    other = with_digest(RunHeader(), table, AT, None, [of("d")], [of("b")])  # type: ignore[list-item]
    assert digest_of(other)["count"] == 3
    assert digest_of(other)["digest"] != digest_of(first)["digest"]


def test_the_files_after_the_newest_run_add_up_from_the_headers() -> None:
    first = RunHeader(outputs=[output("a"), output("b")])
    merged = RunHeader(removed=["a", "b", "theirs"], outputs=[output("ab")])
    assert list(files_after_newest_run([RunHeader(outputs=[output("c")]), merged, first])) == ["ab", "c"]
    assert files_after_newest_run([]) == {}


@pytest.mark.parametrize(
    ("path", "is_own"),
    [
        ("date=2025-01-01/site=x/data_" + "0a" * 16 + ".parquet", True),
        ("data_" + "0a" * 16 + ".parquet", True),
        ("date=2025-01-01/site=x/part-00000-0a.c000.snappy.parquet", False),
        ("data_" + "0a" * 16 + ".parquet.parquet", False),
    ],
)
def test_a_data_file_of_siltstone_is_known_by_its_name(path: str, is_own: bool) -> None:
    assert is_own_name(path) is is_own


def write_theirs(folder: Path) -> None:
    """Four rows in no order, as engines store them: other types of text and time, a list, a struct."""
    columns = {
        "ts": pa.array([30_000, 10_000, 20_500, 10_000], pa.int64()).cast(pa.timestamp("ns")),
        "series_id": pa.array(["b", "b", None, "a"], pa.string_view()),
        "value": pa.array([1.0, 2.0, 3.0, 4.0]),
        "kind": pa.array(["x", "y", "x", "y"]).dictionary_encode(),
        "state": pa.array([{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}]),
    }
    pq.write_table(pa.table(columns), folder / THEIRS, row_group_size=2, use_deprecated_int96_timestamps=True)


def test_a_file_of_another_engine_is_read_in_order_and_in_siltstones_types(tmp_path: Path) -> None:
    write_theirs(tmp_path)
    with opened(open_root(str(tmp_path)), THEIRS, rows=4, coded=["kind"]) as file:
        assert file.schema.field("ts").type == TIMESTAMP
        assert [file.schema.field(name).type for name in ("series_id", "kind")] == [
            pa.string(),
            pa.dictionary(pa.int32(), pa.string()),
        ]
        table = file.table()
        assert table.schema.types == file.schema.types
        assert table["series_id"].to_pylist() == [None, "a", "b", "b"]
        assert table["value"].to_pylist() == [3.0, 4.0, 2.0, 1.0]
        assert table["ts"].to_pylist()[0] == datetime(1970, 1, 1, 0, 0, 0, 20, UTC)  # 20.5 us, cut
        assert [b["value"].to_pylist() for b in file.batches(["value"], batch_rows=3)] == [[3.0, 4.0, 2.0], [1.0]]
        assert file.table(["state.n", "no such column"]).to_pydict() == {"state.n": [3, 4, 2, 1]}


def test_a_damaged_file_of_another_engine_is_named(tmp_path: Path) -> None:
    write_theirs(tmp_path)
    path = tmp_path / THEIRS
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedFileError, match=r"part-00000-1\.snappy\.parquet can't be read"):
        fetched(open_root(str(tmp_path)), THEIRS)
    write_theirs(tmp_path)
    with pytest.raises(DamagedFileError, match="the table's log tells of 5 rows, its footer of 4"):
        fetched(open_root(str(tmp_path)), THEIRS, rows=5)
