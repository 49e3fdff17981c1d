"""The case `bombs`: each small file that asks for much memory, by `siltstone compact` with its usual settings."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import bombs
from bombs import BOMBS, Bomb, File
from lineup import Checked, Entry, Rig
from meter import Measured

MOST_BYTES = (2 * 512 + 512) << 20
"""Of the largest process: twice `engine.memory_mb`, which is 512, and 512 MiB."""


def entries(rig: Rig) -> list[Entry]:
    """One for each bomb; the peak is that of the largest process."""
    return [_entry(rig, bomb) for bomb in BOMBS]


def _entry(rig: Rig, bomb: Bomb) -> Entry:
    made = hashlib.sha256(Path(bombs.__file__).read_bytes()).hexdigest()[:8]
    home, out = rig.cache / "bombs" / f"{bomb.name}-{made}", rig.out("bomb")
    truth = home / "records.json"
    if not truth.exists():
        counts = [records for _, _, records in bomb.write_to(home / "input", 1.0)]
        (home / "conf.yaml").write_text(json.dumps(bomb.configuration))
        truth.write_text(json.dumps(counts))
    command = [rig.project_python, "-m", "siltstone", "compact", bomb.source, str(home / "input"), str(out)]
    command += ["--engine", "local", "--json", "--conf", str(home / "conf.yaml")]
    check: Callable[[Measured], Checked] = partial(_checked, json.loads(truth.read_text()))
    return Entry(bomb.name, f"{bomb.name}: {bomb.about}", command, out, check, rig.cores)


def _checked(counts: list[int | None], measured: Measured) -> Checked:
    last = json.loads(measured.output.splitlines()[-1])
    problems = wrong(counts, last)
    if measured.largest_bytes > MOST_BYTES:
        problems.append(f"a process took {measured.largest_bytes >> 20} MiB, over {MOST_BYTES >> 20}")
    tables = last.get("tables", [last])
    rows, files = (sum(table[key] for table in tables) for key in ("rows_out", "files_written"))
    return Checked(rows, files, sum(t["bytes_written"] for t in tables), problems, peak_bytes=measured.largest_bytes)


def wrong(counts: list[int | None], told: dict) -> list[str]:
    """What is wrong with the summary of a run over files of so many records each; None: refused as a whole."""
    tables = told.get("tables", [told])
    records, refused = (sum(table[key] for table in tables) for key in ("records_in", "files_quarantined"))
    expected = sum(count for count in counts if count is not None), counts.count(None)
    if (records, refused) == expected:
        return []
    return [f"{records:,} records and {refused} files refused, expected {expected[0]:,} and {expected[1]}"]


__all__ = ["BOMBS", "File", "entries", "wrong"]
