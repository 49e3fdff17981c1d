"""Whether the stored pages of a Parquet column are as they were written, without decoding them.

A checksum covers only a page's content, so the header is compared with the footer. Source: parquet.thrift.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from siltstone.formats.parquet.thrift import Struct, decoded

# Field ids of a PageHeader, of the DataPageHeader or DictionaryPageHeader in it, and of a footer's ColumnMetaData.
_KIND, _PLAIN_BYTES, _STORED_BYTES, _CRC = 1, 2, 3, 4
_VALUES, _ENCODING = 1, 2
_STORED_BYTES_OF_ALL = 7
_TYPE, _ALL_VALUES, _ALL_BYTES, _DATA_AT, _DICTIONARY_AT, _ENCODINGS = 1, 5, 6, 9, 11, 13

_INT, _STRUCT = 5, 12  # Thrift's types
_DATA, _DICTIONARY = 0, 2
_HEAD = {_DATA: 5, _DICTIONARY: 7}
_LEVELS = {_DATA: {3: (_INT, 3), 4: (_INT, 3)}, _DICTIONARY: {}}  # in runs of equal ones, of rows and of nesting
_UNUSED = {_DATA: 5, _DICTIONARY: 3}  # statistics, and whether it is sorted: no reader goes by them
_USUAL_HEADER, _LONGEST_HEADER = 256, 64 << 10  # bytes; some hold long texts
_TEXT = 6
_WIDTH = {1: 4, 2: 8, 4: 4, 5: 8}  # bytes of an int32, int64, float, double


@dataclass(frozen=True, slots=True)
class _Page:
    """`plain_bytes`: size of the content before it was compressed."""

    kind: int
    values: int
    encoding: int
    plain_bytes: int
    header_bytes: int
    content: memoryview


def are_sound(stored: bytes, column: Struct) -> bool:
    """Whether the bytes are the pages of the column that a footer describes, each with its checksum. False also for
    what siltstone does not write: pages of version 2 or without a checksum, dictionaries of texts without zstd."""
    try:
        pages = list(_pages(stored))
        return _are_as_told(pages, column) and _has_its_values(pages[0], column)
    except (ValueError, LookupError, TypeError, OSError):
        return False


def check_headers(read: Callable[[int, int], bytes], column: Struct) -> bool:
    """Read the headers of a column's pages, by `read(place, bytes)`, and hold them against each other and the footer's
    word of the column; whether all pages have checksums. Raises ValueError where one is damaged."""
    if not column[_ALL_VALUES][1]:
        return True
    at = column[_DICTIONARY_AT if _DICTIONARY_AT in column else _DATA_AT][1]
    end = at + column[_STORED_BYTES_OF_ALL][1]
    pages: list[_Head] = []
    try:
        while at < end:
            pages.append(_head(read, at, end))
            at += pages[-1].header_bytes + pages[-1].stored_bytes
        is_sound = at == end and _agree(pages, column)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("the header of a page is damaged") from error
    if not is_sound:
        raise ValueError("its pages are not the ones that its footer describes")
    return all(page.has_checksum for page in pages)


@dataclass(frozen=True, slots=True)
class _Head:
    """What a page's header says of it."""

    kind: int
    values: int
    encoding: int
    plain_bytes: int
    stored_bytes: int
    header_bytes: int
    has_checksum: bool


def _head(read: Callable[[int, int], bytes], at: int, end: int) -> _Head:
    data = read(at, min(_USUAL_HEADER, end - at))
    if usual := _usual(data):
        return usual
    try:
        header, header_bytes = decoded(data)
    except ValueError:
        header, header_bytes = decoded(read(at, min(_LONGEST_HEADER, end - at)))
    kind = header[_KIND][1]
    inner = header[_HEAD[kind]][1]
    values, encoding = inner[_VALUES][1], inner[_ENCODING][1]
    plain_bytes, stored_bytes = header[_PLAIN_BYTES][1], header[_STORED_BYTES][1]
    unused = _UNUSED[kind]
    expected = {_VALUES: (_INT, values), _ENCODING: (_INT, encoding), **_LEVELS[kind]}
    if unused in inner:
        expected[unused] = inner[unused]
    full_header: Struct = {_KIND: (_INT, kind), _PLAIN_BYTES: (_INT, plain_bytes), _STORED_BYTES: (_INT, stored_bytes)}
    if _CRC in header:
        full_header[_CRC] = (_INT, header[_CRC][1])
    full_header[_HEAD[kind]] = (_STRUCT, expected)
    if header != full_header or values < 0 or plain_bytes < 0 or stored_bytes < 0:
        raise ValueError("the header of a page is damaged")
    return _Head(kind, values, encoding, plain_bytes, stored_bytes, header_bytes, _CRC in header)


_NUMBER = rb"((?:[\x80-\xff]{0,9}[\x01-\x7f])|\x00)"  # in Thrift, as short as it can be
_USUAL = {
    _DATA: re.compile(
        rb"\x15\x00\x15%b\x15%b(?:\x15%b\x1c|\x2c)\x15%b\x15%b\x15\x06\x15\x06([\x00\x1c])".replace(b"%b", _NUMBER)
    ),
    _DICTIONARY: re.compile(
        rb"\x15\x04\x15%b\x15%b(?:\x15%b\x3c|\x4c)\x15%b\x15%b[\x11\x12]?(\x00)".replace(b"%b", _NUMBER)
    ),
}


def _usual(data: bytes) -> _Head | None:
    """The same of a header as most are, five times as fast; None for another one."""
    kind = _DICTIONARY if data[1:2] == b"\x04" else _DATA
    match = _USUAL[kind].match(data)
    if match is None:
        return None
    plain_bytes, stored_bytes, _, values, encoding = (_number(text or b"") for text in match.groups()[:5])
    at = match.end()
    if match[6] != b"\x00":  # statistics
        try:
            at = decoded(data, at)[1] + 1
        except ValueError:
            return None
    if data[at - 1 : at + 1] != b"\x00\x00" or min(plain_bytes, stored_bytes, values) < 0:
        return None
    return _Head(kind, values, encoding, plain_bytes, stored_bytes, at + 1, match[3] is not None)


def _number(text: bytes) -> int:
    value = 0
    for byte in reversed(text):
        value = value << 7 | byte & 127
    return (value >> 1) ^ -(value & 1)


def _agree(pages: Sequence[_Head], column: Struct) -> bool:
    """Whether the pages are as the footer says: at most one dictionary, and it comes first."""
    before_data = column[_DATA_AT][1] - column[_DICTIONARY_AT][1] if _DICTIONARY_AT in column else 0
    first, data = pages[0], [page for page in pages if page.kind == _DATA]
    stated = column.get(_ENCODINGS)
    encodings = {(one[1][1], one[2][1]): one[3][1] for one in stated[1][1]} if stated else None
    width = _WIDTH.get(column[_TYPE][1])
    return bool(
        sum(page.values for page in data) == column[_ALL_VALUES][1]
        and sum(page.plain_bytes + page.header_bytes for page in pages) == column[_ALL_BYTES][1]
        and (encodings is None or Counter((page.kind, page.encoding) for page in pages) == encodings)
        and before_data == (first.header_bytes + first.stored_bytes if first.kind == _DICTIONARY else 0)
        and all(page.kind == _DATA for page in pages[1:])
        and (first.kind == _DATA or width is None or first.values * width == first.plain_bytes)
        and len({page.has_checksum for page in pages}) == 1
    )


def _pages(stored: bytes) -> Iterator[_Page]:
    """The pages with their headers. Raises ValueError or KeyError at one that is damaged."""
    view, at = memoryview(stored), 0
    while at < len(stored):
        header, begin = decoded(stored, at)
        kind, plain_bytes, end = header[_KIND][1], header[_PLAIN_BYTES][1], begin + header[_STORED_BYTES][1]
        head = header[_HEAD[kind]][1]
        page = _Page(kind, head[_VALUES][1], head[_ENCODING][1], plain_bytes, begin - at, view[begin:end])
        unused = {field: value for field, value in head.items() if field == _UNUSED[kind]}
        if header != _header(page, unused):
            raise ValueError("a page is damaged")
        yield page
        at = end


def _header(page: _Page, unused: Struct) -> Struct:
    """What the header of a page is, its checksum included; another one where the page is cut off."""
    return {
        _KIND: (_INT, page.kind),
        _PLAIN_BYTES: (_INT, page.plain_bytes),
        _STORED_BYTES: (_INT, len(page.content)),
        _CRC: (_INT, int(np.uint32(zlib.crc32(page.content)).astype(np.int32))),
        _HEAD[page.kind]: (
            _STRUCT,
            {_VALUES: (_INT, page.values), _ENCODING: (_INT, page.encoding), **_LEVELS[page.kind], **unused},
        ),
    }


def _are_as_told(pages: Sequence[_Page], column: Struct) -> bool:
    before_data = column[_DATA_AT][1] - column[_DICTIONARY_AT][1] if _DICTIONARY_AT in column else 0
    first = pages[0]
    encodings = {(stated[1][1], stated[2][1]): stated[3][1] for stated in column[_ENCODINGS][1][1]}
    return bool(
        sum(page.values for page in pages if page.kind == _DATA) == column[_ALL_VALUES][1]
        and sum(page.plain_bytes + page.header_bytes for page in pages) == column[_ALL_BYTES][1]
        and Counter((page.kind, page.encoding) for page in pages) == encodings
        and before_data == (first.header_bytes + len(first.content) if first.kind == _DICTIONARY else 0)
    )


def _has_its_values(page: _Page, column: Struct) -> bool:
    """Whether a page has as many values as its header says, if it is a dictionary: the footer does not tell."""
    if page.kind != _DICTIONARY:
        return True
    if column[_TYPE][1] != _TEXT:
        return bool(page.values * _WIDTH[column[_TYPE][1]] == page.plain_bytes)
    plain = pa.decompress(page.content, decompressed_size=page.plain_bytes, codec="zstd", asbytes=True)
    at = count = 0
    while at < len(plain):
        at += 4 + int.from_bytes(plain[at : at + 4], "little")
        count += 1
    return bool(count == page.values)
