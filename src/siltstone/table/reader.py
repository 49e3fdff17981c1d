"""Reads the rows of data files; damage becomes an error that names the file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.errors import StorageError

NEXT_MOVE = "siltstone verify tells which files are damaged."


@contextmanager
def naming(uri: str) -> Iterator[None]:
    """An error of reading a data file names it."""
    try:
        yield
    except (ValueError, OSError, pa.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise StorageError(f"{uri} can't be read: {reason}", NEXT_MOVE) from error


def all_batches(
    file: pq.ParquetFile, batch_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Every row of a data file, some at a time. Raises ValueError at the end where rows are missing: pyarrow takes some
    damaged headers of pages for the end of a column."""
    rows = 0
    for batch in file.iter_batches(batch_rows, columns=columns, use_threads=False):
        rows += batch.num_rows
        yield batch
    if rows != file.metadata.num_rows:
        raise ValueError(f"its footer tells of {file.metadata.num_rows:,} rows, {rows:,} are there")
