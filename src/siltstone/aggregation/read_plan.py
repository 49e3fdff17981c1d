"""Which task reads what: each data file once, files that may share series together, and large files in parts."""

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
    """The buckets asked for: they start in [start_us, end_us)."""

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
    """Data files with points in a span of time, before it and after it; one file may be in all three lists."""

    within: list[DataFile]
    before: list[DataFile]
    after: list[DataFile]


def split(stored: Sequence[DataFile], contract: Contract, span: Window) -> FilesInTime:
    """The files by the instants in them, as their bounds tell."""
    files = FilesInTime([], [], [])
    for file in stored:
        first, last = bounds_of(file, contract)
        if first < span[0]:
            files.before.append(file)
        if last >= span[1]:
            files.after.append(file)
        if first < span[1] and last >= span[0]:
            files.within.append(file)
    return files


def bounds_of(file: DataFile, contract: Contract) -> Window:
    """The first and the last instant of a data file; EARLIEST_US and LATEST_US where its bounds are unknown."""
    first, last = file.bounds.get(contract.time.name, (None, None))
    return EARLIEST_US if first is None else int(first), LATEST_US if last is None else int(last)


def latest_us(stored: Sequence[DataFile], contract: Contract) -> int | None:
    """The latest instant of all files; None where no file has bounds."""
    ends = [file.bounds.get(contract.time.name, (None, None))[1] for file in stored]
    return max((int(end) for end in ends if end is not None), default=None)


def described(file: DataFile, contract: Contract) -> dict[str, Any]:
    """A data file of the input as the manifest of the output lists it: path, rows, site, first and last instant."""
    first, last = bounds_of(file, contract)
    site = file.partition[-1] if file.partition else ""
    return {"path": file.path, "rows": file.rows, "site": site, "first_us": first, "last_us": last}


def overlapping(stored: Sequence[DataFile], contract: Contract, *, apart: bool = True) -> list[list[DataFile]]:
    """The files in groups. Two files of one partition are in one group if their ranges of units overlap: points of a
    series may be in both. Without `apart` all files of a partition are in one group."""
    unit = contract.sort_by[0]
    groups: list[list[DataFile]] = []
    for _, members in groupby(sorted(stored, key=lambda s: (s.partition, s.first_unit)), key=lambda s: s.partition):
        groups.append([])
        last: Any = None
        for file in members:
            low, high = file.bounds.get(unit, (None, None))
            if groups[-1] and apart and last is not None and low is not None and low > last:
                groups.append([])
                last = high
            groups[-1].append(file)
            last = high if last is None or high is None else max(last, high)
    return groups


def portions(counts: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Row groups of a file, in runs of about so many rows."""
    runs: list[list[int]] = [[]]
    run_rows = 0
    for group, rows in enumerate(counts):
        if runs[-1] and run_rows + rows > most:
            runs.append([])
            run_rows = 0
        runs[-1].append(group)
        run_rows += rows
    return [tuple(groups) for groups in runs]
