"""Parquet files in memory, with the options of data files."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.table.writer import parquet_options


def written(table: pa.Table, **options: Any) -> bytes:
    """The bytes of a file of the table; `options` of pyarrow go before those of data files."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **(parquet_options() | options))
    return bytes(sink.getvalue())
