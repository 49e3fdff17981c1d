"""Small files that ask for much memory: few bytes with many records, columns, cells or long names.

Most are legal and must be taken whole. The others are refused with their reason: record by record, or as a file where
what they would become is beyond any sense.
"""

import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

START = 1_765_332_618  # 2025-12-10 02:10:18 UTC
_TEXT = 60 << 20  # of most texts: a little less than what may be packed as tightly as one likes
_SYNC = b"\x07" * 16

File = tuple[str, bytes, int | None]
"""A path, the bytes, and how many records they hold; None where the file is to be refused as a whole."""


@dataclass(frozen=True)
class Bomb:
    """Files for one source. `write(share)` makes them, with that share of their records; `options` are those of the
    block of `records`, `share` what a short test takes."""

    name: str
    about: str
    source: str
    write: Callable[[float], Iterator[File]]
    options: Mapping[str, Any] = field(default_factory=dict)
    share: float = 1.0

    @property
    def configuration(self) -> dict[str, Any]:
        """What the configuration must hold for the source."""
        block = self.source.partition(".")[2]
        return {"sources": {"records": {block: dict(self.options)}}} if block else {}

    def write_to(self, root: Path, share: float) -> list[File]:
        """Write the files below a folder."""
        files = list(self.write(share))
        for path, data, _ in files:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return files


def _gz(path: str, text: bytes, records: int | None) -> File:
    return path, gzip.compress(text, 9, mtime=0), records


def _hour(device: int) -> str:
    return f"BRCB/D{device}/2025121002/2025121002.txt.gz"


def _count(share: float, line: bytes, size: int = _TEXT) -> int:
    return max(1, int(size * share) // len(line))


def _lines(path: str, line: bytes, head: bytes = b"", *, blank: bool = False) -> Callable[[float], Iterator[File]]:
    """One file of equal lines."""

    def write(share: float) -> Iterator[File]:
        count = _count(share, line)
        yield _gz(path, head + line * count, 0 if blank else count)

    return write


def _sparse(share: float) -> Iterator[File]:
    """Each record has one key more, of 4,900: a table of 30,000 rows and 4,900 columns, nearly all null."""
    count = int(30_000 * share)
    yield _gz(_hour(0), b"".join(b'{"heartbeat":%d,"k%d":1}\n' % (START + i, i % 4_900) for i in range(count)), count)


def _sparse_files(share: float) -> Iterator[File]:
    """Two hundred files of one unit, each with 20 columns of its own: united they are 4,000."""
    for number in range(max(int(200 * share), 2)):
        keys = b",".join(b'"k%d":1' % (20 * number + n) for n in range(20))
        yield _gz(_hour(number), b"".join(b'{"heartbeat":%d,%s}\n' % (START + i, keys) for i in range(500)), 500)


def _narrow_after_wide(share: float) -> Iterator[File]:
    """A record of 4,900 keys, and a file of many records of one."""
    yield _gz(_hour(0), b'{"heartbeat":%d,%s}\n' % (START, b",".join(b'"k%d":1' % n for n in range(4_900))), 1)
    count = int(2_000_000 * share)
    yield _gz(_hour(1), b"".join(b'{"heartbeat":%d}\n' % (START * 1_000 + n) for n in range(count)), count)


def _records_sparse(share: float) -> Iterator[File]:
    count = int(60_000 * share)
    yield _gz("a.json.gz", b"".join(b'{"t":%d,"k%d":1}\n' % (START + i, i % 4_900) for i in range(count)), count)


def _small_files(share: float) -> Iterator[File]:
    """16 MB of gzip in small files of small records of one series, each file the same: one group of one task."""
    count = 200_000
    text = b"".join(b'{"t":%d,"v":%d}\n' % (START + n, n % 7) for n in range(count))
    data = gzip.compress(text, 6, mtime=0)
    for number in range(max(int(16_000_000 * share) // len(data), 2)):
        yield f"{number:04}.json.gz", data, count


def _many_series(share: float) -> Iterator[File]:
    """Different records of one file, none of which repeats another."""
    count = int(3_000_000 * share)
    yield _gz("a.json.gz", b"".join(b'{"t":%d,"v":%d}\n' % (START + n % 80_000, n) for n in range(count)), count)


def _one_instant(share: float) -> Iterator[File]:
    """Different readings of one series at one instant."""
    count = int(3_000_000 * share)
    yield _gz("a.json.gz", b"".join(b'{"t":%d,"v":%d}\n' % (START, n) for n in range(count)), count)


def _parquet(values: Mapping[str, pa.Array], groups: int, path: str = "a.parquet") -> tuple[str, bytes, int]:
    """A file of so many equal row groups."""
    table = pa.table(dict(values))
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for _ in range(groups):
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
    return path, buffer.getvalue(), groups * table.num_rows


def _constants(rows: int) -> dict[str, pa.Array]:
    values = {f"v{n}": pa.repeat(pa.scalar(1.5), rows) for n in range(4)}
    return {"t": pa.repeat(pa.scalar(START, pa.int64()), rows), **values}


def _constant_groups(share: float) -> Iterator[File]:
    yield _parquet(_constants(1_000_000), max(1, int(50 * share)))


def _constant_group(share: float) -> Iterator[File]:
    yield _parquet(_constants(int(5_000_000 * share)), 1)


def _long_texts(share: float) -> Iterator[File]:
    """A text of 100 kB in 20,000 rows, which the file has once."""
    rows = int(20_000 * share)
    texts = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array(["x" * 100_000]))
    path, data, _ = _parquet({"t": pa.repeat(pa.scalar(START, pa.int64()), rows), "v": texts}, 1)
    yield path, data, None


def _null_columns(share: float) -> Iterator[File]:
    rows = int(20_000 * share)
    nulls = pa.nulls(rows, pa.float64())
    yield _parquet({**_constants(rows), **{f"c{n}": nulls for n in range(9_000)}}, 1)


def _measurements(name: str) -> Callable[[float], Iterator[File]]:
    """Equal rows of one device, with a column that nobody knows."""

    def write(share: float) -> Iterator[File]:
        rows = 1_000_000
        values = {
            "deviceId": pa.repeat(pa.scalar("d"), rows),
            "ts": pa.repeat(pa.scalar(START * 10**6, pa.timestamp("us", "UTC")), rows),
            "organizationId": pa.repeat(pa.scalar("o"), rows),
            "co2": pa.repeat(pa.scalar(400.5), rows),
            name: pa.repeat(pa.scalar(1.5), rows),
        }
        path = "measurementCO2/2025/12/2025_12_10_02_measurementCO2.parquet"
        _, data, count = _parquet(values, max(1, int(10 * share)))
        yield path, data, count if len(name) < 100 else None

    return write


def _snapshot(share: float) -> Iterator[File]:
    """A history's snapshot that shows one row ten million times."""
    rows = 1_000_000
    texts = {"id": "d", "name": "n", "model": "m", "installationStatus": "i"}
    values = {name: pa.repeat(pa.scalar(text), rows) for name, text in texts.items()}
    values["createdTs"] = pa.repeat(pa.scalar(START * 10**6, pa.timestamp("us", "UTC")), rows)
    path = "device/2025/12/2025_12_10_02_device.parquet"
    yield _parquet(values, max(1, int(10 * share)), path)


def _avro(path: str, fields: Sequence[Mapping[str, Any]], record: bytes, rows: int, *, is_taken: bool) -> File:
    """A container file of one block of equal records."""
    schema = json.dumps({"type": "record", "name": "r", "fields": fields}).encode()
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join(map(stream.compress, repeat(record, rows))) + stream.flush()
    head = b"".join(_text(t) for t in (b"avro.schema", schema, b"avro.codec", b"deflate"))
    block = _long(rows) + _long(len(data)) + data + _SYNC
    return path, b"Obj\x01" + _long(2) + head + b"\0" + _SYNC + block, rows if is_taken else None


def _long(number: int) -> bytes:
    number <<= 1
    coded = bytearray()
    while number > 0x7F:
        coded.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*coded, number])


def _text(text: bytes) -> bytes:
    return _long(len(text)) + text


def _sitewise(fields: Sequence[Mapping[str, Any]], record: bytes, count: int, *, is_taken: bool = True) -> Any:
    path = "raw/startYear=2025/startMonth=12/startDay=10/seriesBucket=00/raw_S_1765332618_GOOD.avro"
    own = [{"name": "seriesId", "type": "string"}, {"name": "timeInSeconds", "type": "long"}]

    def write(share: float) -> Iterator[File]:
        rows = max(1, int(count * share))
        yield _avro(path, [*own, *fields], _text(b"S") + _long(START) + record, rows, is_taken=is_taken)

    return write


def _records_avro(fields: Sequence[Mapping[str, Any]], record: bytes, count: int, *, is_taken: bool = True) -> Any:
    own = [{"name": "t", "type": "long"}, {"name": "v", "type": "long"}]

    def write(share: float) -> Iterator[File]:
        rows = max(1, int(count * share))
        yield _avro("a.avro", [*own, *fields], _long(START) + _long(1) + record, rows, is_taken=is_taken)

    return write


_LONG_NAME = {"type": "record", "name": "i", "fields": [{"name": "A" * 500_000, "type": "null"}]}
_NAMED = [{"name": "x", "type": [_LONG_NAME, "string"]}]
_ARRAYS = [{"name": "x", "type": {"type": "array", "items": "null"}}]
_SHORT_ARRAY, _LONG_ARRAY = _long(100) + b"\0", _long(1_000) + b"\0"
_NULLS = [{"name": f"c{i}", "type": "null"} for i in range(25_000)]
_ENUM = [{"name": "stringValue", "type": {"type": "enum", "name": "e", "symbols": ["A" * 500_000, "B"]}}]

_ONE = {"format": "ndjson", "time": ["t"], "value": "v"}
_ALL = {"format": "ndjson", "time": ["t"], "wide": ["*"]}
_CSV, _PARQUET, _AVRO = ({"format": name} for name in ("csv", "parquet", "avro"))
_LAST = {"duplicates": "last"}
_HEARTBEAT = b'{"heartbeat":%d}\n' % START
_KEYS = b'{"t":%d,' % START + b",".join(b'"c%d":1' % n for n in range(9_000)) + b"}\n"
_HEADER = b"t," + b",".join(b"c%d" % i for i in range(9_000)) + b"\n"
_EMPTY_CELLS = b"%d" % START + b"," * 9_000 + b"\n"


def _long_column(share: float) -> Iterator[File]:
    """A name of 100 kB, of a column that is asked for by nobody, which the rescue of each record would repeat."""
    count = int(30_000 * share)
    head = b"t,v," + b"n" * 100_000 + b"\n"
    yield _gz("a.csv.gz", head + b"%d,1,x\n" % START * count, None)


BOMBS = [
    Bomb("sparse", "30,000 records with one key each of 4,900", "datalog", _sparse),
    Bomb("sparse-files", "200 files with 20 keys of their own each", "datalog", _sparse_files, share=0.2),
    Bomb("narrow", "2,000,000 records of one key in a table of 4,900", "datalog", _narrow_after_wide, share=0.1),
    Bomb("braces", "20,000,000 empty objects", "datalog", _lines(_hour(0), b"{}\n"), share=0.05),
    Bomb("no-json", "31,000,000 lines that are no JSON", "datalog", _lines(_hour(0), b"x\n"), share=0.05),
    Bomb("blank", "60,000,000 blank lines", "datalog", _lines(_hour(0), b"\n", blank=True)),
    Bomb("equal", "2,500,000 equal lines", "datalog", _lines(_hour(0), _HEARTBEAT), share=0.5),
    Bomb("json-wide", "records of 9,000 keys", "records.b", _lines("a.json.gz", _KEYS), _ALL, share=0.3),
    Bomb("json-sparse", "60,000 records with one key each of 4,900", "records.b", _records_sparse, _ALL),
    Bomb("json-braces", "20,000,000 empty objects", "records.b", _lines("a.json.gz", b"{}\n"), _ONE, share=0.3),
    Bomb("json-equal", "2,700,000 equal readings", "records.b", _lines("a.json.gz", b'{"t":%d,"v":1}\n' % START), _ONE),
    Bomb("json-group", "a group of 16 MB of small records", "records.b", _small_files, _ONE, share=0.5),
    Bomb("json-many", "3,000,000 different readings", "records.b", _many_series, _ONE, share=0.5),
    Bomb("json-instant", "3,000,000 readings of one instant", "records.b", _one_instant, _ONE, share=0.3),
    Bomb("json-last", "the same, of which the last stays", "records.b", _one_instant, _ONE | _LAST, share=0.3),
    Bomb(
        "csv-wide", "9,000 empty cells a row", "records.b", _lines("a.csv.gz", _EMPTY_CELLS, _HEADER), _ALL | _CSV, 0.1
    ),
    Bomb(
        "csv-equal",
        "4,700,000 equal readings",
        "records.b",
        _lines("a.csv.gz", b"%d,1\n" % START, b"t,v\n"),
        _ONE | _CSV,
        0.5,
    ),
    Bomb("csv-name", "a column's name of 100 kB", "records.b", _long_column, _ONE | _CSV),
    Bomb(
        "parquet",
        "50,000,000 rows of constants",
        "records.b",
        _constant_groups,
        _ONE | _PARQUET | {"value": "v1"},
        0.04,
    ),
    Bomb(
        "parquet-group",
        "5,000,000 rows in one group",
        "records.b",
        _constant_group,
        _ONE | _PARQUET | {"value": "v1"},
        0.4,
    ),
    Bomb("parquet-texts", "a text of 100 kB in 20,000 rows", "records.b", _long_texts, _ONE | _PARQUET),
    Bomb("parquet-nulls", "9,000 columns of nulls", "records.b", _null_columns, _ALL | _PARQUET, 0.1),
    Bomb("avro-arrays", "arrays of 1,000 nulls", "sitewise", _sitewise(_ARRAYS, _LONG_ARRAY, 50_000, is_taken=False)),
    Bomb("avro-short", "arrays of 100 nulls", "sitewise", _sitewise(_ARRAYS, _SHORT_ARRAY, 50_000)),
    Bomb("avro-nulls", "25,000 fields of nulls", "sitewise", _sitewise(_NULLS, b"", 20_000)),
    Bomb("avro-name", "a field's name of 500 kB", "sitewise", _sitewise(_NAMED, b"\0", 20_000, is_taken=False)),
    Bomb("avro-enum", "a symbol of 500 kB", "sitewise", _sitewise(_ENUM, b"\0", 20_000, is_taken=False)),
    Bomb(
        "records-arrays", "arrays of 100 nulls", "records.b", _records_avro(_ARRAYS, _SHORT_ARRAY, 50_000), _ONE | _AVRO
    ),
    Bomb(
        "records-name",
        "a field's name of 500 kB",
        "records.b",
        _records_avro(_NAMED, b"\0", 20_000, is_taken=False),
        _ONE | _AVRO,
    ),
    Bomb("haltian", "10,000,000 equal rows", "haltian", _measurements("extra"), share=0.3),
    Bomb("haltian-name", "a column's name of 100 kB", "haltian", _measurements("n" * 100_000), share=0.3),
    Bomb("haltian-device", "a snapshot of 10,000,000 equal rows", "haltian", _snapshot, share=0.3),
    Bomb(
        "mortar",
        "4,000,000 equal readings",
        "mortar",
        _lines("b/12345678-1234-1234-1234-123456789abc.csv.gz", b"2025-12-10,1\n", b"datetime,speed\n"),
        share=0.5,
    ),
]
