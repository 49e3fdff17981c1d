"""Data files read back: exactly the rows that were written, or one error that names the file."""

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from siltstone.errors import DamagedFileError, StorageError
from siltstone.formats.parquet.thrift import decoded, encoded
from siltstone.storage import Storage
from siltstone.table.reader import NEXT_MOVE, DataFileReader, fetched, opened, read_footer
from support.aggregates import office_hours
from support.damage import IS_ALL, columns_of, flipped, footer_at, headers
from support.parquet_bytes import written
from support.readings_table import Readings, quarters, reading

URI = "/lake/readings/data_1.parquet"


def read(data: bytes, **how: Any) -> pl.DataFrame:
    """All rows, as `DataFileReader` gives them."""
    return pl.concat(
        [pl.DataFrame(table) for table in DataFileReader(URI, BytesIO(data), **how).batches(batch_rows=50)]
    )


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A data file of readings: two series of numbers and a text."""
    lake = tmp_path_factory.mktemp("readings")
    numbers = [*quarters("temp/a", "2025-12-01", 40), *quarters("temp/b", "2025-12-01", 40)]
    Readings(str(lake)).add([*numbers, reading("door/x", "2025-12-01T05:00", None, text="open", kind="string")])
    (path,) = lake.rglob("date=*/**/*.parquet")
    return path.read_bytes()


@pytest.fixture(scope="module")
def aggregates(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A data file of aggregates, with maps, lists and states."""
    office = office_hours(tmp_path_factory.mktemp("aggregates"))
    office.run("1h", ["time_weighted_average", "time_in_state", "p50", "min_ts"])
    return min(office.root.glob("date=*/*.parquet")).read_bytes()


def header_bits(data: bytes) -> list[tuple[int, int]]:
    return [(at, bit) for spans in headers(data).values() for span in spans for at in span for bit in range(8)]


def footer_bits(data: bytes) -> list[tuple[int, int]]:
    """One bit of every byte, or all of them."""
    return [(at, bit) for at in footer_at(data) for bit in (range(8) if IS_ALL else [at * 5 % 8])]


def refusals(data: bytes, flips: Sequence[tuple[int, int]], reader: Callable[[bytes], Any]) -> int:
    """How many of the damaged files are refused; from all others come the right rows."""
    expected, named, refused = reader(data), 0, 0
    for at, bit in flips:
        try:
            found = reader(flipped(data, at, bit))
        except DamagedFileError as error:
            said = str(error)
            named += said.startswith(f"{URI} can't be read: ") and said.endswith(NEXT_MOVE)
            refused += 1
        else:
            assert found.equals(expected), f"bit {bit} of byte {at}"
    assert named == refused
    return refused


@pytest.mark.part("laws")  # there every bit
@pytest.mark.parametrize("coded", [(), None])
def test_no_bit_of_a_pages_header_gives_other_rows(readings: bytes, coded: tuple[()] | None) -> None:
    flips = header_bits(readings)[:: 1 if IS_ALL else 13]
    # the others are in the statistics of pages, which no reader goes by
    assert refusals(readings, flips, lambda data: read(data, coded=coded)) > len(flips) / 2


@pytest.mark.part("laws")  # there every bit
def test_no_byte_of_a_footer_gives_other_rows(readings: bytes) -> None:
    flips = footer_bits(readings)
    assert refusals(readings, flips, read) > len(flips) / 2


@pytest.mark.part("laws")  # there every bit
def test_states_and_maps_of_aggregates_neither(aggregates: bytes) -> None:
    flips = [*header_bits(aggregates), *footer_bits(aggregates)][:: 1 if IS_ALL else 151]
    assert refusals(aggregates, flips, lambda data: DataFileReader(URI, BytesIO(data)).table()) > len(flips) / 2


@pytest.mark.parametrize("columns", [None, ("unit",)])
def test_a_damaged_header_never_ends_a_column_early(columns: Sequence[str] | None) -> None:
    table = pa.table({"unit": ["D", "D", "E", "F"] * 50, "value": range(200)})
    data = written(table)
    whole = DataFileReader(URI, BytesIO(data))
    assert whole.table(columns).to_pylist() == table.select(columns or ("unit", "value")).to_pylist()
    for at in headers(data)["unit"][0]:  # of the dictionary
        if at == headers(data)["unit"][0].start + 1:  # the kind of the page
            for bit in range(8):
                with pytest.raises(DamagedFileError):
                    DataFileReader(URI, BytesIO(flipped(data, at, bit))).table(columns)


def test_what_is_asked_for_alone_is_read_and_counted() -> None:
    table = pa.table({"unit": ["A", "B", "C", "D", "E"], "value": [1, 2, 3, 4, 5]})
    data = written(table, row_group_size=2)
    assert DataFileReader(URI, BytesIO(data)).table(["value"], [0, 2]).to_pydict() == {"value": [1, 2, 5]}
    damaged = flipped(data, headers(data)["value"][1].start + 1, 2)  # the dictionary of the first row group is page 0
    assert DataFileReader(URI, BytesIO(damaged)).table(["unit"]).num_rows == 5
    assert DataFileReader(URI, BytesIO(damaged)).table(["value"], [2]).to_pydict() == {"value": [5]}
    with pytest.raises(DamagedFileError, match="the header of a page is damaged"):
        DataFileReader(URI, BytesIO(damaged)).table(["value"], [0])


def test_the_tables_log_is_asked_how_many_rows_there_are(readings: bytes) -> None:
    assert read(readings, rows=81).height == 81
    with pytest.raises(DamagedFileError, match="the table's log tells of 80 rows, its footer of 81"):
        read(readings, rows=80)


@pytest.mark.parametrize("length", [0, 7, 11, 12, 400, -1])
def test_a_file_that_is_cut_off_is_refused(readings: bytes, length: int) -> None:
    with pytest.raises(DamagedFileError, match=r"no Parquet file|does not end with a footer"):
        read(readings[:length])


def test_texts_of_old_files_without_checksums_are_looked_at() -> None:
    table = pa.table({"unit": ["anna", "bert"] * 10})
    data = written(table, write_page_checksum=False, use_dictionary=False, compression="none", compression_level=None)
    assert read(data)["unit"].to_list() == ["anna", "bert"] * 10
    (page,) = headers(data)["unit"]
    at = data.index(b"anna", page.stop)
    with pytest.raises(DamagedFileError, match="UTF8"):
        read(flipped(data, at, 7))
    checked = written(table, use_dictionary=False, compression="none", compression_level=None)
    with pytest.raises(DamagedFileError, match="CRC checksum"):
        read(flipped(checked, checked.index(b"anna", headers(checked)["unit"][0].stop), 7))


def test_files_with_indexes_and_of_no_rows_are_read() -> None:
    table = pa.table({"unit": ["A", "B"], "value": [1.5, None]})
    assert read(written(table, write_page_index=True)).rows() == [("A", 1.5), ("B", None)]
    assert DataFileReader(URI, BytesIO(written(table.slice(0, 0)))).table().num_rows == 0


def test_bounds_by_which_readers_skip_are_told_twice_or_in_order() -> None:
    data = written(pa.table({"ts": [1, 2, 3], "unit": ["A", "B", "C"]}))
    ts, unit = (column[12][1][5][1] for column in columns_of(data))
    with pytest.raises(DamagedFileError, match="ts has two different bounds"):
        DataFileReader(URI, BytesIO(flipped(data, data.rindex(ts), 1)))  # 3 becomes 1
    text = b"\x01" + unit  # its length and C, the first of its bounds
    at = data.index(text, footer_at(data).start) + 1
    assert data[at : at + 1] == b"C"
    with pytest.raises(DamagedFileError, match="the bounds of unit are the wrong way round"):
        DataFileReader(URI, BytesIO(data[:at] + b"@" + data[at + 1 :]))


def test_a_file_that_is_gone_is_no_damage(tmp_path: Path) -> None:
    table = Storage(str(tmp_path))
    told = rf"data_1\.parquet is gone\. Run again\. .* siltstone repair {tmp_path} says how"
    with pytest.raises(StorageError, match=told) as error:
        fetched(table, "data_1.parquet")
    assert not isinstance(error.value, DamagedFileError)
    with pytest.raises(StorageError, match=told), opened(table, "data_1.parquet"):
        pass


def test_a_footer_alone_is_held_against_the_size_of_its_file(tmp_path: Path, readings: bytes) -> None:
    table = Storage(str(tmp_path))
    table.put("data_1.parquet", readings)
    assert read_footer(table, "data_1.parquet", len(readings)).num_rows == 81
    table.put("data_2.parquet", readings[:4] + b"more" + readings[4:])
    with pytest.raises(DamagedFileError, match="do not end where it begins"):
        read_footer(table, "data_2.parquet", len(readings) + 4)


def test_fields_of_a_later_parquet_are_passed_over(readings: bytes) -> None:
    at = footer_at(readings)
    struct, _ = decoded(readings[at.start : at.stop - 4])
    text = encoded({**struct, 99: (5, 7)})  # an i32 behind all fields of today
    later = readings[: at.start] + text + len(text).to_bytes(4, "little") + b"PAR1"
    assert read(later).equals(read(readings))
