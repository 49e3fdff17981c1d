"""Runs a plan's bins in two waves and settles what is new, so that all results share one schema.

The first wave takes every file to the partition that its folder points to. Rows that belong to other partitions
are deferred; the second wave reads their files again for just those rows, together with the files of the same
device that are at home there, so that equal lines meet.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, cast

from siltstone import sources
from siltstone.config.task_settings import Settings
from siltstone.engine.plan_files import class_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.ingest.task_spec import IngestReport, IngestTask, SourceFile
from siltstone.kernels.bin_packing import PlannedFile, plan_bins, plan_work
from siltstone.mapping.dataset import Dataset, WideDataset
from siltstone.model.accounts import FileAccount
from siltstone.model.contracts import Contract
from siltstone.model.data_files import DataFile, Partition
from siltstone.model.schema import Schema, merge_drift
from siltstone.model.statistics import from_json, overlaps
from siltstone.storage import Storage

_WORK_BYTES, _WORK_FILES = 32 << 20, 1_250  # what one task of a keyed dataset reads, about


@dataclass(frozen=True)
class Target:
    """Where bins read from and write to, and what the plan guesses: hours from folder hour to local time, output
    bytes per input byte."""

    dataset: Dataset
    options: Mapping[str, Any]
    input: Storage
    table: Storage
    settings: Settings
    shift_hours: int
    ratio: float
    is_staged: bool = False


def device_of(dataset: Dataset, identity: str) -> str:
    """Whose files the plan keeps together."""
    place = dataset.locate(identity)
    assert place is not None
    return place.device


def has_seen(bin: IngestTask, report: IngestReport, stored: Sequence[DataFile], known: Sequence[str]) -> bool:
    """Whether a bin's result would be the same against these data files of the table: those that it leaned on or took
    rows from are there, and no file has come since that may hold one of its keys; of a history, whether it has the very
    files and the `known` snapshots."""
    if bin.partition is not None:
        return True
    paths = {s.path for s in stored}
    if not paths.issuperset([*report.leaned_on, *report.replaced]):
        return False
    planned = {s.path for s in bin.stored}
    contract = sources.dataset(bin.dataset, bin.options).contract
    if contract.is_history:
        return paths == {s.path for s in bin.stored} and set(known) == set(bin.known)
    bounds = [from_json(o.statistics, contract.time.name) for o in report.outputs]
    fresh = [s for s in stored if s.path not in planned]
    return not any(overlaps(s.bounds, b) for s in fresh for b in bounds)


@dataclass(frozen=True)
class TaskResult:
    """A bin that ran, and its report."""

    bin: IngestTask
    report: IngestReport


# By name, since a run that finds nothing new imports none of them.
_APPEND = "siltstone.ingest.wide_task:WideTask"
_UPSERT = "siltstone.ingest.keyed_task:KeyedTask"
_HISTORY = "siltstone.ingest.history_task:HistoryTask"
_REWRITE = "siltstone.maintenance.rewrite_task"


def task_kind(contract: Contract) -> str:
    """The class of the tasks that bring files into a table of this contract, as `module:Class`."""
    if contract.is_history:
        return _HISTORY
    return _UPSERT if contract.key else _APPEND


def modules_of(dataset: Dataset) -> list[str]:
    """The modules that tasks of a dataset need."""
    task_module = task_kind(dataset.contract).partition(":")[0]
    return [type(dataset).__module__, task_module, *([_REWRITE] if dataset.contract.key else [])]


class TwoPass:
    """The results so far, and the schema that fits all of them; `second` is None until its wave has run."""

    def __init__(self, engine: Engine, schema: Schema, progress: Progress) -> None:
        self._engine, self._progress = engine, progress
        self.schema = schema
        self.first: list[TaskResult] = []
        self.second: list[TaskResult] | None = None
        self._moved: dict[str, FileAccount] = {}
        self._stored: tuple[DataFile, ...] = ()
        self._known: tuple[str, ...] = ()

    @property
    def done(self) -> list[TaskResult]:
        return [*self.first, *(self.second or [])]

    @property
    def gives_way(self) -> dict[str, list[int]]:
        """Rows of the table that give way to new ones with their key: data file -> positions in it."""
        found: dict[str, list[int]] = {}
        for done in self.first:
            for path, positions in done.report.replaced.items():
                found.setdefault(path, []).extend(positions)
        return found

    @property
    def rewritten(self) -> set[str]:
        """Data files of the table whose rows the new ones have."""
        return {path for done in self.first for path in done.report.rewritten}

    @property
    def left(self) -> set[str]:
        """The moved files that are left for the next run."""
        return set(self._moved)

    def leave_moved(self, files: Collection[str]) -> bool:
        """Leave for the next run those of the files that changed or vanished before they were read; False: none did.
        What their bins did is undone."""
        accounts = self.accounts() if files else []
        moved = {a.path: a for a in accounts if a.state == "deferred" and a.path in files}
        self._moved |= moved
        if moved:
            self.first = [d for d in self.first if not any(f.identity in moved for f in d.bin.files)]
            self.second = None
        return bool(moved)

    def keep_valid(
        self,
        todo: Mapping[str, SourceFile],
        table_schema: Schema,
        stored: Sequence[DataFile] = (),
        known: Sequence[str] = (),
    ) -> None:
        """Rest on a newer version of the table: drop results whose files were done or replaced by others, whose
        columns the table has otherwise, or whose keys it may have by now, so that `run` does the rest again."""
        self.schema = table_schema.extended((c.key, c.kind) for c in self.schema.columns)
        self._stored, self._known = tuple(stored), tuple(known)
        kept = [
            d for d in self.first if self._is_valid(d, todo) and has_seen(d.bin, d.report, self._stored, self._known)
        ]
        if len(kept) < len(self.first) or not all(self._is_valid(d, todo) for d in self.second or []):
            self.second = None
        self.first = kept

    def _is_valid(self, done: TaskResult, todo: Mapping[str, SourceFile]) -> bool:
        columns = (*done.bin.schema.columns, *done.report.new_columns)
        same_columns = all(self.schema.column_for(c.key) == c for c in columns)
        own = [replace(f, role="home") for f in done.bin.files if f.role != "reference"]
        return same_columns and all(todo.get(f.identity) == f for f in own)

    def run(self, files: Sequence[SourceFile], target: Target) -> None:
        """Bring every file without a result through both waves.

        A file that changes between them is left for the next run, and its first wave is done again without it.
        """
        while True:
            have = {f.identity for d in self.first for f in d.bin.files} | self._moved.keys()
            missing = [f for f in files if f.identity not in have]
            self.first += self._settled(self._home_bins(missing, target), target)
            second = self._settled(self._stray_bins(target), target) if self.second is None else self.second
            moved = {a.path: a for d in second for a in d.report.files if a.state == "deferred"}
            if not moved:
                self.second = second
                return
            self._moved |= moved
            self.first = [d for d in self.first if not any(f.identity in moved for f in d.bin.files)]

    def accounts(self) -> list[FileAccount]:
        """One account per file over both waves."""
        accounts = {a.path: a.copy() for d in self.first for a in d.report.files}
        for done in self.second or []:
            for account in done.report.files:
                accounts[account.path].add(account)
        return [*accounts.values(), *self._moved.values()]

    def _home_bins(self, files: Sequence[SourceFile], target: Target) -> list[IngestTask]:
        if target.dataset.contract.key:
            return self._keyed_bins(files, target)
        dataset = cast(WideDataset, target.dataset)
        planned = []
        for number, file in enumerate(files):
            place = dataset.locate(file.identity)
            assert place is not None
            partition = dataset.partition_of(place, target.shift_hours)
            planned.append(PlannedFile(number, partition, place.device, file.size * target.ratio))
        bins = plan_bins(planned, target.settings.sizes)
        return [self._bin(group, [files[p.id] for p in group], target) for group in bins]

    def _keyed_bins(self, files: Sequence[SourceFile], target: Target) -> list[IngestTask]:
        """Bins of whole devices, since equal keys can be in files of one device only; of a history one bin."""
        if target.dataset.contract.is_history:
            return [self._bin(None, files, target)] if files else []
        places = [target.dataset.locate(f.identity) for f in files]
        work = [max(f.size / _WORK_BYTES, 1 / _WORK_FILES) for f in files]
        planned = [
            PlannedFile(n, (place.site or place.likely_site,), place.device, share)
            for n, (place, share) in enumerate(zip(places, work, strict=True))
            if place is not None
        ]
        bins = plan_work(planned)
        return [self._bin(None, [files[p.id] for p in group], target) for group in bins]

    def _stray_bins(self, target: Target) -> list[IngestTask]:
        """Bins for the rows that the first wave found outside their folder's partition."""
        strays: list[SourceFile] = []
        planned: list[PlannedFile] = []
        for done in self.first:
            records = {a.path: a.account.records_in for a in done.report.files}
            for file in (f for f in done.bin.files if f.identity in done.report.deferred):
                device = device_of(target.dataset, file.identity)
                assert done.bin.partition is not None
                for day, rows in done.report.deferred[file.identity].items():
                    expected = file.size * target.ratio * rows / records[file.identity]
                    planned.append(PlannedFile(len(strays), (day, done.bin.partition[1]), device, expected))
                    strays.append(replace(file, role="stray"))
        homes: dict[tuple[Partition | None, str], list[SourceFile]] = {(p.partition, p.device): [] for p in planned}
        for done in self.first if planned else ():
            for file in done.bin.files:
                home = done.bin.partition, device_of(target.dataset, file.identity)
                if home in homes:
                    homes[home].append(replace(file, role="reference"))
        bins = []
        for group in plan_bins(planned, target.settings.sizes):
            devices = sorted({p.device for p in group})
            references = [f for device in devices for f in homes.get((group[0].partition, device), [])]
            bins.append(self._bin(group, [*references, *(strays[p.id] for p in group)], target))
        return bins

    def _bin(self, planned: Sequence[PlannedFile] | None, files: Sequence[SourceFile], target: Target) -> IngestTask:
        """A bin for one partition, with the bytes planned for it, or, without a plan, for all that its rows name."""
        by_size = sum(f.size for f in files) * target.ratio
        kind: type[IngestTask] = class_of(task_kind(target.dataset.contract))
        return kind(
            dataset=target.dataset.name,
            options=target.options,
            input=target.input,
            table=target.table,
            partition=planned[0].partition if planned else None,
            files=tuple(files),
            expected_bytes=sum(p.output_bytes for p in planned) if planned else by_size,
            schema=self.schema,
            settings=target.settings,
            stored=() if planned else self._stored,
            known=() if planned else self._known,
            is_staged=target.is_staged,
        )

    def _settled(self, bins: Sequence[IngestTask], target: Target) -> list[TaskResult]:
        """Run bins; those that named a new column otherwise than the merged schema run again with it."""
        reports = dict(enumerate(self._run(bins)))
        tasks = dict(enumerate(bins))
        while True:
            drift = [reports[i].new_columns for i in range(len(bins))]
            merged = merge_drift(self.schema, drift, target.settings.rules.max_columns)
            self.schema = merged.schema
            if not merged.disagreeing:
                return [TaskResult(tasks[i], reports[i]) for i in range(len(bins))]
            again = {i: replace(tasks[i], schema=merged.schema) for i in merged.disagreeing}
            tasks |= again
            reports |= dict(zip(again, self._run(list(again.values())), strict=True))

    def _run(self, bins: Sequence[IngestTask]) -> list[IngestReport]:
        files = [0, *accumulate(len(b.files) for b in bins)]
        sizes = [0, *accumulate(sum(f.size for f in b.files) for b in bins)]

        def tell(done: int) -> None:
            self._progress(f"{done} of {len(bins)} tasks", files[done], files[-1], sizes[done])

        if not bins:
            return []
        tell(0)
        return self._engine.run(bins, tell)
