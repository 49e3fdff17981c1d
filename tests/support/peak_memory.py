"""A command, and the most memory that any process of it had. Linux only."""

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BETWEEN_LOOKS_S = 0.02


@dataclass(frozen=True)
class Watched:
    """How a command ended, and the peak of its largest process, in MiB."""

    exit_code: int
    out: str
    err: str
    peak_mb: int


def watched(command: Sequence[str], environment: Mapping[str, str], limit_s: float) -> Watched:
    """Run a command to its end and look at it and all processes below it meanwhile; kill it after `limit_s` seconds."""
    process = subprocess.Popen(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    watch = _Watch(process.pid)
    watch.start()
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return Watched(process.returncode, out, err, watch.stop())


def high_water_mb(pid: int | str = "self") -> int:
    """The most memory that a living process has had so far; 0 of one that has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) >> 10 for line in text.splitlines() if line.startswith("VmHWM:")), 0)


class _Watch(threading.Thread):
    """Looks again and again; the system keeps the peak of each process itself until that ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root, self._peak = pid, 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_BETWEEN_LOOKS_S):
            self._peak = max([self._peak, *map(high_water_mb, _below(self._root))])

    def stop(self) -> int:
        self._ended.set()
        self.join()
        return self._peak


def _below(root: int) -> list[int]:
    """A process and all of its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def _parent(folder: Path) -> int | None:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
