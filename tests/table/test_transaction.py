"""Runs that another one overtakes try again; files that a later commit deletes are no damage."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from siltstone.errors import LostRaceError, StorageError, UsageError
from siltstone.model.contracts import READINGS
from siltstone.model.schema import base_schema
from siltstone.storage import open_root
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.refusals import Fenced, FilesGone, Refused
from siltstone.table.transaction import WrittenFiles, newest_files, reading_at, retry

SNAPSHOT = Snapshot(3, base_schema(READINGS), None)


class Attempts:
    """A run that other ones overtake so many times."""

    def __init__(self, lost: int) -> None:
        self.lost, self.made = lost, 0

    def __call__(self) -> str:
        self.made += 1
        if self.made <= self.lost:
            raise Refused("version 4 is somebody else's")
        return f"attempt {self.made}"


class Emptied(Table):
    """A table of which a later commit deletes the data files at once."""

    def lost_files(self, planned: Snapshot) -> bool:
        return planned.version == SNAPSHOT.version


def table_in(folder: Path, kind: type[Table] = Table) -> Table:
    return kind(open_root(str(folder)), READINGS)


def test_the_first_attempt_that_is_not_overtaken_counts() -> None:
    told: list[str] = []
    attempts = Attempts(lost=2)
    assert retry(attempts, "s3://b/out", lambda what, *_: told.append(what)) == "attempt 3"
    assert (attempts.made, told) == (3, ["another run committed first: planning again"] * 2)


def test_a_run_that_is_overtaken_six_times_gives_up() -> None:
    attempts = Attempts(lost=6)
    expected = "^6 times another run committed to s3://b/out first; nothing was published. Run again when fewer"
    with pytest.raises(LostRaceError, match=expected):
        retry(attempts, "s3://b/out", outcome="nothing was published")
    assert attempts.made == 6


def test_another_error_ends_it_at_once() -> None:
    attempts: list[int] = []

    def fails() -> None:
        attempts.append(1)
        raise StorageError("no space left", "Make room.")

    with pytest.raises(StorageError, match="no space left"):
        retry(fails, "s3://b/out")
    assert attempts == [1]


def test_a_file_that_a_later_commit_may_have_deleted_is_a_lost_race(tmp_path: Path) -> None:
    with (
        pytest.raises(Refused, match="a later commit than version 3 may have deleted its data files"),
        reading_at(table_in(tmp_path, Emptied), SNAPSHOT),
    ):
        raise StorageError("data_1.parquet is gone", "Restore it.")


def test_a_file_that_no_commit_deletes_is_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"data_1\.parquet is gone"),
        reading_at(table_in(tmp_path), SNAPSHOT),
    ):
        raise StorageError("data_1.parquet is gone", "Restore it.")


def test_the_files_of_a_table_that_moves_on_are_those_of_the_newest_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_in(tmp_path)
    table.create()
    files, meanwhile = Table.files, Attempts(lost=1)

    def overtaken(self: Table, planned: Snapshot) -> list[object]:
        meanwhile()
        return [planned.version, *files(self, planned)]

    monkeypatch.setattr(Table, "files", overtaken)
    snapshot, stored = newest_files(table)
    assert (meanwhile.made, snapshot.version, stored) == (2, 0, [0])


def test_there_are_no_files_where_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no table. siltstone compact makes it"):
        newest_files(table_in(tmp_path / "none"))


def test_vacuums_alone_do_not_end_a_run_that_six_other_runs_would() -> None:
    refusals: list[type[Refused]] = [Fenced] * 9 + [Refused] * 5 + [Fenced] * 9
    told: list[str] = []

    def attempt() -> str:
        if refusals:
            raise refusals.pop()("version 4 is somebody else's")
        return "done"

    assert retry(attempt, "s3://b/out", lambda what, *_: told.append(what)) == "done"
    assert told == [
        *["a vacuum came first: planning again"] * 9,
        *["another run committed first: planning again"] * 5,
        *["a vacuum came first: planning again"] * 9,
    ]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Fenced, "30 times a vacuum of s3://b/out came before .*; nothing was merged. Raise vacuum.grace_hours"),
        (FilesGone, "6 times files that this run had written to s3://b/out were gone before its commit; nothing was"),
    ],
)
def test_a_run_that_can_not_win_says_why(kind: type[Refused], told: str) -> None:
    def attempt() -> None:
        raise kind("so it is")

    with pytest.raises(LostRaceError, match=told):
        retry(attempt, "s3://b/out", outcome="nothing was merged")


def test_files_that_are_gone_or_older_than_a_new_fence_are_lost(tmp_path: Path) -> None:
    table = table_in(tmp_path)
    for name, second in (("old", 100), ("young", 300)):
        table.storage.put(name, b"")
        os.utime(tmp_path / name, (second, second))
    written, given = WrittenFiles(table), ["old", "young", "gone"]

    def lost(fence_seconds: int) -> set[str]:
        return written.lost(replace(SNAPSHOT, fence=fence_seconds * 1_000_000), given)

    assert lost(200) == {"gone"}  # the first attempt: the fence was there before these files
    assert lost(200) == {"gone"}
    assert lost(201) == {"gone", "old"}
    assert lost(301) == {"gone", "old", "young"}
