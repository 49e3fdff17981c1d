"""A published folder while a run changes it: what readers see at each moment, and after a run that failed or died."""

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pytest

from siltstone.errors import LostRaceError, StorageError
from siltstone.publishing import editions
from siltstone.publishing.editions import Edition, Publication
from siltstone.storage import Storage
from support.publishing import Folder
from support.readings_table import Readings, quarters
from support.rounds import some

A = "01f5cba4-111b-42a4-bbb4-4844ec3ad6f6"
B = "badd2ed0-1cf4-11ec-8cd1-1002b58053c7"
DAY, NEXT = "2015-01-01", "2015-01-02"


class Killed(BaseException):
    """What ends a run at once: it does nothing more, not even clean up."""


@dataclass
class Steps:
    """Counts the calls that change something below a folder, and acts at each: `before` and `after` it is done."""

    root: str
    before: Callable[[int], None] = lambda _: None
    after: Callable[[int], None] = lambda _: None
    done: list[tuple[str, str]] = field(default_factory=list)

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("put", "rename", "delete"):
            patch.setattr(Storage, name, self._watched(name, getattr(Storage, name)))

    def _watched(self, name: str, real: Any) -> Any:
        def call(storage: Storage, path: str, *more: Any, **named: Any) -> Any:
            if storage.root != self.root:
                return real(storage, path, *more, **named)
            self.done.append((name, path))
            self.before(len(self.done))
            result = real(storage, path, *more, **named)
            self.after(len(self.done))
            return result

        return call


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A folder whose next run replaces one file of three, adds one, and leaves two as they are."""
    folder = Folder(tmp_path_factory.mktemp("published"))
    readings = Readings(str(folder.root / "lake"))
    readings.add([*quarters(A, DAY, 2), *quarters(B, DAY, 1)])
    folder.publish()
    readings.add(quarters(B, NEXT, 1))
    folder.publish()
    changed = [{**row, "value": -1.0} for row in quarters(A, DAY, 2)]
    readings.add([*changed, *quarters(B, DAY, 1)], replaces=[(DAY, "bldg1")])
    readings.add(quarters(A, NEXT, 1))
    folder.out.rename(folder.root / "before")
    return folder


@pytest.fixture
def folder(published: Folder) -> Folder:
    """It, as it is before that run."""
    restore(published)
    return published


def restore(folder: Folder) -> None:
    shutil.rmtree(folder.out, ignore_errors=True)
    shutil.copytree(folder.root / "before", folder.out)


_B = [("b", "01-01 00:00", 0.0), ("b", "01-02 00:00", 0.0)]
OLD = [("0", "01-01 00:00", 0.0), ("0", "01-01 00:15", 1.0), *_B]
NEW = [("0", "01-01 00:00", -1.0), ("0", "01-01 00:15", -1.0), ("0", "01-02 00:00", 0.0), *_B]
ROWS = {len(OLD): "old", len(NEW): "new"}


def steps_of_a_run(folder: Folder) -> list[tuple[str, str]]:
    """The calls of the run, each with what it is called with."""
    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(str(folder.out))
        steps.watch(patch)
        folder.publish()
    return steps.done


def test_a_reader_sees_a_mix_between_the_first_name_and_the_last_delete_only(folder: Folder) -> None:
    seen: list[str] = []
    by_metadata: list[str] = []

    def look(_: int) -> None:
        rows = folder.rows()
        seen.append("old" if rows == OLD else "new" if rows == NEW else "mix")
        by_metadata.append(ROWS[folder.rows_by_metadata()])

    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(str(folder.out), after=look)
        steps.watch(patch)
        folder.publish()
    done = [f"{name} {path.rpartition('/')[2].rpartition('.')[2]}" for name, path in steps.done]
    names, last = done.index("rename staged"), done.index("delete parquet")
    assert (done.count("rename staged"), done.count("delete parquet")) == (2, 1)
    assert seen == ["old"] * names + ["mix"] * (last - names) + ["new"] * (len(done) - last)
    # who opens `_metadata` at that moment never sees one that names a file which is not there
    assert by_metadata == ["old"] * (last - 1) + ["new"] * (len(done) - last + 1)
    assert folder.strays() == []


def killed(folder: Folder, at: int) -> None:
    """A run that dies once its call of that number is done; it cleans nothing up."""

    def die(number: int) -> None:
        if number == at:
            raise Killed

    def stay_dead(number: int) -> None:
        if number > at:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        Steps(str(folder.out), stay_dead, die).watch(patch)
        with pytest.raises(Killed):
            folder.publish()
    _age(folder)


def _age(folder: Folder) -> None:
    """Let a day and a bit go by for all files that are there."""
    then = time.time() - 25 * 3600
    for path in folder.out.rglob("*"):
        os.utime(path, (then, then))


@pytest.mark.slow("kills")
@pytest.mark.part("kills")
def test_after_a_kill_at_any_step_the_next_run_leaves_the_truth_alone(folder: Folder) -> None:
    done = steps_of_a_run(folder)
    entry = next(i for i, (_, path) in enumerate(done, 1) if "_siltstone/log/" in path)
    for at in some(range(1, len(done) + 1), 7):
        restore(folder)
        killed(folder, at)
        assert at >= entry or folder.rows() == OLD
        folder.publish()
        assert (folder.rows(), folder.rows_by_metadata(), folder.strays()) == (NEW, len(NEW), []), done[at - 1]


@pytest.mark.parametrize("takes_effect", [False, True])
def test_a_run_that_fails_takes_its_files_away(folder: Folder, *, takes_effect: bool) -> None:
    before = sorted(p for p in folder.out.rglob("*") if p.is_file())
    done = steps_of_a_run(folder)
    entry = next(i for i, (_, path) in enumerate(done, 1) if "_siltstone/log/" in path)
    for at in range(1, entry + (not takes_effect)):
        restore(folder)

        def fail(number: int, at: int = at) -> None:
            if number == at:
                raise StorageError("no space left", "Free some.")

        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(str(folder.out), after=fail) if takes_effect else Steps(str(folder.out), before=fail)
            steps.watch(patch)
            with pytest.raises(StorageError, match="no space left"):
                folder.publish()
        assert sorted(p for p in folder.out.rglob("*") if p.is_file()) == before, done[at - 1]
        assert folder.rows() == OLD
    folder.publish()
    assert folder.rows() == NEW


def test_a_lost_answer_of_the_log_is_found_out(folder: Folder) -> None:
    def lose(_: int) -> None:
        if steps.done[-1][1].endswith("03.json"):
            raise StorageError("no answer", "Try again.")

    with pytest.MonkeyPatch.context() as patch:
        steps = Steps(str(folder.out), after=lose)
        steps.watch(patch)
        assert folder.publish()["edition"] == 3
    assert (folder.rows(), folder.strays()) == (NEW, [])


def test_what_dead_runs_left_goes_once_it_is_a_day_old(folder: Folder) -> None:
    killed(folder, 3)
    folder.publish()
    home = next(folder.out.glob("collection=*/uuid=*"))
    old = [
        home / "_20150101T000000000000-0.parquet.abc.staged",
        home / "x.parquet#1",
        folder.out / "_siltstone/log/9#1",
    ]
    young = home / "_20150101T000000000000-1.parquet.abc.staged"
    for path in (*old, young):
        path.write_bytes(b"x")
    for path in old:
        os.utime(path, (time.time() - 25 * 3600,) * 2)
    assert folder.publish()["edition"] == 4
    assert [p for p in (*old, young) if p.exists()] == [young]
    assert folder.publish()["edition"] is None


def test_a_folder_of_an_older_siltstone_goes_on(folder: Folder) -> None:
    """It wrote files under their own names, and its editions name no arriving ones."""
    (state,) = folder.out.glob("_siltstone/states/*")
    header = json.loads(pl.read_parquet_metadata(state)["siltstone"])
    del header["arriving"]
    frame = pl.read_parquet(state)
    frame.write_parquet(state, metadata={"siltstone": json.dumps(header)})
    (folder.out / "_siltstone/log/00000000000000000002.published").unlink()
    stray = next(folder.out.glob("collection=*/uuid=*")) / f"20150101T000000000000-{'0' * 32}.parquet"
    stray.write_bytes(b"cut short")
    kept = {p for p in folder.out.rglob("*.parquet") if "uuid=b" in str(p)}
    summary = folder.publish()
    assert (summary["files_written"], summary["files_replaced"]) == (2, 1)
    assert (folder.rows(), folder.strays(), kept < set(folder.out.rglob("*.parquet"))) == (NEW, [], True)


def test_the_log_forgets_what_is_far_behind_and_no_run_takes_a_place_there(folder: Folder) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editions, "_KEPT_ENTRIES", 1)
        _age(folder)
        folder.publish()
        names = sorted(p.name.lstrip("0") for p in folder.out.glob("_siltstone/log/*"))
        # edition 3 keeps 2, one behind it
        assert names == ["2.json", "2.published", "3.json", "3.published"]
        publication = Publication(Storage(str(folder.out)))
        late = Edition(1, publication.open(_terms(folder)).terms, token="late")
        undone: list[bool] = []
        with pytest.raises(LostRaceError, match="another run has published"):
            publication.commit(late, lambda: undone.append(True))
        assert undone == [True]


def _terms(folder: Folder) -> dict[str, Any]:
    return {"table": f"{folder.root}/lake/readings", "source": "mortar", "keys_in_files": False}
