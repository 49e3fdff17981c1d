"""Rows of one device that are too many for memory: they wait on the local disk, in sorted runs, and come back in order.

What comes back has all rows of a key together, so that the one that stays can be chosen. Rows that can't stay, whatever
the others are, don't come back each: of those that are alike one does, with their number.
"""

import math
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
_KEYS_OF_A_BLOCK = 16  # that are known without a look at it
_MANY = 8  # rows of which one repeats a key
_OVER = 2  # times the wanted size that a range may have
_ROW, _RANK = "{row}", "{rank}"

_Key = tuple[str, int]  # unit and time


@dataclass(frozen=True, slots=True)
class _Block:
    """Sorted rows in a file: the keys of some rows, evenly spread, its first and last one among them."""

    path: Path
    keys: Sequence[_Key]
    bytes: int


class SpilledRows:
    """The rows of one device. `in_order` sorts rows as data files have them; about `most_bytes` come back at a time.
    `files` are the identities of the documents, by index."""

    def __init__(
        self,
        contract: Contract,
        policy: Policy,
        in_order: Callable[[pl.DataFrame], pl.DataFrame],
        most_bytes: int,
        files: Sequence[str],
    ) -> None:
        self._unit, self._key, self._policy = contract.key[0], contract.key, policy
        self._in_order, self._most_bytes = in_order, most_bytes
        self._ranks = pl.Series(_RANK, np.argsort(np.argsort(np.array(files, object))), pl.Int64())
        self._folder = tempfile.TemporaryDirectory(prefix="siltstone-rows-")
        self._blocks: list[_Block] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Keep rows until all are there."""
        run = self._in_order(frame)
        if _repeats(run, self._key):
            run = _once(run, self._policy)
        for block in run.iter_slices(_BLOCK_ROWS):
            path = Path(self._folder.name) / f"{len(self._blocks)}.arrow"
            block.write_ipc(path, compression="lz4")
            rows = np.unique(np.linspace(0, block.height - 1, _KEYS_OF_A_BLOCK).astype(int)).tolist()
            keys = list(block.select(self._unit, "ts")[rows].iter_rows())
            self._blocks.append(_Block(path, keys, int(block.estimated_size())))

    def ranges(self) -> Iterator[pl.DataFrame]:
        """All rows, in frames whose keys ascend from one to the next, and the end of what is on the disk."""
        with self._folder:
            bounds: list[_Key | None] = [None, *self._bounds(), None]
            for low, high in pairwise(bounds):
                size = sum(block.bytes * _share(block, low, high) for block in self._blocks)
                if size <= _OVER * self._most_bytes or self._policy == "error":
                    yield from self._whole(self._between(low, high))
                elif self._policy in ("all", "distinct"):
                    yield from self._by_content(low, high, math.ceil(size / self._most_bytes))
                else:
                    yield from self._whole(self._contenders(low, high))

    def _whole(self, frames: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        if found := list(frames):
            yield self._in_order(pl.concat(found, how="diagonal"))

    def _by_content(self, low: _Key | None, high: _Key | None, parts: int) -> Iterator[pl.DataFrame]:
        """Rows in parts that have equal ones together, by their hashes: a range is so large where it is one instant."""
        for part in range(parts):
            yield from self._whole(
                frame.filter(_content(frame).hash_rows() % parts == part) for frame in self._between(low, high)
            )

    def _contenders(self, low: _Key | None, high: _Key | None) -> Iterator[pl.DataFrame]:
        """Of each key the row that stays, unless one of the table does, and those that are equal to it; of all others
        of a document one stands for all, which is not it."""
        best = pl.DataFrame()
        for frame in self._between(low, high):
            best = self._best(pl.concat([best, frame], how="diagonal") if best.height else frame)
        content = _content(best).columns
        winner = best.select(*self._places(best), *(pl.col(n).alias(f"{{winner}}{n}") for n in content))
        for frame in self._between(low, high):
            joined = frame.join(winner, on=self._places(best), how="left", nulls_equal=True, maintain_order="left")
            equal = pl.all_horizontal(pl.col(n).eq_missing(pl.col(f"{{winner}}{n}")) for n in content)
            is_equal = joined.select(equal).to_series()
            yield frame.filter(is_equal)
            others = frame.filter(~is_equal)
            copies = pl.col(COPIES).fill_null(1).sum() if COPIES in frame.columns else pl.len()
            yield (
                others.group_by(*self._places(best), "document")
                .agg(pl.exclude(COPIES).first(), copies.cast(pl.UInt32()).alias(COPIES))
                .select(*frame.drop(COPIES, strict=False).columns, COPIES)
            )

    def _places(self, frame: pl.DataFrame) -> list[str]:
        """What rows must share to be rows of one key."""
        return [*self._key, *(name for name in ("date", "site") if name in frame.columns)]

    def _best(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Of each key the row that the policy chooses."""
        ranked = frame.with_columns(self._ranks.gather(frame["document"]).alias(_RANK))
        order = [_RANK, "line"] if self._policy in ("first", "last") else ["version", _RANK, "line"]
        is_first = self._policy == "first"
        ranked = ranked.sort(order, descending=not is_first, nulls_last=not is_first)
        return ranked.unique(self._places(frame), keep="first").drop(_RANK)

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

    def _between(self, low: _Key | None, high: _Key | None) -> Iterator[pl.DataFrame]:
        """The rows from one key on and below another, block by block."""
        unit, time = pl.col(self._unit), pl.col("ts")
        wanted = pl.lit(value=True)
        if low is not None:
            wanted &= (unit > low[0]) | ((unit == low[0]) & (time >= low[1]))
        if high is not None:
            wanted &= (unit < high[0]) | ((unit == high[0]) & (time < high[1]))
        for block in self._blocks:
            if _share(block, low, high):
                frame = pl.read_ipc(block.path)
                frame = frame.filter(wanted) if _share(block, low, high) < 1 else frame
                if frame.height:
                    yield frame


def _share(block: _Block, low: _Key | None, high: _Key | None) -> float:
    """The share of a block's rows that is in a range, about; 0 and 1 are for sure."""
    if (low is not None and block.keys[-1] < low) or (high is not None and block.keys[0] >= high):
        return 0.0
    if (low is None or block.keys[0] >= low) and (high is None or block.keys[-1] < high):
        return 1.0
    inside = sum((low is None or key >= low) and (high is None or key < high) for key in block.keys)
    return min(max(inside, 1) / len(block.keys), (_KEYS_OF_A_BLOCK - 1) / _KEYS_OF_A_BLOCK)


def _content(frame: pl.DataFrame) -> pl.DataFrame:
    """What makes rows equal, in numbers of which no two that are equal have different bits."""
    columns = frame.drop("source", "document", "line", COPIES, strict=False)
    return columns.with_columns(pl.col(pl.Float64, pl.Float32) + 0.0)


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
