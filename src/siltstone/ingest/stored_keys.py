"""The table's rows that have the same keys as new ones: only data files and row groups that can hold them are read."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from siltstone.mapping.dataset import Dataset
from siltstone.model.contracts import RESCUED, SOURCE_FILE
from siltstone.model.data_files import DataFile, Partition
from siltstone.model.statistics import overlaps
from siltstone.storage import Storage
from siltstone.table.reader import naming, opened


class StoredKeys:
    """Looks keys up in `stored`, the table's data files."""

    def __init__(self, table: Storage, dataset: Dataset, stored: Sequence[DataFile]) -> None:
        self._table, self._contract, self._source = table, dataset.contract, dataset.source
        self._stored = stored
        names = [c.name for c in (*self._contract.leading, *self._contract.record)]
        self._columns = [self._contract.time.name, *names, RESCUED.name, SOURCE_FILE.name]

    def like(self, frame: pl.DataFrame, partition: Partition, rewritten: Sequence[str]) -> pl.DataFrame:
        """Rows of a partition with the key of some row of the frame, without those of the source files in `rewritten`:
        key and other columns, `source_file`, `line` (-1), `file` and `position`, its place among the file's rows."""
        types = {SOURCE_FILE.name: pl.String(), "line": pl.Int64(), "file": pl.String(), "position": pl.Int64()}
        columns = frame.drop("document", "line").schema | types
        unit, time = self._contract.sort_by[0], self._contract.time.name
        found = [pl.DataFrame(schema=columns)]
        near = [s for s in self._stored if s.partition == partition]
        bounds = {unit: _bounds(frame, unit), time: _bounds(frame, "ts"), "source": (self._source, self._source)}
        for file in near if frame.height else ():
            if overlaps(file.bounds, bounds):
                for rows in self._rows(file, bounds):
                    same = rows.filter(
                        pl.col("source") == self._source, ~pl.col(SOURCE_FILE.name).fill_null("").is_in(rewritten)
                    )
                    same = same.join(frame, on=self._contract.key, how="semi", nulls_equal=True)
                    found.append(same.select(pl.col(name).cast(dtype) for name, dtype in columns.items()))
        return pl.concat(found)

    def _rows(self, stored: DataFile, bounds: dict[str, tuple[Any, Any]]) -> Iterator[pl.DataFrame]:
        with opened(self._table, stored.path, rows=stored.rows) as file, naming(file.uri):
            begin = 0
            for group in range(file.groups):
                count = file.metadata.row_group(group).num_rows
                if overlaps(_group_bounds(file.metadata.row_group(group), bounds), bounds):
                    table = file.table(self._columns, [group])
                    frame = pl.DataFrame(table).rename({self._contract.time.name: "ts"})
                    yield frame.with_columns(
                        pl.col("ts").cast(pl.Int64()),
                        line=pl.lit(-1, pl.Int64()),
                        file=pl.lit(stored.path),
                        position=pl.Series(np.arange(begin, begin + count)),
                    )
                begin += count


def _bounds(part: pl.DataFrame, column: str) -> tuple[Any, Any]:
    low, high = part.select(pl.col(column).min().alias("low"), pl.col(column).max().alias("high")).row(0)
    return low, high


def _group_bounds(group: pq.RowGroupMetaData, names: Collection[str]) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema in names and column.statistics is not None and column.statistics.has_min_max:
            low, high = column.statistics.min_raw, column.statistics.max_raw
            low, high = (v.decode() if isinstance(v, bytes) else v for v in (low, high))
            found[column.path_in_schema] = low, high
    return found
