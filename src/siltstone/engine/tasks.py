"""What engines and tasks promise each other."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from siltstone.storage import Storage

TasksDone = Callable[[int], None]
"""Called in the driver with the number of tasks that are done."""


class Result(Protocol):
    """What a task gives back; plain values."""

    def as_dict(self) -> dict[str, Any]: ...


T = TypeVar("T")
R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Task(Protocol[R_co]):
    """What a task is told; plain values, so that it travels between processes, to Spark as JSON."""

    @property
    def table(self) -> "Storage": ...

    def run(self) -> R_co: ...

    def as_dict(self) -> dict[str, Any]: ...

    def result(self, row: Mapping[str, Any]) -> R_co:
        """The result from its `as_dict`."""
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
