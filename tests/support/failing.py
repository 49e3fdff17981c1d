"""Runs a story again and again, and lets another of its storage operations fail each time.

`python -m support.failing STORY FOLDER FIRST STEP ONLY`

Prints JSON: how many operations the story has, how many cases were run, and what was wrong in any of them.
"""

import json
import os
import pickle
import re
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from siltstone.errors import SiltstoneError
from support.new_python import printed_by
from support.operations import How, Operations, watch
from support.stories import STORIES, Story, put_back


@dataclass(frozen=True)
class End:
    """How a child ended: `kind` is done, refused (an error of siltstone's own), foreign (any other) or killed."""

    kind: str
    value: Any = None
    done: tuple[str, ...] = ()


class Child:
    """A fork of this process that does some work, and may stop itself meanwhile."""

    def __init__(self, work: Callable[[], Any], operations: Operations) -> None:
        self._reading, writing = os.pipe()
        self._has_ended = False
        self._id = os.fork()
        if self._id == 0:
            os.close(self._reading)
            try:
                kind, value = "done", work()
            except SiltstoneError as error:
                kind, value = "refused", f"{type(error).__name__}: {error}"
            except BaseException:
                kind, value = "foreign", traceback.format_exc()[-1500:]
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(End(kind, value, tuple(operations.done)), pipe)
            os._exit(0)
        os.close(writing)

    def sleeps(self) -> bool:
        """Whether it has stopped itself, once it has done so or has ended."""
        self._has_ended = not os.WIFSTOPPED(os.waitpid(self._id, os.WUNTRACED)[1])
        return not self._has_ended

    def wake(self) -> None:
        """Let it go on."""
        os.kill(self._id, signal.SIGCONT)

    def end(self) -> End:
        """What the work returned or raised, and the operations that it did."""
        with os.fdopen(self._reading, "rb") as pipe:
            data = pipe.read()
        if not self._has_ended:
            os.waitpid(self._id, 0)
        found: End = pickle.loads(data) if data else End("killed")
        return found


def in_child(work: Callable[[], Any], operations: Operations) -> End:
    """What `work` returns or raises in a fork of this process, and the operations that it did."""
    return Child(work, operations).end()


@dataclass
class Trial:
    """A story in a folder of its own: the world before its job, and the rows before and after it."""

    name: str
    folder: Path
    story: Story = field(init=False)
    operations: Operations = field(default_factory=Operations)
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    strays: set[str] = field(default_factory=set)
    seen: set[Any] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.story = STORIES[self.name]

    @property
    def root(self) -> Path:
        return self.folder / "world"

    @property
    def base(self) -> Path:
        return self.folder / "before"

    def undisturbed(self) -> tuple[str, ...]:
        """The operations of the job where none fails."""
        self._value(lambda: self.story.prepare(self.root))
        self.root.rename(self.base)
        put_back(self.base, self.root)
        self.before = self._value(lambda: self.story.rows(self.root))
        end = self._run(0, "before")
        assert end.kind == "done", end
        self.after = self._value(lambda: self.story.rows(self.root))
        self.strays = {_shape(path) for path in self._value(self._left)}
        return end.done

    def problems(self, number: int, how: How) -> list[str]:
        """What is wrong where the operation of that number fails, and after a clean run that follows."""
        put_back(self.base, self.root)
        return self.of_end(self._run(number, how))

    def of_end(self, end: End) -> list[str]:
        """What is wrong after a job that ended so, and after a clean run that follows."""
        rows = in_child(lambda: self.story.rows(self.root), self.operations)
        found = [*self._of_reader(rows, end), *self._of_message(rows, end)]
        state = (rows.value, self._state())
        if state not in self.seen:
            self.seen.add(state)
            found += self._of_next_run()
        return found

    def _of_reader(self, rows: End, end: End) -> list[str]:
        if end.kind == "foreign":
            return [f"ended with a foreign error: {end.value}"]
        if rows.kind != "done":
            return [f"a reader fails: {rows.value}"]
        if end.kind == "done" and rows.value != self.after:
            return [f"said that it is done, but a reader finds {rows.value}"]
        tables = zip(rows.value, self.before, self.after, strict=True)
        if all(found in (was, will) for found, was, will in tables) or (
            self.story.is_folder and self._may_be_mixed(end)
        ):
            return []
        return [f"a reader finds {rows.value}, neither {self.before} nor {self.after}; {end.value}"]

    @staticmethod
    def _may_be_mixed(end: End) -> bool:
        """Whether files of a folder may have been half renamed: until the next command, which the message says."""
        return end.kind == "killed" or "is committed" in end.value

    def _of_message(self, rows: End, end: End) -> list[str]:
        if end.kind != "refused":
            return []
        said = end.value.lower()
        if re.search(r"nothing (was|is) committed", said) and rows.value != self.before:
            return [f"said that nothing was committed, but a reader finds {rows.value}: {end.value}"]
        claims = re.search(r"\b(was|is) committed", re.sub(r"nothing (was|is) committed", "", said))
        if claims and len(_entries(self.root)) == len(_entries(self.base)):
            return [f"said that something was committed, but no log has a new entry: {end.value}"]
        return []

    def _of_next_run(self) -> list[str]:
        """What a clean run leaves wrong, and a vacuum after it."""

        def again() -> tuple[Any, ...]:
            self.story.job(self.root)
            rows, problems = self.story.rows(self.root), self.story.problems(self.root)
            return rows, problems, self._left(), self.story.rows(self.root)

        end = in_child(again, self.operations)
        if end.kind != "done":
            return [f"the next run fails: {end.value}"]
        rows, problems, left, rows_later = end.value
        found = [f"verify: {problem}" for problem in problems]
        if rows != self.after:
            found.append(f"after the next run a reader finds {rows}, not {self.after}")
        if rows_later != rows:
            found.append(f"after a vacuum a reader finds {rows_later}, not {rows}")
        if more := [path for path in left if _shape(path) not in self.strays]:
            found.append(f"nobody takes away {more[:3]}")
        return found

    def _left(self) -> list[str]:
        """What nobody needs, after a vacuum."""
        self.story.vacuum(self.root)
        return self.story.strays(self.root)

    def _run(self, number: int, how: How) -> End:
        def job() -> None:
            self.operations.target, self.operations.how, self.operations.is_armed = number, how, True
            try:
                self.story.job(self.root)
            finally:
                self.operations.is_armed = False

        return in_child(job, self.operations)

    def _value(self, work: Callable[[], Any]) -> Any:
        end = in_child(work, self.operations)
        assert end.kind == "done", end
        return end.value

    def _state(self) -> tuple[Any, ...]:
        """What lies on the disk, with names that chance gives made equal."""
        files = (p for p in self.root.rglob("*") if p.is_file() and "in" not in p.relative_to(self.root).parts[:1])
        return tuple(sorted((_shape(str(p.relative_to(self.root))), p.stat().st_size > 0) for p in files))


def _entries(root: Path) -> list[Path]:
    """The entries of all logs: of Delta, of plain tables, of what is published."""
    return [*root.rglob("_delta_log/*.json"), *root.rglob("_siltstone/log/*.json")]


def _shape(path: str) -> str:
    return re.sub(r"[0-9a-f]{6,}|[0-9]+", "N", path)


def main(story: str, folder: str, first: int, step: int, only: str = "") -> dict[str, Any]:
    """Every `step`-th operation from the first one on goes wrong in each way; those alone that are called `only`."""
    trial = Trial(story, Path(folder))
    watch(trial.operations)
    done = Operations(done=list(trial.undisturbed()))
    every = range(1, len(done.done) + 1)
    numbers = {"before": every, "after": every, "kill": [n for n in every if n == 1 or done.changes(n)]}
    cases = [
        (how, n)
        for how, all_of_it in numbers.items()
        for n in all_of_it[first % step :: step]
        if only in done.done[n - 1]
    ]
    found = {f"{how}: {n} {done.done[n - 1]}": trial.problems(n, how) for how, n in cases}  # type: ignore[arg-type]
    return {
        "operations": len(done.done),
        "cases": len(cases),
        "wrong": {case: is_ for case, is_ in found.items() if is_},
    }


def failing(story: str, folder: Path, first: int, step: int, only: str = "") -> dict[str, Any]:
    """The same in a new Python: it forks, which a process that has used its threads must not."""
    found: dict[str, Any] = printed_by("support.failing", story, str(folder), str(first), str(step), only)
    return found


if __name__ == "__main__":
    pa.array(np.zeros(1))  # here pyarrow looks for pandas, 0.4 s that no fork has to wait for again
    named, at, begin, every_one, name = sys.argv[1:]
    print(json.dumps(main(named, at, int(begin), int(every_one), name)))
