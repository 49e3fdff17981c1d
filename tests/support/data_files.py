"""Data files of a table in a folder, and what a task that writes them anew makes of them."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.maintenance.rewrite_task import RewriteTask, Rewritten
from siltstone.model.contracts import DATALOG, TIMESTAMP, Column
from siltstone.model.data_files import LoggedFile, NewFile, Sizes
from siltstone.model.schema import Schema, base_schema
from siltstone.storage import Storage
from siltstone.table.writer import PartitionWriter, WriterSettings

BASE = base_schema(DATALOG)
WIDE = Schema(
    (
        *BASE.columns,
        Column("speed", "double", "speed"),
        Column("on", "boolean", "on"),
        Column("gear", "int", "gear"),
        Column("deep", "json", "deep"),
    ),
    BASE.reserved,
)
ONE_FILE = Sizes(1 << 30, 1, 1 << 30)
DAY = ("2025-12-10", "BRCB")
NOON_US = 1_765_339_200_000_000  # 2025-12-10T04:00:00Z

Row = tuple[str | None, int, str]  # unit, microseconds after noon, source file


class Rig:
    """Data files in a temporary folder, and what a task makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._rows: dict[str, int] = {}  # by path; files of others have one row

    def store(self, *groups: Sequence[Row], schema: Schema = BASE, **more: pa.Array) -> str:
        """A data file with a row group each, as compaction writes it; its path."""
        writer = PartitionWriter(
            WriterSettings(Storage(str(self.root)), ONE_FILE, 1 << 30), DATALOG, DAY, schema=lambda: schema
        )
        for rows in groups:
            units, times, sources = zip(*rows, strict=True)
            columns = {
                "ts": pa.array([NOON_US + t for t in times], pa.int64()).cast(TIMESTAMP),
                "unitno": pa.array(units, pa.large_string()),
                "heartbeat": pa.array([NOON_US + t for t in times], pa.int64()),
                "source_file": pa.array(sources, pa.large_string()),
                **more,
            }
            writer.write(pa.table(columns), breaks=False)
        writer.close()
        (output,) = writer.outputs
        self._rows[output.path] = output.rows
        return output.path

    def task(
        self,
        *paths: str,
        drop: tuple[str, ...] = (),
        schema: Schema = BASE,
        sizes: Sizes = ONE_FILE,
        group_bytes: int = 1 << 30,
        is_staged: bool = False,
        **other: Any,
    ) -> RewriteTask:
        return RewriteTask(
            **{
                "contract": "datalog",
                "writing": WriterSettings(Storage(str(self.root)), sizes, group_bytes, is_staged),
                "partition": DAY,
                "files": tuple(LoggedFile(path, self._rows.get(path, 1)) for path in paths),
                "drop": drop,
                "schema": schema,
                "memory_bytes": 1 << 30,
                **other,
            }
        )

    def run(self, *paths: str, **how: Any) -> Rewritten:
        return self.task(*paths, **how).run()

    def read(self, output: NewFile) -> pa.Table:
        return pq.ParquetFile(self.root / output.path).read()

    def rows(self, result: Rewritten) -> list[Row]:
        tables = [self.read(o) for o in result.outputs]
        return [
            (unit, time - NOON_US, source)
            for t in tables
            for unit, time, source in zip(
                t["unitno"].to_pylist(), t["ts"].cast(pa.int64()).to_pylist(), t["source_file"].to_pylist(), strict=True
            )
        ]

    def files(self) -> set[str]:
        return {str(p.relative_to(self.root)) for p in self.root.rglob("*.parquet")}


def noise(first: int, count: int, source: str) -> list[Row]:
    """Rows whose source file does not compress: 32 hex digits of its own each; units every second number."""
    return [
        (f"{i:06d}", 0, hashlib.md5(f"{source}{i}".encode()).hexdigest()) for i in range(first, first + 2 * count, 2)
    ]
