"""The main job with input and lake on S3: the same table, whatever the store refuses, forgets to answer or races."""

from typing import TYPE_CHECKING, Any

import pytest
from deltalake import DeltaTable
from polars.testing import assert_frame_equal

import siltstone.engine.spark
from siltstone.cli import main as cli
from siltstone.engine.local import LocalEngine
from siltstone.engine.spark import SparkEngine
from siltstone.errors import StorageError, UnknownOutcomeError, UsageError
from siltstone.maintenance.optimize import optimize
from siltstone.maintenance.vacuum import vacuum
from siltstone.maintenance.verify import verify
from siltstone.storage import access
from support.commands import run_tasks_here
from support.fleet import MIDNIGHT, NOON, InProcess, World, every_kind, record
from support.races import Once, between, together
from support.rounds import rounds
from support.s3_bucket import Bucket, BucketWorld
from support.s3_server import CUT, LOST, REFUSED

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ONE, TWO, THREE = (f"BRCB/DEV{n}/2025121012" for n in (1, 2, 3))


@pytest.fixture
def there(bucket: Bucket) -> BucketWorld:
    return BucketWorld(bucket)


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A local world of every kind of row, compacted; nobody changes it."""
    world = World(tmp_path_factory.mktemp("here"))
    (world.root / "in").mkdir()
    world.deliver(every_kind())
    world.compact("survey.files=1")
    return world


def assert_same(there: BucketWorld, here: World) -> None:
    assert_frame_equal(there.frame(), here.frame(), check_column_order=False)
    refused = [
        (place.removeprefix(f"s3://{there.bucket.name}/in/").rpartition("/")[0], *rest)
        for place, *rest in there.quarantine()
    ]
    assert sorted(refused, key=str) == sorted(here.quarantine(), key=str)


def test_the_table_is_the_same_as_on_a_disk(there: BucketWorld, here: World) -> None:
    there.deliver(every_kind())
    summary = there.compact("survey.files=1")
    # Records: 1 + 30 + 4 + 2 + 1, as in test_engines; one bad line, one bad file.
    assert (summary["records_in"], summary["rows_out"], summary["duplicates_dropped"]) == (38, 35, 2)
    assert summary["table"] == f"s3://{there.bucket.name}/lake/datalog"
    assert_same(there, here)
    again = there.compact()
    assert (again["files_skipped"], again["files_written"], again["run"]) == (6, 0, "")


def test_other_content_replaces_the_rows_and_small_files_are_settled(there: BucketWorld) -> None:
    there.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, a=2)]})
    there.compact("optimize.after_compact=false")
    there.deliver({ONE: [record(NOON, a=3), record(NOON + 1, a=4)], THREE: [record(NOON, a=5)]})
    summary = there.compact("optimize.after_compact=false")
    assert (summary["files_superseded"], summary["rows_superseded"], summary["rows_out"]) == (1, 1, 3)
    expected = [(NOON, 2.0), (NOON, 3.0), (NOON, 5.0), (NOON + 1, 4.0)]
    assert there.rows("heartbeat", "a") == expected
    settled = optimize(there.table(), there.config(), there.engine, lambda *_: None)
    assert (settled["files_removed"], settled["files_written"]) == (2, 1)
    assert there.rows("heartbeat", "a") == expected


def test_a_run_that_sleeps_through_a_vacuum_inside_its_commit(
    there: BucketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.deliver({ONE: [record(NOON, a=1)]})
    there.compact()
    there.deliver({ONE: [record(NOON, a=2)], TWO: [record(NOON, a=3)]})
    gone: list[int] = []

    def act() -> None:
        config = there.config("vacuum.grace_hours=0")
        gone.append(len(vacuum(there.table(), config, lambda *_: None, dry_run=False, force=True).files))

    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", Once(act))
        assert there.compact("optimize.after_compact=false")["rows_out"] == 2
    assert gone == [2]  # its data file and its manifest
    assert there.rows("a") == [(2.0,), (3.0,)]
    assert verify(there.table(), there.config(), there.engine, lambda *_: None)["problems"] == []


def test_a_pool_of_processes_finds_the_keys_by_itself(there: BucketWorld) -> None:
    there.deliver({ONE: [record(NOON, a=1)], "BRCG/DEV2/2025121012": [record(NOON, a=2)]})
    assert there.compact(engine=LocalEngine(2))["rows_out"] == 2
    assert there.rows("dstrct_code", "a") == [("BRCB", 1.0), ("BRCG", 2.0)]


def test_spark_tasks_find_the_keys_by_themselves(
    there: BucketWorld, spark: "SparkSession", monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    real = siltstone.engine.spark._spark_task
    monkeypatch.setattr("siltstone.engine.spark._spark_task", lambda *given: told.append(given) or real(*given))
    there.deliver({ONE: [record(NOON, a=1)], "BRCG/DEV2/2025121012": [record(NOON, a=2)]})
    assert there.compact(engine=SparkEngine(spark))["rows_out"] == 2
    assert there.rows("dstrct_code", "a") == [("BRCB", 1.0), ("BRCG", 2.0)]
    assert [key for key in there.bucket.listed() if "/plans/" in key] == []
    assert told
    assert "of-the-tests" not in str(told)


@pytest.mark.parametrize(("kept_bytes", "calls"), [(1 << 20, 1 + 12), (0, 1 + 12 + 12)])
def test_many_small_objects_are_read_ahead_across_the_segments_of_a_merge(
    there: BucketWorld, monkeypatch: pytest.MonkeyPatch, kept_bytes: int, calls: int
) -> None:
    monkeypatch.setattr("siltstone.ingest.wide_task._ALL_AT_ONCE_BYTES", 0)
    monkeypatch.setattr("siltstone.ingest.wide_task._SEGMENT_BYTES", 1)  # each file is a segment of its own
    monkeypatch.setattr("siltstone.ingest.prefetch._KEPT_BYTES", kept_bytes)
    there.deliver({f"BRCB/DEV{n}/2025121012": [record(NOON, unit=f"U{9 - n % 10}", n=n)] for n in range(12)})
    there.bucket.faults.latency_s, there.bucket.faults.slow_path = 0.05, "/in/"
    assert there.compact("survey.files=1")["rows_out"] == 12
    assert there.bucket.faults.most_under_way >= 6
    assert there.bucket.faults.count("GET", "/in/") == calls  # one for the survey
    assert there.rows("n") == [(float(n),) for n in range(12)]


def test_an_object_that_goes_between_the_listing_and_the_reading_waits(
    there: BucketWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siltstone.ingest.wide_task._ALL_AT_ONCE_BYTES", 0)
    there.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, a=2)]})

    class Late(InProcess):
        def run(self, tasks: Any, done: Any) -> Any:
            there.bucket.root("in").delete(f"{TWO}/2025121012.txt.gz")
            return super().run(tasks, done)

    summary = there.compact("survey.files=1", engine=Late())
    assert (summary["files_ingested"], summary["files_deferred"], summary["rows_out"]) == (1, 1, 1)


@pytest.mark.part("races")
@pytest.mark.parametrize("round_number", rounds(1))
def test_drivers_that_race_take_every_record_once(there: BucketWorld, round_number: int) -> None:
    there.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, b=2)], THREE: [record(MIDNIGHT, c=3)]})
    summaries = together(*[there.compact] * 2)
    assert sorted(s["rows_out"] for s in summaries) == [0, 3]
    assert there.rows("a", "b", "c") == [(None, None, 3.0), (None, 2.0, None), (1.0, None, None)]
    assert len(there.headers()) == 1


@pytest.mark.parametrize("format_name", ["delta", pytest.param("parquet", marks=pytest.mark.slow("races"))])
def test_drivers_with_overlapping_input_take_every_record_once(there: BucketWorld, format_name: str) -> None:
    there.deliver(
        {ONE: [record(NOON, n=1), record(MIDNIGHT, one=1)], TWO: [record(NOON, n=2), record(MIDNIGHT, two=1)]}
    )
    given = f"compaction.format={format_name}", "optimize.after_compact=false"
    summaries = together(lambda: there.compact(*given), lambda: there.compact(*given, below="BRCB/DEV1"))
    assert sum(s["rows_out"] for s in summaries) == 4
    if format_name == "delta":
        assert there.rows("n", "one", "two") == [
            (None, None, 1.0),
            (None, 1.0, None),
            (1.0, None, None),
            (2.0, None, None),
        ]
    assert sum(f.rows for f in there.table().files(there.table().snapshot())) == 4
    assert there.compact(*given)["files_skipped"] == 2


MOMENTS = {
    "the creation": ("PUT", "datalog/_delta_log/0+.json"),
    "the columns": ("PUT", "_delta_log/0+1.json"),
    "the commit": ("PUT", "_delta_log/0+2.json"),
    "a manifest": ("PUT", "_siltstone/runs/"),
    "a quarantine file": ("PUT", "_siltstone/quarantine/"),
    "a data file": ("PUT", "data_.*.parquet"),
}


@pytest.mark.parametrize("what", LOST)
def test_lost_answers_neither_double_nor_lose_a_row(there: BucketWorld, what: str) -> None:
    there.deliver({ONE: [record(NOON, a=1), "{"], TWO: [record(NOON, a=2)]})
    for method, path in MOMENTS.values():
        there.bucket.faults.fail(what, method, path)
    assert there.compact()["rows_out"] == 2
    assert {
        moment: rule.times for moment, rule in zip(MOMENTS, there.bucket.faults.rules, strict=True)
    } == dict.fromkeys(MOMENTS, 0)
    assert there.rows("heartbeat", "a") == [(NOON, 1.0), (NOON, 2.0)]
    assert len(there.headers()) == 1
    assert len(there.quarantine()) == 1
    assert there.compact()["files_skipped"] == 2


@pytest.mark.parametrize("what", LOST)
def test_a_lost_answer_of_a_plain_table_neither_doubles_nor_loses_a_row(there: BucketWorld, what: str) -> None:
    there.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, a=2)]})
    for method, path in (("PUT", "_siltstone/log/.*json"), ("PUT", "/data_.*parquet"), ("DELETE", "data_")):
        there.bucket.faults.fail(what, method, path, times=2, after=1)
    assert there.compact("compaction.format=parquet")["rows_out"] == 2
    assert sum(f.rows for f in there.table().files(there.table().snapshot())) == 2
    assert there.compact()["files_skipped"] == 2
    assert [key for key in there.bucket.listed() if key.endswith(".staged")] == []


@pytest.mark.part("races")
@pytest.mark.parametrize("seed", rounds(1))
def test_a_run_with_a_fault_on_30_percent_of_the_calls_makes_the_right_table(
    there: BucketWorld, here: World, seed: int
) -> None:
    there.deliver(every_kind())
    there.bucket.faults.fail_share(0.3, seed)
    summary = there.compact("survey.files=1")
    failed = sum(what != "" for _, _, what in there.bucket.faults.calls)
    there.bucket.faults.fail_share(0, seed)
    assert failed > 20
    assert (summary["records_in"], summary["rows_out"], summary["records_quarantined"]) == (38, 35, 1)
    assert_same(there, here)
    assert len(there.headers()) == 1
    assert there.compact()["files_skipped"] == 6


def test_runs_that_fail_are_run_again_until_one_succeeds(there: BucketWorld, here: World) -> None:
    there.deliver(every_kind())
    there.bucket.faults.fail_share(0.4, 7, *REFUSED, *LOST, CUT)
    for _ in range(20):
        try:
            there.compact("survey.files=1")
            break
        except StorageError:
            continue
    there.bucket.faults.fail_share(0, 0)
    assert len(there.headers()) == 1
    assert_same(there, here)


def test_a_store_that_goes_away_is_exit_code_6_and_the_next_run_goes_on(
    there: BucketWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(access, "RETRIES", 2)
    run_tasks_here(monkeypatch, there.engine)
    there.deliver({ONE: [record(NOON, a=1)]})
    words = ["compact", "datalog", there.input, there.lake, "--engine", "local"]
    words += [word for setting in there.settings for word in ("--set", setting)]
    for method, path in (("GET", ""), ("PUT", "_delta_log"), ("PUT", "data_"), ("PUT", "_siltstone/runs")):
        there.bucket.faults.rules.clear()
        there.bucket.faults.fail("503", method, path, times=999)
        assert cli.main(words) == 6, path
        told = capsys.readouterr().err
        assert "SlowDown" in told.strip().splitlines()[-1]
        assert "of-the-tests" not in told
    there.bucket.faults.rules.clear()
    assert there.headers() == []
    assert cli.main(words) == 0
    assert there.rows("a") == [(1.0,)]


def test_the_commands_work_on_s3(
    there: BucketWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_tasks_here(monkeypatch, there.engine)
    there.deliver({ONE: [record(NOON, a=1), "{"]})
    there.compact()
    spare = "lake/datalog/_siltstone/plans/left/0.json"
    there.bucket.put(spare, b"")
    settings = [word for setting in there.settings for word in ("--set", setting)]
    for words, expected in (
        (["show", there.lake], "1 rows"),
        (["show", f"{there.lake}/datalog"], "1 rows"),
        (["survey", "datalog", there.input], "a "),
        (["quarantine", f"{there.lake}/datalog"], f"s3://{there.bucket.name}/in/{ONE}"),
        (["optimize", f"{there.lake}/datalog"], "nothing"),
        (["verify", f"{there.lake}/datalog", "--engine", "local"], "1 "),
        (["vacuum", f"{there.lake}/datalog", "--force", "--set", "vacuum.grace_hours=0"], "deleted 1 files"),
        (["doctor", there.lake], there.bucket.server.url),
    ):
        assert cli.main([*words, *settings]) == 0, words
        assert expected in capsys.readouterr().out
    assert cli.main(["verify", there.lake, *settings]) == 2
    assert f"{there.lake} is a lake, not a table. Its tables: datalog. Give one" in capsys.readouterr().err
    assert spare not in there.bucket.listed()
    assert there.rows("a") == [(1.0,)]
    there.bucket.faults.ignores_conditions = True
    assert cli.main(["doctor", there.lake, *settings]) == 2
    told = capsys.readouterr().out
    assert "ignores If-None-Match" in told
    assert "fix: Keep the lake in a store with conditional writes" in told


def test_an_input_that_is_not_there_is_told(there: BucketWorld) -> None:
    with pytest.raises(UsageError, match=rf"there is no input at s3://{there.bucket.name}/in\. "):
        there.compact()


def test_a_source_root_on_s3_shortens_the_names(there: BucketWorld) -> None:
    there.deliver({ONE: [record(NOON)]})
    there.compact(f"compaction.source_root=s3a://{there.bucket.name}/in")
    assert there.rows("source_file") == [(ONE,)]


def test_a_commit_without_a_log_to_look_into_is_unknown(there: BucketWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RETRIES", 2)
    there.deliver({ONE: [record(NOON, a=1)]})
    there.bucket.faults.fail("lost", "PUT", "_delta_log/0+2.json")
    there.bucket.faults.fail("503", "GET", "_delta_log/0+2.json", times=99)
    with pytest.raises(UnknownOutcomeError, match="Run the same command again"):
        there.compact()
    there.bucket.faults.rules.clear()
    assert there.compact()["rows_out"] == 0
    assert there.rows("a") == [(1.0,)]


def test_a_denied_lake_is_a_storage_error(there: BucketWorld) -> None:
    there.deliver({ONE: [record(NOON)]})
    there.bucket.faults.fail("403", "PUT", "lake/", times=99)
    with pytest.raises(StorageError, match="AccessDenied"):
        there.compact()
