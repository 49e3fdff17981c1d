"""The pool of processes: what it tells of a task that fails, and what workers are not to run."""

import sys
from dataclasses import dataclass
from multiprocessing import spawn
from types import SimpleNamespace
from typing import Any

import pytest

from siltstone.engine import local
from siltstone.engine.local import LocalEngine
from siltstone.errors import SiltstoneError
from siltstone.model.data_files import LoggedFile

TABLE = SimpleNamespace(root="/lake/readings")
FIRST = LoggedFile("date=2025-12-10/a.parquet", 3)


@dataclass(frozen=True)
class Task:
    def run(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"files": (FIRST, FIRST)}, "date=2025-12-10/a.parquet and 1 more"),
        ({"files": (SimpleNamespace(identity="/in/a.gz", path="a.gz"),)}, "/in/a.gz"),
        ({"files": (("a", "in/a"),)}, "in/a"),
        ({"file": FIRST}, "date=2025-12-10/a.parquet"),
        ({"path": "f1"}, "f1"),
        ({}, "no files"),
    ],
)
def test_a_task_is_told_by_its_table_and_its_first_file(given: dict[str, Any], named: str) -> None:
    task: Any = SimpleNamespace(table=TABLE, **given)
    assert local._place(task) == f"SimpleNamespace for /lake/readings ({named})"


def test_workers_are_not_told_which_script_runs_and_the_script_stays_where_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = {"init_main_from_path": "/home/me/run.py", "dir": "/home/me"}
    monkeypatch.setattr(local, "_prepared", lambda name: script | {"name": name})
    main = sys.modules["__main__"]
    assert spawn.get_preparation_data("w") == script | {"name": "w"}
    with local._as_workers_need_it():
        assert spawn.get_preparation_data("w") == {"dir": "/home/me", "name": "w"}
        assert sys.modules["__main__"] is main  # other threads may pickle what it defines
    assert spawn.get_preparation_data("w") == script | {"name": "w"}


def test_a_task_that_the_script_defines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Task, "__module__", "__main__")
    engine: Any = LocalEngine(1)
    with pytest.raises(SiltstoneError, match=r"workers can't import Task, .* into a module of its own"):
        engine.run([Task()], print)
