"""Documents in portions that are each parsed in bounded memory, however small their records and however many cells.

Text alone tells little: 16 MiB hold 5 million empty objects, and a kilobyte of Parquet a million equal rows. So what a
document may become is counted before it is parsed: its bytes, its records, and its cells, rows times columns.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

MOST_RECORDS = 1 << 18
"""Records that are parsed in one go. Each may take a few hundred bytes, whatever it holds."""

_USUAL_NAME = 64


class Load(NamedTuple):
    """What a document becomes when it is parsed, at most: bytes of text, records, and cells where they are known."""

    bytes: int
    records: int = 0
    cells: int = 0

    def plus(self, other: "Load") -> "Load":
        return Load(self.bytes + other.bytes, self.records + other.records, self.cells + other.cells)


@dataclass(frozen=True, slots=True)
class Room:
    """What is parsed in one go, at most."""

    bytes: int
    records: int = MOST_RECORDS
    cells: int = 1 << 21

    def holds(self, load: Load) -> bool:
        """Whether there is room for so much."""
        return load.bytes <= self.bytes and load.records <= self.records and load.cells <= self.cells


def over_usual(names: Iterable[str]) -> int:
    """The bytes of names beyond 64 of each: what rows made of records repeat may be far more than the records hold."""
    return sum(max(len(name) - _USUAL_NAME, 0) for name in names)


def load_of(document: Any) -> Load:
    """The load that a document says; of one of a foreign kind, which says none, its size."""
    load = getattr(document, "load", None)
    return load if isinstance(load, Load) else Load(document.size)


def batches(documents: Iterable[Any], room: Room) -> Iterator[tuple[list[Any], bool]]:
    """The documents in order, as many at a time as there is room for; those that are too large in portions, each alone,
    and True with it."""
    batch: list[Any] = []
    used = Load(0)
    for document in documents:
        load = load_of(document)
        if batch and not room.holds(used.plus(load)):
            yield batch, False
            batch, used = [], Load(0)
        if room.holds(load) or not hasattr(document, "portions"):
            batch.append(document)
            used = used.plus(load)
        else:
            for portion in document.portions(room):
                yield [portion], True
    if batch:
        yield batch, False
