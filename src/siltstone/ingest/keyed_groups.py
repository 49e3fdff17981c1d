"""The rows of a task's files, in groups of whole devices, each in memory that is bounded however many rows it has.

Rows with equal keys can be in files of one device only, so that a group is deduplicated by itself. A group ends where
its source files are enough, or its rows take their share of the memory. Where the rows of one device alone take more,
they wait on the disk and come back range by range.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import cast

import numpy as np
import polars as pl

from siltstone.ingest.keyed_frames import columns_of, complete, count_rows, in_order, is_grouped
from siltstone.ingest.reader import SourceReader
from siltstone.ingest.spilled_rows import SpilledRows
from siltstone.ingest.task_spec import IngestTask
from siltstone.mapping.dataset import REPEATED, Keyed
from siltstone.model.arrays import Ints
from siltstone.model.contracts import Contract

_GROUP_BYTES = 8 << 20  # of source files, at least, whose rows are deduplicated at a time
_SHARE_OF_MEMORY = 8  # for rows that wait to be deduplicated, which takes up to ten copies of them


@dataclass(frozen=True)
class Group:
    """The rows of some devices: `frames` in ascending order of keys, all rows of a key in one frame; `documents` are
    those that gave rows; `repeated` says what others repeat, see `Keyed`."""

    documents: frozenset[int]
    frames: Iterator[pl.DataFrame]
    repeated: pl.DataFrame


def groups(task: IngestTask, reader: SourceReader) -> Iterator[Group]:
    """The rows of all files of some devices at a time."""
    locate = reader.dataset.locate
    devices = [place.device for f in task.files if (place := locate(f.identity)) is not None]
    order = sorted(range(len(task.files)), key=lambda i: (devices[i], task.files[i].identity))
    reader.fetching.expect(order)
    ranks = {device: rank for rank, device in enumerate(sorted(set(devices)))}
    rank_of = np.array([ranks[device] for device in devices], np.int64)
    most_bytes = task.settings.memory_bytes // _SHARE_OF_MEMORY
    group: list[int] = []
    size = 0
    for _, indices in groupby(order, key=lambda i: devices[i]):
        for index in indices:
            group.append(index)
            size += task.files[index].size
        if size >= _GROUP_BYTES:
            yield from _read(reader, group, rank_of, most_bytes)
            group, size = [], 0
    if group:
        yield from _read(reader, group, rank_of, most_bytes)


def _read(reader: SourceReader, indices: Sequence[int], rank_of: Ints, most_bytes: int) -> Iterator[Group]:
    """The rows of some files in order of device: as one group if there is room for it."""
    contract, policy = reader.dataset.contract, reader.dataset.policy
    sort = partial(_sorted, contract=contract)
    held, spilled = _Held(), None
    latest = -1  # device of the rows that are spilled
    for documents, parts in reader.rows(indices):
        keyed = cast(Sequence[Keyed], parts)
        count_rows(keyed, reader.counters)
        for part in keyed:
            held.add(part, contract)
        if spilled is None and held.bytes <= most_bytes:
            continue
        now = max(int(rank_of[index]) for index in documents)
        if spilled is not None and now > latest:
            spilled_rest = held.up_to(latest, rank_of)
            yield spilled.group(spilled_rest)
            spilled = None
        if spilled is None and held.bytes > most_bytes:
            if (done := held.up_to(now - 1, rank_of)).frames or done.repeated:
                yield done.group(sort)
            if held.bytes > most_bytes:
                files = [file.identity for file in reader.files]
                spilled, latest = _Spilled(SpilledRows(contract, policy, sort, most_bytes, files)), now
        if spilled is not None and held.bytes > most_bytes:
            spilled.add(held.up_to(latest, rank_of))
    if spilled is not None:
        yield spilled.group(held.up_to(latest, rank_of))
    if held.frames or held.repeated:
        yield held.group(sort)


def _sorted(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    return frame if is_grouped(frame, contract) else in_order(frame, contract)


@dataclass
class _Held:
    """Rows in memory, and what was left out of them."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    repeated: list[pl.DataFrame] = field(default_factory=list)
    bytes: int = 0

    def add(self, part: Keyed, contract: Contract) -> None:
        if part.frame.height:
            self.frames.append(complete(part.frame, contract).select(columns_of(contract)))
            self.bytes += int(self.frames[-1].estimated_size())
        if part.repeated.height:
            self.repeated.append(part.repeated)

    def up_to(self, rank: int, rank_of: Ints) -> "_Held":
        """Take out what is of devices up to one."""
        taken = _Held()
        taken.frames, self.frames = _split(self.frames, rank, rank_of)
        taken.repeated, self.repeated = _split(self.repeated, rank, rank_of)
        taken.bytes = sum(int(frame.estimated_size()) for frame in taken.frames)
        self.bytes = sum(int(frame.estimated_size()) for frame in self.frames)
        return taken

    @property
    def documents(self) -> set[int]:
        """Those that gave rows."""
        return {index for frame in self.frames for index in frame["document"].unique().to_list()}

    def group(self, sort: Callable[[pl.DataFrame], pl.DataFrame]) -> Group:
        """All of it."""
        frames = iter([sort(pl.concat(self.frames))] if self.frames else [])
        return Group(frozenset(self.documents), frames, _together(self.repeated))


@dataclass
class _Spilled:
    """Rows of one device on the disk."""

    rows: SpilledRows
    documents: set[int] = field(default_factory=set)
    repeated: list[pl.DataFrame] = field(default_factory=list)

    def add(self, held: _Held) -> None:
        self.documents |= held.documents
        self.repeated += held.repeated
        if held.frames:
            self.rows.add(pl.concat(held.frames))

    def group(self, rest: _Held) -> Group:
        """All of it, with the last rows."""
        self.add(rest)
        return Group(frozenset(self.documents), self.rows.ranges(), _together(self.repeated))


def _split(frames: Sequence[pl.DataFrame], rank: int, rank_of: Ints) -> tuple[list[pl.DataFrame], list[pl.DataFrame]]:
    """The rows of devices up to one, and all others."""
    up_to: list[pl.DataFrame] = []
    others: list[pl.DataFrame] = []
    for frame in frames:
        is_taken = rank_of[frame["document"].to_numpy()] <= rank
        if is_taken.all():
            up_to.append(frame)
        elif not is_taken.any():
            others.append(frame)
        else:
            up_to.append(frame.filter(pl.Series(is_taken)))
            others.append(frame.filter(pl.Series(~is_taken)))
    return up_to, others


def _together(repeated: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat([pl.DataFrame(schema=REPEATED), *repeated])
