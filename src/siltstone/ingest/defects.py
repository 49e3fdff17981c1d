"""A net around the reading of one file: what siltstone itself fails at is the reason why that file is refused.

A panic of polars or an error of a library that no reader expects is a defect of siltstone, not of the run: the files
beside it are taken. The reason names the exception, the place and the version, never the data; another version reads
such files again. Errors of siltstone's own, want of memory and interrupts pass.
"""

import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from typing import Any, TypeVar

from siltstone.errors import SiltstoneError, Unreadable
from siltstone.mapping.dataset import Dataset, Keyed, Wide
from siltstone.mapping.rules import Rules
from siltstone.model.schema import Schema
from siltstone.version import __version__

_REASON = re.compile(r"defect: .* \(siltstone (?P<version>.+)\)")

T = TypeVar("T")


class Defect(Unreadable):
    """A file that siltstone fails at; its message is the reason."""


class LateRefusal(Exception):
    """A file that is to be refused when rows of it are on their way already: the task begins again without it."""

    def __init__(self, index: int, why: Unreadable) -> None:
        super().__init__(str(why))
        self.index, self.why = index, why


def without_late_refusals(run: Callable[[Mapping[int, Unreadable]], T]) -> T:
    """What `run` returns, which takes the files to be refused, by index, and is called again, with one more, where it
    meets a LateRefusal. What it wrote until then belongs to no commit."""
    known: dict[int, Unreadable] = {}
    while True:
        try:
            return run(known)
        except LateRefusal as late:
            known[late.index] = late.why


_PASSING = (SiltstoneError, Unreadable, LateRefusal, MemoryError, KeyboardInterrupt, SystemExit, GeneratorExit)


@contextmanager
def netted() -> Iterator[None]:
    """Turn a foreign exception inside, panics too, into a Defect."""
    try:
        yield
    except _PASSING:
        raise
    except BaseException as error:
        raise Defect(f"defect: {type(error).__name__} at {_place(error)} (siltstone {__version__})") from error


def version_of(reason: str) -> str | None:
    """The version of siltstone that failed at a file which is refused for this reason; None if none did."""
    match = _REASON.fullmatch(reason)
    return match["version"] if match else None


def rows_of(
    dataset: Dataset, documents: Sequence[Any], schema: Schema, rules: Rules
) -> tuple[list[Wide | Keyed], Schema, Mapping[int, str]]:
    """Every row of the documents, the schema with the columns that they brought, and by index the reason for each
    document that siltstone fails at. They are parsed together; where that fails by halves, down to each alone."""
    try:
        with netted():
            parts, grown = dataset.rows(documents, schema, rules)
            return list(parts), grown, {}
    except Defect as defect:
        if len(documents) == 1:
            return [], schema, {documents[0].index: str(defect)}
    half = len(documents) // 2
    first, schema, of_first = rows_of(dataset, documents[:half], schema, rules)
    second, schema, of_second = rows_of(dataset, documents[half:], schema, rules)
    return [*first, *second], schema, {**of_first, **of_second}


def _place(error: BaseException) -> str:
    """Where in siltstone an exception came from."""
    package = str(PurePath(__file__).parents[1])
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(package)]
    last = frames[-1] if frames else traceback.extract_tb(error.__traceback__)[-1]
    return f"{PurePath(last.filename.removeprefix(package)).as_posix().lstrip('/')}:{last.lineno}"
