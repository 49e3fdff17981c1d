"""Data files that follow one another in order become one without a page of them being decoded: their row groups are
copied, each page held against its checksum and its footer, under one footer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import time
from typing import Any

import pyarrow.parquet as pq

from siltstone.formats.parquet.page_checks import are_sound
from siltstone.formats.parquet.thrift import Struct, encoded
from siltstone.model.contracts import Contract
from siltstone.model.data_files import LoggedFile, NewFile, Partition, staged
from siltstone.model.schema import Schema
from siltstone.model.statistics import Bounds, Instant, delta_statistics
from siltstone.storage import Sink, Storage
from siltstone.table.reader import MAGIC, naming, stored_footer
from siltstone.table.writer import WriterSettings, file_schema, path_for

_FEWEST_ROWS = 50_000  # of a row group that is worth keeping as it is
_SMALLEST_SHARE = 1 / 4  # or of the bytes of a usual one

# Field ids of Parquet's own structs (parquet.thrift): FileMetaData, RowGroup, ColumnChunk, ColumnMetaData, PageHeader.
_ROWS, _GROUPS = 3, 4
_CHUNKS, _GROUP_AT = 1, 5
_META = 3
_CHUNK_BYTES, _DATA_AT, _DICTIONARY_AT = 7, 9, 11
_INDEXES = {4, 6}  # of a ColumnChunk, where the file has page indexes
_ELSEWHERE = {10, 14}  # of a ColumnMetaData: index pages, bloom filters


class _Unsound(Exception):
    """A page is not what its header and the footer say."""


@dataclass(frozen=True)
class _Part:
    """A data file: its footer, as pyarrow and as Thrift have it, and where the row groups end."""

    path: str
    footer: pq.FileMetaData
    struct: Struct
    end: int

    @property
    def groups(self) -> list[pq.RowGroupMetaData]:
        return [self.footer.row_group(g) for g in range(self.footer.num_row_groups)]

    @property
    def chunks(self) -> Iterator[Struct]:
        for group in self.struct[_GROUPS][1][1]:
            yield from group[_CHUNKS][1][1]


def joined(
    writing: WriterSettings, files: Sequence[LoggedFile], contract: Contract, partition: Partition, schema: Schema
) -> tuple[NewFile, int] | None:
    """One file of all, and the cells of its record columns. None where that can't be: they overlap, have other columns
    than the table by now, are so small that their row groups should become one, or so large that the file might become
    larger than a data file may be. None also where one is gone, has another number of rows than
    the log says, or a page is not sound: merging tells what is wrong."""
    table = writing.table
    sizes = [table.size(file.path) for file in files]
    if not all(sizes) or sum(sizes) > writing.sizes.largest:
        return None
    parts = [_part(table, file.path, size) for file, size in zip(files, sizes, strict=True)]
    if any(part.footer.num_rows != file.rows for part, file in zip(parts, files, strict=True)):
        return None
    if not all(_is_plain(part, contract) for part in parts):
        return None
    names = file_schema(contract, schema).names
    if any(part.struct[2] != parts[0].struct[2] or part.footer.schema.names != names for part in parts):
        return None
    if any(_is_small(part, writing.group_bytes) for part in parts):
        return None
    ordered = _in_order(parts, contract)
    if ordered is None:
        return None
    path = path_for(contract, partition)
    try:
        with table.sink(staged(path) if writing.is_staged else path) as sink:
            sink.write(MAGIC)
            for part in ordered:
                _copy(table, part, sink)
            text = encoded(_footer(ordered))
            sink.write(text + len(text).to_bytes(4, "little") + MAGIC)
    except _Unsound:
        return None
    rows = sum(part.footer.num_rows for part in parts)
    statistics = delta_statistics(rows, {name: _bounds(parts, name, contract) for name in contract.statistics})
    cells = sum(rows - _nulls(parts, column.name) for column in schema.columns)
    size, now_ms = sink.bytes_written, int(time() * 1000)
    return NewFile(path, partition, size, rows, now_ms, statistics, sink.sha256, writing.is_staged), cells


def _part(table: Storage, path: str, size: int) -> _Part:
    metadata, footer, end = stored_footer(table, path, size)
    return _Part(path, metadata, footer.struct, end)


def _is_plain(part: _Part, contract: Contract) -> bool:
    """Whether the file is nothing but pages of columns, with statistics for each, and a footer. Those that the Delta
    log names must be complete: a very long text is none of a footer's bounds."""
    at = len(MAGIC)
    for chunk in part.chunks:
        meta = chunk[_META][1]
        if _INDEXES & chunk.keys() or _ELSEWHERE & meta.keys() or _begin(meta) != at:
            return False
        at += meta[_CHUNK_BYTES][1]
    if at != part.end:
        return False
    for place, name in enumerate(part.footer.schema.names):
        for group in part.groups:
            found = group.column(place).statistics
            if found is None or not found.has_null_count:
                return False
            if name in contract.statistics and not found.has_min_max and found.null_count < group.num_rows:
                return False
    return True


def _begin(meta: Struct) -> int:
    """Where a column's pages begin."""
    return int(min(meta[field][1] for field in (_DATA_AT, _DICTIONARY_AT) if field in meta))


def _is_small(part: _Part, group_bytes: int) -> bool:
    plain_bytes = sum(group.total_byte_size for group in part.groups)
    fewest, least = _FEWEST_ROWS * len(part.groups), _SMALLEST_SHARE * group_bytes * len(part.groups)
    return bool(part.footer.num_rows < fewest and plain_bytes < least)


def _in_order(parts: Sequence[_Part], contract: Contract) -> list[_Part] | None:
    """The files so that each has only larger units than the one before; None: there is no such order."""
    place = parts[0].footer.schema.names.index(contract.sort_by[0])
    units = {part.path: [group.column(place).statistics for group in part.groups] for part in parts}
    if not all(found and all(s.has_min_max and not s.null_count for s in found) for found in units.values()):
        return None
    ordered = sorted(parts, key=lambda part: units[part.path][0].min)
    follow = (units[one.path][-1].max < units[next_one.path][0].min for one, next_one in pairwise(ordered))
    return ordered if all(follow) else None


def _copy(table: Storage, part: _Part, sink: Sink) -> None:
    """Copy the pages of a file and move the places that its footer names. Raises _Unsound for pages that are not."""
    shift = sink.bytes_written - len(MAGIC)
    with table.open(part.path) as handle, naming(table.uri(part.path)):
        handle.seek(len(MAGIC))
        for chunk in part.chunks:
            meta = chunk[_META][1]
            pages = handle.read(meta[_CHUNK_BYTES][1])
            if not are_sound(pages, meta):
                raise _Unsound
            sink.write(pages)
            for field in (_DATA_AT, _DICTIONARY_AT):
                _move(meta, field, shift)
    for group in part.struct[_GROUPS][1][1]:
        _move(group, _GROUP_AT, shift)


def _move(struct: Struct, field: int, shift: int) -> None:
    if field in struct:
        kind, place = struct[field]
        struct[field] = kind, place + shift


def _footer(parts: Sequence[_Part]) -> Struct:
    first = parts[0].struct
    of, _ = first[_GROUPS][1]
    groups = [group for part in parts for group in part.struct[_GROUPS][1][1]]
    rows = sum(part.footer.num_rows for part in parts)
    return {**first, _ROWS: (first[_ROWS][0], rows), _GROUPS: (first[_GROUPS][0], (of, groups))}


def _bounds(parts: Sequence[_Part], name: str, contract: Contract) -> Bounds:
    place = parts[0].footer.schema.names.index(name)
    found = [group.column(place).statistics for part in parts for group in part.groups]
    is_time = name == contract.time.name
    sides: list[tuple[Any, Any]] = [
        (Instant(s.min_raw), Instant(s.max_raw)) if is_time else (s.min, s.max) for s in found if s.has_min_max
    ]
    low, high = min((s[0] for s in sides), default=None), max((s[1] for s in sides), default=None)
    return low, high, _nulls(parts, name)


def _nulls(parts: Sequence[_Part], name: str) -> int:
    place = parts[0].footer.schema.names.index(name)
    return sum(group.column(place).statistics.null_count for part in parts for group in part.groups)
