"""Sizes to bins and merges: which files are written together so that each has the target size. Arithmetic only."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from siltstone.model.data_files import DataFile, Partition, Sizes

_MOST_FULL = 4  # files of the right size that one merge may write anew to take up a rest
_MOST_FILES = 256  # that one merge has open at a time
_MOST_WORK = 2  # times the usual work of a task
_MARGIN = 0.03  # merged files are not exactly as large as those they are made of


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """A source file as the plan sees it: an id, where its rows go, its device, and its expected output bytes."""

    id: int
    partition: Partition
    device: str
    output_bytes: float


def plan_bins(files: Iterable[PlannedFile], sizes: Sizes) -> list[list[PlannedFile]]:
    """Bins of files, one output file each if the expectation is right; largest first, each file in one bin.

    A bin has files of one partition, and all files that a device has in that partition: equal lines of a device
    meet in one task. Bins of a partition are contiguous in device order and about equally full.
    """
    bins: list[list[PlannedFile]] = []
    ordered = sorted(files, key=lambda f: (f.partition, f.device, f.id))
    for _, members in groupby(ordered, key=lambda f: f.partition):
        devices = [list(group) for _, group in groupby(members, key=lambda f: f.device)]
        weights = [sum(f.output_bytes for f in group) for group in devices]
        for start, end in _cut(weights, _bin_count(sum(weights), sizes)):
            bins.append([f for group in devices[start:end] for f in group])
    return sorted(bins, key=lambda b: -sum(f.output_bytes for f in b))


def plan_work(planned: Iterable[PlannedFile]) -> list[list[PlannedFile]]:
    """Bins of files for tasks that write rows to any partition; `output_bytes` are shares of a task's usual work.

    A partition is a site here. Sites of at most twice that work stay in one bin, and small sites share a bin: the rows
    of a site that come from one task need not be merged. A device with several sites goes with the first of them.
    """
    by_site: dict[Partition, list[PlannedFile]] = {}
    site_of: dict[str, Partition] = {}
    for file in sorted(planned, key=lambda f: (f.partition, f.device, f.id)):
        site = site_of.setdefault(file.device, file.partition)
        by_site.setdefault(site, []).append(file if file.partition == site else replace(file, partition=site))
    sizes = Sizes(target=1, smallest=1, largest=_MOST_WORK)
    bins: list[list[PlannedFile]] = []
    small: list[PlannedFile] = []
    for files in by_site.values():
        own, waiting = _work(files), _work(small)
        if own > _MOST_WORK or len(by_site) == 1:
            bins += plan_bins(files, sizes)
        elif own + waiting < 1:
            small += files
        elif own + waiting > _MOST_WORK:
            bins.append(files)
        else:
            bins.append([*small, *files])
            small = []
    bins += [small] if small else []
    return sorted(bins, key=lambda b: -_work(b))


def _work(files: Iterable[PlannedFile]) -> float:
    return sum(f.output_bytes for f in files)


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


def should_roll(written: int, remaining: float, sizes: Sizes) -> bool:
    """Whether to start a new file now: bytes written to this one, and expected to come."""
    return written >= sizes.target and written + remaining > sizes.largest


@dataclass(frozen=True, slots=True)
class Merge:
    """Data files of one partition that are written again as one sorted run, each new file of about `target` bytes."""

    files: tuple[DataFile, ...]
    target: int


def plan_merges(
    files: Iterable[DataFile], sizes: Sizes, *, is_closed: Callable[[Partition], bool], open_files: int, most_bytes: int
) -> list[Merge]:
    """What `optimize` rewrites: undersized files, where that lowers the number of files; empty if nothing does.

    In a closed partition files of the right size take up a rest that is too small for a file of its own. In an open
    one, which still grows, only undersized files are merged, once they fill a file or are `open_files` or more. A merge
    reads at most about `most_bytes` of undersized files.
    """
    merges: list[Merge] = []
    ordered = sorted(files, key=lambda f: (f.partition, f.first_unit, f.path))
    for partition, members in groupby(ordered, key=lambda f: f.partition):
        stored = list(members)
        small = [f for f in stored if f.bytes < sizes.smallest]
        closed = is_closed(partition)
        for group in _groups(small, most_bytes):
            full = [] if len(small) > len(group) else [f for f in stored if sizes.smallest <= f.bytes <= sizes.largest]
            merge = _merge(group, full if closed else [], sizes)
            if merge and (closed or len(group) >= open_files or sum(f.bytes for f in group) >= sizes.smallest):
                merges.append(merge)
    return merges


def _merge(small: Sequence[DataFile], full: Sequence[DataFile], sizes: Sizes) -> Merge | None:
    """One merge of all the small files with the fewest full ones that makes every new file the right size; else of
    the small ones alone, as few files as they fill."""
    chosen = list(small)
    for more in (None, *sorted(full, key=lambda f: f.bytes)[:_MOST_FULL]):
        chosen += [] if more is None else [more]
        total = sum(f.bytes for f in chosen)
        if count := _in_size(total, len(chosen) - 1, sizes):
            return Merge(tuple(chosen), total // count)
    total = sum(f.bytes for f in small)
    count = -int(-total // sizes.largest)
    return Merge(tuple(small), (sizes.target + sizes.largest) // 2) if count < len(small) else None


def _in_size(total: int, most: int, sizes: Sizes) -> int:
    """How many files, near the target and `most` at most, hold the bytes well inside the accepted sizes; 0: none."""
    fewest = -int(-total // (sizes.largest * (1 - _MARGIN)))
    most = min(int(total // (sizes.smallest * (1 + _MARGIN))), most)
    return min(max(round(total / sizes.target), fewest), most) if fewest <= most else 0


def _groups(files: Sequence[DataFile], most_bytes: int) -> list[list[DataFile]]:
    """Contiguous groups of about equal bytes, none much over the limit or of more files than a task should open."""
    groups: list[list[DataFile]] = []
    for start, end in _cut([f.bytes for f in files], -int(-sum(f.bytes for f in files) // most_bytes)):
        parts = -int(-(end - start) // _MOST_FILES)
        groups += [list(files[start + a : start + b]) for a, b in _cut([1] * (end - start), parts)]
    return groups
