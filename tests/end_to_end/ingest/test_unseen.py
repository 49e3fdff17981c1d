"""What only the driver sees: an input that no worker reads is told, not taken for gone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from siltstone.errors import StorageError
from siltstone.storage import Storage
from support.fleet import NOON, InProcess, World, put, record

PLACES = ("BRCB/SLS30I009/2025121004", "BRCB/SLS30I010/2025121004")


@dataclass(frozen=True)
class Elsewhere(InProcess):
    """Its workers have a file system of their own, in which the input is a folder that is not there."""

    def run(self, tasks: Sequence[Any], done: Any) -> list[Any]:
        blind = [replace(t, input=Storage("/nowhere")) if hasattr(t, "input") else t for t in tasks]
        return super().run(blind, done)


@dataclass(frozen=True)
class Meanwhile(InProcess):
    """The input's files are deleted, or written anew, before workers read them."""

    world: World | None = None
    data: bytes | None = None

    def run(self, tasks: Sequence[Any], done: Any) -> list[Any]:
        assert self.world is not None
        for path in map(self.world.path, PLACES):
            path.unlink()
            if self.data is not None:
                put(path, self.data)
        return super().run(tasks, done)


@pytest.fixture
def fleet(world: World) -> World:
    world.deliver({place: [record(NOON, gpsspeed=1.5)] for place in PLACES})
    return world


def test_an_input_that_no_worker_sees_is_an_error_and_no_news_of_gone_files(fleet: World) -> None:
    seen = f"{fleet.path(PLACES[0])} is here, but no worker could read it, nor any other file below {fleet.input}"
    with pytest.raises(StorageError, match=seen):
        fleet.compact(engine=Elsewhere())
    assert fleet.rows("ts") == []
    assert fleet.compact()["files_ingested"] == 2


@pytest.mark.parametrize("data", [None, b"other content"])
def test_files_that_went_or_changed_are_left_for_the_next_run(fleet: World, data: bytes | None) -> None:
    summary = fleet.compact(engine=Meanwhile(world=fleet, data=data))
    assert (summary["files_deferred"], summary["files_ingested"]) == (2, 0)


def test_verify_says_so_too(fleet: World) -> None:
    fleet.compact()
    blind = World(fleet.root, Elsewhere())
    with pytest.raises(
        StorageError, match=r"is here, but no worker could read it.* Give a place that every worker sees"
    ):
        blind.verify()
    for path in map(fleet.path, PLACES):
        path.unlink()
    assert blind.verify()["sources_gone"] == 2
