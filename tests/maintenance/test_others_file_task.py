"""A data file of another engine is written anew row for row, in as many sorted files as the memory asks for."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.errors import DamagedFileError
from siltstone.maintenance import others_file_task
from siltstone.maintenance.others_file_task import OthersFileTask
from siltstone.model.contracts import TIMESTAMP
from siltstone.model.data_files import LoggedFile
from siltstone.storage import Storage
from siltstone.table.writer import WriterSettings
from support.data_files import BASE, DAY, NOON_US, ONE_FILE, Rig

ROWS = 4_000


def theirs(root: Path, rows: int, **more: pa.Array) -> LoggedFile:
    """Rows in falling order of time, of two units in turn."""
    columns = {
        "ts": pa.array([NOON_US + rows - n for n in range(rows)], pa.int64()).cast(TIMESTAMP),
        "unitno": pa.array(["U1", "U2"] * (rows // 2), pa.string_view()),
        "heartbeat": pa.array([n or None for n in range(rows)], pa.int64()),
        "source_file": pa.array(["a.gz"] * rows),
        **more,
    }
    pq.write_table(pa.table(columns), root / "part-0.parquet")
    return LoggedFile("part-0.parquet", rows)


def task(root: Path, file: LoggedFile, memory_bytes: int) -> OthersFileTask:
    writing = WriterSettings(Storage(str(root)), ONE_FILE, 1 << 30)
    return OthersFileTask("datalog", writing, DAY, file, BASE, memory_bytes)


def test_each_row_is_written_once_and_sorted(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    file = theirs(tmp_path, 4, dstrct_code=pa.array(["BRCB"] * 4))  # Spark's OPTIMIZE writes partition columns, too
    result = task(tmp_path, file, 1 << 30).run()
    assert rig.rows(result) == [("U1", 2, "a.gz"), ("U1", 4, "a.gz"), ("U2", 1, "a.gz"), ("U2", 3, "a.gz")]
    assert (len(result.outputs), result.rows, result.cells) == (1, 4, 4 + 3)  # unitno; heartbeat without the first
    statistics = result.outputs[0].statistics
    assert (statistics["numRecords"], statistics["minValues"]["unitno"]) == (4, "U1")
    assert statistics["nullCount"]["deviceid"] == 4


def test_a_file_that_is_too_large_to_be_sorted_at_once_becomes_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(others_file_task, "_BATCH_ROWS", 1_000)
    rig = Rig(tmp_path)
    result = task(tmp_path, theirs(tmp_path, ROWS), 4).run()  # bytes: each batch is too much
    assert [output.rows for output in result.outputs] == [1_000] * 4
    for output in result.outputs:
        found = rig.read(output).select(["unitno", "ts"]).to_pydict()
        keys = list(zip(found["unitno"], found["ts"], strict=True))
        assert keys == sorted(keys)
    assert {time for _, time, _ in rig.rows(result)} == set(range(1, ROWS + 1))


def test_a_column_that_the_table_has_not_is_named(tmp_path: Path) -> None:
    file = theirs(tmp_path, 2, more=pa.array([1, 2]))
    with pytest.raises(DamagedFileError, match="it has columns that the table has not: more"):
        task(tmp_path, file, 1 << 30).run()
