"""What a right table of readings holds, whatever its names and partitions: sums of each series; and the states of
entities. Counted by whoever makes the input, from the values before they became bytes."""

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import NamedTuple


class Reading(NamedTuple):
    """One row that stays: `ts_us` and `ts_nanos` (0-999) of its instant; a number, a text or neither; its version."""

    ts_us: int
    ts_nanos: int = 0
    value: float | None = None
    text: str | None = None
    version: int | None = None


@dataclass(frozen=True, order=True)
class Series:
    """A series as sums over its rows; a null counts as nothing."""

    rows: int
    ts_us: int
    ts_nanos: int
    versions: int
    texts: int
    text_bytes: int
    values: int
    value_sum: float

    @property
    def exact(self) -> tuple[int, ...]:
        return astuple(self)[:-1]


@dataclass(frozen=True)
class Entity:
    """The states of an entity's table: how many, how many of them current, and the sums of their bounds in seconds."""

    states: int
    current: int
    valid_from_s: int
    valid_to_s: int


@dataclass(frozen=True)
class ReadingsTruth:
    """`counts` are rows by the values of some columns, such as quality; `entities` are by their table's name."""

    series: list[Series]
    counts: Mapping[str, Mapping[str, int]]
    entities: Mapping[str, Entity] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(series.rows for series in self.series)


def series_of(readings: Iterable[Reading]) -> Series:
    rows = list(readings)
    values = [row.value for row in rows if row.value is not None]
    texts = [row.text for row in rows if row.text is not None]
    return Series(
        rows=len(rows),
        ts_us=sum(row.ts_us for row in rows),
        ts_nanos=sum(row.ts_nanos for row in rows),
        versions=sum(row.version or 0 for row in rows),
        texts=len(texts),
        text_bytes=sum(len(text.encode()) for text in texts),
        values=len(values),
        value_sum=math.fsum(values),
    )


def states_of(snapshots: Iterable[tuple[int, Mapping[str, object]]]) -> Entity:
    """The states of rows by id in snapshots of the whole, each with its epoch second, in order of time."""
    current: dict[str, tuple[object, int]] = {}
    closed: list[tuple[int, int]] = []
    for second, rows in snapshots:
        for key, (row, since) in list(current.items()):
            if rows.get(key) != row:
                closed.append((since, second))
                del current[key]
        for key, row in rows.items():
            current.setdefault(key, (row, second))
    begun = [since for since, _ in closed] + [since for _, since in current.values()]
    return Entity(len(begun), len(current), sum(begun), sum(until for _, until in closed))


def problems_of(found: ReadingsTruth, truth: ReadingsTruth) -> list[str]:
    """One sentence for each number of `found` that is not the truth's.

    Series are compared in order of their sums, so it does not matter how a contender names them.
    """
    problems = []
    if found.rows != truth.rows:
        problems.append(f"{found.rows:,} rows instead of {truth.rows:,}")
    if len(found.series) != len(truth.series):
        problems.append(f"{len(found.series):,} series instead of {len(truth.series):,}")
    pairs = zip(sorted(found.series), sorted(truth.series), strict=False)
    wrong = [(mine, theirs) for mine, theirs in pairs if not _is_same(mine, theirs)]
    if wrong:
        problems.append(f"{len(wrong):,} series have other sums, such as {wrong[0][0]} instead of {wrong[0][1]}")
    for column, counts in truth.counts.items():
        for value, rows in counts.items():
            if (mine := found.counts[column].get(value, 0)) != rows:
                problems.append(f"{column} {value}: {mine:,} rows instead of {rows:,}")
    for table, entity in truth.entities.items():
        if found.entities.get(table) != entity:
            problems.append(f"{table}: {found.entities.get(table)} instead of {entity}")
    return problems


def _is_same(mine: Series, theirs: Series) -> bool:
    return mine.exact == theirs.exact and math.isclose(mine.value_sum, theirs.value_sum, rel_tol=1e-9, abs_tol=1e-6)


def counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def save_readings_truth(path: Path, truth: ReadingsTruth) -> None:
    path.write_text(json.dumps(asdict(truth) | {"series": [astuple(series) for series in truth.series]}))


def load_readings_truth(path: Path) -> ReadingsTruth:
    """Raises FileNotFoundError."""
    told = json.loads(path.read_text())
    entities = {table: Entity(**entity) for table, entity in told["entities"].items()}
    return ReadingsTruth([Series(*series) for series in told["series"]], told["counts"], entities)
