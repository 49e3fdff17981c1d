"""Data files read back: all their rows, or an error."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.table.reader import all_batches
from siltstone.table.writer import parquet_options


def rows(data: bytes, *columns: str) -> list[dict[str, object]]:
    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    return [row for batch in all_batches(file, 50, columns or None) for row in batch.to_pylist()]


@pytest.mark.parametrize("columns", [(), ("unit",)])
def test_a_damaged_header_never_ends_a_file_early(columns: tuple[str, ...]) -> None:
    table = pa.table({"unit": ["D", "D", "E", "F"] * 50, "value": range(200)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **parquet_options())
    data = bytes(sink.getvalue())
    expected = table.select(columns or ("unit", "value")).to_pylist()
    assert rows(data, *columns) == expected
    begin = pq.read_metadata(pa.BufferReader(data)).row_group(0).column(0).dictionary_page_offset
    short = 0
    for at in range(begin, begin + 20):  # the header of the dictionary
        for bit in range(8):
            damaged = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            try:
                found = rows(damaged, *columns)
            except OSError:
                continue
            except ValueError as error:
                short += "its footer tells of 200 rows, 0 are there" in str(error)
            else:
                assert found == expected
    assert short > 0
