"""NDJSON of few and narrow shapes: flat records of up to a dozen keys, taken apart by one pattern per shape.

The pattern of a shape matches only a JSON object with its keys in its order and plain values, so every byte of a line
that it matches is understood. Files with any other line are for `members`.
"""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.formats.documents import Document, ParseRules, Records
from siltstone.formats.ndjson.tokens import BadJson, scan_object
from siltstone.model.arrays import Ints
from siltstone.model.column_names import is_pattern

_MOST_TRIES = 12
_MOST_KEYS = 12  # the pattern is matched in one pass up to sixteen groups
_BLANKS = r"[ \t]*"
_VALUE = (
    r'("[^"\\\x00-\x1f]*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)'  # one value, one group
)


def read_shapes(documents: Sequence[Document], rules: ParseRules) -> tuple[Records | None, list[Document]]:
    """The records of the documents that hold shapes only, and the other documents.

    The frame has a column of text for each key: each value's own text, null where it is null or the key is missing.
    """
    texts = [d.text if not d.text or d.text.endswith(b"\n") else d.text + b"\n" for d in documents]
    text = b"".join(texts)
    try:
        text.isascii() or text.decode()
    except UnicodeDecodeError:
        return None, list(documents)
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")) + 1
    lines = _lines(text, ends)
    size = len(documents)
    counts = np.diff(np.searchsorted(ends, np.cumsum([len(t) for t in texts]), side="right"), prepend=0)
    place = np.repeat(np.arange(size), counts)
    frame, row = _read_shaped(lines, rules)
    is_left = np.bincount(place, minlength=size) != np.bincount(place[row], minlength=size)
    if is_left.all() or not len(row):
        return None, list(documents)
    if is_left.any():
        kept = ~is_left[place[row]]
        frame, row = frame.filter(pl.Series(kept)), row[kept]
    index = np.array([d.index for d in documents], np.int64)
    shift = np.array([d.line for d in documents], np.int64) - (np.cumsum(counts) - counts)
    at = place[row]
    return Records("typed", frame, index[at], row + shift[at]), [
        d for d, left in zip(documents, is_left, strict=True) if left
    ]


def _lines(text: bytes, ends: Ints) -> pl.Series:
    """The lines with their ends, not copied."""
    offsets = np.concatenate((np.zeros(1, np.int64), ends))
    return pl.Series(pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(text)))


def _read_shaped(lines: pl.Series, rules: ParseRules) -> tuple[pl.DataFrame, Ints]:
    """The records of lines that have one of the first shapes, and their lines, ascending. The columns have the order of
    each shape's keys; lines whose keys have another order than those before are left out."""
    left = np.arange(len(lines))
    order: list[str] = []
    parts: list[pl.DataFrame] = []
    rows: list[Ints] = []
    for _ in range(_MOST_TRIES):
        if not len(left):
            break
        waiting = lines if len(left) == len(lines) else lines.gather(left)
        keys = _shape(waiting[0], rules)
        if keys is None:
            left = left[1:]
            continue
        found = waiting.str.extract_groups(_pattern(keys)).struct.unnest()
        found.columns = keys
        is_so = found[keys[0]].is_not_null() & (waiting.str.len_bytes() <= rules.max_line_bytes)
        matched = is_so.to_numpy()
        if (together := _in_one_order(order, keys)) is not None:
            order = together
            parts.append(found if matched.all() else found.filter(is_so))
            rows.append(left[matched])
        left = left[1:][~matched[1:]]
    row = np.concatenate([np.empty(0, np.int64), *rows])
    frame = pl.concat(parts, how="diagonal", rechunk=True).select(order) if parts else pl.DataFrame()
    if len(parts) > 1:
        by_line = np.argsort(row, kind="stable")
        frame, row = frame[by_line], row[by_line]
    return frame.with_columns(pl.when(pl.all() != "null").then(pl.all()).name.keep()) if frame.width else frame, row


def _in_one_order(before: Sequence[str], keys: Sequence[str]) -> list[str] | None:
    """All keys in an order that has both in theirs; None if there is none."""
    known, now = set(before), set(keys)
    shared = iter([key for key in before if key in now])
    if any(key in known and key != next(shared) for key in keys):
        return None
    together: list[str] = []
    rest = list(before)
    for key in keys:
        place = rest.index(key) + 1 if key in known else 0
        together += rest[:place] or [key]
        rest = rest[place:]
    return together + rest


def _shape(line: str, rules: ParseRules) -> list[str] | None:
    """The keys of a record in their order, if it is flat and narrow and no key needs an escape or is a pattern."""
    try:
        tokens = scan_object(line, max_keys=min(rules.max_keys, _MOST_KEYS), max_depth=rules.max_depth)
    except BadJson:
        return None
    keys = [token.key for token in tokens]
    is_plain = all(token.kind in ("number", "boolean", "null", "string") for token in tokens)
    is_literal = not any(is_pattern(key) or re.search(r'["\\\x00-\x1f]', key) for key in keys)
    return keys if keys and is_plain and is_literal and len(set(keys)) == len(keys) else None


def _pattern(keys: Sequence[str]) -> str:
    members = (f'"{re.escape(key)}"{_BLANKS}:{_BLANKS}{_VALUE}{_BLANKS}' for key in keys)
    return rf"^{_BLANKS}\{{{_BLANKS}{f',{_BLANKS}'.join(members)}\}}[ \t\r]*\n$"
