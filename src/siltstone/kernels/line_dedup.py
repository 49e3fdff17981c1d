"""Finds byte-equal lines of one device: rows with equal instants are the only candidates, their lines decide."""

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from siltstone.model.arrays import Ints

LineOf = Callable[[int, int], bytes]


class Duplicates:
    """Remembers the rows of a task's devices, and finds later rows that equal an earlier one.

    `line_of(document, line)` gives a row's bytes; it is asked for candidates only, also for documents of earlier
    calls, which it may have to read again.
    """

    def __init__(self, line_of: LineOf) -> None:
        self._line_of = line_of
        self._seen: defaultdict[int, list[tuple[Ints, Ints, Ints]]] = defaultdict(list)

    def repeated(self, device: Ints, ts_us: Ints, document: Ints, line: Ints) -> npt.NDArray[np.bool_]:
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

    def _mark(
        self,
        seen: list[tuple[Ints, Ints, Ints]],
        rows: Ints,
        ts_us: Ints,
        document: Ints,
        line: Ints,
        repeated: npt.NDArray[np.bool_],
    ) -> None:
        """Mark one device's repeated rows, given in order of time, and remember all of them."""
        instants = ts_us[rows]
        candidate = np.zeros(len(rows), bool)
        same = instants[1:] == instants[:-1]
        candidate[1:] |= same
        candidate[:-1] |= same
        earlier: list[tuple[int, int, int]] = []
        for seen_ts, seen_document, seen_line in seen:
            if seen_ts[0] <= instants[-1] and instants[0] <= seen_ts[-1]:
                shared = np.isin(seen_ts, instants)
                candidate |= np.isin(instants, seen_ts)
                triples = zip(seen_ts[shared], seen_document[shared], seen_line[shared], strict=True)
                earlier.extend((int(t), int(d), int(n)) for t, d, n in triples)
        if candidate.any():
            earlier_lines = {(t, self._line_of(d, n)) for t, d, n in earlier}
            for row in sorted(int(r) for r in rows[candidate]):
                equal = (int(ts_us[row]), self._line_of(int(document[row]), int(line[row])))
                repeated[row] = equal in earlier_lines
                earlier_lines.add(equal)
        seen.append((instants, document[rows], line[rows]))
