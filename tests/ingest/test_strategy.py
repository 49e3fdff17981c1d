"""What differs between kinds of tables: which tasks are planned, and when a task's result still holds."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from siltstone import sources
from siltstone.config.load import load_config
from siltstone.config.task_settings import options_of, settings_of
from siltstone.ingest.history_task import HistoryTask
from siltstone.ingest.keyed_task import KeyedTask
from siltstone.ingest.strategy import Append, History, Strategy, Target, TaskPlan, Upsert, strategy_of
from siltstone.ingest.task_spec import FormerVersion, IngestReport, IngestTask, SourceFile, TaskResult
from siltstone.ingest.wide_task import WideTask
from siltstone.model.accounts import Account, FileAccount
from siltstone.model.data_files import DataFile, NewFile, Partition
from siltstone.model.schema import base_schema
from siltstone.model.statistics import Instant, delta_statistics
from siltstone.storage import Storage
from support.plant import raw_path

CONFIG = load_config()
SETTINGS = settings_of(CONFIG, "datalog")
INPUT, TABLE = Storage("/input"), Storage("/lake/table")
TARGET = Target({}, INPUT, TABLE, SETTINGS, shift_hours=-2, ratio=0.5)
MONTH = ("2021-07-01", "plant")


def strategy(name: str) -> Strategy:
    source = name.partition(".")[0]
    return strategy_of(sources.dataset(name, options_of(CONFIG, source)))


def file(identity: str, size: int = 100, **more: Any) -> SourceFile:
    return SourceFile(identity, identity, size, "etag", 1, **more)


def result(
    kind: type[IngestTask],
    dataset: str,
    *files: SourceFile,
    partition: Partition | None = None,
    stored: tuple[DataFile, ...] = (),
    known: tuple[str, ...] = (),
    **report: Any,
) -> TaskResult:
    """A task, and what its report has beside accounts of four records in each file."""
    base = base_schema(strategy(dataset).dataset.contract)
    accounts = [FileAccount(f.identity, f.size, f.etag, account=Account(records_in=4)) for f in files]
    task = kind(dataset, {}, INPUT, TABLE, partition, files, 1.0, base, SETTINGS, stored, known)
    return TaskResult(task, IngestReport(**{"files": accounts, "outputs": [], "new_columns": [], **report}))


@pytest.mark.parametrize(
    ("dataset", "kind", "modules"),
    [
        ("datalog", Append, ["siltstone.sources.datalog", "siltstone.ingest.wide_task"]),
        (
            "sitewise.raw",
            Upsert,
            ["siltstone.sources.sitewise", "siltstone.ingest.keyed_task", "siltstone.maintenance.rewrite_task"],
        ),
        ("haltian.device", History, ["siltstone.sources.haltian", "siltstone.ingest.history_task"]),
    ],
)
def test_the_contract_of_a_dataset_decides(dataset: str, kind: type[Strategy], modules: list[str]) -> None:
    found = strategy(dataset)
    assert type(found) is kind
    assert found.modules == modules


def test_files_are_appended_to_the_partition_of_their_hour_and_site() -> None:
    files = [
        file("BRCB/D1/2025121101/2025121101.txt.gz", 100),  # two hours earlier it is the 10th
        file("BRCB/D1/2025121012/2025121012.txt.gz", 300),
        file("BRCB/D2/2025121112/2025121112.txt.gz", 600),
    ]
    assert strategy("datalog").plan(files, TARGET) == [
        TaskPlan([files[2]], 300.0, ("2025-12-11", "BRCB")),  # the larger one first, at half the bytes
        TaskPlan([files[0], files[1]], 200.0, ("2025-12-10", "BRCB")),
    ]


def test_late_rows_are_planned_with_the_files_of_their_device_in_that_partition() -> None:
    early, late = file("BRCB/D1/2025121023/2025121023.txt.gz", 400), file("BRCB/D1/2025121101/2025121101.txt.gz")
    other = file("BRCB/D2/2025121101/2025121101.txt.gz")
    first = [
        result(
            WideTask,
            "datalog",
            *[early],
            partition=("2025-12-10", "BRCB"),
            deferred={early.identity: {"2025-12-11": 1}},
        ),
        result(WideTask, "datalog", late, other, partition=("2025-12-11", "BRCB")),
    ]
    # one of four records: a fourth of 400 bytes, written as half of it; no file of the other device
    assert strategy("datalog").plan_late(first, TARGET) == [
        TaskPlan([replace(late, role="reference"), replace(early, role="late")], 50.0, ("2025-12-11", "BRCB"))
    ]
    assert strategy("datalog").plan_late(first[1:], TARGET) == []


def test_a_task_with_keys_reads_all_files_of_a_device_and_names_no_partition() -> None:
    files = [file(raw_path(1), 40 << 20), file(raw_path(2), 40 << 20), file(raw_path(1, "other"), 60 << 20)]
    plans = strategy("sitewise.raw").plan(files, TARGET)
    assert sorted(([f.identity for f in plan.files], plan.expected_bytes) for plan in plans) == [
        ([raw_path(1), raw_path(2)], float(40 << 20)),
        ([raw_path(1, "other")], float(30 << 20)),
    ]
    assert {plan.partition for plan in plans} == {None}


def test_a_history_is_one_task_and_none_without_files() -> None:
    files = [file("a", 100), file("b", 20)]
    assert strategy("haltian.device").plan(files, TARGET) == [TaskPlan(files, 60.0)]
    assert strategy("haltian.device").plan([], TARGET) == []


def instant(hour: int) -> Instant:
    return Instant(int(datetime(2021, 7, 8, hour, tzinfo=UTC).timestamp()) * 1_000_000)


def data_file(path: str, first: int = 0, last: int = 0) -> DataFile:
    """With one series from hour to hour."""
    return DataFile(path, MONTH, 9, 9, "s", {"series_id": ("s", "s"), "ts": (instant(first), instant(last))})


def upserted(*stored: DataFile, **report: Any) -> TaskResult:
    """A task that wrote rows of the series from 10:00 to 12:00."""
    bounds = {"series_id": ("s", "s", 0), "ts": (instant(10), instant(12), 0)}
    output = NewFile("new", MONTH, 9, 3, 0, delta_statistics(3, bounds))
    return result(KeyedTask, "sitewise.raw", file(raw_path(1)), stored=stored, outputs=[output], **report)


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (["old"], True),
        (["old", "later"], True),  # from 13:00, no key can be equal
        (["old", "same"], False),  # from 11:00: it may hold one of the keys
        ([], True),  # the file is gone, but nothing of it decided anything
    ],
)
def test_an_upsert_holds_while_no_file_comes_that_may_have_its_keys(now: list[str], holds: bool) -> None:
    files = {"old": data_file("old", 0, 23), "later": data_file("later", 13, 14), "same": data_file("same", 11, 13)}
    done = upserted(files["old"])
    assert strategy("sitewise.raw").still_valid(done, [files[name] for name in now], []) is holds


@pytest.mark.parametrize("report", [{"kept_by": ["old"]}, {"replaced": {"old": [3]}}])
def test_an_upsert_that_met_rows_of_a_file_needs_that_file(report: dict[str, Any]) -> None:
    old, other = data_file("old", 0, 23), data_file("other", 13, 14)
    done = upserted(old, **report)
    assert strategy("sitewise.raw").still_valid(done, [old, other], [])
    assert not strategy("sitewise.raw").still_valid(done, [other], [])


@pytest.mark.parametrize(
    ("stored", "known", "holds"),
    [
        (["old"], ["a", "b"], True),
        (["old"], ["b", "a"], True),
        (["old", "new"], ["a", "b"], False),
        ([], ["a", "b"], False),
        (["old"], ["a"], False),
    ],
)
def test_a_history_holds_for_the_same_files_and_snapshots_only(
    stored: list[str], known: list[str], holds: bool
) -> None:
    done = result(HistoryTask, "haltian.device", file("c"), stored=(data_file("old"),), known=("a", "b"))
    assert strategy("haltian.device").still_valid(done, [data_file(path) for path in stored], known) is holds


def test_appended_rows_hold_whatever_the_table_has_by_now() -> None:
    done = result(WideTask, "datalog", file("x", former=FormerVersion(3, 0)), partition=("2025-12-10", "BRCB"))
    assert strategy("datalog").still_valid(done, [data_file("new")], [])
