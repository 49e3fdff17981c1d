"""Which task reads what: each data file once, files whose points may interleave together, large files in parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from siltstone.model.contracts import Contract
from siltstone.model.data_files import DataFile
from siltstone.model.periods import EARLIEST_US, FAR_US, LATEST_US, Window
from siltstone.timeseries.buckets import Buckets


@dataclass(frozen=True)
class Period:
    """The buckets wanted: those that start in [start_us, end_us)."""

    start_us: int = EARLIEST_US
    end_us: int = LATEST_US

    @property
    def is_whole(self) -> bool:
        return (self.start_us, self.end_us) == (EARLIEST_US, LATEST_US)

    def span(self, buckets: Buckets) -> Window:
        """From the start of the first of these buckets to the end of the last one."""
        starts, ends = buckets.bounds(buckets.number(np.clip([self.start_us, self.end_us], -FAR_US, FAR_US)))
        first = int(starts[0] if starts[0] >= self.start_us else ends[0])
        last = int(starts[1] if starts[1] >= self.end_us else ends[1])
        return (
            EARLIEST_US if self.start_us <= -FAR_US else first,
            LATEST_US if self.end_us >= FAR_US else max(first, last),
        )


@dataclass(frozen=True)
class FilesInTime:
    """Data files with points in a span of time, and with points before or after it; one file may be in all three."""

    within: list[DataFile]
    before: list[DataFile]
    after: list[DataFile]


def split(stored: Sequence[DataFile], contract: Contract, span: Window) -> FilesInTime:
    """The files by where their instants lie."""
    found = FilesInTime([], [], [])
    for file in stored:
        first, last = bounds_of(file, contract)
        if first < span[0]:
            found.before.append(file)
        if last >= span[1]:
            found.after.append(file)
        if first < span[1] and last >= span[0]:
            found.within.append(file)
    return found


def bounds_of(file: DataFile, contract: Contract) -> Window:
    """The first and the last instant of a data file; the earliest and latest of all where it does not tell them."""
    first, last = file.bounds.get(contract.time.name, (None, None))
    return EARLIEST_US if first is None else int(first), LATEST_US if last is None else int(last)


def latest_us(stored: Sequence[DataFile], contract: Contract) -> int | None:
    """The latest instant of all files; None where none tells one."""
    ends = [file.bounds.get(contract.time.name, (None, None))[1] for file in stored]
    return max((int(end) for end in ends if end is not None), default=None)


def described(file: DataFile, contract: Contract) -> dict[str, Any]:
    first, last = bounds_of(file, contract)
    site = file.partition[-1] if file.partition else ""
    return {"path": file.path, "rows": file.rows, "site": site, "first_us": first, "last_us": last}


def overlapping(stored: Sequence[DataFile], contract: Contract, *, apart: bool = True) -> list[list[DataFile]]:
    """The files in groups: two of one partition whose ranges of units overlap are in one, since points of a series may
    be in both; not `apart`: all files of a partition are."""
    unit = contract.sort_by[0]
    found: list[list[DataFile]] = []
    for _, members in groupby(sorted(stored, key=lambda s: (s.partition, s.first_unit)), key=lambda s: s.partition):
        found.append([])
        last: Any = None
        for file in members:
            low, high = file.bounds.get(unit, (None, None))
            if found[-1] and apart and last is not None and low is not None and low > last:
                found.append([])
                last = high
            found[-1].append(file)
            last = high if last is None or high is None else max(last, high)
    return found


def portions(counts: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Row groups of a file, in runs of about so many rows."""
    found: list[list[int]] = [[]]
    held = 0
    for group, rows in enumerate(counts):
        if found[-1] and held + rows > most:
            found.append([])
            held = 0
        found[-1].append(group)
        held += rows
    return [tuple(groups) for groups in found]
