"""Runs tasks on a pool of processes of this machine.

Nothing heavy is imported here: so the imports for workers begin before the driver's own, and no process imports polars
before it was told to use one thread.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker, spawn
from typing import Any

from siltstone.engine.tasks import R, T, Task, TasksDone
from siltstone.errors import SiltstoneError, UsageError

OBJECTS_BETWEEN_LOOKS = 100_000
"""For the collector of cycles in processes of siltstone's own: a run makes many objects, and hardly any cycles."""

_SHARED_IMPORTS = [
    *("pyarrow.compute", "pyarrow.parquet", "obstore.store"),
    *(
        "siltstone.config.load",
        "siltstone.model.contracts",
        "siltstone.timeseries.buckets",
        "siltstone.timeseries.intervals",
    ),
]
"""What workers are forked with: two thirds of what they import. Not polars, whose threads a fork would leave behind."""

_WAITS_S = (0.0, 0.1, 1.0)
_STARTING = threading.RLock()
_YEAR_S = 365 * 86_400.0  # with polars loaded, Ctrl-C ends only a wait that has a timeout


@dataclass(frozen=True)
class LocalEngine:
    """A pool of processes on this machine; no Java. They start when they are needed and end with the engine, what they
    are forked from with the driver."""

    workers: int = 0
    name: str = "local"
    _pools: list[ProcessPoolExecutor] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.workers, int) or self.workers < 0:
            raise UsageError(
                f"LocalEngine: workers {self.workers!r} is no number of processes",
                "Give 1 or more, or 0 for as many as the machine has cores.",
            )
        weakref.finalize(self, _shut, self._pools)

    def start(self) -> None:
        start_server()

    def warm_up(self, tasks: int, modules: Sequence[str]) -> None:
        for _ in range(min(tasks, self._limit)):
            self._submit(_import_modules, modules)

    def run(self, tasks: Sequence[Task[R]], done: TasksDone) -> list[R]:
        if not tasks:
            return []
        if (kind := type(tasks[0])).__module__ == "__main__":
            raise SiltstoneError(
                f"workers can't import {kind.__name__}, which the script defines that was started",
                "Put the class of the task into a module of its own.",
            )
        results: dict[int, R] = {}
        try:
            futures: dict[Future[R], int] = {self._submit(_run, task): i for i, task in enumerate(tasks)}
            for future in as_completed(futures, timeout=_YEAR_S):
                results[futures[future]] = future.result()
                done(len(results))
        except BaseException as error:
            self._end(at_once=not isinstance(error, Exception))
            if not isinstance(error, BrokenProcessPool):
                raise
            raise SiltstoneError(
                "a worker process died, most likely killed for want of memory",
                "Run again with fewer workers (--set engine.workers=1) or less --set engine.memory_mb.",
            ) from error
        return [results[i] for i in range(len(tasks))]

    @property
    def _limit(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))

    def _submit(self, function: Callable[..., T], *args: Any) -> "Future[T]":
        """Hand a call to the pool, to a new one where a worker died since the last round, or where what workers are
        forked from is dying: it may take a moment until that is noticed."""
        for wait_s in _WAITS_S:
            try:
                return self._handed(function, *args)
            except (BrokenProcessPool, ConnectionError):
                self._end(at_once=False)
                time.sleep(wait_s)
        return self._handed(function, *args)

    def _handed(self, function: Callable[..., T], *args: Any) -> "Future[T]":
        pool = self._pool()
        with _as_workers_need_it():
            return pool.submit(function, *args)

    def _pool(self) -> ProcessPoolExecutor:
        if not self._pools:
            context = multiprocessing.get_context("forkserver" if start_server() else "spawn")
            environment = {**os.environ, "POLARS_MAX_THREADS": "1"}
            self._pools.append(ProcessPoolExecutor(self._limit, context, initializer=_begin, initargs=(environment,)))
        return self._pools[0]

    def _end(self, *, at_once: bool) -> None:
        """End the pool's processes; `at_once` in the middle of their tasks."""
        while self._pools:
            pool = self._pools.pop()
            for process in list((pool._processes or {}).values()) if at_once else ():
                process.terminate()
            pool.shutdown(cancel_futures=True)


def _shut(pools: list[ProcessPoolExecutor]) -> None:
    """Wait until pools have ended: one that ends by itself while Python does may print a trace of it."""
    while pools:
        pools.pop().shutdown(cancel_futures=True)


def start_server() -> bool:
    """Start the process that workers are forked from, unless it runs; it imports meanwhile. It ends with this process.

    False where it can't run: its socket is below TMPDIR, whose path may be too long for one.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(_SHARED_IMPORTS)
    resource_tracker.ensure_running()  # started later, it would unblock SIGINT in this process
    with _as_workers_need_it():
        try:
            forkserver.ensure_running()
        except OSError:
            return False
    return True


_thread = threading.local()
_prepared = spawn.get_preparation_data


def _without_script(name: str) -> dict[str, Any]:
    """What multiprocessing tells a new process; where this thread starts siltstone's workers, not the script to run."""
    data: dict[str, Any] = _prepared(name)
    if getattr(_thread, "starts_workers", False):
        data = {key: value for key, value in data.items() if not key.startswith("init_main_from")}
    return data


spawn.get_preparation_data = _without_script


@contextmanager
def _as_workers_need_it() -> Iterator[None]:
    """Processes started inside never hear Ctrl-C, have one thread for polars, for the pool itself is the parallelism,
    and import from where this one does, whose server would look into the current folder first. They do not run the
    script that this one runs: tasks need nothing of it, and one that calls siltstone would do so again in each."""
    ours = {"POLARS_MAX_THREADS": "1", "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    with _STARTING:
        before = {name: os.environ.get(name) for name in ours}
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.environ.update(ours)
        _thread.starts_workers = True
        try:
            yield
        finally:
            _thread.starts_workers = False
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin(environment: Mapping[str, str]) -> None:
    """Give a worker the driver's environment of today, make it deaf to Ctrl-C and let it look for cycles rarely, and
    end when its driver is gone, however that ended."""
    os.environ.clear()
    os.environ.update(environment)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    gc.set_threshold(OBJECTS_BETWEEN_LOOKS)
    threading.Thread(target=_end_with_driver, daemon=True).start()


def _end_with_driver() -> None:
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    os._exit(1)


def _import_modules(modules: Sequence[str]) -> None:
    """Import what tasks need, while the driver does something else."""
    for name in modules:
        importlib.import_module(name)


def _run(task: Task[R]) -> R:
    """Run a task in a worker. Its surprises become errors of siltstone's own: not every exception can be pickled."""
    try:
        return task.run()
    except SiltstoneError:
        raise
    except BaseException as error:
        what = f"{type(error).__name__}: {error}".partition("\n")[0]
        next_move = "--debug shows the trace; please report it."
        raise SiltstoneError(f"{_place(task)}: unexpected {what}", next_move) from error


def _place(task: Task[Any]) -> str:
    """What a task does, for which table, and the first file that it was given."""
    files = getattr(task, "files", ()) or (getattr(task, "file", None) or getattr(task, "path", "no files"),)
    first = files[0][1] if isinstance(files[0], tuple) else files[0]
    name = getattr(first, "identity", None) or getattr(first, "path", first)
    others = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
    return f"{type(task).__name__} for {task.table.root} ({name}{others})"
