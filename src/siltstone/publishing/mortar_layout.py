"""Readings as Mortar keeps them: a folder per building and stream, files ordered by time, one `_metadata` over all.

The files of a stream never overlap in time. `collection` and `uuid` are in the path and in each file's footer
(metadata, as texts). As columns they are in it on demand only: DuckDB, polars, Spark and pyarrow's datasets read such
files too, but `pyarrow.parquet.read_table` and pandas take the path's values for dictionaries and then refuse the
file's texts. A collection such as 007 is a number to readers that guess: give them the two as texts (DuckDB
`hive_types`, polars `hive_schema`, Spark and pyarrow a schema), or have the columns in the files.
In `_metadata` the row groups are in order of path. DuckDB's `parquet_metadata` shows no paths: which stream a row group
is of, it tells by the bounds of `uri`, or of `uuid` where that is in the files.
"""

import hashlib
import re
import struct
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from siltstone.model.arrow import coded, to_arrow, to_numpy
from siltstone.model.contracts import TIMESTAMP
from siltstone.model.periods import DAY_US

FIRST_US, LAST_US = -(1 << 63), (1 << 63) - 1  # before and after every instant
_UUID = "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
FILE_PATTERN = rf"collection=[^/]+/uuid={_UUID}/[0-9T]+-[0-9a-f]{{32}}\.parquet"
_GROUP_ROWS = 1 << 20
_FEW_ROWS = 16_384  # to set zstd up takes longer than all else for a file of some hundred rows, and gains nothing
_MAGIC = b"PAR1"
_EPOCH = date(1970, 1, 1)
_KEYS = ("collection", "uuid")
_ROW = ("time", "value", "uri", "label")

Int64s = npt.NDArray[np.int64]


def mortar_schema(*, keys_in_files: bool) -> pa.Schema:
    """The columns of every file, in order; `_metadata` and `_common_metadata` have the same."""
    keys = [(name, pa.string()) for name in _KEYS] if keys_in_files else []
    return pa.schema(
        [*keys, ("time", TIMESTAMP), ("value", pa.float64()), ("uri", pa.string()), ("label", pa.string())]
    )


@lru_cache(maxsize=65_536)
def stream_of(series: str) -> str:
    """A series as Mortar names a stream: itself where it is a UUID, else the UUID (version 5, URL) of its name."""
    return series if re.fullmatch(_UUID, series) else str(uuid.uuid5(uuid.NAMESPACE_URL, series))


@dataclass(frozen=True)
class Windows:
    """Spans of time [start, end) in microseconds since 1970, in order and apart."""

    starts: Int64s
    ends: Int64s

    @classmethod
    def of_partitions(cls, dates: Iterable[date], *, is_monthly: bool) -> "Windows":
        """What partitions of these dates cover: each a day, or the month that the date begins."""
        days = sorted(set(dates))
        spans = [(d, (d + timedelta(days=31)).replace(day=1) if is_monthly else d + timedelta(days=1)) for d in days]
        edges = np.array([((a - _EPOCH).days, (b - _EPOCH).days) for a, b in spans], np.int64).reshape(-1, 2) * DAY_US
        return cls(edges[:, 0], edges[:, 1])

    def between(self, start: int, end: int) -> "Windows":
        """The parts in [start, end)."""
        starts, ends = np.maximum(self.starts, start), np.minimum(self.ends, end)
        return Windows(starts[starts < ends], ends[starts < ends])

    def hold(self, times: Int64s) -> npt.NDArray[np.bool_]:
        """Which of the instants are in a span."""
        place = np.searchsorted(self.starts, times, side="right") - 1
        inside: npt.NDArray[np.bool_] = (place >= 0) & (times < np.append(self.ends, FIRST_US)[place])
        return inside

    def touch(self, first: int, last: int) -> bool:
        """Whether a span has an instant in [first, last]."""
        place = int(np.searchsorted(self.ends, first, side="right"))
        return place < len(self.ends) and bool(self.starts[place] <= last)


def is_monthly(dates: Iterable[date]) -> bool:
    """Whether partitions of all these dates are taken for months; where each is the first of one, it comes to the
    same."""
    return all(d.day == 1 for d in dates)


@dataclass(frozen=True)
class Piece:
    """Rows of one series in order of time: all that it has in [start, end)."""

    series: str
    rows: pa.Table
    start: int
    end: int


def pieces(chunks: Iterable[pa.Table], most_rows: int, cut: Callable[[str, int], int]) -> Iterator[Piece]:
    """Each series as one piece, one of more than `most_rows` rows in several.

    `chunks` are sorted by series_id and ts, with value, device_id and measurement. `cut` gives, for a series and an
    instant, the latest instant up to it before which its rows may end.
    """
    series, start = "", FIRST_US
    held: list[pa.Table] = []
    for chunk in chunks:
        names, codes = coded(chunk.column("series_id"))
        rows = _mortar_rows(chunk)
        edges = [*np.flatnonzero(np.diff(codes, prepend=-1)).tolist(), len(codes)]
        for a, b in pairwise(edges):
            name = names[codes[a]] or ""
            if held and name != series:
                yield Piece(series, _joined(held), start, LAST_US)
                held, start = [], FIRST_US
            series = name
            held.append(rows.slice(a, b - a))
        if sum(map(len, held)) > most_rows:
            whole = _joined(held)
            times = to_numpy(whole.column("time"))
            at = cut(series, int(times[min(len(times) // most_rows * most_rows, len(times) - 1)]))
            rows_before = int(np.searchsorted(times, at))
            if rows_before:
                yield Piece(series, _joined([whole.slice(0, rows_before)]), start, at)
                start = at
            held = [whole.slice(rows_before)]
    if held:
        yield Piece(series, _joined(held), start, LAST_US)


def _mortar_rows(chunk: pa.Table) -> pa.Table:
    """Time in microseconds, value, uri, label; the texts as dictionaries, since a stream repeats them in each row."""
    texts = (chunk.column(name).combine_chunks().dictionary_encode() for name in ("device_id", "measurement"))
    return pa.table([chunk.column("ts").cast(pa.int64()), chunk.column("value"), *texts], names=list(_ROW))


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    """The tables as one, whose dictionaries hold what occurs in it only: a file is written with the whole of them."""
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    for place in (2, 3):
        column = _dictionary(table.column(place))
        used = pc.drop_null(pc.unique(column.indices))
        texts = pa.DictionaryArray.from_arrays(pc.index_in(column.indices, used), column.dictionary.take(used))
        table = table.set_column(place, _ROW[place], texts)
    return table


def _dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A column of dictionaries as one array."""
    return (
        column.chunk(0)
        if column.num_chunks == 1
        else pa.table([column], ["c"]).unify_dictionaries()[0].combine_chunks()
    )


@dataclass(frozen=True)
class Revision:
    """What makes files say what they should: those in `dropped` (by index) go, each table in `written` becomes one or
    more; rows added and removed."""

    dropped: Sequence[int]
    written: Sequence[pa.Table]
    added: int
    removed: int


def revised(wanted: pa.Table, existing: Sequence[pa.Table], windows: Windows, firsts: Sequence[int]) -> Revision:
    """The revision after which the rows in the windows are the wanted ones, each as often.

    `existing` are the files of the stream that touch a window, in order of time, `firsts` the first instants of all
    its files. A file is written anew where it holds a row that is not wanted any more, or covers the instant of a new
    one; other new rows make files of their own, so that files never overlap.
    """
    texts = _texts([wanted, *existing])
    want = _plain(wanted, texts)
    have = pl.concat([_plain(t, texts).with_columns(file=pl.lit(i)) for i, t in enumerate(existing)])
    have = have.with_row_index("row")
    inside = have.filter(pl.Series(windows.hold(have["time"].to_numpy()), dtype=pl.Boolean()))
    key = ["time", "bits", "uri", "label"]
    if want.select(key).equals(inside.select(key)):
        return Revision([], [], 0, 0)
    nth = pl.int_range(pl.len()).over(key).alias("nth")
    want, inside = want.with_columns(nth), inside.with_columns(nth)
    stale = inside.join(want, on=[*key, "nth"], how="anti", nulls_equal=True)
    new = want.join(inside, on=[*key, "nth"], how="anti", nulls_equal=True)
    lows, highs = (np.array([f(t.column("time")).as_py() for t in existing], np.int64) for f in (pc.min, pc.max))
    times = new["time"].to_numpy()
    place = np.searchsorted(lows, times, side="right") - 1
    place = np.where((place >= 0) & (times <= highs[place]), place, -1)
    new = new.with_columns(file=pl.Series(place, dtype=pl.Int32()), gap=np.searchsorted(firsts, times, side="right"))
    dropped = sorted({*stale["file"].to_list(), *new["file"].to_list()} - {-1})
    kept, columns = have.filter(~pl.col("row").is_in(stale["row"].implode())), [*_ROW, "bits"]
    written = [pl.concat([kept.filter(file=i).select(columns), new.filter(file=i).select(columns)]) for i in dropped]
    written += new.filter(file=-1).partition_by("gap", maintain_order=True)
    return Revision(dropped, [_ordered(rows, texts) for rows in written if rows.height], new.height, stale.height)


def _texts(tables: Sequence[pa.Table]) -> list[str]:
    """Every text that the tables hold as uri or label, in order: its place stands for it, so that a long stream is
    compared without a copy of them in each row."""
    columns = [_dictionary(t.column(name)) for t in tables for name in ("uri", "label")]
    return sorted({text for column in columns for text in column.dictionary.to_pylist()})


def _plain(table: pa.Table, texts: Sequence[str]) -> pl.DataFrame:
    """The rows as numbers; `bits` are those of the value, which tell -0.0 from 0.0 and null from all."""
    codes = {text: code for code, text in enumerate(texts)}
    columns = {"time": pl.Series(table.column("time")), "value": pl.Series(table.column("value"))}
    for name in ("uri", "label"):
        column = _dictionary(table.column(name))
        own = np.array([*(codes[text] for text in column.dictionary.to_pylist()), -1], np.int32)
        columns[name] = pl.Series(own[pl.Series(column.indices).fill_null(len(own) - 1).to_numpy()])
    value = columns["value"]
    bits = pl.Series(value.fill_null(0.0).to_numpy().view(np.int64))
    frame = pl.DataFrame(columns)
    return frame.with_columns(bits=pl.when(value.is_null()).then(None).otherwise(bits))


def _ordered(rows: pl.DataFrame, texts: Sequence[str]) -> pa.Table:
    """Rows as `_plain` gives them, in the one order that equal rows always have."""
    rows = rows.sort("time", "value", "bits", "uri", "label")
    dictionary = pa.array(texts, pa.large_string())
    columns = [rows[name].to_arrow() for name in ("time", "value")]
    for name in ("uri", "label"):
        codes = rows.select(pl.when(pl.col(name) >= 0).then(name)).to_series().to_arrow()
        columns.append(pa.DictionaryArray.from_arrays(codes, dictionary))
    return _joined([pa.table(columns, names=list(_ROW))])


def in_files(rows: pa.Table, most_rows: int) -> Iterator[pa.Table]:
    """The rows, ordered by time, in parts of about `most_rows`; those of one instant are never parted."""
    times = to_numpy(rows.column("time"))
    if len(times) > 1 and (np.diff(times) <= 0).any():
        texts = _texts([rows])
        rows = _ordered(_plain(rows, texts), texts)
    start = 0
    while start < len(times):
        end = start + most_rows
        if end < len(times):
            first = int(np.searchsorted(times, times[end]))
            last = int(np.searchsorted(times, times[end], side="right"))
            end = first if first > start else last
        yield rows.slice(start, end - start)
        start = end


def encoded(rows: pa.Table, collection: str, stream: str, *, keys_in_files: bool) -> bytes:
    """A Parquet file of rows as `in_files` gives them; equal rows give equal bytes."""
    columns: dict[str, Any] = {"time": rows.column("time").cast(TIMESTAMP), "value": rows.column("value")}
    columns |= {name: rows.column(name) for name in ("uri", "label")}
    if keys_in_files:
        zeros = to_arrow(np.zeros(len(rows), np.int32))
        keys = zip(_KEYS, (collection, stream), strict=True)
        columns = {name: pa.DictionaryArray.from_arrays(zeros, pa.array([text])) for name, text in keys} | columns
    table = pa.table(columns)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd" if len(rows) > _FEW_ROWS else "snappy",
        use_dictionary=[name for name in table.column_names if name != "time"],
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        write_statistics=True,
        store_schema=False,
        sorting_columns=[pq.SortingColumn(table.column_names.index("time"))],
    ) as writer:
        writer.write_table(table, row_group_size=_GROUP_ROWS)
        writer.add_key_value_metadata({"collection": collection, "uuid": stream})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def file_path(collection: str, stream: str, first_us: int, data: bytes, taken: Callable[[str], bool]) -> str:
    """Where a file goes: its name tells its first instant and its content, and the next one where that is taken."""
    start = datetime.fromtimestamp(first_us // 1_000_000, UTC).strftime("%Y%m%dT%H%M%S") + f"{first_us % 1_000_000:06d}"
    for again in range(1 << 16):
        digest = hashlib.sha256(data + bytes([again & 255, again >> 8]) * bool(again)).hexdigest()[:32]
        path = f"collection={collection}/uuid={stream}/{start}-{digest}.parquet"
        if not taken(path):
            return path
    raise ValueError(f"no name is left for a file of {stream}")


def footer_of(data: bytes) -> bytes:
    """The end of a Parquet file, which tells all about it but its rows."""
    (length,) = struct.unpack("<I", data[-8:-4])
    return data[-8 - length :]


def whole_metadata(footers: Iterable[tuple[str, bytes]], *, keys_in_files: bool) -> bytes:
    """`_metadata`: the row groups of all files with their paths, in the order given."""
    schema = common_metadata(keys_in_files=keys_in_files)
    whole = pq.read_metadata(pa.BufferReader(schema))
    for path, footer in footers:
        metadata = pq.read_metadata(pa.BufferReader(_MAGIC + footer))
        metadata.set_file_path(path)
        whole.append_row_groups(metadata)
    sink = pa.BufferOutputStream()
    whole.write_metadata_file(sink)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def common_metadata(*, keys_in_files: bool) -> bytes:
    """`_common_metadata`: the schema alone."""
    sink = pa.BufferOutputStream()
    pq.write_metadata(mortar_schema(keys_in_files=keys_in_files), sink, store_schema=False)
    data: bytes = sink.getvalue().to_pybytes()
    return data
