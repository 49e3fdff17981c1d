"""A disk that is full, or a quota that is used up, at any moment of a job: what is there stays, the error names the
file and the next move, and once there is room the same command goes on."""

from pathlib import Path

import pytest

from siltstone.errors import StorageError
from siltstone.maintenance.optimize import optimize
from support.fleet import NOON, World, quiet, record
from support.full_disk import Limit, full_disk, largest_file
from support.rounds import IS_SOAK
from support.s3_bucket import Bucket, BucketWorld
from support.stories import STORIES

_STEPS: dict[Limit, int] = {"disk": 16 << 10, "file size": 4 << 10}


@pytest.mark.slow("faults")
@pytest.mark.parametrize("limit", _STEPS)
@pytest.mark.parametrize("story", [story for story in STORIES if story != "vacuum"])
def test_any_room_is_enough_or_too_little(story: str, limit: Limit, tmp_path: Path) -> None:
    found = full_disk(story, tmp_path, limit, _STEPS[limit] // (4 if IS_SOAK else 1))
    assert found["wrong"] == {}
    assert found["refused"] > 0


def test_where_no_file_can_grow_nothing_is_lost(world: World) -> None:
    world.deliver({"BRCB/DEV1/2025121012": [record(NOON, a=1)]})
    world.compact()
    world.deliver({"BRCB/DEV2/2025121012": [record(NOON, a=2)]})
    told = rf"can't write {world.table.resolve()}/\S+\.parquet: .*File too large.*\(ulimit -f\), then run again"
    with largest_file(0), pytest.raises(StorageError, match=told) as raised:
        world.compact()
    assert raised.value.exit_code == 6
    assert world.rows("a") == [(1.0,)]
    assert world.compact()["rows_out"] == 1
    assert world.rows("a") == [(1.0,), (2.0,)]


@pytest.mark.slow("faults")
def test_no_room_for_temporary_copies_of_objects_is_told(bucket: Bucket) -> None:
    there = BucketWorld(bucket)
    for n in (1, 2):
        there.deliver({f"BRCB/DEV{n}/2025121012": [record(NOON, a=n)]})
        there.compact("survey.files=1", "optimize.after_compact=false")
    settings = there.config("optimize.closed_after_hours=0")
    told = rf"can't read s3://{bucket.name}/lake/datalog/\S+: File too large\. .*Or set TMPDIR to a larger folder\."
    with largest_file(0), pytest.raises(StorageError, match=told):
        optimize(there.table(), settings, there.engine, quiet)
    assert there.rows("a") == [(1.0,), (2.0,)]
    assert optimize(there.table(), settings, there.engine, quiet)["files_written"] == 1
    assert there.rows("a") == [(1.0,), (2.0,)]
