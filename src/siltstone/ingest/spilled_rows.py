"""Rows of one device that are too many for memory: they wait on the local disk, in sorted runs, and come back in order.

What comes back has all rows of a key together, so that the one that stays can be chosen. Rows of a document that are
alike in everything but their line wait as one, with the number of them: a million equal rows are no more than one.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from siltstone.model.contracts import Contract, Policy

COPIES = "{copies}"
"""The column that says how many rows of a document one stands for: null, or without the column, one."""

_BLOCK_ROWS = 1 << 15  # that are read at a time from a run
_A_BLOCK = 16  # keys of a block that are known without a look at it

_MANY = 8  # rows of which one repeats a key
_ROW = "{row}"

_Key = tuple[str, int]  # unit and time


@dataclass(frozen=True, slots=True)
class _Block:
    """Sorted rows in a file: the keys of some rows, evenly spread, its first and last one among them."""

    path: Path
    keys: Sequence[_Key]
    bytes: int


class SpilledRows:
    """The rows of one device. `in_order` sorts rows as data files have them; about `most_bytes` come back at a time."""

    def __init__(
        self, contract: Contract, policy: Policy, in_order: Callable[[pl.DataFrame], pl.DataFrame], most_bytes: int
    ) -> None:
        self._unit, self._keys = contract.key[0], contract.key
        self._policy, self._in_order, self._most_bytes = policy, in_order, most_bytes
        self._folder = tempfile.TemporaryDirectory(prefix="siltstone-rows-")
        self._blocks: list[_Block] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Keep rows until all are there."""
        run = self._in_order(frame)
        if _repeats(run, self._keys):
            run = _once(run, self._policy)
        for block in run.iter_slices(_BLOCK_ROWS):
            path = Path(self._folder.name) / f"{len(self._blocks)}.arrow"
            block.write_ipc(path, compression="lz4")
            rows = np.unique(np.linspace(0, block.height - 1, _A_BLOCK).astype(int)).tolist()
            keys = list(block.select(self._unit, "ts")[rows].iter_rows())
            self._blocks.append(_Block(path, keys, int(block.estimated_size())))

    def ranges(self) -> Iterator[pl.DataFrame]:
        """All rows, in frames whose keys ascend from one to the next, and the end of what is on the disk."""
        with self._folder:
            bounds: list[_Key | None] = [None, *self._bounds(), None]
            for low, high in pairwise(bounds):
                parts = [part for block in self._blocks if (part := self._between(block, low, high)).height]
                if parts:
                    yield self._in_order(pl.concat(parts, how="diagonal"))

    def _bounds(self) -> list[_Key]:
        """Keys that cut all rows in ranges of about the wanted size."""
        known = sorted((key, block.bytes / len(block.keys)) for block in self._blocks for key in block.keys)
        bounds: list[_Key] = []
        held = 0.0
        for key, share in known:
            held += share
            if held > self._most_bytes and (not bounds or key > bounds[-1]):
                bounds.append(key)
                held = 0.0
        return bounds

    def _between(self, block: _Block, low: _Key | None, high: _Key | None) -> pl.DataFrame:
        """The rows of a block from one key on and below another."""
        if (low is not None and block.keys[-1] < low) or (high is not None and block.keys[0] >= high):
            return pl.DataFrame()
        frame = pl.read_ipc(block.path)
        if (low is None or block.keys[0] >= low) and (high is None or block.keys[-1] < high):
            return frame
        unit, time = pl.col(self._unit), pl.col("ts")
        wanted = pl.lit(value=True)
        if low is not None:
            wanted &= (unit > low[0]) | ((unit == low[0]) & (time >= low[1]))
        if high is not None:
            wanted &= (unit < high[0]) | ((unit == high[0]) & (time < high[1]))
        return frame.filter(wanted)


def _repeats(run: pl.DataFrame, key: Sequence[str]) -> bool:
    """Whether many rows of a run have the key of the row before."""
    same = run.select(pl.all_horizontal(pl.col(n).eq_missing(pl.col(n).shift(1)) for n in key)).to_series()
    return int(same.sum()) * _MANY > run.height


def _once(run: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Rows of one document that are alike as one of them, the one that the policy would choose, with their number."""
    if policy in ("all", "error"):
        return run
    others = [name for name in run.columns if name != "line"]
    row, line = pl.col(_ROW), pl.col("line")
    chosen = row.get(line.arg_min() if policy in ("first", "distinct") else line.arg_max())
    alike = (
        run.with_row_index(_ROW).group_by(others).agg(chosen, pl.len().alias(COPIES)).select(_ROW, COPIES).sort(_ROW)
    )
    return run[alike[_ROW]].with_columns(alike[COPIES])
