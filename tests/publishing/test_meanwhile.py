"""A table that changes while it is published: an edition shows one version of it, and the next one what came since."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from siltstone.config.load import load_config
from siltstone.publishing.job import publish
from siltstone.publishing.stream_reading import StreamReader
from support.fleet import InProcess, quiet
from support.plant import Plant
from support.races import Meanwhile, Once, between, together
from support.rounds import rounds

A, B, C = (f"badd2ed0-1cf4-11ec-8cd1-1002b58053c{n}" for n in (6, 7, 8))
FORMATS = ("delta", "parquet")

Values = list[tuple[str, int, float]]  # stream, minute after noon, value


@dataclass
class Building:
    """Files of streams, the readings that they become, and the folder that these are published to."""

    root: Path
    format_name: str
    streams: dict[str, dict[int, float]] = field(default_factory=dict)
    plant: Plant = field(init=False)

    def __post_init__(self) -> None:
        self.plant = Plant(self.root)

    def deliver(self, stream: str, *values: float) -> None:
        """A file of a stream with a value each minute; the next one replaces it."""
        self.streams[stream] = dict(enumerate(values))
        lines = [f"2021-07-08T12:{minute:02}:00Z,{value}\n" for minute, value in enumerate(values)]
        self.plant.deliver("mortar", {f"b1/{stream}.csv": "".join(["datetime,temp\n", *lines]).encode()})

    def compact(self, engine: Any = None) -> Any:
        settings = f"compaction.format={self.format_name}", "optimize.after_compact=false", "compaction.grain=day"
        return self.plant.compact("mortar", *settings, engine=engine or InProcess())

    def optimize(self) -> Any:
        return self.plant.settle("readings", "optimize.closed_after_hours=0")

    def publish(self) -> Any:
        return publish(str(self.plant.lake), str(self.root / "out"), load_config([], []), quiet)

    def delivered(self) -> Values:
        return sorted((stream, *row) for stream, values in self.streams.items() for row in values.items())

    def published(self) -> Values:
        frame = pl.read_parquet(self.root / "out/**/*.parquet", hive_partitioning=True)
        minute = (pl.col("time") - datetime(2021, 7, 8, 12, tzinfo=UTC)).dt.total_minutes()
        return sorted(frame.select("uuid", minute.alias("minute"), "value").rows())


def new_file(building: Building) -> None:
    building.deliver(C, 7.0)
    building.compact()


def changed_file(building: Building) -> None:
    building.deliver(A, 1.0, 2.5)
    building.compact()


def merged_files(building: Building) -> None:
    assert building.optimize()["files_written"] == 1


@pytest.fixture(params=FORMATS)
def building(tmp_path: Path, request: pytest.FixtureRequest) -> Building:
    """A stream in two data files of a day, published once; a third file is not yet."""
    found = Building(tmp_path, request.param)
    found.deliver(A, 1.0, 2.0, 3.0)
    found.compact()
    found.publish()
    found.deliver(B, 5.0, 6.0)
    found.compact()
    return found


@pytest.mark.parametrize(
    "change",
    [changed_file, *(pytest.param(other, marks=pytest.mark.slow("races")) for other in (new_file, merged_files))],
)
def test_a_run_that_commits_while_the_files_are_read(
    building: Building, monkeypatch: pytest.MonkeyPatch, change: Callable[[Building], None]
) -> None:
    before = building.delivered()
    once = Once(lambda: change(building))
    between(monkeypatch, StreamReader, "merged", once)
    building.publish()
    assert once.left == 0
    # Delta keeps the files of the version that was looked at; in a plain table they are gone, so that it looks again.
    is_older = building.format_name == "delta" or change is new_file
    assert building.published() == (before if is_older else building.delivered())
    building.publish()
    assert building.published() == building.delivered()


@pytest.mark.slow("races")
def test_what_a_run_has_written_and_not_committed_is_not_published(building: Building) -> None:
    before = building.delivered()
    building.deliver(A, 1.0, 2.5)
    building.compact(Meanwhile(acts={0: building.publish}, done=[]))
    assert building.published() == before
    building.publish()
    assert building.published() == building.delivered()


@pytest.mark.slow("races")
@pytest.mark.parametrize("round_number", rounds(1))
def test_at_once(building: Building, round_number: int) -> None:
    before = building.delivered()
    building.deliver(A, 1.0, 2.5)
    together(building.compact, building.publish)
    assert building.published() in (before, building.delivered())
    building.publish()
    assert building.published() == building.delivered()
