"""The values that formats take and return: a file becomes a document, documents become rows and bad records."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol, get_args

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.errors import Unreadable
from siltstone.formats.compression import Salvage
from siltstone.formats.ndjson.structure_counts import count_cells
from siltstone.formats.portions import Load, Room
from siltstone.model.arrays import Ints

_BOM = b"\xef\xbb\xbf"
_CR = ord("\r")

Lane = Literal["typed", "inferred", "careful"]
LANES = get_args(Lane)


@dataclass(frozen=True)
class ParseRules:
    """Limits on files and records, and the kinds of new columns.

    - `hints`: the kind of a new column by its key, compared without case.
    - `max_line_bytes`: of one record. `max_keys`: of one record. `max_depth`: nesting of one value.
    - `max_columns`: of a table; the values of further keys are rescued.
    - `max_text_bytes`: of one file when it is decompressed. `max_ratio`: text / stored bytes, for texts over 64 MiB.
    - `salvage`: which damaged files still give their good records.
    """

    hints: Mapping[str, str] = field(default_factory=dict)
    max_line_bytes: int = 1 << 20
    max_keys: int = 10_000
    max_depth: int = 64
    max_columns: int = 5_000
    max_text_bytes: int = 256 << 20
    max_ratio: int = 200
    salvage: Salvage = "truncated"


@dataclass(frozen=True, slots=True)
class Item:
    """The bytes of a source file. Results refer to it by `index`; `path` is its identity."""

    index: int
    path: str
    modified_us: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that could be opened, as the document that its format reads. `damage` says why a part is lost, "" if no
    part is; `cut` has bytes of the damaged place, for the quarantine."""

    document: Any
    damage: str = ""
    cut: bytes = b""


@dataclass(frozen=True)
class Document:
    """The text of one source file, or a piece of it that begins at a line and byte of its own; `truncated` when its
    last line may be cut inside a record."""

    index: int
    data: bytes
    truncated: bool = False
    line: int = 0
    byte: int = 0
    path: str = ""
    modified_us: int = 0

    @property
    def size(self) -> int:
        """Bytes of text to be parsed."""
        return len(self.data)

    @cached_property
    def load(self) -> Load:
        """What it becomes, by its lines."""
        return Load(len(self.data), self.data.count(b"\n") + 1)

    def portions(self, room: Room) -> Iterator["Document"]:
        """The document as documents of whole lines that there is room for; a line alone may be too long."""
        start, line = 0, self.line
        while start < len(self.data):
            step = room.bytes
            while True:
                end = self._line_end(start + step)
                lines = self.data.count(b"\n", start, end)
                if lines <= room.records or step == 1:
                    break
                step = max(step // 2, 1)
            yield self._piece(start, end, line)
            start, line = end, line + lines

    @property
    def text(self) -> bytes:
        """The data without a byte order mark."""
        return self.data if self.byte else self.data.removeprefix(_BOM)

    def pieces(self, count: int) -> list["Document"]:
        """The document as about `count` documents of whole lines and similar size, in order."""
        step = -(-len(self.data) // count)
        pieces: list[Document] = []
        start, line = 0, self.line
        while start < len(self.data):
            end = self._line_end(start + step)
            pieces.append(self._piece(start, end, line))
            start, line = end, line + self.data.count(b"\n", start, end)
        return pieces

    def _line_end(self, at: int) -> int:
        """Where the line ends that holds the byte before a place."""
        return self.data.find(b"\n", at - 1) + 1 or len(self.data)

    def _piece(self, start: int, end: int, line: int) -> "Document":
        cut = self.truncated and end == len(self.data)
        return replace(self, data=self.data[start:end], truncated=cut, line=line, byte=self.byte + start)

    @cached_property
    def lines(self) -> list[bytes]:
        """Physical lines without their ends (LF or CRLF), blank ones too: their places are line numbers."""
        lines = self.text.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return [line.removesuffix(b"\r") for line in lines] if b"\r" in self.text else lines

    def without(self, lines: Iterable[int]) -> "Document":
        """The same text with some lines blanked; the places of all others stay."""
        data = bytearray(self.data)
        for line in lines:
            start, end = self._bounds(line - self.line)
            data[start:end] = b" " * (end - start)
        return replace(self, data=bytes(data))

    def record(self, line: int) -> tuple[int, bytes]:
        """The byte offset in the file's text and the bytes of a line; `line` is counted from the file's first."""
        start, end = self._bounds(line - self.line)
        return self.byte + start, self.data[start:end]

    def has_line(self, line: int) -> bool:
        """Whether a line of the file is in this piece of it."""
        return 0 <= line - self.line < len(self.offsets) - self.data.endswith(b"\n")

    def _bounds(self, place: int) -> tuple[int, int]:
        """Where a line of the data begins, and where it ends without its LF or CRLF."""
        start = int(self.offsets[place])
        end = self.data.find(b"\n", start)
        end = len(self.data) if end < 0 else end
        return start, end - 1 if end > start and self.data[end - 1] == _CR else end

    @property
    def cut_record(self) -> bytes:
        """The unterminated last line."""
        return self.text.rpartition(b"\n")[2]

    @cached_property
    def offsets(self) -> Ints:
        """Where each line begins, in bytes of the data."""
        ends = np.flatnonzero(np.frombuffer(self.text, np.uint8) == ord("\n")) + 1
        return np.concatenate(([0], ends)) + (len(self.data) - len(self.text))


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A line that is no usable record: why, where (line from 0, byte offset in the text), and its bytes."""

    document: int
    line: int
    offset: int
    reason: str
    raw: bytes


@dataclass(frozen=True)
class Parsed:
    """Rows that one lane read from some documents, in order of document and line.

    `table` has the record columns that occur, by column name, and `_rescued`. `document` and `line` (from 0) say
    where each row is from. `cells` has a row per row of the table: keys seen, cells stored, nulls, values rescued;
    it is None for the fast lanes, where a row's cells can be counted from its line (see `row_cells`).
    `keys` and `nulls` are sums per document for the fast lanes.
    """

    lane: Lane
    table: pa.Table
    document: Ints
    line: Ints
    bad: Sequence[BadRecord] = ()
    cells: Ints | None = None
    keys: Mapping[int, int] = field(default_factory=dict)
    nulls: Mapping[int, int] = field(default_factory=dict)


class HasCells(Protocol):
    """Rows with counts of their cells, or with the lines from which the cells can be counted."""

    @property
    def cells(self) -> Ints | None: ...
    @property
    def document(self) -> Ints: ...
    @property
    def line(self) -> Ints: ...


@dataclass(frozen=True)
class Records:
    """Records that one lane read from documents of one shape, as their files have them, in order of document and line.

    `frame` has the files' own columns; `document` and `line` (from 0: the record's place in its file) have an entry
    for each of its rows.
    """

    lane: Lane
    frame: pl.DataFrame
    document: Ints
    line: Ints
    bad: Sequence[BadRecord] = ()


def require_columns(names: Sequence[str], *required: str) -> None:
    """Raises Unreadable, with the columns that a file lacks and those that it has, unless it has all required ones."""
    if missing := [name for name in required if name not in names]:
        has = ", ".join(names) or "none"
        raise Unreadable(f"it has no column {', no column '.join(missing)}; it has {has}")


def row_cells(parsed: "HasCells", rows: Ints, documents: Mapping[int, Document]) -> Ints:
    """Cells of the given rows, shape (len(rows), 4): keys seen, cells stored, nulls, values rescued."""
    if parsed.cells is not None:
        return parsed.cells[rows]
    counted = np.zeros((len(rows), 4), np.int64)
    for i, row in enumerate(rows):
        _, line = documents[int(parsed.document[row])].record(int(parsed.line[row]))
        keys, nulls = count_cells(line)
        counted[i] = keys, keys - nulls, nulls, 0
    return counted
