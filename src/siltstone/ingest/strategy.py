"""How files come into each kind of table: appended, merged in by key, or merged into a history.

The job has the same steps for all three; a strategy has what differs. Which one a dataset has is decided here alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import polars as pl

from siltstone.config.task_settings import Settings
from siltstone.ingest.listing import first_batch
from siltstone.ingest.replace import (
    Replacements,
    RowReplacer,
    carried_over,
    keep_former,
    positions_of,
    replaced_versions,
)
from siltstone.ingest.task_spec import SourceFile, TaskResult
from siltstone.kernels.bin_packing import PlannedFile, plan_bins, plan_work
from siltstone.mapping.dataset import Dataset, WideDataset
from siltstone.mapping.rules import Grain, Rules
from siltstone.model.accounts import FileAccount
from siltstone.model.data_files import DataFile, Partition
from siltstone.model.schema import Schema
from siltstone.model.statistics import from_json, overlaps
from siltstone.storage import Storage
from siltstone.table.transaction import TableVersion

_SURVEY_LINES = 500
_WORK_BYTES, _WORK_FILES = 32 << 20, 1_250  # what one task of a table with a key reads, about


@dataclass(frozen=True)
class Target:
    """Where tasks read from and write to, and what the plan guesses: hours from folder hour to local time, output
    bytes per input byte."""

    options: Mapping[str, Any]
    input: Storage
    table: Storage
    settings: Settings
    shift_hours: int
    ratio: float
    is_staged: bool = False


@dataclass(frozen=True)
class TaskPlan:
    """The files that one task reads, and the bytes that it will write, about; `partition` is None where the rows
    themselves name the partitions that they belong to."""

    files: Sequence[SourceFile]
    expected_bytes: float
    partition: Partition | None = None


@dataclass(frozen=True)
class Hints:
    """What a survey tells for the plan: see `Target`; the grain of a new table's dates, and its first columns."""

    shift_hours: int
    ratio: float
    grain: Grain | None = None
    schema: Schema | None = None


class Strategy(ABC):
    """What differs between kinds of tables, for one dataset.

    `reads_table`: tasks look at the table's rows. `has_grain`: its dates are by the day or by the month. `is_surveyed`:
    the first run needs hints. `is_optimized`: small files are merged afterwards. `shares_rows`: one row of the table
    may be a line of several source files, of which the ledger names one only.
    """

    task_class: ClassVar[str]  # as `module:Class`, since a run that finds nothing new imports none of them
    rewrite_modules: ClassVar[tuple[str, ...]] = ()
    reads_table: ClassVar[bool] = True
    has_grain: ClassVar[bool] = False
    is_surveyed: ClassVar[bool] = True
    is_optimized: ClassVar[bool] = True
    shares_rows: ClassVar[bool] = True

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset

    @property
    def modules(self) -> list[str]:
        """The modules that the tasks need."""
        return [type(self.dataset).__module__, self.task_class.partition(":")[0], *self.rewrite_modules]

    def zone(self, rules: Rules) -> str:
        """The time zone of the table's dates."""
        return "UTC"

    def known_files(self, entries: pl.DataFrame) -> list[str]:
        """The source files, by the ledger's entries, that tasks must know of beside those that they read."""
        return []

    def batch(self, todo: pl.DataFrame, most_bytes: int) -> pl.DataFrame:
        """Those of the new files that a run takes at a time."""
        return todo

    @abstractmethod
    def survey(self, store: Storage, files: pl.DataFrame, input_bytes: int, settings: Settings, base: Schema) -> Hints:
        """What some files of an input of so many bytes tell; `base` are the columns known so far."""

    @abstractmethod
    def plan(self, files: Sequence[SourceFile], target: Target) -> list[TaskPlan]:
        """The tasks that bring files in."""

    def plan_late(self, results: Sequence[TaskResult], target: Target) -> list[TaskPlan]:
        """The tasks for the rows that those of the first pass found outside of their partition."""
        return []

    def still_valid(self, result: TaskResult, stored: Sequence[DataFile], known: Sequence[str]) -> bool:
        """True if the task would do the same at a version of the table with these data files and `known_files`."""
        return True

    def replacements(
        self,
        version: TableVersion,
        results: Sequence[TaskResult],
        files: Sequence[FileAccount],
        former: Mapping[str, int],
        replacer: RowReplacer,
    ) -> Replacements:
        """Take out of the table what the results replace; `files` are their accounts, `former` the rows of former
        versions by source file. The accounts of files that gave no row say afterwards what stays."""
        keep_former(files, version.ledger)
        return replacer.drop(version, replaced_versions(files, former), positions_of(results))


class Append(Strategy):
    """Of a table without a key: each file's rows are appended to the partition that its folder points to.

    Rows that belong to other partitions are late: a second pass reads their files again for just those rows, together
    with the files of the same device in that partition, so that equal lines are found.
    """

    task_class = "siltstone.ingest.wide_task:WideTask"
    reads_table = False

    def zone(self, rules: Rules) -> str:
        return rules.zone

    def survey(self, store: Storage, files: pl.DataFrame, input_bytes: int, settings: Settings, base: Schema) -> Hints:
        from siltstone.ingest import survey as surveys  # a run that finds nothing new needs no parser

        survey = surveys.take_survey(store, files, self.dataset, base, settings.rules, _SURVEY_LINES)
        return Hints(survey.shift_hours, survey.ratio, schema=survey.schema(base, settings.rules))

    def plan(self, files: Sequence[SourceFile], target: Target) -> list[TaskPlan]:
        dataset = cast(WideDataset, self.dataset)
        planned = []
        for number, file in enumerate(files):
            place = dataset.locate(file.identity)
            assert place is not None
            partition = dataset.partition_of(place, target.shift_hours)
            planned.append(PlannedFile(number, partition, place.device, file.size * target.ratio))
        return [_task_plan([files[p.id] for p in group], group) for group in plan_bins(planned, target.settings.sizes)]

    def plan_late(self, results: Sequence[TaskResult], target: Target) -> list[TaskPlan]:
        late: list[SourceFile] = []
        planned: list[PlannedFile] = []
        for task, report in ((r.task, r.report) for r in results):
            records = {a.path: a.account.records_in for a in report.files}
            for file in (f for f in task.files if f.identity in report.deferred):
                device = device_of(self.dataset, file.identity)
                assert task.partition is not None
                for day, rows in report.deferred[file.identity].items():
                    expected = file.size * target.ratio * rows / records[file.identity]
                    planned.append(PlannedFile(len(late), (day, task.partition[1]), device, expected))
                    late.append(replace(file, role="late"))
        at_home = self._at_home(results, planned)
        plans = []
        for group in plan_bins(planned, target.settings.sizes):
            devices = sorted({p.device for p in group})
            references = [f for device in devices for f in at_home.get((group[0].partition, device), [])]
            plans.append(_task_plan([*references, *(late[p.id] for p in group)], group))
        return plans

    def _at_home(
        self, results: Sequence[TaskResult], planned: Sequence[PlannedFile]
    ) -> dict[tuple[Partition | None, str], list[SourceFile]]:
        """The files of the first pass in the partitions and of the devices of late rows, as references."""
        found: dict[tuple[Partition | None, str], list[SourceFile]] = {(p.partition, p.device): [] for p in planned}
        for result in results if planned else ():
            for file in result.task.files:
                home = result.task.partition, device_of(self.dataset, file.identity)
                if home in found:
                    found[home].append(replace(file, role="reference"))
        return found


class Upsert(Strategy):
    """Of a table with a key: of rows with one key, new ones and those of the table, one stays by the dataset's policy.

    Equal keys can be in files of one device only, so that a task reads whole devices.
    """

    task_class = "siltstone.ingest.keyed_task:KeyedTask"
    rewrite_modules = ("siltstone.maintenance.rewrite_task",)
    has_grain = True

    def batch(self, todo: pl.DataFrame, most_bytes: int) -> pl.DataFrame:
        return first_batch(todo, lambda identity: device_of(self.dataset, identity), most_bytes)

    def survey(self, store: Storage, files: pl.DataFrame, input_bytes: int, settings: Settings, base: Schema) -> Hints:
        from siltstone.ingest import keyed_survey as surveys  # a run that finds nothing new needs no parser

        survey = surveys.take_keyed_survey(store, files, self.dataset, settings.rules)
        return Hints(0, survey.ratio, grain=survey.grain(input_bytes, settings.sizes))

    def plan(self, files: Sequence[SourceFile], target: Target) -> list[TaskPlan]:
        places = [self.dataset.locate(f.identity) for f in files]
        work = [max(f.size / _WORK_BYTES, 1 / _WORK_FILES) for f in files]
        planned = [
            PlannedFile(n, (place.site or place.likely_site,), place.device, share)
            for n, (place, share) in enumerate(zip(places, work, strict=True))
            if place is not None
        ]
        groups = [[files[p.id] for p in group] for group in plan_work(planned)]
        return [TaskPlan(group, sum(f.size for f in group) * target.ratio) for group in groups]

    def still_valid(self, result: TaskResult, stored: Sequence[DataFile], known: Sequence[str]) -> bool:
        """True if no data file that the result depends on is gone, and none has come that may hold one of its keys."""
        report, paths = result.report, {s.path for s in stored}
        if not paths.issuperset([*report.kept_by, *report.replaced]):
            return False
        planned = {s.path for s in result.task.stored}
        bounds = [from_json(o.statistics, self.dataset.contract.time.name) for o in report.outputs]
        come = [s for s in stored if s.path not in planned]
        return not any(overlaps(s.bounds, b) for s in come for b in bounds)


class History(Strategy):
    """Of a table with a key and validity intervals: one task merges all new snapshots into it, and rewrites it."""

    task_class = "siltstone.ingest.history_task:HistoryTask"
    is_surveyed = False
    is_optimized = False
    shares_rows = False  # the task tells by itself which rows other snapshots show

    def known_files(self, entries: pl.DataFrame) -> list[str]:
        stands = (pl.col("state") != "quarantined") | (pl.col("rows_out") > 0)
        return sorted(entries.filter(stands)["path"])

    def batch(self, todo: pl.DataFrame, most_bytes: int) -> pl.DataFrame:
        return first_batch(todo, lambda _: "", most_bytes)

    def survey(self, store: Storage, files: pl.DataFrame, input_bytes: int, settings: Settings, base: Schema) -> Hints:
        return Hints(0, 0.0)

    def plan(self, files: Sequence[SourceFile], target: Target) -> list[TaskPlan]:
        return [TaskPlan(files, sum(f.size for f in files) * target.ratio)] if files else []

    def still_valid(self, result: TaskResult, stored: Sequence[DataFile], known: Sequence[str]) -> bool:
        """True if the table has the very data files and snapshots that the task had."""
        task = result.task
        return {s.path for s in stored} == {s.path for s in task.stored} and set(known) == set(task.known)

    def replacements(
        self,
        version: TableVersion,
        results: Sequence[TaskResult],
        files: Sequence[FileAccount],
        former: Mapping[str, int],
        replacer: RowReplacer,
    ) -> Replacements:
        taken = {f.path for f in files if f.state != "deferred"}
        stored = version.files() if any(r.report.rewritten for r in results) else []
        return carried_over(stored, results, {path: rows for path, rows in former.items() if path in taken})


def _task_plan(files: Sequence[SourceFile], group: Sequence[PlannedFile]) -> TaskPlan:
    return TaskPlan(files, sum(p.output_bytes for p in group), group[0].partition)


def device_of(dataset: Dataset, identity: str) -> str:
    """The device of a file; the plan keeps its files together."""
    place = dataset.locate(identity)
    assert place is not None
    return place.device


def strategy_of(dataset: Dataset) -> Strategy:
    """The strategy of the dataset's table."""
    if dataset.contract.is_history:
        return History(dataset)
    return Upsert(dataset) if dataset.contract.key else Append(dataset)
