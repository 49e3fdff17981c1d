"""What was measured: one record per run, medians over rounds, and JSON of it all."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from statistics import median
from typing import Any

SETUP = "build"
"""Name of an entry that makes what the others of its case need: run once, and compared with none of them."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Of a contender in a case: times in seconds, sizes in bytes; `problems` says why the result is wrong."""

    case: str
    name: str
    label: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    rows: int = 0
    files: int = 0
    bytes: int = 0
    bytes_read: int | None = None
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Run(Figures):
    """One run; `process_seconds` are those of the whole process."""

    round: int
    process_seconds: float


@dataclass(frozen=True, kw_only=True)
class Row(Figures):
    """All runs as one: medians, the greatest memory, the newest result, the problems of any run, the least time."""

    rounds: int
    least_seconds: float


def rows_of_runs(runs: Sequence[Run]) -> dict[tuple[str, str], Row]:
    """By case and name, in the order of the first round."""
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.case, run.name), []).append(run)
    return {key: _row(group) for key, group in grouped.items()}


def _row(runs: list[Run]) -> Row:
    figures = {f.name: getattr(runs[-1], f.name) for f in fields(Figures)} | {
        "seconds": median(r.seconds for r in runs),
        "cpu_seconds": median(r.cpu_seconds for r in runs),
        "peak_bytes": max(r.peak_bytes for r in runs),
        "problems": next((r.problems for r in runs if r.problems), []),
    }
    return Row(**figures, rounds=len(runs), least_seconds=min(r.seconds for r in runs))


def save(path: Path, machine: dict[str, Any], settings: dict[str, Any], runs: Sequence[Run]) -> None:
    rows = [asdict(row) for row in rows_of_runs(runs).values()]
    whole = {"machine": machine, "settings": settings, "results": rows, "runs": [asdict(run) for run in runs]}
    path.write_text(json.dumps(whole, indent=1) + "\n")
