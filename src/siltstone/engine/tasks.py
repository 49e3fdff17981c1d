"""What engines and tasks promise each other."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from siltstone.storage import Storage

TasksDone = Callable[[int], None]
"""Called in the driver with the number of tasks that are done."""


T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Task(Protocol[R_co]):
    """A piece of work: a dataclass of plain values, so that it travels to other processes, to those of Spark as JSON
    (siltstone.engine.codec)."""

    @property
    def table(self) -> "Storage": ...

    def run(self) -> R_co:
        """Do it. The result is a dataclass, too: the one that the method is annotated with."""
        ...


class Engine(Protocol):
    """Where tasks run."""

    @property
    def name(self) -> str: ...

    def start(self) -> None:
        """Start what workers need in any case, without waiting for it."""
        ...

    def warm_up(self, tasks: int, modules: Sequence[str]) -> None:
        """Start workers for about so many tasks, which import these modules meanwhile, without waiting for it."""
        ...

    def run(self, tasks: Sequence[Task[R]], done: TasksDone) -> list[R]:
        """The result of each task, in the order of the tasks; all are of one kind and write to one table."""
        ...


Progress = Callable[[str, int, int, int], None]
"""Called with what goes on, files done, files in all, and input bytes done."""
