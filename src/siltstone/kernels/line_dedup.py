"""Finds byte-equal lines of one device: rows with equal instants are the only candidates, their lines decide.

Of a line 128 bits of its BLAKE2 are compared and kept: they are equal where lines are.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

from siltstone.model.arrays import Ints, Mask

LineOf = Callable[[int, int], bytes]
_Digests = npt.NDArray[np.uint64]  # two for each row


@dataclass
class _Seen:
    """The rows of one device in one call, none of which equals an earlier one, in order of time; the digests of their
    lines as far as they are `known`, both empty until one is."""

    ts: Ints
    document: npt.NDArray[np.int32]
    line: npt.NDArray[np.int32]
    known: Mask
    digests: _Digests

    @classmethod
    def of(cls, ts: Ints, document: Ints, line: Ints) -> "_Seen":
        nothing = np.zeros(0, bool), np.zeros((0, 2), np.uint64)
        return cls(ts, document.astype(np.int32), line.astype(np.int32), *nothing)

    def tell(self, rows: Ints | Mask, digests: _Digests) -> None:
        """Keep the digests of some rows."""
        if not len(self.known):
            self.known, self.digests = np.zeros(len(self.ts), bool), np.zeros((len(self.ts), 2), np.uint64)
        self.known[rows], self.digests[rows] = True, digests


class Duplicates:
    """Remembers the rows of a task's devices, and finds later rows that equal an earlier one.

    `line_of(document, line)` gives a row's bytes; it is asked for candidates only, also for documents of earlier
    calls, which it may have to read again: one document after the other.
    """

    def __init__(self, line_of: LineOf) -> None:
        self._line_of = line_of
        self._seen: defaultdict[int, list[_Seen]] = defaultdict(list)

    def repeated(self, device: Ints, ts_us: Ints, document: Ints, line: Ints) -> Mask:
        """True for each row with the device and line of an earlier row, of this call or an earlier one.

        All arrays have one entry per row; a device is any number from 0.
        """
        repeated = np.zeros(len(ts_us), bool)
        order = np.lexsort((ts_us, device))
        starts = np.flatnonzero(np.diff(device[order], prepend=-1))
        for rows in np.split(order, starts[1:]):
            if len(rows):
                self._mark(self._seen[int(device[rows[0]])], rows, ts_us, document, line, repeated)
        return repeated

    def _mark(self, seen: list[_Seen], rows: Ints, ts_us: Ints, document: Ints, line: Ints, repeated: Mask) -> None:
        """Mark one device's repeated rows, given in order of time, and remember all others."""
        instants = ts_us[rows]
        candidate = np.zeros(len(rows), bool)
        same = instants[1:] == instants[:-1]
        candidate[1:] |= same
        candidate[:-1] |= same
        earlier: list[tuple[Ints, _Digests]] = []
        for before in seen:
            if before.ts[0] <= instants[-1] and instants[0] <= before.ts[-1]:
                shared = np.isin(before.ts, instants)
                if shared.any():
                    candidate |= np.isin(instants, before.ts)
                    earlier.append((before.ts[shared], self._digests_of(before, shared)))
        if not candidate.any():
            seen.append(_Seen.of(instants, document[rows], line[rows]))
            return
        found = np.sort(rows[candidate])
        digests = self._digests(document[found], line[found])
        is_first = _first(earlier, ts_us[found], digests)
        repeated[found[~is_first]] = True
        kept = rows[~repeated[rows]]
        if len(kept):
            remembered = _Seen.of(ts_us[kept], document[kept], line[kept])
            remembered.tell(np.isin(kept, found), digests[np.searchsorted(found, kept[np.isin(kept, found)])])
            seen.append(remembered)

    def _digests_of(self, seen: _Seen, wanted: Mask) -> _Digests:
        """Those of some rows that were seen; lines whose digests are not known are read again."""
        missing = np.flatnonzero(wanted & ~seen.known) if len(seen.known) else np.flatnonzero(wanted)
        if len(missing):
            missing = missing[np.argsort(seen.document[missing], kind="stable")]
            seen.tell(missing, self._digests(seen.document[missing], seen.line[missing]))
        return seen.digests[wanted]

    def _digests(self, document: npt.NDArray[np.integer], line: npt.NDArray[np.integer]) -> _Digests:
        lines = (self._line_of(d, n) for d, n in zip(document.tolist(), line.tolist(), strict=True))
        digests = b"".join(blake2b(text, digest_size=16).digest() for text in lines)
        return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def _first(earlier: list[tuple[Ints, _Digests]], ts: Ints, digests: _Digests) -> Mask:
    """Which rows, in their order, equal neither an earlier row nor one before them."""
    instants = np.concatenate([*(t for t, _ in earlier), ts])
    both = np.concatenate([*(d for _, d in earlier), digests])
    rows = pl.DataFrame({"ts": instants, "high": both[:, 0], "low": both[:, 1]})
    first: Mask = rows.select(pl.struct(pl.all()).is_first_distinct()).to_series().to_numpy()
    return first[len(instants) - len(ts) :]
