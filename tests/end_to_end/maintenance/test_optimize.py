"""Settling: many small files become few of the right size, and nobody who reads the table can tell the difference."""

import json
import os
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

from siltstone.cli import main as cli
from siltstone.engine.local import LocalEngine
from siltstone.engine.spark import SparkEngine
from siltstone.errors import AccountsError, LostRaceError, PartlyError, StorageError
from siltstone.maintenance import optimize as optimize_module
from siltstone.maintenance.describe import open_table
from siltstone.maintenance.rewrite_task import RewriteTask, Rewritten
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from support.commands import run_tasks_here
from support.fleet import NOON, InProcess, World, record
from support.races import ERRORS, Once, between, raising, together
from support.rounds import rounds, some

pytestmark = pytest.mark.usefixtures("large_dictionaries")
LATER = "optimize.after_compact=false"
CLOSED = "optimize.closed_after_hours=0"
OPEN = "optimize.closed_after_hours=10000000"
SMALL = (
    "compaction.target_file_mb=0.1",
    "compaction.min_file_mb=0.075",
    "compaction.max_file_mb=0.125",
    "compaction.row_group_mb=0.1",
    "optimize.most_mb=10",
    CLOSED,
)
DAY = "hiveperiod=2025-12-10/dstrct_code=BRCB"


def noise(device: int, first: int, count: int, **more: Any) -> list[dict[str, Any]]:
    """Records every ten seconds of three units in turn, with six numbers each that don't compress."""
    chance = random.Random(f"{device} {first}")
    return [
        record(NOON + 10 * i, f"U{(device + i) % 3}", f"DEV{device}", **{f"x{n}": chance.random() for n in range(6)})
        | more
        for i in range(first, first + count)
    ]


def deliver_and_compact(world: World, runs: Iterable[int], rows: int = 500) -> None:
    """A run for each file, of 28 kB when it has 500 rows; from the seventh on there is one more column."""
    for n in runs:
        later = {"late": f"{n}"} if n >= 6 else {}
        world.deliver({f"BRCB/DEV{n % 4}/20251210{12 + n // 4:02d}": noise(n % 4, n // 4 * rows, rows, **later)})
        assert world.compact(LATER, *SMALL)["files_written"] == 1


@dataclass(frozen=True)
class Deduplicated:
    world: World
    before: pl.DataFrame
    files_before: dict[str, int]
    summary: dict[str, Any]
    version_before: int


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, large_dictionaries: None) -> Deduplicated:
    """Twelve files of 6,000 rows in all, settled; nobody changes it any more."""
    world = World(tmp_path_factory.mktemp("settled"))
    deliver_and_compact(world, range(12))
    before, files, version = world.frame(), world.stored(), world.version()
    return Deduplicated(world, before, files, world.settle(*SMALL), version)


def test_the_table_holds_the_same_rows(settled: Deduplicated) -> None:
    assert settled.before.height == 6_000
    assert settled.before["late"].null_count() == 3_000
    assert_frame_equal(settled.world.frame(), settled.before)


def test_nearly_all_bytes_are_in_files_of_the_right_size(settled: Deduplicated) -> None:
    # twelve files of about 28 kB; 330 kB are three files of 110 kB
    sizes = list(settled.world.stored().values())
    assert all(20_000 < size < 35_000 for size in settled.files_before.values())
    assert len(sizes) == 3
    assert sum(size for size in sizes if 75_000 <= size <= 125_000) >= 0.95 * sum(sizes)


def test_the_summary_counts_what_was_done(settled: Deduplicated) -> None:
    s, after = settled.summary, settled.world.stored()
    assert (s["files_removed"], s["files_written"], s["rows"]) == (12, 3, 6_000)
    assert (s["bytes_removed"], s["bytes_written"]) == (sum(settled.files_before.values()), sum(after.values()))
    assert (s["partitions"], s["dry_run"]) == (["2025-12-10/BRCB"], False)
    (header,) = settled.world.headers("settle")
    assert (header["name"], sorted(header["removed"])) == (s["run"], sorted(settled.files_before))
    assert {o["path"] for o in header["outputs"]} == after.keys()


def test_the_log_says_that_no_data_changed(settled: Deduplicated) -> None:
    actions = settled.world.actions()
    adds, removes = ([a[kind] for a in actions if kind in a] for kind in ("add", "remove"))
    assert settled.world.version() == settled.version_before + 1
    assert {a["path"] for a in removes} == settled.files_before.keys()
    assert {a["path"] for a in adds} == settled.world.stored().keys()
    assert [a["dataChange"] for a in (*adds, *removes)] == [False] * 15
    assert {kind for action in actions for kind in action} == {"add", "remove", "txn", "commitInfo"}
    for add in adds:
        assert json.loads(add["stats"])["numRecords"] == pq.read_metadata(settled.world.table / add["path"]).num_rows


def test_rows_are_in_order_from_file_to_file(settled: Deduplicated) -> None:
    stats = {a["add"]["path"]: json.loads(a["add"]["stats"]) for a in settled.world.actions() if "add" in a}
    paths = sorted(stats, key=lambda p: (stats[p]["minValues"]["unitno"], stats[p]["minValues"]["ts"]))
    keys = [row for p in paths for row in pl.read_parquet(settled.world.table / p).select("unitno", "ts").rows()]
    assert keys == sorted(keys)


def test_a_second_settle_plans_nothing(settled: Deduplicated) -> None:
    files, version = settled.world.files(), settled.world.version()
    summary = settled.world.settle(*SMALL)
    assert (summary["run"], summary["files_removed"], summary["partitions"]) == ("", 0, [])
    assert (settled.world.files(), settled.world.version()) == (files, version)
    compacted = settled.world.compact(*SMALL)
    assert (compacted["files_skipped"], compacted["settled"]["files_removed"]) == (12, 0)
    assert settled.world.version() == version


def test_the_ledger_stays_as_it_was(settled: Deduplicated) -> None:
    entries = ledger_of(settled.world)
    assert (entries.height, entries["rows_out"].sum()) == (12, 6_000)
    assert set(entries["folders"].explode()) == {DAY}


def ledger_of(world: World) -> pl.DataFrame:
    table = open_table(str(world.lake), "datalog", world.config().storage)
    snapshot = table.snapshot()
    assert snapshot is not None
    return ledgers.load(table.storage, snapshot.head).entries


def test_a_dry_run_changes_nothing(world: World) -> None:
    deliver_and_compact(world, range(2), rows=10)
    files, sizes = world.files(), world.stored()
    summary = world.settle(*SMALL, dry_run=True)
    assert (summary["files_removed"], summary["rows"], summary["bytes_removed"]) == (2, 20, sum(sizes.values()))
    assert (summary["files_written"], summary["run"], summary["dry_run"]) == (0, "", True)
    assert world.files() == files


# Which days


def hour(n: int, day: int = 10) -> str:
    return f"BRCB/DEV0/202512{day:02d}{n:02d}"


def deliver_hours(world: World, first: int, count: int) -> None:
    """One record and one run for each."""
    for n in range(first, first + count):
        world.deliver({hour(n): [record(NOON + n, n=n)]})
        world.compact(LATER)


def test_a_day_that_may_still_grow_waits_for_sixteen_files(world: World) -> None:
    deliver_hours(world, 0, 15)
    assert world.settle(OPEN)["files_removed"] == 0
    assert world.settle("optimize.open_files=15", OPEN, dry_run=True)["files_removed"] == 15
    deliver_hours(world, 15, 1)
    assert world.settle(OPEN)["files_removed"] == 16
    assert len(world.stored()) == 1
    deliver_hours(world, 16, 1)
    assert world.settle(OPEN)["files_removed"] == 0  # two files
    assert world.settle(CLOSED)["files_removed"] == 2
    assert [n for (n,) in world.rows("n")] == [float(n) for n in range(17)]


def test_a_day_that_may_still_grow_waits_for_a_full_file(world: World) -> None:
    sizes = [s for s in SMALL if s != CLOSED]
    deliver_and_compact(world, range(2))
    assert world.settle(OPEN, *sizes)["files_removed"] == 0  # 2 x 28 kB are below 75
    deliver_and_compact(world, range(2, 4))
    assert world.settle(OPEN, *sizes)["files_removed"] == 4
    assert len(world.stored()) == 1


def test_a_day_is_closed_some_hours_after_its_local_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2025-12-10 ends in Asia/Makassar (UTC+8) at 16:00 UTC; 48 hours later it is 2025-12-12T16:00Z
    def at(moment: datetime) -> int:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return moment

        monkeypatch.setattr(optimize_module, "datetime", Clock)
        return int(world.settle(dry_run=True)["files_removed"])

    deliver_hours(world, 0, 2)
    assert at(datetime(2025, 12, 12, 15, 59, 59, tzinfo=UTC)) == 0
    assert at(datetime(2025, 12, 12, 16, tzinfo=UTC)) == 2


def test_each_partition_is_settled_on_its_own_and_all_in_one_commit(world: World) -> None:
    for n in range(2):
        world.deliver(
            {
                f"{site}/DEV0/2025121{day}{12 + n}": [record(NOON + (day * 86_400) + n, site=site)]
                for site in ("BRCB", "BR CG")
                for day in (0, 1)
            }
        )
        world.compact(LATER)
    before, version = world.frame(), world.version()
    summary = world.settle(CLOSED)
    # a site that is no safe folder name has its rows in one partition
    assert summary["partitions"] == ["2025-12-10/BRCB", "2025-12-10/_invalid", "2025-12-11/BRCB", "2025-12-11/_invalid"]
    assert (summary["files_removed"], summary["files_written"], world.version()) == (8, 4, version + 1)
    assert_frame_equal(world.frame(), before)


def test_compact_settles_on_its_own_unless_told_not_to(world: World) -> None:
    world.deliver({hour(0): [record(NOON, n=0)]})
    assert world.compact(CLOSED)["settled"]["files_removed"] == 0
    world.deliver({hour(1): [record(NOON + 1, n=1)]})
    assert world.compact(CLOSED, LATER)["settled"] is None
    assert len(world.stored()) == 2
    world.deliver({hour(2): [record(NOON + 2, n=2)]})
    settled = world.compact(CLOSED)["settled"]
    assert (settled["files_removed"], settled["files_written"], settled["rows"]) == (3, 1, 3)
    assert len(world.stored()) == 1
    assert world.rows("n") == [(0.0,), (1.0,), (2.0,)]
    # the next run learns from the runs before as if nobody had settled
    world.deliver({hour(3): [record(NOON + 3, n=3)]})
    assert world.compact(CLOSED, "survey.files=1")["rows_out"] == 1


def test_a_table_without_runs_has_nothing_to_settle(world: World) -> None:
    world.deliver({hour(0): [record(NOON)]})
    Table(Storage(os.path.realpath(world.table)), DATALOG).create()
    assert world.settle(CLOSED)["files_removed"] == 0


def test_the_command_tells_what_it_did(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_hours(world, 0, 3)
    run_tasks_here(monkeypatch)

    def run(*words: str) -> tuple[str, dict[str, Any]]:
        words = ("optimize", f"{world.lake}/datalog", "--engine", "local", "--set", CLOSED, "--json", *words)
        assert cli.main(words) == 0
        said = capsys.readouterr()
        return said.err.splitlines()[-1], json.loads(said.out)

    text, told = run("--dry-run")
    assert text.startswith("would merge 3 files of 0.0 MB with 3 rows, in 1 partitions: 2025-12-10/BRCB (")
    assert (told["dry_run"], told["files_removed"], told["files_written"]) == (True, 3, 0)
    text, told = run()
    assert text.startswith("merged 3 files of 0.0 MB with 3 rows into 1 of 0.0 MB, in 1 partitions: 2025-12-10/BRCB (")
    assert (told["dry_run"], told["files_removed"], told["files_written"]) == (False, 3, 1)
    assert told["run"] == world.headers("settle")[0]["name"]
    text, told = run()
    assert text.startswith(f"nothing to merge in {world.table.resolve()} (")
    assert (told["files_removed"], told["run"]) == (0, "")


def test_a_table_that_is_not_there_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["optimize", f"{world.lake}/datalog"]) == 2
    assert "no table 'datalog' in" in capsys.readouterr().err


# Engines


@pytest.mark.parametrize("name", ["local", "spark"])
def test_processes_and_spark_settle_to_the_same_rows(world: World, name: str, request: pytest.FixtureRequest) -> None:
    engine = SparkEngine(request.getfixturevalue("spark")) if name == "spark" else LocalEngine(1)
    for n in range(2):  # two days are two tasks
        world.deliver({hour(n): noise(0, 10 * n, 10), hour(n, day=11): [record(NOON + 86_400 + n, n=n)]})
        world.compact(LATER)
    before = world.frame()
    assert world.settle(CLOSED, engine=engine)["files_removed"] == 4
    assert_frame_equal(world.frame(), before)
    assert (len(world.stored()), world.headers("settle")[0]["engine"]) == (2, name)
    assert list((world.table / "_siltstone/plans").rglob("*.json")) == []  # plans are taken away again


# Safety


class Faulty:
    """An engine whose results are altered on the way."""

    name = "local"

    def __init__(self, alter: Callable[[Any], Any], prepare: Callable[[Any], Any] = lambda task: task) -> None:
        self._alter, self._prepare = alter, prepare

    def run(self, tasks: Sequence[Any], done: Any) -> list[Any]:
        return [self._alter(self._prepare(task).run()) for task in tasks]


def less_a_row(result: Rewritten) -> Rewritten:
    (output,) = result.outputs
    return replace(result, outputs=[replace(output, rows=output.rows - 1)])


def less_a_file(result: Rewritten) -> Rewritten:
    return replace(result, outputs=[])


def more_cells(result: Rewritten) -> Rewritten:
    return replace(result, cells=result.cells + 1)


@pytest.mark.parametrize(
    ("alter", "told"),
    [
        (less_a_row, r"2025-12-10/BRCB: 3 rows to merge, 2 written\n.*2 rows were written, its footer says 3"),
        (less_a_file, "2025-12-10/BRCB: 3 rows to merge, 0 written"),
        (more_cells, "13 cells stored by the accounts, 12 by the files' footers"),
    ],
)
def test_accounts_that_do_not_close_stop_it(world: World, alter: Callable[[Any], Any], told: str) -> None:
    deliver_hours(world, 0, 3)
    before, version = world.frame(), world.version()
    with pytest.raises(AccountsError, match=told):
        world.settle(CLOSED, engine=Faulty(alter))
    assert world.version() == version
    assert_frame_equal(world.frame(), before)
    assert world.settle(CLOSED)["files_removed"] == 3


def test_an_error_of_settling_after_a_run_says_that_the_run_is_committed(world: World) -> None:
    deliver_hours(world, 0, 2)
    world.deliver({hour(2): [record(NOON + 2, n=2)]})
    (world.table / sorted(world.stored())[0]).write_bytes(b"garbage")
    with pytest.raises(
        PartlyError, match=r"(?s)merging small files failed: .* can't be read.*is committed: .*datalog run 00000003-\w+"
    ):
        world.compact(CLOSED)
    assert world.headers()[0]["rows_out"] == 1


def test_merges_whose_files_get_no_names_are_committed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def stuck(*_: Any) -> None:
        raise StorageError("can't rename it")

    for n in range(2):
        world.deliver({hour(n): [record(NOON + n, n=n)]})
        world.compact(LATER, "compaction.format=parquet")
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "rename", stuck)
        with pytest.raises(PartlyError, match=r"2 files of .* were merged, which is committed") as partly:
            world.settle(CLOSED)
    assert [run[:8] for run in partly.value.summary.runs] == ["00000003"]
    assert world.settle(CLOSED)["files_removed"] == 0


def test_an_error_after_the_first_commit_says_what_is_committed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two merges, each with a commit of its own; a data file of the second can't be read."""
    for site in ("BRCB", "BRCG"):
        for n in range(2):
            world.deliver({f"{site}/SLS30I009/202512100{n}": [record(NOON + n, n=n)]})
            world.compact(LATER)
    damaged = min(path for path in world.stored() if "BRCG" in path)
    (world.table / damaged).write_bytes(b"garbage")
    monkeypatch.setattr(optimize_module, "_MERGES_PER_COMMIT", 1)
    with pytest.raises(
        PartlyError, match=r"2 files of .* were merged, which is committed \(run 00000005-\w+\), then: "
    ):
        world.settle(CLOSED)
    with pytest.raises(StorageError, match="can't be read"):
        world.settle(CLOSED)


def test_a_merge_that_brings_no_fewer_files_is_let_go(world: World) -> None:
    # as if the rows took so much more room together that a merge of two files gave two again
    deliver_and_compact(world, range(2), rows=50)
    before, files, version = world.frame(), world.files(), world.version()

    def tiny(task: RewriteTask) -> RewriteTask:
        sizes = replace(task.writing.sizes, target=4000, largest=5000)
        return replace(task, writing=replace(task.writing, sizes=sizes, group_bytes=4000))

    summary = world.settle(CLOSED, engine=Faulty(lambda result: result, tiny))
    assert (summary["files_removed"], summary["run"]) == (0, "")
    assert (world.files(), world.version()) == (files, version)
    assert_frame_equal(world.frame(), before)


# Races

MOMENTS = {
    "after the plan": (optimize_module, "plan_merges", True),
    "before the manifest": (ledgers, "write_manifest", False),
    "before the commit": (Table, "commit", False),
    "inside the commit": (DeltaTable, "create_write_transaction", False),
    "after the commit": (Table, "commit", True),
}


def settle_too(world: World) -> None:
    world.settle(CLOSED)


def compact_more(world: World) -> None:
    world.deliver({hour(20): [record(NOON + 20, n=20, new="column")]})
    world.compact(LATER)


def compact_and_settle(world: World) -> None:
    world.deliver({hour(20): [record(NOON + 20, n=20, new="column")]})
    world.compact(CLOSED)


def supersede(world: World) -> None:
    world.deliver({hour(1): [record(NOON + 101, n=101, new="column")]})
    world.compact(LATER)


OTHERS = {
    settle_too: [0, 1, 2],
    compact_more: [0, 1, 2, 20],
    compact_and_settle: [0, 1, 2, 20],
    supersede: [0, 2, 101],
}


@pytest.mark.part("races")
@pytest.mark.parametrize(("moment", "other"), some(list(product(MOMENTS, OTHERS)), 7))
def test_a_run_that_comes_between_loses_and_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str, other: Callable[[World], None]
) -> None:
    deliver_hours(world, 0, 3)
    owner, name, after = MOMENTS[moment]
    once = Once(lambda: other(world))
    with monkeypatch.context() as patch:
        between(patch, owner, name, once, after=after)
        world.settle(CLOSED)
    assert once.left == 0
    assert [n for (n,) in world.rows("n")] == [float(n) for n in OTHERS[other]]
    world.settle(CLOSED)
    assert len(world.stored()) == 1
    assert world.compact(CLOSED)["files_skipped"] == len(ledger_of(world))
    assert [n for (n,) in world.rows("n")] == [float(n) for n in OTHERS[other]]


def test_what_was_merged_for_a_refused_commit_is_used_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver_hours(world, 0, 3)
    runs: list[int] = []

    class Counting(InProcess):
        def run(self, tasks: Sequence[Any], done: Any) -> list[Any]:
            runs.append(len(tasks))
            return super().run(tasks, done)

    def another_day() -> None:
        world.deliver({hour(12, day=11): [record(NOON + 86_400, n=99)]})
        world.compact(LATER)

    between(monkeypatch, Table, "commit", Once(another_day))
    assert world.settle(CLOSED, engine=Counting())["files_removed"] == 3
    assert runs == [1, 0]
    assert [n for (n,) in world.rows("n")] == [0.0, 1.0, 2.0, 99.0]


@pytest.mark.part("races")
@pytest.mark.parametrize("round_number", rounds(2))
def test_many_at_once_lose_and_double_nothing(world: World, round_number: int) -> None:
    """Two settles, a run with a new file and one that supersedes, all with new columns."""
    deliver_hours(world, 0, 4)
    narrow = world.root / "in" / "BRCB" / "NEW"
    world.deliver({"BRCB/NEW/2025121020": [record(NOON + 20, n=20, new=1)], hour(0): [record(NOON + 100, n=100, b=1)]})
    acts: list[Callable[[], Any]] = [
        lambda: world.settle(CLOSED),
        lambda: world.compact(CLOSED),
        lambda: world.compact(CLOSED, source=narrow),
        lambda: world.settle(CLOSED),
    ]
    turn = round_number % 4
    summaries = together(*acts[turn:], *acts[:turn])
    assert sum(s.get("rows_out", 0) for s in summaries) == 2
    assert sum(s.get("rows_superseded", 0) for s in summaries) == 1
    assert [n for (n,) in world.rows("n")] == [1.0, 2.0, 3.0, 20.0, 100.0]
    world.settle(CLOSED)
    assert len(world.stored()) == 1
    assert world.compact(CLOSED)["files_skipped"] == 5
    assert [n for (n,) in world.rows("n")] == [1.0, 2.0, 3.0, 20.0, 100.0]


def test_six_refusals_in_a_row_end_it_and_nothing_is_settled(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deliver_hours(world, 0, 2)
    added: list[int] = []

    def add() -> None:
        added.append(10 + len(added))
        deliver_hours(world, added[-1], 1)

    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", Once(add, times=6))
        with pytest.raises(LostRaceError, match=r"6 times .* committed to .* first; its merges were not") as raised:
            world.settle(CLOSED)
    assert raised.value.exit_code == 4
    assert world.headers("settle") == []
    assert [n for (n,) in world.rows("n")] == [0.0, 1.0, *(float(n) for n in range(10, 16))]
    # a run that committed is not undone by it: optimizing is left to the next one
    with monkeypatch.context() as patch:
        between(patch, optimize_module._Optimizing, "commit", Once(add, times=6), after=False)
        world.deliver({hour(2): [record(NOON + 2, n=2)]})
        assert world.compact(CLOSED)["settled"] is None


@pytest.mark.parametrize("error", ERRORS)
def test_a_commit_whose_answer_is_lost_counts_as_done(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    deliver_hours(world, 0, 3)
    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", raising(error), after=True)
        assert world.settle(CLOSED)["files_removed"] == 3
    assert len(world.headers("settle")) == 1
    assert [n for (n,) in world.rows("n")] == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("error", ERRORS)
def test_a_commit_that_fails_for_good_settles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    deliver_hours(world, 0, 3)
    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", raising(error))
        with pytest.raises(StorageError, match="This commit did not happen"):
            world.settle(CLOSED)
    assert world.headers("settle") == []
    assert len(world.stored()) == 3
    assert world.settle(CLOSED)["files_removed"] == 3
