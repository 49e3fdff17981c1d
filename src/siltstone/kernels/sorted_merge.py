"""Many sorted runs to one sorted stream, in flat memory.

A run says a lower bound of its sort key's first part (the unit), and is opened only when the merge reaches it.
Runs that do not overlap pass through without a copy of their rows.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from siltstone.model.arrow import coded, to_arrow, to_numpy

_PARTS_OF_MEMORY = 4  # a copy of one of them is given out at a time

_SMALLEST_PART = 16 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """Tables to merge, read by `open`; no row is expected to have a unit below `lower` ("" when unknown)."""

    lower: str
    open: Callable[[], Iterable[pa.Table]]


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next sorted rows; `breaks` when they do not follow the rows before, so that a new file must begin."""

    table: pa.Table
    breaks: bool


@dataclass(frozen=True)
class _Piece:
    table: pa.Table
    units: list[str | None]
    codes: npt.NDArray[np.int64]
    size: float  # bytes of its buffers; Table.nbytes takes 18 ms for 180 columns

    @classmethod
    def of(cls, table: pa.Table, unit_column: str) -> "_Piece":
        if unit_column not in table.column_names:
            return cls(table, [None], np.zeros(table.num_rows, np.int64), table.get_total_buffer_size())
        units, codes = coded(table.column(unit_column))
        return cls(table, units, codes, table.get_total_buffer_size())

    def below(self, bound: str) -> npt.NDArray[np.bool_]:
        return np.array([(unit or "") < bound for unit in self.units])[self.codes]

    def where(self, mask: npt.NDArray[np.bool_]) -> "_Piece":
        if mask.all():
            return self
        table = self.table.filter(to_arrow(mask))
        return _Piece(table, self.units, self.codes[mask], self.size * table.num_rows / self.table.num_rows)


class SortedMerge:
    """Merges runs into chunks sorted by (unit, time); rows without a unit come first.

    A chunk has at least `chunk_bytes` of Arrow data, but for the last one of a stream. When more than `memory_bytes`
    wait to be sure of their place, they are given out as they are, and the next chunk breaks. Rows that come after
    their place has passed wait for a new file.
    """

    def __init__(self, runs: Sequence[Run], *, sort_by: tuple[str, str], chunk_bytes: int, memory_bytes: int) -> None:
        self._runs = sorted(runs, key=lambda run: run.lower)[::-1]  # taken from the end, equal ones as given
        self._unit, self._time = sort_by
        self._chunk_bytes, self._memory_bytes = chunk_bytes, memory_bytes
        self._waiting: list[_Piece] = []
        self._late: list[_Piece] = []
        self._reading: tuple[str, Iterator[pa.Table]] | None = None
        self._floor = ""
        self._breaks = False
        self._ready: Iterator[pa.Table] = iter(())

    @property
    def waiting_bytes(self) -> float:
        """Arrow bytes read and not yet given out."""
        return sum(piece.size for piece in (*self._waiting, *self._late))

    def next_chunk(self, *, fresh_file: bool) -> Chunk | None:
        """The next rows, or None at the end. `fresh_file` says that they will begin a file, so any rows may come."""
        if (rest := next(self._ready, None)) is not None:
            return Chunk(rest, False)
        if fresh_file:
            self._admit_late()
        while True:
            bound = self._bound()
            ready = [piece.where(mask) for piece in self._waiting if (mask := self._mask(piece, bound)).any()]
            if bound is None and not ready and self._late:
                self._breaks = True
                self._admit_late()
                continue
            if ready and (bound is None or sum(p.size for p in ready) >= self._chunk_bytes):
                return self._emit(ready, bound)
            if bound is None:
                return None
            if self.waiting_bytes > self._memory_bytes:
                return self._spill()
            self._advance()

    def _bound(self) -> str | None:
        """No row to come is expected to have a unit below it; None when no row will come."""
        if self._reading is not None:
            return self._reading[0]
        return self._runs[-1].lower if self._runs else None

    def _mask(self, piece: _Piece, bound: str | None) -> npt.NDArray[np.bool_]:
        return np.ones(len(piece.codes), bool) if bound is None else piece.below(bound)

    def _advance(self) -> None:
        """Take one table in, of the run at hand or of the next one."""
        if self._reading is None:
            run = self._runs.pop()
            self._reading = run.lower, iter(run.open())
        table = next(self._reading[1], None)
        if table is None:
            self._reading = None
        elif table.num_rows:
            piece = _Piece.of(table, self._unit)
            late = piece.below(self._floor)
            if late.any():
                self._late.append(piece.where(late))
            if not late.all():
                self._waiting.append(piece.where(~late))

    def _admit_late(self) -> None:
        self._waiting, self._late = [*self._late, *self._waiting], []
        self._floor = ""

    def _emit(self, ready: list[_Piece], bound: str | None) -> Chunk:
        if bound is None:
            self._waiting = []
        else:
            self._waiting = [p.where(~m) for p in self._waiting if not (m := p.below(bound)).all()]
            self._floor = bound
        return self._chunk(ready)

    def _chunk(self, pieces: list[_Piece]) -> Chunk:
        """The rows of some pieces, sorted; where they are many their first part, and the others are next."""
        self._ready = self._sorted(pieces)
        chunk = Chunk(next(self._ready), self._breaks)
        self._breaks = False
        return chunk

    def _spill(self) -> Chunk:
        """Write all waiting rows to a file, to keep the memory flat; rows read later may sort before them."""
        pieces = self._waiting
        if not pieces:
            pieces, self._late, self._breaks = self._late, [], True
        chunk = self._chunk(pieces)
        self._waiting = []
        self._admit_late()
        self._breaks = True
        return chunk

    def _sorted(self, pieces: list[_Piece]) -> Iterator[pa.Table]:
        """The rows in order, in tables of about equal size, each at most a quarter of the memory."""
        units_in_order = sorted({u for p in pieces for u in p.units}, key=lambda unit: (unit is not None, unit or ""))
        ranks = {unit: rank for rank, unit in enumerate(units_in_order)}
        units = np.concatenate([np.array([ranks[u] for u in p.units])[p.codes] for p in pieces])
        tables = [piece.table for piece in pieces]
        times = np.concatenate([to_numpy(table.column(self._time).cast(pa.int64())) for table in tables])
        steps = units[1:] - units[:-1]
        is_sorted = ((steps > 0) | ((steps == 0) & (times[1:] >= times[:-1]))).all()
        table = united(tables)
        size = sum(piece.size for piece in pieces) if is_sorted else table.nbytes  # a copy shares no memory
        parts = math.ceil(size / max(self._memory_bytes / _PARTS_OF_MEMORY, _SMALLEST_PART))
        order = None if is_sorted else np.lexsort((times, units))
        if parts < 2:
            yield table if order is None else table.take(to_arrow(order))
            return
        edges = np.linspace(0, len(times), min(parts, len(times)) + 1).astype(int).tolist()
        for start, end in pairwise(edges):
            yield table.slice(start, end - start) if order is None else _taken(tables, order[start:end])


def _taken(tables: Sequence[pa.Table], rows: npt.NDArray[np.int64]) -> pa.Table:
    """Some rows of all tables, counted through, in the order given; of each table only these are copied."""
    begins = np.cumsum([0, *(table.num_rows for table in tables)])
    ascending = np.argsort(rows, kind="stable")
    cuts = np.searchsorted(rows[ascending], begins)
    parts = [
        table.take(to_arrow(rows[ascending[start:end]] - begin))
        for table, begin, (start, end) in zip(tables, begins, pairwise(cuts), strict=False)
        if start < end
    ]
    place = np.empty(len(rows), np.int64)
    place[ascending] = np.arange(len(rows))
    return united(parts).take(to_arrow(place))


def united(tables: Sequence[pa.Table]) -> pa.Table:
    """The rows of all tables, with the columns of all. Nulls of one type share their memory, however many columns some
    tables lack."""
    names = list(dict.fromkeys(name for table in tables for name in table.column_names))
    if all(table.column_names == names for table in tables):
        return pa.concat_tables(tables)
    most = max(table.num_rows for table in tables)
    kinds = {name: table.schema.field(name).type for table in tables for name in table.column_names}
    nulls = {kind: pa.nulls(most, kind) for kind in set(kinds.values())}
    known = [set(table.column_names) for table in tables]
    columns = []
    for name in names:
        chunks: list[pa.Array] = []
        for table, own in zip(tables, known, strict=True):
            chunks += table.column(name).chunks if name in own else [nulls[kinds[name]].slice(0, table.num_rows)]
        columns.append(pa.chunked_array(chunks, kinds[name]))
    return pa.table(columns, names)


_Key = tuple[bool, str, int]  # whether there is a unit, the unit, the time in microseconds


class _Cursor:
    """The rows of one sorted run that are read and not yet given out."""

    def __init__(self, tables: Iterator[pa.Table], sort_by: tuple[str, str]) -> None:
        self._tables, (self._unit, self._time) = tables, sort_by
        self.last: _Key = (False, "", -1 << 63)
        self.table: pa.Table | None = None
        self.row_bytes = 0.0
        self.refill()

    def refill(self) -> None:
        """The next table of the run, None at its end. Raises ValueError when the run is not sorted."""
        self.table = next((t for t in self._tables if t.num_rows), None)
        if self.table is None:
            return
        self.row_bytes = self.table.get_total_buffer_size() / self.table.num_rows
        units, codes = coded(self.table.column(self._unit))
        self._starts = np.flatnonzero(np.diff(codes, prepend=-1))
        self._units = [(units[c] is not None, units[c] or "") for c in codes[self._starts]]
        self._times = to_numpy(self.table.column(self._time).cast(pa.int64()))
        falls = np.flatnonzero(np.diff(self._times) < 0) + 1
        in_order = all(a < b for a, b in pairwise(self._units)) and np.isin(falls, self._starts).all()
        if not in_order or (*self._units[0], int(self._times[0])) < self.last:
            raise ValueError("the run is not sorted")
        self.last = (*self._units[-1], int(self._times[-1]))

    def up_to(self, bound: _Key) -> pa.Table:
        """Gives out all rows that do not lie behind the bound."""
        assert self.table is not None
        has_unit, unit, time = bound
        segment = bisect_left(self._units, (has_unit, unit))
        end = int(self._starts[segment]) if segment < len(self._units) else len(self._times)
        if segment < len(self._units) and self._units[segment] == (has_unit, unit):
            stop = int(self._starts[segment + 1]) if segment + 1 < len(self._starts) else len(self._times)
            end += int(np.searchsorted(self._times[end:stop], time, side="right"))
        given, self.table = self.table.slice(0, end), self.table.slice(end)
        if not self.table.num_rows:
            self.refill()
            return given
        passed = bisect_right(self._starts.tolist(), end) - 1
        self._units, self._times = self._units[passed:], self._times[end:]
        self._starts = np.concatenate(([0], self._starts[passed + 1 :] - end))
        return given


def merge_sorted(runs: Iterable[Iterator[pa.Table]], sort_by: tuple[str, str], chunk_bytes: int) -> Iterator[pa.Table]:
    """One sorted stream of sorted runs, which all have the same columns, in tables of at least `chunk_bytes` but for
    the last one. Of each run one table is held at a time; rows without a unit come first.

    Raises ValueError when a run is not sorted.
    """
    cursors = [c for run in runs if (c := _Cursor(run, sort_by)).table is not None]
    ready: list[pa.Table] = []
    ready_bytes = 0.0
    while cursors:
        bound = min(c.last for c in cursors)
        row_bytes = max(c.row_bytes for c in cursors)
        given = [t for c in cursors if (t := c.up_to(bound)).num_rows]
        cursors = [c for c in cursors if c.table is not None]
        ready.append(given[0] if len(given) == 1 else _in_order(given, sort_by))
        ready_bytes += ready[-1].num_rows * row_bytes
        if ready_bytes >= chunk_bytes or not cursors:
            yield _concatenate(ready)
            ready, ready_bytes = [], 0.0


def _concatenate(tables: Sequence[pa.Table]) -> pa.Table:
    """The tables one after the other, coded texts by one list."""
    table = pa.concat_tables(tables)
    has_codes = any(pa.types.is_dictionary(t) for t in table.schema.types)
    return table.unify_dictionaries() if has_codes else table


def _in_order(tables: Sequence[pa.Table], sort_by: tuple[str, str]) -> pa.Table:
    table = _concatenate(tables).combine_chunks()
    units, codes = coded(table.column(sort_by[0]))
    ranks = np.empty(len(units), np.int64)
    ranks[sorted(range(len(units)), key=lambda u: (units[u] is not None, units[u] or ""))] = np.arange(len(units))
    times = to_numpy(table.column(sort_by[1]).cast(pa.int64()))
    return table.take(to_arrow(np.lexsort((times, ranks[codes]))))
