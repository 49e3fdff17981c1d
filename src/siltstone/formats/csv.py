"""CSV by RFC 4180: every cell as text, an empty one as null, columns named by the header.

Two lanes that agree cell by cell. The fast one gives the text of many files to Arrow's reader at once, which refuses
lines with too few or too many cells; it takes files without quotes, lone carriage returns, NUL bytes and over-long
lines. The careful one reads record by record and quarantines each bad one.

A record's number counts the file's records below the header from 0; the header and blank lines are not counted. A line
of delimiters only is a record of null cells. In a cell that doesn't begin with a quote, quotes are part of its text.
"""

import csv
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import numpy as np
import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from siltstone.errors import Unreadable
from siltstone.formats.compression import inflate
from siltstone.formats.documents import BadRecord, Item, Opened, ParseRules, Records
from siltstone.formats.portions import Load, Room, over_usual
from siltstone.formats.size_caps import SizeCap
from siltstone.model.arrays import Ints

_BOM = b"\xef\xbb\xbf"
_BLOCK = 4 << 20
_REASONS = {
    "unexpected end": "a quote is not closed",
    "new-line": "a carriage return in a cell without quotes",
    "field larger": "a cell is over limits.max_line_kb",
}


@dataclass(frozen=True)
class CsvDocument:
    """The text of one file, or the records of a part of it: `header` has the names of its columns, made unique; columns
    from `named` on have no name in the file. Records begin from byte `start` of `data` on and before byte `stop`; the
    first of them is record `first` of the file."""

    index: int
    path: str
    modified_us: int
    header: tuple[str, ...]
    data: bytes = field(repr=False)
    start: int
    named: int
    delimiter: str
    max_record: int
    stop: int
    first: int = 0

    @property
    def size(self) -> int:
        """Bytes of text to be parsed."""
        return self.stop - (self.start if self.first else 0)

    @cached_property
    def load(self) -> Load:
        """What it becomes, by its lines and columns."""
        records = self.data.count(b"\n", self.start, self.stop) + 1
        return Load(self.size + records * over_usual(self.header), records, records * len(self.header))

    def portions(self, room: Room) -> Iterator["CsvDocument"]:
        """The records as documents that there is room for; a record alone may be too long."""
        start, first = self.start, self.first
        names = over_usual(self.header)
        most = min(room.records, room.cells // len(self.header), room.bytes // names if names else room.records)
        most = max(most, 1)
        for end, records in self._plain_cuts(room, most) if self.is_plain else self._careful_cuts(room, most):
            yield replace(self, start=start, stop=end, first=first)
            start, first = end, first + records

    def _plain_cuts(self, room: Room, most: int) -> Iterator[tuple[int, int]]:
        """Where parts of so many lines at the most end, and how many of these are records."""
        start = self.start
        while start < self.stop:
            step = room.bytes
            while True:
                end = self.data.find(b"\n", min(start + step, self.stop) - 1, self.stop) + 1 or self.stop
                if self.data.count(b"\n", start, end) <= most or step == 1:
                    break
                step = max(step // 2, 1)
            yield end, len(replace(self, start=start, stop=end)._spans[0])
            start = end

    def _careful_cuts(self, room: Room, most: int) -> Iterator[tuple[int, int]]:
        start, records = self.start, 0
        for scanned in self.scanned():
            records += 1
            if records == most or scanned.end - start >= room.bytes:
                yield scanned.end, records
                start, records = scanned.end, 0
        if start < self.stop:
            yield self.stop, records

    @cached_property
    def is_plain(self) -> bool:
        """Whether a line is a record, and its cells are what stands between the delimiters."""
        data = self.data
        return (
            data.find(b'"', self.start, self.stop) < 0
            and data.find(b"\0", self.start, self.stop) < 0
            and self._has_no_lone_return()
            and not data.startswith(_BOM, self.start)
            and (self.stop - self.start <= self.max_record or self._longest() <= self.max_record)
        )

    def _has_no_lone_return(self) -> bool:
        """Whether all carriage returns, the header's too, are parts of line ends."""
        data, begin = self.data, 0 if not self.first else self.start
        if data.find(b"\r", begin, self.stop) < 0:
            return True
        return data.count(b"\r", begin, self.stop) == data.count(b"\r\n", begin, self.stop)

    def _longest(self) -> int:
        longest, start = 0, self.start
        while start < self.stop:  # by parts: the places of all line ends may take more memory than the text
            end = min(start + _BLOCK, self.stop)
            end = self.data.find(b"\n", end - 1, self.stop) + 1 or self.stop
            ends = np.flatnonzero(np.frombuffer(self.data, np.uint8, end - start, start) == ord("\n"))
            longest = max(longest, int(np.diff(ends, prepend=0, append=end - start).max()))
            start = end
        return longest

    @property
    def end(self) -> int:
        """Where the last record ends, without its line's end; without records the header's end."""
        end = self.stop
        while end > self.start and self.data[end - 1] in b"\r\n":
            end -= 1
        return end

    def record(self, line: int) -> tuple[int, bytes]:
        """Where a record begins in the text, in bytes, and its bytes without the line's end."""
        starts, ends = self._spans
        start, end = int(starts[line - self.first]), int(ends[line - self.first])
        return start, self.data[start:end].rstrip(b"\r\n")

    def scanned(self) -> Iterator["_Scanned"]:
        """Every record, by the careful lane."""
        return _scan(self.data, self.start, self.delimiter, self.max_record, self.stop)

    @cached_property
    def _spans(self) -> tuple[Ints, Ints]:
        if not self.is_plain:
            spans = [(scanned.start, scanned.end) for scanned in self.scanned()]
            starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
            return starts, ends
        text = np.frombuffer(self.data, np.uint8)
        ends = np.append(np.flatnonzero(text[self.start : self.stop] == ord("\n")) + self.start + 1, self.stop)
        starts = np.append(self.start, ends[:-1])
        length = ends - starts
        is_crlf = (length == 2) & (text[np.minimum(starts, len(text) - 1)] == ord("\r"))
        kept = (length > 1) & ~is_crlf
        if length[-1] == 1:  # the last line has no end
            kept[-1] = True
        return starts[kept], ends[kept]


def open_text(item: Item, rules: ParseRules, *, delimiter: str = ",") -> Opened:
    """The document of a CSV file, plain, gzip or zstd, recognized by content; of a damaged file without its last line,
    which may be cut.

    Raises Unreadable for a file without a header: of 0 bytes, or whose first line that is not blank is no UTF-8,
    breaks the rules of quotes, names no column or too many (limits.max_keys).
    """
    if not item.data:
        raise Unreadable("empty file: 0 bytes, not even a header")
    limits = {"max_bytes": rules.max_text_bytes, "max_ratio": rules.max_ratio}
    inflated = inflate(item.data, **limits, salvage=rules.salvage, begins=b"")
    data, cut = inflated.data, b""
    if inflated.damage:
        end = data.rfind(b"\n") + 1
        data, cut = data[:end], data[end:]
    start = len(_BOM) if data.startswith(_BOM) else 0
    first = next(_scan(data, start, delimiter, rules.max_line_bytes), None)
    if first is None:
        raise Unreadable(inflated.damage or "no header: the text is empty")
    if isinstance(first.cells, str):
        raise Unreadable(f"its header can't be read: {first.cells}")
    if len(first.cells) > rules.max_keys:
        raise Unreadable(f"its header has {len(first.cells):,} columns, over limits.max_keys ({rules.max_keys:,})")
    named = max((place for place, name in enumerate(first.cells, 1) if name), default=0)
    if not named:
        raise Unreadable("no header: its first line names no column")
    document = CsvDocument(
        index=item.index,
        path=item.path,
        modified_us=item.modified_us,
        header=_unique(first.cells),
        data=data,
        start=first.end,
        named=named,
        delimiter=delimiter,
        max_record=rules.max_line_bytes,
        stop=len(data),
    )
    cap = SizeCap("its text is", len(item.data), rules.max_text_bytes, rules.max_ratio)
    cap.check_made("its columns' names, repeated in each record,", document.load.bytes - document.size, len(data))
    return Opened(document, inflated.damage, cut)


def read_csv(documents: Sequence[CsvDocument]) -> list[Records]:
    """Every record of the documents, one part for each header: a column of text for each name of the header.

    Columns after the last one with a name in the header are left out if they have no content.
    """
    groups: dict[tuple[tuple[str, ...], int, str], list[CsvDocument]] = {}
    records: list[Records] = []
    for document in documents:
        if document.is_plain:
            groups.setdefault((document.header, document.named, document.delimiter), []).append(document)
        else:
            records.append(_read_carefully(document))
    for group in groups.values():
        records += _read_plain(group)
    return records


def _read_plain(documents: Sequence[CsvDocument]) -> list[Records]:
    """By halves where the whole is refused: one odd file among a thousand costs a few more parses."""
    fast = _fast(documents)
    if fast is not None:
        return [fast]
    if len(documents) == 1:
        return [_read_carefully(documents[0])]
    half = len(documents) // 2
    return [*_read_plain(documents[:half]), *_read_plain(documents[half:])]


def _fast(documents: Sequence[CsvDocument]) -> Records | None:
    """All records by Arrow's reader; None where a line has too few or too many cells, is blank, or no UTF-8."""
    first = documents[0]
    spans = [(d.data, d.start, d.end) for d in documents]
    lines = [data.count(b"\n", start, end) + 1 if end > start else 0 for data, start, end in spans]
    bodies = [(memoryview(data)[start:end], b"\n") for data, start, end in spans if end > start]
    if not bodies:
        return _records("typed", first, pl.DataFrame(schema=dict.fromkeys(first.header, pl.String())), [], [])
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(b"".join(chain.from_iterable(bodies))),
            read_options=arrow_csv.ReadOptions(column_names=first.header, use_threads=False, block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(
                delimiter=first.delimiter, quote_char=False, double_quote=False, newlines_in_values=False
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(first.header, pa.string()), strings_can_be_null=True, null_values=[""]
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != sum(lines):
        return None
    indices = np.repeat(np.array([d.index for d in documents], np.int64), lines)
    ends = np.cumsum(lines)
    before = ends - lines - np.array([d.first for d in documents], np.int64)
    line = np.arange(ends[-1]) - np.repeat(before, lines)
    return _records("typed", first, pl.DataFrame(table), indices, line)


def _read_carefully(document: CsvDocument) -> Records:
    """The records of one document; a bad one is refused with its reason."""
    rows: list[list[str]] = []
    lines: list[int] = []
    bad: list[BadRecord] = []
    width = len(document.header)
    for line, scanned in enumerate(document.scanned(), document.first):
        cells = scanned.cells
        if not isinstance(cells, str) and len(cells) != width:
            cells = f"{len(cells)} cells, the header has {width}"
        if isinstance(cells, str):
            raw = document.data[scanned.start : scanned.end].rstrip(b"\r\n")
            is_over = len(raw) > document.max_record
            bad.append(BadRecord(document.index, line, scanned.start, cells, b"" if is_over else raw))
        else:
            rows.append(cells)
            lines.append(line)
    columns = zip(*rows, strict=True) if rows else ([] for _ in document.header)
    frame = pl.DataFrame(
        [
            pl.Series(name, [cell or None for cell in column], dtype=pl.String())
            for name, column in zip(document.header, columns, strict=True)
        ]
    )
    return _records("careful", document, frame, np.full(len(rows), document.index), lines, bad)


def _records(
    lane: str,
    document: CsvDocument,
    frame: pl.DataFrame,
    indices: Ints | list[int],
    lines: Ints | list[int],
    bad: Sequence[BadRecord] = (),
) -> Records:
    nameless = [name for name in document.header[document.named :] if frame[name].null_count() == frame.height]
    return Records(
        "careful" if lane == "careful" else "typed",
        frame[[name for name in frame.columns if name not in nameless]],
        np.asarray(indices, np.int64),
        np.asarray(lines, np.int64),
        bad,
    )


@dataclass(frozen=True, slots=True)
class _Scanned:
    """A record that is not blank, from byte `start` to `end`, its line's end included: its cells, or what is wrong."""

    start: int
    end: int
    cells: list[str] | str


class _Lines:
    """Physical lines as Latin-1, so that a character is a byte, and none that would make a record over-long."""

    def __init__(self, data: bytes, start: int, most: int) -> None:
        self._data, self._most = data, most
        self.begin = self.at = start

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self.at == len(self._data) or self.at - self.begin > self._most:
            raise StopIteration
        start, self.at = self.at, self.end_of(self.at)
        return self._data[start : self.at].decode("latin-1")

    def end_of(self, start: int) -> int:
        """Where the line that begins at a byte ends."""
        return self._data.find(b"\n", start) + 1 or len(self._data)


def _scan(data: bytes, start: int, delimiter: str, most: int, stop: int | None = None) -> Iterator[_Scanned]:
    """The records of at most `most` bytes that begin from a byte on and before another. Where quotes are wrong, the
    first line alone is refused and the next one is a record again: lines that hold a lone quote are more common than
    cells that hold lines."""
    lines = _Lines(data, start, most)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while lines.at < (len(data) if stop is None else stop):
        lines.begin = start = lines.at
        cells: list[str] | str
        limit = csv.field_size_limit(most)
        try:
            cells = next(reader)
        except csv.Error as error:
            lines.at = lines.end_of(start)
            reasons = (reason for words, reason in _REASONS.items() if str(error).startswith(words))
            cells = next(reasons, "text behind the quote that closes a cell")
        finally:
            csv.field_size_limit(limit)
        if not cells:
            continue
        raw = data[start : lines.at].rstrip(b"\r\n")
        if len(raw) > most:
            cells = f"record of {len(raw):,} bytes is over limits.max_line_kb, sha256 {hashlib.sha256(raw).hexdigest()}"
        elif b"\0" in raw:
            cells = "it holds NUL bytes"
        elif not raw.isascii() and not isinstance(cells, str):
            try:
                cells = [cell.encode("latin-1").decode() for cell in cells]
            except UnicodeDecodeError as error:
                cells = f"a cell is not UTF-8: {error.reason}"
        yield _Scanned(start, lines.at, cells)


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """The names, each once: a repeated one with `_2`, `_3` and so on, a missing one as `column_` and its place."""
    taken, renamed = set(names), list[str]()
    if len(taken) == len(names) and "" not in taken:
        return tuple(names)
    for place, name in enumerate(names, 1):
        given = name or f"column_{place}"
        unique, copy = given, 2
        while unique in renamed or (unique != name and unique in taken):
            unique, copy = f"{given}_{copy}", copy + 1
        renamed.append(unique)
    return tuple(renamed)
