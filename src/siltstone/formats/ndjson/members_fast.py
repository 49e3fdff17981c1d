"""Lines of NDJSON taken apart all at once, by the places of their brackets, colons, commas and quotes.

The structure of a line is proven pair by pair of neighbouring marks, its bare values by one pattern. What has no proof
(escapes, arrays, control characters, repeated keys, NaN, limits) is called odd and left to others.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.formats.documents import ParseRules
from siltstone.model.arrays import Bytes, Ints, Mask

NULL, NUMBER, BOOLEAN, TEXT, JSON, MISFIT = range(6)
"""Kinds of a member; a misfit is a value that JSON has no name for, such as NaN."""

MEMBERS = pl.Schema(
    {"line": pl.Int64(), "key": pl.String(), "text": pl.String(), "kind": pl.UInt8(), "own": pl.String()}
)

_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_MOST_BLANKS = 64
_MOST_CELLS = 1 << 26


# Marks by byte, and classes of marks once strings are separated from the text between them.
_END, _QUOTE, _OPEN, _CLOSE, _COLON, _COMMA, _ARRAY, _BLANK, _ODD = range(1, 10)
_MARKS = bytearray(256)
for _byte in range(32):
    _MARKS[_byte] = _ODD
for _byte, _mark in zip(b'\n"{}:,[]\t\r\\', (1, 2, 3, 4, 5, 6, 7, 7, 8, 8, 9), strict=True):
    _MARKS[_byte] = _mark
_MARK_OF = bytes(_MARKS)
_IS_BLANK = np.isin(np.arange(256), list(b" \t\r"))
_VALUE = _QUOTE + 8  # a quote that opens a value, not a key

# Which mark may follow which: with nothing but blanks between them, and with a bare value between them.
_FOLLOWS = np.zeros((2, 16, 16), np.bool_)
for _left, _rights in {
    _END: (_END, _OPEN),
    _OPEN: (_QUOTE, _CLOSE),
    _QUOTE: (_COLON,),
    _COLON: (_VALUE, _OPEN),
    _VALUE: (_COMMA, _CLOSE),
    _COMMA: (_QUOTE,),
    _CLOSE: (_COMMA, _CLOSE, _END),
}.items():
    _FOLLOWS[0, _left, list(_rights)] = True
_FOLLOWS[1, _COLON, [_COMMA, _CLOSE]] = True


def _none() -> Ints:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Block:
    """Some lines taken apart: members by line, the lines that hold a proven record, and those without a proof."""

    frame: pl.DataFrame
    lines: int
    records: Ints
    odd: Ints

    @classmethod
    def of(cls, text: bytes, rules: ParseRules, objects: Collection[str]) -> "Block":
        """The lines of a text that ends with a line's end."""
        text, broken = _as_utf8(text)
        marks = _Marks.of(text)
        odd = marks.odd
        odd[broken] = True
        marks.check_order(text)
        marks.check_limits(rules)
        frame = _members(text, marks, objects)
        opened = np.zeros(marks.lines, np.bool_)
        opened[marks.line[marks.mark == _OPEN]] = True
        if odd.any():
            frame = frame.filter(~pl.Series(odd)[frame["line"]]) if frame.height else frame
        return cls(frame, marks.lines, np.flatnonzero(opened & ~odd), np.flatnonzero(odd))


def _as_utf8(text: bytes) -> tuple[bytes, list[int]]:
    """The text with lines that are not UTF-8 made harmless, and their numbers."""
    if text.isascii():
        return text, []
    try:
        text.decode()
    except UnicodeDecodeError:
        lines = text.split(b"\n")
        broken = [n for n, line in enumerate(lines) if not _is_utf8(line)]
        for n in broken:
            lines[n] = b"?" * len(lines[n])
        return b"\n".join(lines), broken
    return text, []


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


@dataclass
class _Marks:
    """The marks outside strings, in order, after one line end that stands before all.

    `start` and `end` are the bytes of a mark, for a string with its quotes; `line` is its line, with the line's end;
    `odd` is true for lines without a proof.
    """

    mark: Bytes
    start: Ints
    end: Ints
    line: Ints
    lines: int
    odd: Mask
    bare_start: Ints = field(default_factory=_none)
    bare_end: Ints = field(default_factory=_none)
    depth: Ints = field(default_factory=_none)

    @classmethod
    def of(cls, text: bytes) -> "_Marks":
        """The marks of a text that ends with a line's end."""
        classes = np.frombuffer(text.translate(_MARK_OF), np.uint8)
        place = np.flatnonzero(classes != 0)
        mark = classes[place]
        is_end = mark == _END
        line = np.cumsum(is_end) - is_end
        lines = int(line[-1]) + 1 if len(line) else 0
        odd = np.zeros(lines, np.bool_)
        is_quote = mark == _QUOTE
        quotes = np.cumsum(is_quote)
        at_end = quotes[is_end]
        odd_quotes = (np.diff(at_end, prepend=0) & 1).astype(np.bool_)
        if odd_quotes.any():
            odd |= odd_quotes
            quotes = quotes - np.concatenate(([0], at_end[:-1]))[line]
        within = (quotes & 1).astype(np.bool_)  # of a string: from its opening quote to the last mark before its end
        refused = (mark == _ODD) | ((mark == _ARRAY) & ~within) | ((mark == _BLANK) & within)
        if refused.any():
            odd[line[refused]] = True
        # of a string its opening quote stays
        kept = np.flatnonzero(is_end | (is_quote & within) | (~is_quote & ~within & (mark < _ARRAY)))
        ends = place[kept] + 1
        opening = mark[kept] == _QUOTE
        closing = np.flatnonzero(is_quote & ~within)
        if len(closing):
            following = np.minimum(np.searchsorted(closing, kept[opening]), len(closing) - 1)
            ends[opening] = place[closing[following]] + 1
        ahead = np.zeros(1, np.int64)
        return cls(
            np.concatenate(([np.uint8(_END)], mark[kept])),
            np.concatenate((ahead, place[kept])),
            np.concatenate((ahead, ends)),
            np.concatenate((ahead, line[kept])),
            lines,
            odd,
        )

    def check_order(self, text: bytes) -> None:
        """Mark every line as odd in which a mark follows another one that it must not follow.

        Sets also where the bare value behind each mark begins and ends, and how deep each mark is nested.
        """
        data = np.frombuffer(text, np.uint8)
        start, end = self.end[:-1].copy(), self.start[1:].copy()
        for at, step in ((start, 1), (end, -1)):
            within = np.flatnonzero(start < end)
            for _ in range(_MOST_BLANKS):
                edge = at[within] if step > 0 else at[within] - 1
                within = within[_IS_BLANK[data[edge]]]
                at[within] += step
                within = within[start[within] < end[within]]
                if not len(within):
                    break
        mark = self.mark
        mark[1:][(mark[1:] == _QUOTE) & (mark[:-1] == _COLON)] = _VALUE
        allowed = _FOLLOWS[(start < end).astype(np.int8), mark[:-1], mark[1:]]
        is_end = mark == _END
        nested = np.cumsum((mark == _OPEN).astype(np.int64) - (mark == _CLOSE))
        before = np.concatenate(([0], nested[is_end][:-1]))  # at the end of the line before
        depth = nested - before[np.cumsum(is_end) - 1]
        allowed &= ((mark[:-1] != _CLOSE) | ((depth[:-1] == 0) == is_end[1:])) & (depth[1:] >= 0)
        self.odd[self.line[1:][~allowed]] = True
        self.bare_start, self.bare_end, self.depth = start, end, depth

    def check_limits(self, rules: ParseRules) -> None:
        """Mark lines as odd that are too long, too deep or have too many keys."""
        ends = self.end[self.mark == _END]
        self.odd |= np.diff(ends) - 1 > rules.max_line_bytes
        self.odd[self.line[self.depth > rules.max_depth]] = True
        keys = np.bincount(self.line[(self.mark == _COLON) & (self.depth == 1)], minlength=self.lines)
        self.odd |= keys > rules.max_keys


def _members(text: bytes, marks: _Marks, objects: Collection[str]) -> pl.DataFrame:
    """The members of proven lines; a line with a key or value without a proof is marked as odd."""
    colon = np.flatnonzero(marks.mark == _COLON)
    colon = colon[~marks.odd[marks.line[colon]]]
    depth = marks.depth[colon]
    _check_nested(text, marks, colon[depth > 1])
    if not objects:
        colon = colon[depth == 1]
        depth = depth[depth == 1]
    value = marks.mark[colon + 1]
    is_text, is_object = value == _VALUE, value == _OPEN
    value_start = np.where(is_text, marks.start[colon + 1] + 1, marks.bare_start[colon])
    value_end = np.where(is_text, marks.end[colon + 1] - 1, marks.bare_end[colon])
    if is_object.any():
        value_start[is_object] = marks.start[colon[is_object] + 1]
        value_end[is_object] = _closed(marks, colon[is_object], depth[is_object])
    key_start, key_end = marks.start[colon - 1] + 1, marks.end[colon - 1] - 1
    kind = np.where(is_text, TEXT, np.where(is_object, JSON, NULL)).astype(np.uint8)
    line = marks.line[colon]
    if not objects:
        keys, texts = _slices(text, key_start, key_end, value_start, value_end)
        frame = pl.DataFrame({"line": line, "key": keys, "text": texts, "kind": kind})
    else:
        keys = _slices(text, key_start, key_end)[0]
        chosen, keys = _descended(keys, colon, depth, is_object, objects)
        texts = _slices(text, value_start[chosen], value_end[chosen])[0]
        frame = pl.DataFrame({"line": line[chosen], "key": keys, "text": texts, "kind": kind[chosen]})
    return _of_kinds(frame, marks.odd)


def _check_nested(text: bytes, marks: _Marks, colon: Ints) -> None:
    """Mark lines as odd where a value inside an object is no text, no object and nothing else that JSON knows, or is a
    number beyond the doubles."""
    value = marks.mark[colon + 1]
    bare = colon[(value != _VALUE) & (value != _OPEN)]
    if len(bare):
        texts = _slices(text, marks.bare_start[bare], marks.bare_end[bare])[0]
        is_known = texts.str.contains(f"^(?:{_NUMBER}|true|false|null)$")
        is_known &= ~texts.cast(pl.Float64(), strict=False).is_infinite().fill_null(value=False)
        marks.odd[marks.line[bare[~is_known.to_numpy()]]] = True


def _of_kinds(frame: pl.DataFrame, odd: Mask) -> pl.DataFrame:
    """The members with the kinds of bare values; lines with an unknown one or a repeated key are marked as odd."""
    kind = frame["kind"].to_numpy().copy()
    bare = np.flatnonzero(kind == NULL)
    texts = frame["text"] if len(bare) == frame.height else frame["text"].gather(bare)
    is_number = texts.str.contains(f"^{_NUMBER}$").to_numpy()
    kind[bare[is_number]] = NUMBER
    if not is_number.all():
        other = bare[~is_number]
        words = texts.filter(pl.Series(~is_number))
        is_boolean = words.is_in(["true", "false"]).to_numpy()
        kind[other[is_boolean]] = BOOLEAN
        unknown = ~is_boolean & (words != "null").to_numpy()
        odd[frame["line"].to_numpy()[other[unknown]]] = True
    odd[_with_repeats(frame)] = True
    text = pl.col("text")
    return frame.select(
        "line",
        "key",
        pl.when(pl.Series(kind != NULL)).then(text).alias("text") if (kind == NULL).any() else text,
        pl.Series("kind", kind),
        pl.lit(None, pl.String()).alias("own"),
    )


def _with_repeats(frame: pl.DataFrame) -> Ints:
    """The lines that hold a key twice."""
    if not frame.height:
        return _none()
    encoded = frame["key"].to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    keys = max(len(encoded.dictionary), 1)
    line = frame["line"].to_numpy()
    cell = line * keys + pl.Series(encoded.indices).cast(pl.Int64()).to_numpy()
    cells = (int(line.max()) + 1) * keys
    if cells <= _MOST_CELLS:
        seen = np.zeros(cells, np.bool_)
        seen[cell] = True
        if np.count_nonzero(seen) == len(cell):
            return _none()
    ordered = np.sort(cell)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]] // keys)


def _closed(marks: _Marks, colon: Ints, depth: Ints) -> Ints:
    """Where the object behind each colon ends."""
    ends = np.zeros(len(colon), np.int64)
    closing = np.flatnonzero(marks.mark == _CLOSE)
    for level in np.unique(depth):
        at_level = closing[marks.depth[closing] == level]
        chosen = depth == level
        ends[chosen] = marks.end[at_level[np.searchsorted(at_level, colon[chosen])]]
    return ends


def _descended(
    keys: pl.Series, colon: Ints, depth: Ints, is_object: Mask, objects: Collection[str]
) -> tuple[Ints, pl.Series]:
    """The members that stay when members of `objects` stand for them, and their dotted paths."""
    level = np.flatnonzero(depth == 1)
    paths, staying = keys.gather(level), [_none()]
    kept_paths = [pl.Series("", [], pl.String())]
    deeper = 1
    while len(level):
        is_descended = paths.is_in(list(objects)).to_numpy() & is_object[level]
        staying.append(level[~is_descended])
        kept_paths.append(paths.filter(pl.Series(~is_descended)))
        deeper += 1
        below = np.flatnonzero(depth == deeper)
        outer = np.flatnonzero(depth == deeper - 1)
        parent = outer[np.searchsorted(outer, below) - 1] if len(below) else below
        place = np.searchsorted(level, parent)
        is_here = np.zeros(len(keys), np.bool_)
        is_here[level[is_descended]] = True
        below, place = below[is_here[parent]], place[is_here[parent]]
        paths = pl.select(pl.concat_str(paths.gather(place), keys.gather(below), separator=".")).to_series()
        level = below
    chosen = np.concatenate(staying)
    order = np.argsort(chosen, kind="stable")
    return chosen[order], pl.concat([p.rename("") for p in kept_paths]).gather(order)


def _slices(text: bytes, *bounds: Ints) -> list[pl.Series]:
    """Parts of a text without copying it: a series for each pair of bounds (starts, ends), which ascend row by row."""
    if not len(bounds[0]):
        return [pl.Series([], dtype=pl.String())] * (len(bounds) // 2)
    offsets = np.column_stack(bounds).ravel()
    array = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(text))
    series = pl.Series(array)
    return [series.gather_every(len(bounds), at) for at in range(0, len(bounds), 2)]
