"""NDJSON documents to members: every record's keys, each value with its own text, whatever kinds a key mixes.

Where columns need one type, `ndjson` is the way. Here a value keeps its kind and its text, so that `5`, `5.0`, `"5"`
and `true` of one key stay what they are, and an instant keeps all its digits.

`members_fast` takes all lines apart at once; lines without a proof go to `tokens`, one by one.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import orjson
import polars as pl

from siltstone.formats.documents import BadRecord, Document, ParseRules
from siltstone.formats.ndjson.members_fast import BOOLEAN, JSON, MEMBERS, MISFIT, NULL, NUMBER, TEXT, Block
from siltstone.formats.ndjson.tokens import BadJson, Token, scan_object
from siltstone.model.arrays import Ints

__all__ = ["BOOLEAN", "JSON", "MISFIT", "NULL", "NUMBER", "TEXT", "Members", "objects_of", "read_members"]

_KIND_OF = {"null": NULL, "number": NUMBER, "boolean": BOOLEAN, "string": TEXT, "json": JSON, "misfit": MISFIT}
_BLOCK = 512 << 10  # bytes of lines taken apart in one go: what is derived from them stays near the processor


@dataclass(frozen=True)
class Members:
    """The members of all records, in order of record.

    `document` and `line` (from 0) have an entry per record. `frame` has a row per member: `record` (index into them),
    `key` (a dotted path for members of nested objects), `text` (the content of a string, else the value's own
    text), `kind`, and `own`: the value's text in the file if `text` and `kind` don't give it, else null. `repeated`
    has the same columns for second and further members with one key in a record. `careful` has the documents with a
    line that the careful lane read.
    """

    frame: pl.DataFrame
    repeated: pl.DataFrame
    document: Ints
    line: Ints
    bad: Sequence[BadRecord] = ()
    careful: Collection[int] = field(default_factory=frozenset)


def read_members(documents: Sequence[Document], rules: ParseRules, objects: Collection[str] = ()) -> Members:
    """The members of every record; `objects` are the dotted paths of objects that are replaced by their members."""
    texts = [_ended(d.text) for d in documents]
    lines = np.array([text.count(b"\n") for text in texts], np.int64)
    first = np.cumsum(lines) - lines
    frames: list[pl.DataFrame] = []
    records: list[Ints] = []
    odd: list[Ints] = []
    base = 0
    for text in _blocks(b"".join(texts)):
        block = Block.of(text, rules, objects)
        frames.append(block.frame.with_columns(pl.col("line") + base))
        records.append(block.records + base)
        odd.append(block.odd + base)
        base += block.lines
    where = _Places(documents, first)
    careful, bad = _read_carefully(np.concatenate([*odd, _none()]), where, rules, objects)
    known = np.concatenate([*records, np.array([line for line, _ in careful], np.int64)])
    frame = pl.concat([MEMBERS.to_frame(), *frames])
    if careful:
        known = np.sort(known)
        rows = [(line, *member) for line, members in careful for member in members]
        added = pl.DataFrame(rows, MEMBERS, orient="row")
        frame = pl.concat([frame, added]).sort("line", maintain_order=True)
    place = np.searchsorted(known, frame["line"].to_numpy())
    document, line = where.of(known)
    frame = frame.select(pl.Series("record", place, pl.Int64()), "key", "text", "kind", "own")
    repeated = frame.clear()
    if careful:
        is_first = frame.select(pl.struct("record", "key").is_first_distinct()).to_series()
        frame, repeated = frame.filter(is_first), frame.filter(~is_first)
    return Members(
        frame,
        repeated,
        document,
        line,
        bad,
        {documents[where.position(int(g))].index for g in np.concatenate([*odd, _none()])},
    )


def _none() -> Ints:
    return np.empty(0, np.int64)


def _ended(text: bytes) -> bytes:
    return text if not text or text.endswith(b"\n") else text + b"\n"


def _blocks(text: bytes) -> Iterator[bytes]:
    """The text in pieces of whole lines."""
    start = 0
    while start < len(text):
        end = text.find(b"\n", min(start + _BLOCK, len(text)) - 1) + 1 or len(text)
        yield text if end - start == len(text) else text[start:end]
        start = end


@dataclass(frozen=True)
class _Places:
    """Where the lines of all documents, counted through, stand in their files."""

    documents: Sequence[Document]
    first: Ints

    def position(self, line: int) -> int:
        """The document of a line."""
        return int(np.searchsorted(self.first, line, side="right")) - 1

    def of(self, lines: Ints) -> tuple[Ints, Ints]:
        """The document's index and the line in its file, for each line."""
        at = np.searchsorted(self.first, lines, side="right") - 1
        index = np.array([d.index for d in self.documents], np.int64)
        shift = np.array([d.line for d in self.documents], np.int64) - self.first
        return (index[at], lines + shift[at]) if len(lines) else (_none(), _none())


def _read_carefully(
    lines: Ints, where: _Places, rules: ParseRules, objects: Collection[str]
) -> tuple[list[tuple[int, list[tuple[str, str | None, int, str | None]]]], list[BadRecord]]:
    """The members (key, text, kind, own text) of each given line, and the lines that are no records."""
    members, bad = [], []
    for number in lines.tolist():
        at = where.position(number)
        document = where.documents[at]
        place = number - int(where.first[at])
        line = document.lines[place]
        if not line or line.isspace():
            continue
        try:
            members.append((number, _scan(line, rules, objects)))
        except BadJson as error:
            is_cut = place == len(document.lines) - 1 and not document.text.endswith(b"\n")
            if document.truncated and is_cut:
                continue
            raw = b"" if len(line) > rules.max_line_bytes else line
            offset = document.byte + int(document.offsets[place])
            bad.append(BadRecord(document.index, document.line + place, offset, str(error), raw))
    return members, bad


def _scan(line: bytes, rules: ParseRules, objects: Collection[str]) -> list[tuple[str, str | None, int, str | None]]:
    if len(line) > rules.max_line_bytes:
        raise BadJson(f"line of {len(line):,} bytes is over limits.max_line_kb")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BadJson(f"not UTF-8: {error.reason} at byte {error.start} of the line") from None
    return [_member(token) for token in _flat(text, "", rules, objects)]


def _flat(text: str, path: str, rules: ParseRules, objects: Collection[str]) -> Iterator[Token]:
    """The members of an object; each of the named objects is replaced by its members."""
    for token in scan_object(text, max_keys=rules.max_keys, max_depth=rules.max_depth):
        key = f"{path}{token.key}"
        if token.kind == "json" and token.text[0] == "{" and key in objects:
            yield from _flat(token.text, f"{key}.", rules, objects)
        else:
            yield Token(key, token.text, token.kind)


def _member(token: Token) -> tuple[str, str | None, int, str | None]:
    kind = _KIND_OF[token.kind]
    if kind == TEXT:
        plain = orjson.loads(token.text)
        return token.key, plain, kind, token.text if "\\" in token.text else None
    return token.key, None if kind == NULL else token.text, kind, None


def objects_of(paths: Collection[str]) -> frozenset[str]:
    """The objects that the given dotted paths lead through."""
    steps = (path.split(".")[:-1] for path in paths)
    return reduce(frozenset.union, (frozenset(".".join(s[: n + 1]) for n in range(len(s))) for s in steps), frozenset())
