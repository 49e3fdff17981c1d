"""A run that is killed at any point leaves the table as it was, or done; the next run makes it whole."""

import signal
from collections.abc import Callable
from functools import cache

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from support.fleet import MIDNIGHT, NOON, World, record
from support.killed import JOBS, POINTS, die
from support.rounds import IS_SOAK, TIMES

pytestmark = pytest.mark.part("kills")

WRITING = [
    "before a file is closed",
    "after a file is closed",
    "after rows are written",
    "before the manifest",
    "after the manifest",
    "before the commit",
    "after the commit",
]
OF_OTHERS = ("the rewrite", "the plan", "the states", "the fence", "a deletion", "inside")
# What each job passes; a table with an earlier run is neither created nor surveyed again.
NEW_TABLE = [p for p in POINTS if not any(other in p for other in OF_OTHERS)]
POINTS_OF = {
    "new table": NEW_TABLE,
    "later run": [p for p in NEW_TABLE if p not in ("before the creation", "after the creation", "after the survey")],
    "replace": ["before the rewrite", "after the rewrite", "before the columns", "after the columns", *WRITING],
    "settle": ["after the plan", *WRITING],
    "vacuum": ["before the fence", "after the fence", "after a deletion"],
    "sleeping": ["inside the commit"],
    "sleeping, plain": ["inside the commit, plain"],
}
MEANWHILE = {"sleeping": "vacuum", "sleeping, plain": "vacuum"}  # these don't die: they sleep through it
_LAST_STORY = {point: story for story, points in POINTS_OF.items() for point in points}
SPARED = ("before the fence", "after the fence", "inside the commit, plain")
# Each point in one story but those spared, and after the commit in each; with more rounds every point in every story.
CASES = [
    (story, point)
    for story, points in POINTS_OF.items()
    for point in points
    if TIMES > 1 or IS_SOAK or (_LAST_STORY[point] == story and point not in SPARED) or point == "after the commit"
]
GROUPS = (("new table", "later run"), ("replace", "settle", "vacuum", *MEANWHILE))
LATER = "optimize.after_compact=false"


def _deliver_first(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, a=1.5), record(NOON + 1, a=None), "{"]})


def _deliver_second(world: World) -> None:
    """New columns, a stray, a misfit, duplicates, a bad line, a bad file and a damaged one."""
    twice = record(NOON + 3602, b=1)
    world.deliver(
        {
            "BRCB/SLS30I009/2025121013": [record(NOON + 3600, b=2.5), twice, twice, record(NOON + 3601, b="n/a", A=3)],
            "BRCB/SLS30I009/2025121023": [record(MIDNIGHT - 1), record(MIDNIGHT, c=True), "[]"],
            "BRCG/SLS30I623/2025121100": [record(MIDNIGHT + 5, "LD783", "SLS30I623", c=False)],
            "BRCG/SLS30I623/2025121101": b"no gzip",
        }
    )


def _deliver_three(world: World) -> None:
    """Three files of a row each, in three data files of one partition."""
    for n in range(3):
        world.deliver({f"BRCB/SLS30I009/2025121{n}12": [record(NOON + n, n=n)]})
        world.compact(LATER)


def _prepare(story: str, world: World) -> None:
    """All before the job that dies."""
    if story in ("vacuum", *MEANWHILE):
        world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, n=1)]})
        world.compact(f"compaction.format={'parquet' if 'plain' in story else 'delta'}")
        world.deliver({"BRCB/SLS30I009/2025121012": [record(NOON, n=2)]})
        for name in ("one", "two"):
            world.put(world.table / f"_siltstone/plans/{name}.json", b"of a run that died")
    if story in ("settle", "replace"):
        _deliver_three(world)
    if story == "replace":
        world.settle("optimize.closed_after_hours=0")
        world.deliver({"BRCB/SLS30I009/2025121112": [record(NOON + 5, n=5, new=1)]})
    if story in ("new table", "later run"):
        _deliver_first(world)
        if story == "later run":
            world.compact()
        _deliver_second(world)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The table of two undisturbed runs."""
    world = World(tmp_path_factory.mktemp("undisturbed"))
    _deliver_first(world)
    world.compact()
    _deliver_second(world)
    world.compact()
    return world.frame()


Killed = Callable[[str, str], World]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    """Gives the world of a story whose last job was killed at a point. All of a group of stories are killed at once, by
    one process that forks: Python starts once for them, and two workers that share the module do no story twice."""

    @cache
    def worlds_of(stories: tuple[str, ...]) -> dict[tuple[str, str], World]:
        cases = [case for case in CASES if case[0] in stories]
        worlds = {case: World(tmp_path_factory.mktemp("killed")) for case in cases}
        for (story, _), world in worlds.items():
            _prepare(story, world)
        jobs = [story if story in JOBS else "compact" for story, _ in cases]
        asked = [
            (job, point, MEANWHILE.get(story, ""), worlds[story, point].root)
            for job, (story, point) in zip(jobs, cases, strict=True)
        ]
        expected = {case: 0 if case[0] in MEANWHILE else signal.SIGKILL for case in cases}
        assert dict(zip(cases, die(asked), strict=True)) == expected
        return worlds

    def found(story: str, point: str) -> World:
        return worlds_of(next(stories for stories in GROUPS if story in stories))[story, point]

    return found


@pytest.mark.parametrize(("story", "point"), [case for case in CASES if case[0] in ("new table", "later run")])
def test_the_next_run_makes_the_table_whole(killed: Killed, expected: pl.DataFrame, story: str, point: str) -> None:
    world, has_earlier_run = killed(story, point), story == "later run"
    is_committed = point == "after the commit"
    seen = world.frame() if (world.table / "_delta_log").exists() else pl.DataFrame()
    # Rows: two of the first delivery; 3 + 2 + 1 of the second.
    assert seen.height == (8 if is_committed else 2 if has_earlier_run else 0)
    summary = world.compact()
    assert summary["files_ingested"] == (0 if is_committed else 3 if has_earlier_run else 4)
    assert summary["rows_out"] == (0 if is_committed else 6 if has_earlier_run else 8)
    assert_frame_equal(world.frame(), expected, check_column_order=has_earlier_run)
    refused = [reason.split(":")[0] for _, _, _, reason, _ in world.quarantine()]
    assert sorted(refused) == ["neither gzip, zstd nor NDJSON text", "no key at character 1", "not a JSON object"]
    version = world.version()
    assert world.compact()["files_skipped"] == 5
    assert world.version() == version


@pytest.mark.parametrize("point", [point for story, point in CASES if story == "replace"])
def test_former_rows_are_there_until_the_new_ones_are(killed: Killed, point: str) -> None:
    world = killed("replace", point)
    is_committed = point == "after the commit"
    assert world.rows("n") == ([(0.0,), (2.0,), (5.0,)] if is_committed else [(0.0,), (1.0,), (2.0,)])
    summary = world.compact(LATER)
    assert (summary["files_superseded"], summary["rows_superseded"]) == ((0, 0) if is_committed else (1, 1))
    assert world.rows("n", "new") == [(0.0, None), (2.0, None), (5.0, 1.0)]
    assert world.compact(LATER)["files_skipped"] == 3


@pytest.mark.parametrize("point", [point for story, point in CASES if story == "settle"])
def test_a_settle_that_dies_changes_no_row(killed: Killed, point: str) -> None:
    world = killed("settle", point)
    is_committed = point == "after the commit"
    assert world.rows("n") == [(0.0,), (1.0,), (2.0,)]
    assert len(world.stored()) == (1 if is_committed else 3)
    assert world.settle("optimize.closed_after_hours=0")["files_removed"] == (0 if is_committed else 3)
    assert world.rows("n") == [(0.0,), (1.0,), (2.0,)]
    assert len(world.stored()) == 1
    assert world.compact(LATER)["files_skipped"] == 3


@pytest.mark.parametrize("point", [point for story, point in CASES if story == "vacuum"])
def test_a_vacuum_that_dies_is_done_by_the_next_one(killed: Killed, point: str) -> None:
    world = killed("vacuum", point)
    assert len(world.vacuum()) == (1 if point == "after a deletion" else 2)
    assert world.vacuum() == []
    assert world.verify()["problems"] == []
    assert world.compact(LATER)["rows_superseded"] == 1
    assert world.rows("n") == [(2.0,)]


@pytest.mark.parametrize(("story", "point"), [case for case in CASES if case[0] in MEANWHILE])
def test_a_process_that_sleeps_through_a_vacuum_inside_its_commit(killed: Killed, story: str, point: str) -> None:
    world = killed(story, point)
    assert list(world.table.glob("_siltstone/plans/*")) == []  # the vacuum deleted what is old
    assert world.compact(LATER)["files_skipped"] == 1  # the run was refused, and did it all once more
    found = world.verify()
    assert (found["problems"], found["rows"]) == ([], 1)
