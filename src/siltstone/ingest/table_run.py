"""One run over one table: what is new of a listing is read and written, rows of former versions are replaced, accounts
are checked, and one commit makes it true."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from siltstone.config.model import Config
from siltstone.config.task_settings import settings_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import AccountsError, OtherTermsError, PartlyError
from siltstone.ingest.former_defects import failed_versions, former_defects, refuse_defects_alone
from siltstone.ingest.listing import Listing, ListingDiff, compare, spread
from siltstone.ingest.replace import Outcome, RowReplacer, refused_among, with_notes
from siltstone.ingest.strategy import Hints, Strategy, Target
from siltstone.ingest.summary import summary_of
from siltstone.ingest.two_pass import TwoPass
from siltstone.maintenance.take_over import own_version
from siltstone.model.accounts import FileAccount, total
from siltstone.model.contracts import Column
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import TableSummary, TakeOverSummary
from siltstone.model.schema import base_schema
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Snapshot, Table
from siltstone.table.footers import check_footers
from siltstone.table.ledger import Head, Ledger
from siltstone.table.other_writers import with_digest
from siltstone.table.refusals import Refused
from siltstone.table.transaction import TableVersion, WrittenFiles, reading_at, retry
from siltstone.version import __version__

FEW_TASKS = 2
_SHARE_OF_MEMORY = 32  # of a device's files, whose rows take several times as much


@dataclass(frozen=True)
class RunContext:
    """With what a run is made."""

    config: Config
    engine: Engine
    progress: Progress
    retry_quarantined: bool = False

    def tell(self, what: str) -> None:
        self.progress(what, 0, 0, 0)


class TableRun:
    """One run over one listing. Each attempt starts from the newest version of the table, and uses again what earlier
    ones have read as far as it is still valid. `deferred` are files that are left for the next run."""

    def __init__(
        self, strategy: Strategy, options: Mapping[str, Any], store: Storage, table: Table, context: RunContext
    ) -> None:
        self._strategy, self._dataset, self._options = strategy, strategy.dataset, options
        self._store, self._table, self._context = store, table, context
        config = context.config
        self._settings = settings_of(config, self._dataset.name)
        named_by = "path below source_root" if config.compaction.source_root else "whole path"
        self._meaning = {"zone": self._settings.rules.zone, "files named by": named_by}
        if "site" in options:
            self._meaning["site"] = options["site"]
        self._passes = self._no_passes()
        self._target: Target | None = None
        self._replacer = RowReplacer(context.engine, self._settings, context.tell)
        self._written = WrittenFiles(table)
        self._failed: dict[str, str] = {}
        self.deferred: set[str] = set()
        self._taken_over: TakeOverSummary | None = None

    def _no_passes(self) -> TwoPass:
        context = self._context
        return TwoPass(self._strategy, context.engine, base_schema(self._table.contract), context.progress)

    def until_committed(self, listing: Listing) -> TableSummary:
        """Bring in what is new of the listing, in as many attempts as other runs make necessary; the summary."""
        return retry(lambda: self._attempt(listing), self._table.storage.root, self._context.progress)

    def _attempt(self, listing: Listing) -> TableSummary:
        """Compare the listing with the ledger, plan and run tasks for new files, replace rows, check, commit. Raises
        Refused when another run commits meanwhile."""
        context = self._context
        version, taken_over = own_version(self._table, context.config, context.engine, context.progress)
        self._taken_over = taken_over or self._taken_over
        self._forget_lost(version.snapshot)
        self._refuse_other_meaning(version.ledger)
        self._keep_grain(version.ledger)
        self._failed = former_defects(self._table.storage, version.ledger, self._dataset.name, listing)
        with reading_at(self._table, version.snapshot):
            diff = self._compare_and_run(listing, version)
            refuse_defects_alone(self._passes.accounts(), self._failed)
            outcome = self._replace(diff, version)
            self._check(outcome)
            return self._commit(listing, diff, version, outcome)

    def _forget_lost(self, snapshot: Snapshot) -> None:
        """Let that be read and written again which earlier attempts wrote to files that are gone, or may go."""
        lost = self._written.lost(snapshot, [*self._passes.written, *self._replacer.written])
        if lost:
            self._passes.forget(lost)
            self._replacer.forget(lost)

    def _refuse_other_meaning(self, ledger: Ledger) -> None:
        """Raise OtherTermsError when a setting that the meaning of the table's rows rests on is another one now."""
        learned = ledger.learned(self._dataset.name)
        for key, value in self._meaning.items():
            if learned and learned.get(key, "") != value:
                before = learned.get(key, "")
                raise OtherTermsError(
                    f"{self._table.storage.root} was written with {key} {before!r}, this run has {value!r}",
                    "Give the same value, or another lake.",
                )

    def _keep_grain(self, ledger: Ledger) -> None:
        """Go by the grain that the table's first run chose; what was read for another one is read again."""
        grain, wanted = ledger.grain, self._context.config.compaction.grain
        if grain is None or not self._strategy.has_grain:
            return
        if wanted not in ("auto", grain):
            raise OtherTermsError(
                f"{self._table.storage.root} has dates by the {grain}, not by the {wanted}",
                "Leave compaction.grain out, or give another lake.",
            )
        if self._target is not None and self._settings.rules.grain != grain:
            self._passes = self._no_passes()
            self._target = None
        self._settings = settings_of(self._context.config, self._dataset.name, grain)

    def _compare_and_run(self, listing: Listing, version: TableVersion) -> ListingDiff:
        """What is new, all of it brought through both passes where that is not done yet.

        Of files that must be read together none is taken in when one of them has changed or vanished meanwhile; where
        the new content of one is refused, those are left out that its former version needs.
        """
        refused: set[str] = set()
        while True:
            diff = self._compare(listing, version.ledger, refused)
            todo = diff.source_files()
            stored = version.files() if self._strategy.reads_table and todo else []
            known = self._strategy.known_files(version.ledger.of(self._dataset.name).entries)
            self._passes.keep_valid({f.identity: f for f in todo}, version.snapshot.schema, stored, known)
            if todo:
                tasks = max(FEW_TASKS, sum(f.size for f in todo) // self._settings.sizes.target)
                self._context.engine.warm_up(tasks, self._strategy.modules)
                self._target = self._target or self._chosen_target(diff, version.ledger)
                self._passes.run(todo, self._target)
                if self._passes.has_read_none:
                    self._store.refuse_unseen((file.path, file.etag) for file in todo)
            if self._passes.leave_moved(diff.together):
                continue
            found = refused_among(self._passes.accounts(), diff.together) - refused if diff.together else set()
            if not found:
                return diff
            refused |= found

    def _compare(self, listing: Listing, ledger: Ledger, refused: Collection[str]) -> ListingDiff:
        """What is new and not left for the next run; no more of it than a run takes at a time, but never files apart
        that must be read together."""
        retry_quarantined = self._context.retry_quarantined
        diff = compare(
            listing.without(self._passes.left),
            ledger,
            self._store,
            self._dataset,
            shares_rows=self._strategy.shares_rows,
            retry_quarantined=retry_quarantined,
            again=self._failed,
            refused=refused,
        )
        if diff.together or retry_quarantined:
            return diff
        todo = self._strategy.batch(diff.todo, self._settings.memory_bytes // _SHARE_OF_MEMORY)
        return replace(diff, todo=todo, later=diff.todo.height - todo.height)

    def _chosen_target(self, diff: ListingDiff, ledger: Ledger) -> Target:
        """Where tasks read and write, with what the newest run learned for the plan, else a survey."""
        learned = ledger.learned(self._dataset.name)
        shift_hours, ratio = learned.get("shift_hours"), learned.get("ratio")
        if shift_hours is None or ratio is None:
            hints = self._surveyed(diff.todo, ledger)
            shift_hours, ratio = hints.shift_hours, ratio or hints.ratio
        return Target(
            self._options,
            self._store,
            self._table.storage,
            self._settings,
            shift_hours,
            ratio,
            self._table.is_staged,
        )

    def _surveyed(self, todo: pl.DataFrame, ledger: Ledger) -> Hints:
        """What a survey tells; it also chooses the grain of a new table's dates, and its first columns."""
        config, settings = self._context.config, self._settings
        sample = spread(todo, config.survey.files)
        if self._strategy.is_surveyed:
            self._context.tell(f"surveying {sample.height} of {todo.height:,} files")
        hints = self._strategy.survey(self._store, sample, sum(todo["size"]), settings, self._passes.schema)
        if hints.schema is not None and ledger.newest is None:
            self._passes.schema = hints.schema
        if hints.grain is not None and ledger.grain is None:
            wanted = config.compaction.grain
            self._settings = settings_of(config, self._dataset.name, hints.grain if wanted == "auto" else wanted)
        return hints

    def _replace(self, diff: ListingDiff, version: TableVersion) -> Outcome:
        """What the passes did, once the rows that this replaces are taken out of the table's data files."""
        files, results = self._passes.accounts(), self._passes.done
        self.deferred = {f.path for f in files if f.state == "deferred"}
        replaced = self._strategy.replacements(version, results, files, diff.former_rows, self._replacer)
        return Outcome(files, [output for result in results for output in result.report.outputs], replaced)

    def _check(self, outcome: Outcome) -> None:
        """Raise AccountsError unless every file's account closes, exactly the former rows of replaced files were
        dropped, and the written files hold exactly what they say."""
        files, replaced = outcome.files, outcome.replaced
        problems = [f"{f.path}: {p}" for f in files for p in f.account.problems()]
        problems += [f"{f.path}: {f.account.deferred:,} records belong elsewhere" for f in files if f.account.deferred]
        whole, rows = total(files), sum(o.rows for o in outcome.written)
        if rows != whole.rows_out + replaced.rows_carried:
            carried = f" and {replaced.rows_carried:,} carried over" if replaced.rows_carried else ""
            problems.append(f"{whole.rows_out:,} rows out{carried} by the accounts, {rows:,} by the files")
        problems += replaced.problems()
        storage, contract, cells = self._table.storage, self._table.contract, whole.cells_stored + replaced.cells
        problems += check_footers(storage, contract, self._passes.schema, outcome.outputs, cells)
        if problems:
            raise AccountsError("this run", problems)

    def _commit(self, listing: Listing, diff: ListingDiff, version: TableVersion, outcome: Outcome) -> TableSummary:
        """Make all of it one new version of the table, unless nothing is new; the summary."""
        snapshot, ledger, replaced, read = version.snapshot, version.ledger, outcome.replaced, outcome.read
        columns = self._passes.schema.columns[len(snapshot.schema.columns) :] if read else ()
        head = Head.after(ledger.head)
        summary = replace(
            summary_of(listing, diff, outcome.files, outcome.written, self._dataset.time_units),
            run=head.name if read or diff.noted else "",
            table=self._table.storage.root,
            engine=self._context.engine.name,
            columns_added=[c.name for c in columns],
            grain=self._settings.rules.grain if self._strategy.has_grain else None,
            files_superseded=len(replaced.former_rows),
            rows_superseded=sum(replaced.former_rows.values()),
            keys_replaced=replaced.keys_replaced,
            taken_over=self._taken_over,
        )
        if summary.run:
            accounts = [*read, *with_notes(self._adjusted(outcome, ledger), diff.noted)]
            if columns:
                snapshot = self._add_columns(columns, snapshot)
            header = self._header(summary, outcome, columns, ledger)
            header = with_digest(header, self._table, snapshot, ledger.newest, outcome.outputs, replaced.removed)
            ledgers.write_manifest(self._table.storage, head, ledger, header, accounts, self._dataset.name)
            self._context.tell(f"committing {len(outcome.outputs)} files")
            info = {"run": head.name, "rows": summary.rows_out}
            try:
                self._table.commit(Change(head, outcome.outputs, info, removed=replaced.removed), snapshot)
            except PartlyError as error:
                error.summary = summary
                raise
        return summary

    def _adjusted(self, outcome: Outcome, ledger: Ledger) -> list[FileAccount]:
        """The accounts of files that this run has not read, as far as it replaced rows of theirs. Of those that it has
        read, fewer rows of a former version are kept."""
        replaced = outcome.replaced.replaced
        if not replaced:
            return []
        read = {f.path: f for f in outcome.files}
        for path in replaced.keys() & read.keys():
            read[path].rows_kept -= replaced[path][0]
        accounts = ledgers.accounts(self._table.storage, ledger.head).filter(~pl.col("path").is_in(list(read)))
        return outcome.replaced.adjusted(accounts)

    def _add_columns(self, columns: Sequence[Column], planned: Snapshot) -> Snapshot:
        self._table.add_columns(columns, planned)
        snapshot = self._table.snapshot()
        if snapshot is None or snapshot.version != planned.version + 1:
            raise Refused("another commit came after the columns were added")
        if snapshot.schema.columns != self._passes.schema.columns:
            raise AccountsError("the schema", ["the table's columns are not those that were added"])
        return snapshot

    def _header(self, summary: TableSummary, outcome: Outcome, columns: Sequence[Column], ledger: Ledger) -> RunHeader:
        """What the manifest says of the run as a whole; the next run of the dataset learns from `shift_hours` (none:
        measure it again) and `ratio`."""
        known = ledger.learned(self._dataset.name)
        deferred = sum(
            rows for done in self._passes.first for days in done.report.deferred.values() for rows in days.values()
        )
        shift_hours = self._target.shift_hours if self._target is not None else known.get("shift_hours")
        learned = {
            **self._meaning,
            "shift_hours": shift_hours if deferred * 2 <= summary.records_in else None,
            "ratio": summary.ratio or known.get("ratio"),
            **failed_versions(ledger, self._dataset.name, outcome.read, self._failed),
        }
        return replace(
            RunHeader.from_dict({**summary.counts, "deferred": deferred}),
            kind="compact",
            siltstone=__version__,
            committed=datetime.now(UTC).isoformat(timespec="seconds"),
            source=self._dataset.source,
            dataset=self._dataset.name,
            input=self._store.root,
            zone=self._strategy.zone(self._settings.rules),
            learned={**ledger.learned_by_dataset, self._dataset.name: learned},
            removed=[s.path for s in outcome.replaced.removed],
            outputs=[o.as_dict() for o in outcome.outputs],
            quarantine=[d.report.quarantine for d in self._passes.done if d.report.quarantine],
            columns=[[c.name, c.kind, c.key] for c in columns],
        )
