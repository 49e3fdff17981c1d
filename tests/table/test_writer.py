"""Files of the right size, with the statistics that the commit will carry."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.errors import UsageError
from siltstone.model.contracts import DATALOG, TIMESTAMP, Column
from siltstone.model.data_files import NewFile, Sizes
from siltstone.model.schema import Schema, base_schema
from siltstone.storage import Storage
from siltstone.table import writer as writer_module
from siltstone.table.writer import DOCUMENT, PartitionWriter, WriterSettings
from support.parsing import assert_same

SCHEMA = base_schema(DATALOG)
ONE_FILE = Sizes(1 << 30, 1, 1 << 30)
US = 1_765_332_618_123_456  # 2025-12-10T02:10:18.123456Z


def rows(
    units: Sequence[str | None], times: Sequence[int | None] | None = None, *, document: int = 0, **more: pa.Array
) -> pa.Table:
    times = range(US, US + len(units)) if times is None else times
    return pa.table(
        {
            "ts": pa.array(times, pa.int64()).cast(TIMESTAMP),
            "unitno": pa.array(units, pa.large_string()),
            **more,
            "_rescued": pa.nulls(len(units), pa.large_string()),
            DOCUMENT: pa.array([document] * len(units), pa.int32()),
        }
    )


class Rig:
    """A writer on a temporary folder."""

    def __init__(
        self,
        root: Path,
        sizes: Sizes = ONE_FILE,
        group_bytes: int = 1 << 30,
        site: str = "BRCB",
    ) -> None:
        self.root, self.schema, self.expected = root, SCHEMA, 0.0
        self.writer = PartitionWriter(
            WriterSettings(Storage(str(root)), sizes, group_bytes),
            DATALOG,
            ("2025-12-10", site),
            schema=lambda: self.schema,
            expected=lambda: self.expected,
            sources=["BRCB/a.gz", "BRCB/b.gz"],
        )

    def finish(self) -> list[NewFile]:
        self.writer.close()
        return self.writer.outputs

    def read(self, output: NewFile) -> pa.Table:
        return pq.ParquetFile(self.root / output.path).read()


def test_a_file_has_every_column_of_the_schema_in_order_and_its_partition_in_the_path(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.writer.write(rows(["LD772"], document=1), breaks=False)
    (output,) = rig.finish()
    assert output.path.startswith("hiveperiod=2025-12-10/dstrct_code=BRCB/data_")
    assert (output.partition, output.rows) == (("2025-12-10", "BRCB"), 1)
    assert output.bytes == (tmp_path / output.path).stat().st_size
    assert rig.writer.outputs_of == {1: {output.path}}
    expected = pa.schema(
        {
            "ts": TIMESTAMP,
            "unitno": pa.string(),
            "deviceid": pa.string(),
            "heartbeat": pa.int64(),
            "source_file": pa.string(),
            "_rescued": pa.string(),
        }
    )
    assert_same(
        rig.read(output).cast(expected),
        pa.table(
            {
                "ts": pa.array([US]).cast(TIMESTAMP),
                "unitno": pa.array(["LD772"]),
                "deviceid": pa.nulls(1, pa.string()),
                "heartbeat": pa.nulls(1, pa.int64()),
                "source_file": pa.array(["BRCB/b.gz"]),
                "_rescued": pa.nulls(1, pa.string()),
            }
        ),
    )


def test_statistics_are_complete_or_absent(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    long = "Z" * 200  # a cut maximum would hide its rows from every reader
    rig.writer.write(rows([None, "é"], [US, US + 1]), breaks=False)
    rig.writer.write(rows([long], [US + 5]), breaks=False)
    (output,) = rig.finish()
    # deviceid is null throughout: a null count and no bounds; by bytes 'Z...' < 'é'
    assert output.statistics == {
        "numRecords": 3,
        "minValues": {"ts": "2025-12-10T02:10:18.123456Z", "unitno": long},
        "maxValues": {"ts": "2025-12-10T02:10:18.123461Z", "unitno": "é"},
        "nullCount": {"ts": 0, "unitno": 1, "deviceid": 3},
    }


def test_whole_seconds_have_microseconds_too(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.writer.write(rows(["A"], [1_765_332_618_000_000]), breaks=False)
    assert rig.finish()[0].statistics["minValues"]["ts"] == "2025-12-10T02:10:18.000000Z"


def test_the_parquet_file_names_its_order_and_its_instants_are_utc(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.writer.write(rows(["A", "A", "B"]), breaks=False)
    (output,) = rig.finish()
    group = pq.ParquetFile(tmp_path / output.path).metadata.row_group(0)
    names = [group.column(i).path_in_schema for i in range(group.num_columns)]
    assert [names[s.column_index] for s in group.sorting_columns] == ["unitno", "ts"]
    assert not any(s.descending for s in group.sorting_columns)
    assert rig.read(output).column("ts")[0].as_py() == datetime(2025, 12, 10, 2, 10, 18, 123456, UTC)


def test_a_break_begins_a_new_file(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    assert rig.writer.at_start
    rig.writer.write(rows(["B"]), breaks=False)
    assert not rig.writer.at_start
    rig.writer.write(rows(["A"]), breaks=True)
    assert [rig.read(o).column("unitno").to_pylist() for o in rig.finish()] == [["B"], ["A"]]


def test_a_wider_schema_begins_a_new_file(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.writer.write(rows(["A"]), breaks=False)
    rig.schema = Schema((*SCHEMA.columns, Column("x", "double", "x")), SCHEMA.reserved)
    rig.writer.write(rows(["B"], x=pa.array([1.5])), breaks=False)
    first, second = rig.finish()
    assert "x" not in rig.read(first).column_names
    assert rig.read(second).column("x").to_pylist() == [1.5]


def noise(first: int, count: int) -> pa.Table:
    """Rows that do not compress: each has 32 hex digits of its own."""
    texts = [hashlib.md5(str(first + i).encode()).hexdigest() for i in range(count)]
    return rows([f"{first + i:06d}" for i in range(count)], deviceid=pa.array(texts, pa.large_string()))


@pytest.fixture
def small(tmp_path: Path) -> tuple[Rig, list[NewFile]]:
    """10,000 rows of noise written with a target of 60 kB, at most 90 kB."""
    sizes = Sizes(target=60_000, smallest=40_000, largest=90_000)
    rig = Rig(tmp_path, sizes, group_bytes=15_000)
    rig.expected = 1e9
    for start in range(0, 10_000, 1_000):
        rig.writer.write(noise(start, 1_000), breaks=False)
    return rig, rig.finish()


def test_files_roll_over_at_the_measured_size(small: tuple[Rig, list[NewFile]]) -> None:
    _, outputs = small
    assert len(outputs) > 3
    # the footer's size is a guess until it is written, so a file may end a little below the target of 60 kB
    assert all(55_000 <= o.bytes <= 90_000 for o in outputs[:-1])


def test_rolling_over_keeps_every_row_in_order(small: tuple[Rig, list[NewFile]]) -> None:
    rig, outputs = small
    units = [u for o in outputs for u in rig.read(o).column("unitno").to_pylist()]
    assert units == [f"{i:06d}" for i in range(10_000)]
    assert sum(o.rows for o in outputs) == 10_000
    assert rig.writer.outputs_of == {0: {o.path for o in outputs}}


def test_the_last_file_takes_the_rest_if_it_fits(tmp_path: Path) -> None:
    # nothing more is expected: past the target the file goes on as long as the rest keeps it under the largest size
    rig = Rig(tmp_path, Sizes(target=30_000, smallest=20_000, largest=200_000), group_bytes=15_000)
    rig.writer.write(noise(0, 1_500), breaks=False)
    assert len(rig.finish()) == 1


def test_partition_values_that_lead_out_are_refused(tmp_path: Path) -> None:
    rig = Rig(tmp_path, site="../../evil")
    with pytest.raises(UsageError, match="is no safe path"):
        rig.writer.write(rows(["A"]), breaks=False)
    assert list(tmp_path.iterdir()) == []


def test_no_key_of_a_record_can_be_named_like_the_inner_column() -> None:
    (column,) = Schema(()).extended([(DOCUMENT, "double")]).columns
    assert column.name != DOCUMENT


def test_a_writer_that_got_no_rows_writes_nothing(tmp_path: Path) -> None:
    found: list[Any] = Rig(tmp_path).finish()
    assert (found, list(tmp_path.iterdir())) == ([], [])


def test_a_file_with_too_many_columns_of_row_groups_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The footer tells of each column of each row group: 6 columns x 2 groups are the most here."""
    monkeypatch.setattr(writer_module, "_MOST_COLUMN_CHUNKS", 12)
    rig = Rig(tmp_path, group_bytes=1)
    for n in range(5):
        rig.writer.write(rows(["A"], [US + n]), breaks=False)
    rig.writer.close()
    groups = [pq.ParquetFile(tmp_path / output.path).metadata.num_row_groups for output in rig.writer.outputs]
    assert groups == [2, 2, 1]


def test_columns_of_nulls_do_not_make_row_groups_small(tmp_path: Path) -> None:
    """300 columns without a value beside two with: a row has 16 bytes, and not 2,400."""
    rig = Rig(tmp_path, group_bytes=32 << 10)
    rig.schema = Schema((*SCHEMA.columns, *(Column(f"c{n}", "double", f"c{n}") for n in range(300))))
    empty = {f"c{n}": pa.nulls(1_000, pa.float64()) for n in range(300)}
    rig.writer.write(rows([None] * 1_000, **empty), breaks=False)
    rig.writer.close()
    (output,) = rig.writer.outputs
    assert pq.ParquetFile(tmp_path / output.path).metadata.num_row_groups < 10
