"""The table's rows that have the same keys as new ones: only data files and row groups that can hold them are read."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from siltstone.bounds import overlaps
from siltstone.contracts import RESCUED, SOURCE_FILE
from siltstone.datasets import Dataset
from siltstone.planning import Stored
from siltstone.storage import Storage
from siltstone.zones import day_text


class StoredKeys:
    """Looks keys up in `stored`, the table's data files; rows of the source files in `anew` don't count."""

    def __init__(self, table: Storage, dataset: Dataset, stored: Sequence[Stored], anew: Collection[str]) -> None:
        self._table, self._contract, self._source = table, dataset.contract, dataset.source
        self._stored, self._anew = stored, list(anew)
        names = [c.name for c in (*self._contract.leading, *self._contract.record)]
        self._columns = [self._contract.time.name, *names, RESCUED.name, SOURCE_FILE.name]

    def like(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows of the table with the key of some row of the frame: key and other columns, `source_file`, `line` (-1),
        `file` and `position`, its place among the file's rows."""
        found = [self._empty(frame)]
        if self._stored and frame.height:
            parts = frame.partition_by("date", "site", as_dict=True) if self._stored else {}
            for (date, site), part in parts.items():
                found += self._in_partition(part, (day_text(int(date)), str(site)))
        return pl.concat(found)

    def _empty(self, frame: pl.DataFrame) -> pl.DataFrame:
        types = {SOURCE_FILE.name: pl.String(), "line": pl.Int64(), "file": pl.String(), "position": pl.Int64()}
        return (
            frame.select(c for c in frame.columns if c not in _OF_THE_RUN)
            .clear()
            .with_columns(pl.lit(None, dtype).alias(name) for name, dtype in types.items())
        )

    def _in_partition(self, part: pl.DataFrame, partition: tuple[str, str]) -> Iterator[pl.DataFrame]:
        unit = self._contract.sort_by[0]
        bounds = {name: _bounds(part, column) for name, column in ((unit, unit), (self._contract.time.name, "ts"))}
        if "source" in part.columns:
            bounds["source"] = (self._source, self._source)
        empty = self._empty(part)
        for file in self._stored:
            if file.partition == partition and overlaps(file.bounds, bounds):
                for rows in self._rows(file.path, bounds):
                    same = rows.filter(pl.col("source") == self._source)
                    same = same.filter(~pl.col(SOURCE_FILE.name).is_in(self._anew)) if self._anew else same
                    yield same.join(part, on=self._contract.key, how="semi", nulls_equal=True).select(
                        pl.col(name).cast(dtype) for name, dtype in empty.schema.items()
                    )

    def _rows(self, path: str, bounds: dict[str, tuple[Any, Any]]) -> Iterator[pl.DataFrame]:
        with self._table.open(path) as handle:
            file = pq.ParquetFile(handle, pre_buffer=False, page_checksum_verification=True)
            begin = 0
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if overlaps(_group_bounds(file.metadata.row_group(group), bounds), bounds):
                    table = file.read_row_group(group, columns=self._columns, use_threads=False)
                    frame = pl.DataFrame(table).rename({self._contract.time.name: "ts"})
                    yield frame.with_columns(
                        pl.col("ts").cast(pl.Int64()),
                        line=pl.lit(-1, pl.Int64()),
                        file=pl.lit(path),
                        position=pl.Series(np.arange(begin, begin + count)),
                    )
                begin += count


def _bounds(part: pl.DataFrame, column: str) -> tuple[Any, Any]:
    low, high = part.select(pl.col(column).min().alias("low"), pl.col(column).max().alias("high")).row(0)
    return low, high


_OF_THE_RUN = ("date", "site", "document", "line")


def _group_bounds(group: pq.RowGroupMetaData, names: Collection[str]) -> dict[str, tuple[Any, Any]]:
    found: dict[str, tuple[Any, Any]] = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.path_in_schema in names and column.statistics is not None and column.statistics.has_min_max:
            low, high = column.statistics.min_raw, column.statistics.max_raw
            low, high = (v.decode() if isinstance(v, bytes) else v for v in (low, high))
            found[column.path_in_schema] = low, high
    return found
