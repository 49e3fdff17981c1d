"""Runs a command and measures it and all processes below it: wall time, CPU time, peak memory. Linux only.

A command may say on a line of its own `READY` when what is to be timed begins and `DONE` when it has ended; without
them the whole process is timed, interpreter start and imports included.
"""

import ctypes
import itertools
import os
import resource
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_SAMPLE_SECONDS = 0.1
_SAMPLES_PER_SEARCH = 5
_MORE = 1.01
_PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Measured:
    """`seconds` and `cpu_seconds` lie between READY and DONE, `process_seconds` between start and end.

    `peak_bytes` is the largest sum of PSS of all living processes of the tree at those samples (10 a second) where the
    sum of RSS was 1 % above all before, from start to end: shared pages count once, the JVM counts in full.
    `largest_bytes` is the most that any one process had at a time, by its own count, shared pages included.
    """

    exit_code: int
    output: str
    seconds: float
    process_seconds: float
    cpu_seconds: float
    peak_bytes: int
    largest_bytes: int


def measure(command: Sequence[str], *, env: Mapping[str, str], cores: int, folder: Path, limit_s: float) -> Measured:
    """Run `command` in `folder` on the first `cores` cores; kill it after `limit_s` seconds.

    What the command leaves running is waited for and counted; only the caller may have no other children.
    """
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # orphans become children, so none is lost
    _wait_for_orphans()  # of what was prepared: their time is not the command's
    chosen = sorted(os.sched_getaffinity(0))[:cores]
    watch, began = _Watch(), time.perf_counter()
    process = subprocess.Popen(
        command,
        env=dict(env),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=lambda: os.sched_setaffinity(0, chosen),
    )
    watch.start()
    killer = threading.Timer(limit_s, _kill_children)
    killer.start()
    output, marks = [], {}
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() in ("READY", "DONE"):
            marks[line.strip()] = (time.perf_counter(), watch.cpu_seconds())
        else:
            output.append(line)
    exit_code = process.wait()
    ended = time.perf_counter()
    _wait_for_orphans()
    killer.cancel()
    peak = watch.stop()
    whole_cpu = watch.cpu_seconds()
    ready, done = marks.get("READY", (began, 0.0)), marks.get("DONE", (ended, whole_cpu))
    times = done[0] - ready[0], ended - began, done[1] - ready[1]
    return Measured(exit_code, "".join(output), *times, peak, watch.largest)


class _Watch(threading.Thread):
    """The processes below this one: the peak of their memory, and their CPU time, also of those that have ended."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended_before = _cpu_of_ended()
        self._seen: dict[psutil.Process, float] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._most_rss, self._peak = 0, 0
        self.largest = 0

    def run(self) -> None:
        for number in itertools.count():
            if self._stopped.wait(_SAMPLE_SECONDS):
                return
            with self._lock:
                self._sample(with_new=number % _SAMPLES_PER_SEARCH == 0)

    def cpu_seconds(self) -> float:
        """The larger of two counts that both can only miss something: the system's, which forgets children whose parent
        ignored their end (Spark's Python workers), and the samples', which miss the last moments of a process."""
        with self._lock:
            self._sample(with_new=True)
            sampled = sum(self._seen.values())
            told = _cpu_of_ended() - self._ended_before + sum(_cpu(child, waited_for=True) for child in self._seen)
        return max(sampled, told)

    def stop(self) -> int:
        """The peak in bytes."""
        self._stopped.set()
        self.join()
        return self._peak

    def _sample(self, *, with_new: bool) -> None:
        if with_new:  # dear: it reads all processes of the machine
            for child in psutil.Process().children(recursive=True):
                self._seen.setdefault(child, 0.0)
        rss = 0
        for process, cpu in self._seen.items():
            self._seen[process] = max(cpu, _cpu(process))
            rss += _rss(process)
            self.largest = max(self.largest, _high_water(process))
        if rss > self._most_rss * _MORE:  # PSS is dear to read, above all for who is read
            self._most_rss = rss
            self._peak = max(self._peak, sum(_pss(process) for process in self._seen))


def _rss(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _pss(process: psutil.Process) -> int:
    return _kib(process, "smaps_rollup", "Pss:") * 1024


def _high_water(process: psutil.Process) -> int:
    """The most memory that a living process has had so far."""
    return _kib(process, "status", "VmHWM:") * 1024


def _kib(process: psutil.Process, file: str, name: str) -> int:
    try:
        text = Path(f"/proc/{process.pid}/{file}").read_text()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0)


def _cpu(process: psutil.Process, *, waited_for: bool = False) -> float:
    """CPU seconds of a living process, with or without those of the children that it has waited for."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    own = times.user + times.system
    return own + times.children_user + times.children_system if waited_for else own


def _cpu_of_ended() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _wait_for_orphans() -> None:
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _kill_children() -> None:
    for child in psutil.Process().children(recursive=True):
        child.kill()
