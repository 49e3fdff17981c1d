"""What a right table of aggregates holds: sums of each series over its buckets, counted from the readings in integers.

Values are whole eighths and times whole microseconds, so that the sums are exact. A bucket has a row if a reading lies
in it; a value holds until the next reading of its series, of the last one until the latest reading of all.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]
EIGHTHS = 8
START_US = 1_761_955_200_000_000
"""2025-11-01T00:00:00Z: before all readings, and where buckets are numbered from."""
_SECOND = 1_000_000


@dataclass(frozen=True)
class Sums:
    """Of each series: how many rows, the sum of their `covered_s`, of their integrals (value x seconds), and of their
    integrals x the number of their bucket, which tells whether each is in its place."""

    series_id: list[str]
    rows: Ints
    covered_s: npt.NDArray[np.float64]
    integral: npt.NDArray[np.float64]
    moment: npt.NDArray[np.float64]


def counted(names: list[str], starts: Ints, ts: Ints, eighths: Ints, every_us: int) -> Sums:
    """The sums of series whose readings are at starts[i]:starts[i + 1], sorted by time; each has at least one."""
    latest = int(ts.max())
    parts = []
    for block in range(0, len(names), 50):  # a few million readings at a time
        own = starts[block : block + 51]
        chosen = slice(own[0], own[-1])
        parts.append(_counted(own - own[0], ts[chosen], eighths[chosen], latest, every_us))
    rows, covered, integral, moment = (np.concatenate(part) for part in zip(*parts, strict=True))
    scale = 1 / (EIGHTHS * _SECOND)
    return Sums(names, rows, covered / _SECOND, integral * scale, moment * scale)


def _counted(starts: Ints, ts: Ints, value: Ints, latest: int, every_us: int) -> tuple[Ints, ...]:
    bucket = (ts - START_US) // every_us
    begin = START_US + bucket * every_us
    is_first = np.zeros(len(ts), bool)
    is_first[starts[:-1]] = True
    until = np.append(ts[1:], latest)
    until[np.flatnonzero(is_first[1:])] = latest
    held = np.minimum(until, begin + every_us) - ts
    enters = np.append(True, bucket[1:] != bucket[:-1]) | is_first
    carried = np.where(enters & ~is_first, ts - begin, 0)
    area = value * held + np.append(0, value[:-1]) * carried
    found = (enters.astype(np.int64), held + carried, area, area * bucket)
    return tuple(np.add.reduceat(each, starts[:-1]) for each in found)


def save_sums(path: Path, sums: Sums) -> None:
    pq.write_table(pa.table({f.name: getattr(sums, f.name) for f in fields(sums)}), path)


def load_sums(path: Path, *, first: int | None = None) -> Sums:
    """All series, or only the `first` so many. Raises FileNotFoundError."""
    table = pq.read_table(path).slice(0, first)
    columns = {name: table.column(name).to_numpy() for name in table.column_names if name != "series_id"}
    return Sums(table.column("series_id").to_pylist(), **columns)


def problems_of(found: Sums, truth: Sums) -> list[str]:
    """One sentence for each kind of sum that is not the truth's within 1e-9."""
    if set(found.series_id) != set(truth.series_id) or len(found.series_id) != len(truth.series_id):
        return [f"{len(found.series_id):,} series, and not the {len(truth.series_id):,} that there are"]
    mine, theirs = np.argsort(found.series_id), np.argsort(truth.series_id)
    problems = []
    for name in ("rows", "covered_s", "integral", "moment"):
        got, right = getattr(found, name)[mine], getattr(truth, name)[theirs]
        wrong = np.flatnonzero(~np.isclose(got, right, rtol=1e-9, atol=1e-6))
        if len(wrong):
            example = wrong[0]
            problems.append(
                f"{len(wrong):,} series have another sum of {name}, such as {truth.series_id[theirs[example]]}: "
                f"{got[example]} instead of {right[example]}"
            )
    return problems
