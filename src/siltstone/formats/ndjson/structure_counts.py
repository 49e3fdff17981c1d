"""Counts of marks in the bytes of JSON text, without parsing: the proof of the fast lanes uses them.

A *key mark* is `":`, a *null mark* is a key mark followed by `n`, at once or behind one blank. In valid JSON without
escaped quotes every quote begins or ends a string. So, without blanks before colons, every key has one key mark, and
only strings that begin with a colon have others; a value that begins with n is null.
"""

import re
from dataclasses import dataclass

import numpy as np

from siltstone.model.arrays import Bytes, Ints, Mask

_APART = re.compile(rb'"[ \t]+:')
_MINUS_ZERO = re.compile(rb":[ \t\r\n]*-0[ \t\r\n]*[,}]")
_LIKE_MINUS_ZERO = re.compile(rb"-0[ \t\r\n,}]")  # found in a third of the time
_MINUS_AND_ZERO = int.from_bytes(b"-0", "little")
_ENDS_NUMBER = np.isin(np.arange(256), list(b" \t\r\n,}"))
_RISKY = re.compile(rb'\\(?:"|u[dD][89a-fA-F])')
_BLOCK = 256 << 10  # bytes looked at in one go: what is derived from them stays in the processor's cache
_QUOTE, _COLON, _BLANK, _END, _N = b'": \nn'


@dataclass(frozen=True, slots=True)
class StructureCounts:
    """Counts of key marks, null marks and line ends by document, and of all quotes."""

    keys: Ints
    nulls: Ints
    lines: Ints
    quotes: int


def count_marks(text: bytes, starts: Ints) -> StructureCounts | None:
    """The marks of documents that lie behind one another in one text; None if a blank may stand before a colon.

    `starts` has where each document begins, ascending from 0; documents may be empty. A key must not reach over a
    document's end: each but the last one ends with a line end.
    """
    if b"\t" in text and has_blank_before_colon(text):
        return None
    looked = np.frombuffer(text, np.uint8)
    has_blanks = may_stand_apart = b" " in text
    keys, nulls, lines = (_Count(starts) for _ in range(3))
    quotes = 0
    buffers = np.empty((4, _BLOCK), np.bool_)
    for start in range(0, len(text), _BLOCK):
        mark, following, blank, behind = buffers[:, : len(text) - start]
        _equal(looked, start, _END, mark)
        lines.add(start, mark)
        _equal(looked, start + 1, _COLON, following)
        if may_stand_apart:
            _equal(looked, start, _BLANK, mark)
            mark &= following
            if mark.any():
                if has_blank_before_colon(text):
                    return None
                may_stand_apart = False
        _equal(looked, start, _QUOTE, mark)
        quotes += int(np.count_nonzero(mark))
        mark &= following
        keys.add(start, mark)
        _equal(looked, start + 2, _N, following)
        if has_blanks:
            _equal(looked, start + 2, _BLANK, blank)
            _equal(looked, start + 3, _N, behind)
            behind &= blank
            following |= behind
        mark &= following
        nulls.add(start, mark)
    return StructureCounts(keys.by_document, nulls.by_document, lines.by_document, quotes)


class _Count:
    """Sums of marks by document."""

    def __init__(self, starts: Ints) -> None:
        self._starts = starts
        self.by_document = np.zeros(len(starts), np.int64)

    def add(self, start: int, mark: Mask) -> None:
        """Count the marks of a block that begins at `start`."""
        first, last = np.searchsorted(self._starts, (start, start + len(mark) - 1), side="right") - 1
        if first == last:
            self.by_document[first] += np.count_nonzero(mark)
        else:
            place = np.searchsorted(self._starts, np.flatnonzero(mark) + start, side="right") - 1
            self.by_document[first : last + 1] += np.bincount(place - first, minlength=last + 1 - first)


def _equal(text: Bytes, start: int, byte: int, out: Mask) -> None:
    """Whether each byte from `start` on is `byte`; False behind the end of the text."""
    same_place = text[start : start + len(out)]
    np.equal(same_place, byte, out=out[: len(same_place)])
    out[len(same_place) :] = False


def count_cells(text: bytes) -> tuple[int, int]:
    """Key marks and null marks of one line."""
    return text.count(b'":'), text.count(b'":n') + text.count(b'": n')


def has_blank_before_colon(text: bytes) -> bool:
    """Whether a key and its colon may stand apart, so that its mark is missing."""
    return (b" :" in text or b"\t" in text) and _APART.search(text) is not None


def has_risky_escape(text: bytes) -> bool:
    """Whether a quote or half of a surrogate pair may be escaped; errs towards yes behind an escaped backslash."""
    return b"\\" in text and _RISKY.search(text) is not None


def has_minus_zero(text: bytes) -> bool:
    """Whether an integer -0 may be a member's value: fast readers take it for 0."""
    is_like = _has_like_minus_zero(text) if len(text) > _BLOCK else _LIKE_MINUS_ZERO.search(text) is not None
    return is_like and _MINUS_ZERO.search(text) is not None


def _has_like_minus_zero(text: bytes) -> bool:
    """The same as the pattern, in a third of the time: two bytes are looked at as one number."""
    looked = np.frombuffer(text, np.uint8)
    mark = np.empty(_BLOCK, np.bool_)
    for shift in (0, 1):
        pairs = np.frombuffer(text, np.dtype("<u2"), (len(text) - 1 - shift) // 2, shift)
        for start in range(0, len(pairs), _BLOCK):
            block = pairs[start : start + _BLOCK]
            found = np.equal(block, _MINUS_AND_ZERO, out=mark[: len(block)])
            if found.any() and _ENDS_NUMBER[looked[(np.flatnonzero(found) + start) * 2 + shift + 2]].any():
                return True
    return False


def has_line_over(text: bytes, limit: int) -> bool:
    """Whether a line may be longer than `limit` bytes; looks only at every half limit, so it may err towards yes."""
    half = max(limit // 2, 1)
    return (
        any(text.find(b"\n", at, at + half) < 0 for at in range(0, len(text) - half, half))
        if len(text) > limit
        else False
    )
