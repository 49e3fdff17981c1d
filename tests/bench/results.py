"""What was measured: one record per run, medians over rounds, and JSON of it all."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

SETUP = "build"
"""Name of an entry that makes what the others of its case need: run once, and compared with none of them."""


@dataclass(frozen=True)
class Run:
    """One run of one contender; times in seconds, sizes in bytes. `problems` says why the result is wrong."""

    case: str
    name: str
    label: str
    round: int
    seconds: float
    process_seconds: float
    cpu_seconds: float
    peak_bytes: int
    rows: int
    files: int
    bytes: int
    bytes_read: int | None
    problems: list[str]


@dataclass(frozen=True)
class Row:
    """A contender's runs of a case as one: medians, the least time, and the problems of any run."""

    case: str
    name: str
    label: str
    rounds: int
    seconds: float
    least_seconds: float
    cpu_seconds: float
    peak_bytes: int
    rows: int
    files: int
    bytes: int
    bytes_read: int | None
    problems: list[str]


def rows_of_runs(runs: Sequence[Run]) -> dict[tuple[str, str], Row]:
    """By case and name, in the order of the first round."""
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.case, run.name), []).append(run)
    return {key: _row(group) for key, group in grouped.items()}


def _row(runs: list[Run]) -> Row:
    last = runs[-1]
    return Row(
        last.case,
        last.name,
        last.label,
        len(runs),
        median(r.seconds for r in runs),
        min(r.seconds for r in runs),
        median(r.cpu_seconds for r in runs),
        max(r.peak_bytes for r in runs),
        last.rows,
        last.files,
        last.bytes,
        last.bytes_read,
        next((r.problems for r in runs if r.problems), []),
    )


def save(path: Path, machine: dict[str, Any], settings: dict[str, Any], runs: Sequence[Run]) -> None:
    rows = [asdict(row) for row in rows_of_runs(runs).values()]
    whole = {"machine": machine, "settings": settings, "results": rows, "runs": [asdict(run) for run in runs]}
    path.write_text(json.dumps(whole, indent=1) + "\n")
