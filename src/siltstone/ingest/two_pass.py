"""Runs the tasks of a plan in two passes, and reconciles the new columns that they found, so that all results share one
schema.

The first pass takes every file; its tasks write the rows of their own partition. The second pass is for late rows,
which belong to other partitions (see `strategy.Append`).
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import replace
from itertools import accumulate

from siltstone.engine.plan_files import class_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.ingest.strategy import Strategy, Target, TaskPlan
from siltstone.ingest.task_spec import IngestReport, IngestTask, SourceFile, TaskResult
from siltstone.model.accounts import FileAccount
from siltstone.model.data_files import DataFile
from siltstone.model.schema import Schema, merge_drift


class TwoPass:
    """The results so far, and the schema that fits all of them; `second` is None until its pass has run."""

    def __init__(self, strategy: Strategy, engine: Engine, schema: Schema, progress: Progress) -> None:
        self._strategy, self._engine, self._progress = strategy, engine, progress
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
    def left(self) -> set[str]:
        """The moved files that are left for the next run."""
        return set(self._moved)

    @property
    def has_read_none(self) -> bool:
        """Whether no file was as it was listed."""
        return all(account.state == "deferred" for result in self.first for account in result.report.files)

    def leave_moved(self, files: Collection[str]) -> bool:
        """Leave for the next run those of the files that changed or vanished before they were read; False: none did.
        What their tasks did is undone."""
        accounts = self.accounts() if files else []
        moved = {a.path: a for a in accounts if a.state == "deferred" and a.path in files}
        self._moved |= moved
        if moved:
            self.first = [r for r in self.first if not any(f.identity in moved for f in r.task.files)]
            self.second = None
        return bool(moved)

    @property
    def written(self) -> list[str]:
        """The files that the tasks have written, of a quarantine file its oldest part."""
        return [path for result in self.done for path in result.written]

    def forget(self, lost: Set[str]) -> None:
        """Undo the tasks that have written one of these files, so that `run` does them again."""
        kept = [r for r in self.first if lost.isdisjoint(r.written)]
        if len(kept) < len(self.first) or not all(lost.isdisjoint(r.written) for r in self.second or []):
            self.second = None
        self.first = kept

    def keep_valid(
        self,
        todo: Mapping[str, SourceFile],
        table_schema: Schema,
        stored: Sequence[DataFile] = (),
        known: Sequence[str] = (),
    ) -> None:
        """Start from a newer version of the table: drop results whose files were done or replaced by others, whose
        columns the table has otherwise, or that the strategy finds no longer valid, so that `run` does the rest
        again."""
        self.schema = table_schema.extended((c.key, c.kind) for c in self.schema.columns)
        self._stored, self._known = tuple(stored), tuple(known)
        kept = [
            r for r in self.first if self._fits(r, todo) and self._strategy.still_valid(r, self._stored, self._known)
        ]
        if len(kept) < len(self.first) or not all(self._fits(r, todo) for r in self.second or []):
            self.second = None
        self.first = kept

    def _fits(self, result: TaskResult, todo: Mapping[str, SourceFile]) -> bool:
        """Whether the result's files are still to do, and its columns those of the schema."""
        columns = (*result.task.schema.columns, *result.report.new_columns)
        same_columns = all(self.schema.column_for(c.key) == c for c in columns)
        own = [replace(f, role="home") for f in result.task.files if f.role != "reference"]
        return same_columns and all(todo.get(f.identity) == f for f in own)

    def run(self, files: Sequence[SourceFile], target: Target) -> None:
        """Bring every file without a result through both passes.

        A file that changes between them is left for the next run, and its first pass is done again without it.
        """
        while True:
            have = {f.identity for r in self.first for f in r.task.files} | self._moved.keys()
            missing = [f for f in files if f.identity not in have]
            self.first += self._run(self._strategy.plan(missing, target), target)
            second = self._run(self._late_plans(target), target) if self.second is None else self.second
            moved = {a.path: a for r in second for a in r.report.files if a.state == "deferred"}
            if not moved:
                self.second = second
                return
            self._moved |= moved
            self.first = [r for r in self.first if not any(f.identity in moved for f in r.task.files)]

    def accounts(self) -> list[FileAccount]:
        """One account per file over both passes."""
        accounts = {a.path: a.copy() for r in self.first for a in r.report.files}
        for result in self.second or []:
            for account in result.report.files:
                accounts[account.path].add(account)
        return [*accounts.values(), *self._moved.values()]

    def _late_plans(self, target: Target) -> list[TaskPlan]:
        return self._strategy.plan_late(self.first, target)

    def _run(self, plans: Sequence[TaskPlan], target: Target) -> list[TaskResult]:
        """Run the tasks of the plans; those that named a new column otherwise than the merged schema run again."""
        tasks = dict(enumerate(self._task(plan, target) for plan in plans))
        reports = dict(enumerate(self._reports(list(tasks.values()))))
        while True:
            drift = [reports[i].new_columns for i in range(len(plans))]
            merged = merge_drift(self.schema, drift, target.settings.rules.max_columns)
            self.schema = merged.schema
            if not merged.disagreeing:
                return [TaskResult(tasks[i], reports[i]) for i in range(len(plans))]
            again = {i: replace(tasks[i], schema=merged.schema) for i in merged.disagreeing}
            tasks |= again
            reports |= dict(zip(again, self._reports(list(again.values())), strict=True))

    def _task(self, plan: TaskPlan, target: Target) -> IngestTask:
        kind: type[IngestTask] = class_of(self._strategy.task_class)
        names_partition = plan.partition is not None
        return kind(
            dataset=self._strategy.dataset.name,
            options=target.options,
            input=target.input,
            table=target.table,
            partition=plan.partition,
            files=tuple(plan.files),
            expected_bytes=plan.expected_bytes,
            schema=self.schema,
            settings=target.settings,
            stored=() if names_partition else self._stored,
            known=() if names_partition else self._known,
            is_staged=target.is_staged,
        )

    def _reports(self, tasks: Sequence[IngestTask]) -> list[IngestReport]:
        files = [0, *accumulate(len(t.files) for t in tasks)]
        sizes = [0, *accumulate(sum(f.size for f in t.files) for t in tasks)]

        def tell(done: int) -> None:
            self._progress(f"{done} of {len(tasks)} tasks", files[done], files[-1], sizes[done])

        if not tasks:
            return []
        tell(0)
        return self._engine.run(tasks, tell)
