"""Sizes to bins: which files are written together so that each output file has the target size. Arithmetic only."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

Partition = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Planned:
    """A source file as the plan sees it: an id, where its rows go, its device, and its expected output bytes."""

    id: int
    partition: Partition
    device: str
    output_bytes: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Accepted size of an output file in bytes, and the size to aim at."""

    target: int
    smallest: int
    largest: int


def plan_bins(files: Iterable[Planned], sizes: Sizes) -> list[list[Planned]]:
    """Bins of files, one output file each if the expectation is right; largest first, each file in one bin.

    A bin has files of one partition, and all files that a device has in that partition: equal lines of a device
    meet in one task. Bins of a partition are contiguous in device order and about equally full.
    """
    bins: list[list[Planned]] = []
    ordered = sorted(files, key=lambda f: (f.partition, f.device, f.id))
    for _, members in groupby(ordered, key=lambda f: f.partition):
        devices = [list(group) for _, group in groupby(members, key=lambda f: f.device)]
        weights = [sum(f.output_bytes for f in group) for group in devices]
        for start, end in _cut(weights, _bin_count(sum(weights), sizes)):
            bins.append([f for group in devices[start:end] for f in group])
    return sorted(bins, key=lambda b: -sum(f.output_bytes for f in b))


def _bin_count(total: float, sizes: Sizes) -> int:
    """As many files as keep each near the target and none above the largest size."""
    return max(1, round(total / sizes.target), -int(-total // sizes.largest))


def _cut(weights: Sequence[float], parts: int) -> list[tuple[int, int]]:
    """Contiguous ranges of about equal weight, at most `parts`, none empty."""
    total, done, start = sum(weights), 0.0, 0
    ranges: list[tuple[int, int]] = []
    for i, weight in enumerate(weights):
        done += weight
        if done >= total * (len(ranges) + 1) / parts - 1e-9 * total and len(ranges) < parts - 1:
            ranges.append((start, i + 1))
            start = i + 1
    if start < len(weights):
        ranges.append((start, len(weights)))
    return ranges


def should_roll(written: int, remaining: float, group: int, sizes: Sizes) -> bool:
    """Whether to start a new file now: bytes written to this one, expected to come, and of one more row group."""
    if written + group > sizes.largest:
        return True
    return written >= sizes.target and written + remaining > sizes.largest
