"""Small files that ask for much memory: few bytes with many records, columns, cells or long names.

Most are legal and must be taken whole; the others must be refused with their reason, by record or as a file.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

START = 1765332618
"""2025-12-10 02:10:18 UTC."""

_DATALOG_FILE = "BRCB/D{}/2025121002/2025121002.txt.gz"
_SYNC = b"\x07" * 16
_MIB = 1 << 20


@dataclass(frozen=True)
class Bomb:
    """A folder of files for one source. `write(share)` gives their paths and bytes; with a share below 1 they are that
    much smaller. `records` is how many all of them hold, `refused` how many of these are no readings; both for a share
    of 1, and None where files are refused as a whole. `options` are those of a block of `records`."""

    name: str
    about: str
    source: str
    write: Callable[[float], Iterator[tuple[str, bytes]]]
    records: int | None
    refused: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def configuration(self) -> dict[str, Any]:
        """What the configuration must hold for the source."""
        block = self.source.partition(".")[2]
        return {"sources": {"records": {block: dict(self.options)}}} if block else {}

    def write_to(self, root: Path, share: float = 1.0) -> int:
        """Write the files below a folder; their bytes."""
        size = 0
        for path, data in self.write(share):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
            size += len(data)
        return size


def _datalog(*texts: bytes) -> Iterator[tuple[str, bytes]]:
    for number, text in enumerate(texts):
        yield _DATALOG_FILE.format(number), gzip.compress(text, 9, mtime=0)


def _lines(line: bytes, share: float, size: int = 60 * _MIB) -> bytes:
    return line * max(1, int(size * share) // len(line))


def _sparse(share: float) -> Iterator[tuple[str, bytes]]:
    """Each record has one key more, of 4,900: a table of 30,000 rows and 4,900 columns, nearly all null."""
    lines = (b'{"heartbeat":%d,"k%d":1}\n' % (START + i, i % 4_900) for i in range(int(30_000 * share)))
    yield from _datalog(b"".join(lines))


def _sparse_files(share: float) -> Iterator[tuple[str, bytes]]:
    """Two hundred files of one unit, each with 20 columns of its own: united they are 4,000."""
    for number in range(int(200 * share)):
        keys = b",".join(b'"k%d":1' % (20 * number + n) for n in range(20))
        text = b"".join(b'{"heartbeat":%d,%s}\n' % (START + i, keys) for i in range(500))
        yield _DATALOG_FILE.format(number), gzip.compress(text, 9, mtime=0)


def _narrow_after_wide(share: float) -> Iterator[tuple[str, bytes]]:
    """A record of 4,900 keys, and files of many records of one."""
    wide = b'{"heartbeat":%d,%s}\n' % (START, b",".join(b'"k%d":1' % n for n in range(4_900)))
    narrow = (b'{"heartbeat":%d}\n' % (START * 1_000 + n) for n in range(int(2_000_000 * share)))
    yield from _datalog(wide, b"".join(narrow))


def _records_text(share: float) -> Iterator[tuple[str, bytes]]:
    keys = b",".join(b'"c%d":1' % n for n in range(9_000))
    yield "a.json.gz", gzip.compress(_lines(b'{"t":%d,%s}\n' % (START, keys), share), 9, mtime=0)


def _records_sparse(share: float) -> Iterator[tuple[str, bytes]]:
    lines = (b'{"t":%d,"k%d":1}\n' % (START + i, i % 4_900) for i in range(int(60_000 * share)))
    yield "a.json.gz", gzip.compress(b"".join(lines), 9, mtime=0)


def _records_line(line: bytes) -> Callable[[float], Iterator[tuple[str, bytes]]]:
    def write(share: float) -> Iterator[tuple[str, bytes]]:
        yield "a.json.gz", gzip.compress(_lines(line, share), 9, mtime=0)

    return write


def _csv_wide(share: float) -> Iterator[tuple[str, bytes]]:
    """9,000 columns of empty cells, a byte each."""
    header = b"t," + b",".join(b"c%d" % i for i in range(9_000)) + b"\n"
    yield "a.csv.gz", gzip.compress(header + _lines(b"%d" % START + b"," * 9_000 + b"\n", share), 9, mtime=0)


def _csv_narrow(share: float) -> Iterator[tuple[str, bytes]]:
    yield "a.csv.gz", gzip.compress(b"t,v\n" + _lines(b"%d,1\n" % START, share), 9, mtime=0)


def _csv_rescued(share: float) -> Iterator[tuple[str, bytes]]:
    """A long name of a column that nobody asked for, which each record's `_rescued` repeats."""
    header = b"t,v," + b"n" * 100_000 + b"\n"
    yield "a.csv.gz", gzip.compress(header + _lines(b"%d,1,x\n" % START, share, 30_000), 9, mtime=0)


def _parquet_constant(share: float) -> Iterator[tuple[str, bytes]]:
    """Fifty million rows of constants in 113 kB."""
    rows, groups = 1_000_000, max(1, int(50 * share))
    values = {f"v{n}": pa.repeat(pa.scalar(1.5), rows) for n in range(4)}
    table = pa.table({"t": pa.repeat(pa.scalar(START, pa.int64()), rows), **values})
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(table)
    yield "a.parquet", buffer.getvalue()


def _parquet_one_group(share: float) -> Iterator[tuple[str, bytes]]:
    """The same values as one row group."""
    rows = int(5_000_000 * share)
    values = {f"v{n}": pa.repeat(pa.scalar(1.5), rows) for n in range(4)}
    table = pa.table({"t": pa.repeat(pa.scalar(START, pa.int64()), rows), **values})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=rows)
    yield "a.parquet", buffer.getvalue()


def _parquet_texts(share: float) -> Iterator[tuple[str, bytes]]:
    """One text of 100 kB for each of 20,000 rows, which the file holds once."""
    rows = int(20_000 * share)
    text = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array(["x" * 100_000]))
    table = pa.table({"t": pa.repeat(pa.scalar(START, pa.int64()), rows), "v": text.cast(pa.string())})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    yield "a.parquet", buffer.getvalue()


def _parquet_nulls(share: float) -> Iterator[tuple[str, bytes]]:
    """Nine thousand columns of nulls."""
    rows = int(20_000 * share)
    nulls = pa.nulls(rows, pa.float64())
    table = pa.table({"t": pa.repeat(pa.scalar(START, pa.int64()), rows), **{f"c{n}": nulls for n in range(9_000)}})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=max(rows, 1))
    yield "a.parquet", buffer.getvalue()


def _avro(fields: Sequence[Mapping[str, Any]], payload: bytes, count: int, blocks: int = 1) -> bytes:
    """A container file of so many equal blocks of `count` records."""
    schema = json.dumps({"type": "record", "name": "r", "fields": fields}).encode()
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = stream.compress(payload) + stream.flush()
    head = b"".join(_text(t) for t in (b"avro.schema", schema, b"avro.codec", b"deflate"))
    block = _long(count) + _long(len(data)) + data + _SYNC
    return b"Obj\x01" + _long(2) + head + b"\0" + _SYNC + block * blocks


def _long(number: int) -> bytes:
    number <<= 1
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*coded, number])


def _text(text: bytes) -> bytes:
    return _long(len(text)) + text


_SERIES = [{"name": "seriesId", "type": "string"}, {"name": "timeInSeconds", "type": "long"}]
_RECORD = _text(b"S") + _long(START)
_RAW_FILE = "raw/startYear=2025/startMonth=12/startDay=10/seriesBucket=00/raw_S_1765332618_GOOD.avro"


def _sitewise(fields: Sequence[Mapping[str, Any]], record: bytes, count: int) -> Callable[[float], Iterator[Any]]:
    def write(share: float) -> Iterator[tuple[str, bytes]]:
        rows = max(1, int(count * share))
        yield _RAW_FILE, _avro([*_SERIES, *fields], (_RECORD + record) * rows, rows)

    return write


def _records_avro(fields: Sequence[Mapping[str, Any]], record: bytes, count: int) -> Callable[[float], Iterator[Any]]:
    def write(share: float) -> Iterator[tuple[str, bytes]]:
        rows = max(1, int(count * share))
        fields_ = [{"name": "t", "type": "long"}, {"name": "v", "type": "long"}, *fields]
        yield "a.avro", _avro(fields_, (_long(START) + _long(1) + record) * rows, rows)

    return write


_LONG_NAME = {"type": "record", "name": "i", "fields": [{"name": "A" * 500_000, "type": "null"}]}
_ARRAY_OF_NULL = {"type": "array", "items": "null"}
_THOUSAND_NULLS = _long(1_000) + b"\0"


def _haltian(name: str) -> Callable[[float], Iterator[tuple[str, bytes]]]:
    """Ten million equal rows of one device, with a column that nobody knows."""

    def write(share: float) -> Iterator[tuple[str, bytes]]:
        yield "measurementCO2/2025/12/2025_12_10_02_measurementCO2.parquet", _measurements(name, share)

    return write


def _measurements(name: str, share: float) -> bytes:
    rows, groups = 1_000_000, max(1, int(10 * share))
    table = pa.table(
        {
            "deviceId": pa.repeat(pa.scalar("d"), rows),
            "ts": pa.repeat(pa.scalar(START * 10**6, pa.timestamp("us", "UTC")), rows),
            "organizationId": pa.repeat(pa.scalar("o"), rows),
            "co2": pa.repeat(pa.scalar(400.5), rows),
            name: pa.repeat(pa.scalar(1.5), rows),
        }
    )
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(table)
    return buffer.getvalue()


def _mortar(share: float) -> Iterator[tuple[str, bytes]]:
    """Four million readings in 60 MB of text."""
    text = b"datetime,speed\n" + _lines(b"2025-12-10,1\n", share)
    yield "b/12345678-1234-1234-1234-123456789abc.csv.gz", gzip.compress(text, 9, mtime=0)


def _small_records(share: float) -> Iterator[tuple[str, bytes]]:
    """Many small files of many small records of one series: 16 MB of gzip in one group."""
    text = b"".join(b'{"t":%d,"v":%d}\n' % (START + n, n % 7) for n in range(200_000))
    data = gzip.compress(text, 6, mtime=0)
    for number in range(int(16_000_000 * share) // len(data)):
        yield f"{number:04}.json.gz", data


_LONG = {"format": "ndjson", "time": ["t"], "value": "v"}
_WIDE = {"format": "ndjson", "time": ["t"], "wide": ["*"]}

BOMBS = [
    Bomb("sparse", "sparse keys", "datalog", _sparse, 30_000),
    Bomb("sparse-files", "files with keys of their own", "datalog", _sparse_files, 100_000),
    Bomb("narrow", "many narrow records after a wide one", "datalog", _narrow_after_wide, 2_000_001),
    Bomb("braces", "empty objects", "datalog", lambda s: _datalog(_lines(b"{}\n", s)), 20_971_520, 20_971_520),
    Bomb("no-json", "lines that are no JSON", "datalog", lambda s: _datalog(_lines(b"x\n", s)), 31_457_280, 31_457_280),
    Bomb("blank", "blank lines", "datalog", lambda s: _datalog(_lines(b"\n", s)), 0),
    Bomb("equal", "equal lines", "datalog", lambda s: _datalog(_lines(b'{"heartbeat":%d}\n' % START, s)), 2_516_582),
    Bomb("records-wide", "9,000 keys", "records.b", _records_text, 0, options=_WIDE),
    Bomb("records-sparse", "sparse keys", "records.b", _records_sparse, 60_000, options=_WIDE),
    Bomb("records-braces", "empty objects", "records.b", _records_line(b"{}\n"), 20_971_520, options=_LONG),
    Bomb("records-small", "small records", "records.b", _records_line(b'{"t":%d,"v":1}\n' % START), 0, options=_LONG),
    Bomb("records-many", "a group of small records", "records.b", _small_records, 0, options=_LONG),
    Bomb("csv-wide", "empty cells", "records.b", _csv_wide, 0, options={**_WIDE, "format": "csv"}),
    Bomb("csv-empty", "empty cells kept", "records.b", _csv_wide, 0, options={**_WIDE, "format": "csv", "skip_empty": False}),
    Bomb("csv-narrow", "small records", "records.b", _csv_narrow, 0, options={**_LONG, "format": "csv"}),
    Bomb("csv-rescued", "a long name", "records.b", _csv_rescued, 0, options={**_LONG, "format": "csv"}),
    Bomb("parquet", "constant columns", "records.b", _parquet_constant, 50_000_000, options={**_LONG, "format": "parquet", "value": "v1"}),
    Bomb("parquet-group", "one row group", "records.b", _parquet_one_group, 5_000_000, options={**_LONG, "format": "parquet", "value": "v1"}),
    Bomb("parquet-texts", "long texts", "records.b", _parquet_texts, None, options={**_LONG, "format": "parquet"}),
    Bomb("parquet-nulls", "columns of nulls", "records.b", _parquet_nulls, None, options={**_WIDE, "format": "parquet"}),
    Bomb("avro-array", "arrays of nulls", "sitewise", _sitewise([{"name": "x", "type": _ARRAY_OF_NULL}], _THOUSAND_NULLS, 50_000), 50_000),
    Bomb("avro-nulls", "25,000 null fields", "sitewise", _sitewise([{"name": f"c{i}", "type": "null"} for i in range(25_000)], b"", 20_000), 20_000),
    Bomb("avro-name", "a long name", "sitewise", _sitewise([{"name": "x", "type": [_LONG_NAME, "string"]}], b"\0", 20_000), 20_000),
    Bomb("avro-enum", "a long symbol", "sitewise", _sitewise([{"name": "stringValue", "type": {"type": "enum", "name": "e", "symbols": ["A" * 500_000, "B"]}}], b"\0", 20_000), 20_000),
    Bomb("records-avro-array", "arrays of nulls", "records.b", _records_avro([{"name": "x", "type": _ARRAY_OF_NULL}], _THOUSAND_NULLS, 50_000), 50_000, options={**_LONG, "format": "avro"}),
    Bomb("records-avro-name", "a long name", "records.b", _records_avro([{"name": "x", "type": [_LONG_NAME, "string"]}], b"\0", 20_000), 20_000, options={**_LONG, "format": "avro"}),
    Bomb("records-avro-nulls", "25,000 null fields", "records.b", _records_avro([{"name": f"c{i}", "type": "null"} for i in range(25_000)], b"", 20_000), 20_000, options={**_WIDE, "format": "avro", "skip_empty": False}),
    Bomb("haltian", "equal rows", "haltian", _haltian("extra"), 10_000_000),
    Bomb("haltian-name", "a long name", "haltian", _haltian("n" * 100_000), None),
    Bomb("mortar", "small records", "mortar", _mortar, 0),
]
