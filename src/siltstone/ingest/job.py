"""The main job: a listing less the ledger becomes bins, bins become files, one commit makes them rows of the table."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import polars as pl

from siltstone import sources
from siltstone.config.model import Config
from siltstone.config.task_settings import options_of, settings_of
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import AccountsError, LostRaceError, SiltstoneError, StorageError, UsageError, rebuilt
from siltstone.ingest.keyed_survey import take_keyed_survey
from siltstone.ingest.listing import Listing, ListingDiff, compare, first_portion, list_input
from siltstone.ingest.replace import (
    ReplacedRows,
    RowReplacer,
    carried,
    keep_former,
    refused_among,
    superseded_by,
    with_notes,
)
from siltstone.ingest.summary import minute, summary_of, united
from siltstone.ingest.survey import spread, take_survey
from siltstone.ingest.task_spec import SourceFile
from siltstone.ingest.two_pass import Target, TwoPass, device_of, modules_of
from siltstone.maintenance.optimize import settle
from siltstone.mapping.dataset import Dataset
from siltstone.model.accounts import FileAccount, total
from siltstone.model.contracts import Column
from siltstone.model.data_files import NewFile
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import CompactSummary, OptimizeSummary, TableSummary
from siltstone.model.schema import base_schema
from siltstone.storage import Storage, open_input, open_root
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Change, Refused, Snapshot, Table
from siltstone.table.footers import check_footers
from siltstone.table.ledger import Head, Ledger
from siltstone.table.open import table_at
from siltstone.version import __version__

_ATTEMPTS = 6
_SURVEY_LINES = 500
_FEW_TASKS = 2
_SHARE_OF_MEMORY = 32  # of a device's files, whose rows take several times as much


def compact(
    source_name: str,
    input_uri: str,
    lake_uri: str,
    config: Config,
    engine: Engine,
    progress: Progress,
    *,
    retry_quarantined: bool = False,
    since: datetime | None = None,
) -> CompactSummary:
    """Bring everything new at the input into the lake's table, and return the run's summary.

    A source with several tables has a run for each that finds files or is there already. A file that comes again with
    other content replaces its former rows. With `retry_quarantined` files with refused records are read again, for new
    limits or another window. With `since` (by the clock of the folders) files in folders of an earlier hour are not
    looked at; a later run takes them. Undersized files are settled afterwards.
    Raises a SiltstoneError when nothing was committed; quarantined input is no error.
    """
    started = time.time()
    engine.start()
    options = options_of(config, source_name)
    datasets = sources.datasets(source_name, options)
    (store, only), lake = open_input(input_uri, config.storage), open_root(lake_uri, config.storage)
    if not store.exists():
        raise UsageError(f"there is no input at {store.root}", "Give an existing folder.")
    if "%" in lake.root:
        raise UsageError(
            f"the lake {lake.root} has a % in its path, which Delta readers take for an escape", "Rename it."
        )
    if f"{lake.root}/".startswith(f"{store.root}/"):
        raise UsageError(f"the lake {lake.root} lies inside the input {store.root}", "Give a lake outside of it.")
    progress(f"listing {store.root}", 0, 0, 0)
    listings = list_input(store, datasets, config.compaction.source_root, since, only)
    tables = [table_at(lake.child(d.contract.table), d.contract, config.compaction.format) for d in datasets]
    tables = [table.for_writing() for table in tables]
    are_new = [table.snapshot() is None for table in tables]  # one of a newer format is refused before any is written
    summaries = []
    for dataset, listing, table, is_new in zip(datasets, listings, tables, are_new, strict=True):
        if not listing.files.height and (len(datasets) > 1 or is_new):
            continue
        if is_new:
            engine.warm_up(_FEW_TASKS, modules_of(dataset))  # there is work for sure
            table.create()
        portions: list[TableSummary] = []
        while not portions or portions[-1].files_later:
            run = _Run(dataset, options, store, table, config, engine, progress, retry_quarantined=retry_quarantined)
            portions.append(run.until_committed(listing))
            listing = listing.without(run.deferred)
        summary = united(portions)
        settled = None if dataset.contract.is_history else _settled(table, config, engine, progress, summary.run)
        summaries.append(replace(summary, settled=settled, seconds=round(time.time() - started, 3)))
        started = time.time()
    if not summaries:
        limit = f" in folders since {minute(since)}" if since else ""
        expected = " or ".join(d.layout for d in datasets)
        raise UsageError(f"no {source_name} files below {store.root}{limit}", f"Expected {expected}.")
    return CompactSummary(source_name, summaries, is_of_one_table=len(datasets) == 1)


def _settled(table: Table, config: Config, engine: Engine, progress: Progress, run: str) -> OptimizeSummary | None:
    """What settling did after a run; None where it was not wanted or is left to the next run."""
    if not config.settle.after_compact:
        return None
    try:
        return settle(table, config, engine, progress)
    except LostRaceError:
        return None
    except SiltstoneError as error:
        if not run:
            raise
        raise rebuilt(type(error), f"run {run} is committed, but settling failed: {error}") from error


class _Run:
    """One run over one listing, planned again when another run commits first."""

    def __init__(
        self,
        dataset: Dataset,
        options: Mapping[str, Any],
        store: Storage,
        table: Table,
        config: Config,
        engine: Engine,
        progress: Progress,
        *,
        retry_quarantined: bool,
    ) -> None:
        self._dataset, self._options = dataset, options
        self._store, self._table, self._engine, self._progress = store, table, engine, progress
        self._config, self._retry_quarantined = config, retry_quarantined
        self._settings = settings_of(config, dataset.name)
        named_by = "path below source_root" if config.compaction.source_root else "whole path"
        self._meaning = {"zone": self._settings.rules.zone, "files named by": named_by}
        if "site" in options:
            self._meaning["site"] = options["site"]
        self._waves = TwoPass(engine, base_schema(table.contract), progress)
        self._target: Target | None = None
        self._superseding = RowReplacer(engine, table, self._settings)
        self.deferred: set[str] = set()

    def until_committed(self, listing: Listing) -> TableSummary:
        for _ in range(_ATTEMPTS):
            self._table.recover()
            snapshot = self._table.snapshot()
            assert snapshot is not None
            ledger = ledgers.load(self._table.storage, snapshot.head)
            self._refuse_other_meaning(ledger)
            self._keep_grain(ledger)
            try:
                news = self._read(listing, snapshot, ledger)
                return self._once(listing, news, snapshot, ledger)
            except (Refused, StorageError) as error:
                if isinstance(error, StorageError) and not self._table.lost_files(snapshot):
                    raise
                self._tell("another run committed first: planning again")
        raise LostRaceError(
            f"{_ATTEMPTS} times another run committed to {self._table.storage.root} first; this one committed nothing",
            "Run again when fewer runs write to this table.",
        )

    def _refuse_other_meaning(self, ledger: Ledger) -> None:
        """Raise UsageError when a setting that gives the table's rows their meaning is not that of the runs before."""
        learned = ledger.learned(self._dataset.name)
        for key, value in self._meaning.items():
            if learned and learned.get(key, "") != value:
                before = learned.get(key, "")
                raise UsageError(
                    f"{self._table.storage.root} was written with {key} {before!r}, this run has {value!r}",
                    "Give the same value, or another lake.",
                )

    def _keep_grain(self, ledger: Ledger) -> None:
        """Go by the grain that the table's first run chose; what was read for another one is read again."""
        grain, wanted = ledger.grain, self._config.compaction.grain
        if grain is None or not self._is_dated:
            return
        if wanted not in ("auto", grain):
            raise UsageError(
                f"{self._table.storage.root} has dates by the {grain}, not by the {wanted}",
                "Leave compaction.grain out, or give another lake.",
            )
        if self._target is not None and self._settings.rules.grain != grain:
            self._waves = TwoPass(self._engine, base_schema(self._table.contract), self._progress)
            self._target = None
        self._settings = settings_of(self._config, self._dataset.name, grain)

    @property
    def _is_dated(self) -> bool:
        """Whether the table's grain is to be chosen."""
        return bool(self._dataset.contract.key) and not self._dataset.contract.is_history

    def _read(self, listing: Listing, snapshot: Snapshot, ledger: Ledger) -> ListingDiff:
        """What is new, all of it brought through the waves where that is not done yet.

        Of files that must be read together none is taken in when one of them has changed or vanished meanwhile; where
        the new content of one is refused, those are left out that its former version needs.
        """
        refused: set[str] = set()
        while True:
            there = listing.without(self._waves.left)
            retry = self._retry_quarantined
            own = ledger.of(self._dataset.name)
            news = compare(there, ledger, self._store, self._dataset, retry_quarantined=retry, refused=refused)
            news = self._portion(news)
            todo = [SourceFile(**row) for row in news.todo.iter_rows(named=True)]
            contract = self._dataset.contract
            stored = self._table.files(snapshot) if contract.key and todo else []
            stands = (pl.col("state") != "quarantined") | (pl.col("rows_out") > 0)
            known = sorted(own.entries.filter(stands)["path"]) if contract.is_history else []
            self._waves.keep_valid({f.identity: f for f in todo}, snapshot.schema, stored, known)
            if todo:
                tasks = max(_FEW_TASKS, sum(f.size for f in todo) // self._settings.sizes.target)
                self._engine.warm_up(tasks, modules_of(self._dataset))
                self._target = self._target or self._learned(news, snapshot, ledger)
                self._waves.run(todo, self._target)
            if self._waves.leave_moved(news.together):
                continue
            found = refused_among(self._waves.accounts(), news.together) - refused if news.together else set()
            if not found:
                return news
            refused |= found

    def _portion(self, news: ListingDiff) -> ListingDiff:
        """What a run of a keyed dataset takes at a time; files that must be read together are never apart."""
        contract = self._dataset.contract
        if not contract.key or news.together or self._retry_quarantined:
            return news
        most = self._settings.memory_bytes // _SHARE_OF_MEMORY
        whose = (lambda _: "") if contract.is_history else partial(device_of, self._dataset)
        todo = first_portion(news.todo, whose, most)
        return replace(news, todo=todo, later=news.todo.height - todo.height)

    def _once(self, listing: Listing, news: ListingDiff, snapshot: Snapshot, ledger: Ledger) -> TableSummary:
        """Check what was read and commit it. Raises Refused when another commit came between."""
        files = self._waves.accounts()
        self.deferred = {f.path for f in files if f.state == "deferred"}
        replaced: dict[str, int] = {}
        held = dict(news.todo.select("identity", "held_rows").iter_rows())
        if not self._dataset.contract.is_history:
            replaced = superseded_by(files, held)
            keep_former(files, ledger)
        gives_way, rewritten = self._waves.gives_way, self._waves.rewritten
        stored = self._table.files(snapshot) if replaced or gives_way or rewritten else []
        dropped = self._superseding.drop(replaced, gives_way, ledger, stored, snapshot.schema, self._tell)
        if self._dataset.contract.is_history:
            taken = {f.path for f in files if f.state != "deferred"}
            dropped = carried(stored, self._waves.done, {p: n for p, n in held.items() if p in taken})
        fresh = [o for done in self._waves.done for o in done.report.outputs]
        self._check(files, fresh, dropped, replaced)
        adjusted = self._adjusted(dropped, ledger, files) if dropped.gave_way else []
        outputs = [*fresh, *dropped.outputs]
        read = [f for f in files if f.state != "deferred"]
        columns = self._waves.schema.columns[len(snapshot.schema.columns) :] if read else ()
        head = Head.after(ledger.head)
        summary = replace(
            summary_of(listing, news, files, fresh, self._dataset.time_units),
            run=head.name if read or news.noted else "",
            table=self._table.storage.root,
            engine=self._engine.name,
            columns_added=[c.name for c in columns],
            grain=self._settings.rules.grain if self._is_dated else None,
            files_superseded=len(replaced),
            rows_superseded=sum(replaced.values()),
            keys_replaced=0 if dropped.carried is not None else dropped.rows_given_way,
        )
        if summary.run:
            if columns:
                snapshot = self._add_columns(columns, snapshot)
            header = self._header(summary, [s.path for s in dropped.removed], outputs, columns, ledger)
            accounts = [*read, *with_notes(adjusted, news.noted)]
            ledgers.write_manifest(self._table.storage, head, ledger, header, accounts, self._dataset.name)
            self._tell(f"committing {len(outputs)} files")
            info = {"run": head.name, "rows": summary.rows_out}
            self._table.commit(Change(head, outputs, info, removed=dropped.removed), snapshot)
        return summary

    def _adjusted(self, dropped: ReplacedRows, ledger: Ledger, files: Sequence[FileAccount]) -> list[FileAccount]:
        """The accounts of files that this run has not read, as far as rows of theirs gave way. Of those that it has
        read, fewer rows of a former version are kept."""
        read = {f.path: f for f in files}
        for path in dropped.gave_way.keys() & read.keys():
            read[path].rows_kept -= dropped.gave_way[path][0]
        accounts = ledgers.accounts(self._table.storage, ledger.head).filter(~pl.col("path").is_in(list(read)))
        return dropped.adjusted(accounts, is_history=self._dataset.contract.is_history)

    def _tell(self, what: str) -> None:
        self._progress(what, 0, 0, 0)

    def _learned(self, news: ListingDiff, snapshot: Snapshot, ledger: Ledger) -> Target:
        """The shift of folder hours, the ratio of sizes, the grain of dates and the first columns: from the newest
        run, else by survey."""
        learned = ledger.learned(self._dataset.name)
        shift_hours, ratio = learned.get("shift_hours"), learned.get("ratio")
        if shift_hours is None or ratio is None:
            sample = spread(news.todo, self._config.survey.files)
            if not self._dataset.contract.is_history:
                self._tell(f"surveying {sample.height} of {news.todo.height:,} files")
            if self._dataset.contract.is_history:
                shift_hours, ratio = 0, 0.0
            elif self._dataset.contract.key:
                shift_hours, ratio = 0, ratio or self._surveyed(sample, sum(news.todo["size"]), ledger)
            else:
                rules = self._settings.rules
                survey = take_survey(self._store, sample, self._dataset, self._waves.schema, rules, _SURVEY_LINES)
                shift_hours, ratio = survey.shift_hours, ratio or survey.ratio
                if not ledger.newest:
                    self._waves.schema = survey.schema(snapshot.schema, rules)
        places = self._store, self._table.storage
        is_staged = self._table.is_staged
        return Target(self._dataset, self._options, *places, self._settings, shift_hours, ratio, is_staged)

    def _surveyed(self, sample: pl.DataFrame, input_bytes: int, ledger: Ledger) -> float:
        """Output bytes per input byte by a keyed survey, which also chooses the grain of a new table's dates."""
        survey = take_keyed_survey(self._store, sample, self._dataset, self._settings.rules)
        if self._is_dated and ledger.grain is None:
            wanted = self._config.compaction.grain
            grain = survey.grain(input_bytes, self._settings.sizes) if wanted == "auto" else wanted
            self._settings = settings_of(self._config, self._dataset.name, grain)
        return survey.ratio

    def _check(
        self,
        files: Sequence[FileAccount],
        outputs: Sequence[NewFile],
        dropped: ReplacedRows,
        replaced: Mapping[str, int],
    ) -> None:
        """Raise AccountsError unless every file's account closes, exactly the former rows of replaced files were
        dropped, and the written files hold exactly what they say."""
        problems = [f"{f.path}: {p}" for f in files for p in f.account.problems()]
        problems += [f"{f.path}: {f.account.deferred:,} records belong elsewhere" for f in files if f.account.deferred]
        whole, rows = total(files), sum(o.rows for o in outputs)
        if rows != whole.rows_out + (dropped.carried or 0):
            carried = f" and {dropped.carried:,} carried over" if dropped.carried else ""
            problems.append(f"{whole.rows_out:,} rows out{carried} by the accounts, {rows:,} by the files")
        problems += dropped.problems(replaced, self._waves.gives_way)
        storage, contract, cells = self._table.storage, self._table.contract, whole.cells_stored + dropped.cells
        problems += check_footers(storage, contract, self._waves.schema, [*outputs, *dropped.outputs], cells)
        if problems:
            raise AccountsError("this run", problems)

    def _add_columns(self, columns: Sequence[Column], planned: Snapshot) -> Snapshot:
        self._table.add_columns(columns, planned)
        snapshot = self._table.snapshot()
        if snapshot is None or snapshot.version != planned.version + 1:
            raise Refused("another commit came after the columns were added")
        if snapshot.schema.columns != self._waves.schema.columns:
            raise AccountsError("the schema", ["the table's columns are not those that were added"])
        return snapshot

    def _header(
        self,
        summary: TableSummary,
        removed: Sequence[str],
        outputs: Sequence[NewFile],
        columns: Sequence[Column],
        ledger: Ledger,
    ) -> RunHeader:
        """What the manifest says of the run as a whole; the next run of the dataset learns from `shift_hours` (none:
        measure it again) and `ratio`."""
        known = ledger.learned(self._dataset.name)
        deferred = sum(
            rows for done in self._waves.first for days in done.report.deferred.values() for rows in days.values()
        )
        shift_hours = self._target.shift_hours if self._target is not None else known.get("shift_hours")
        learned = {
            **self._meaning,
            "shift_hours": shift_hours if deferred * 2 <= summary.records_in else None,
            "ratio": summary.ratio or known.get("ratio"),
        }
        return replace(
            RunHeader.from_dict({**summary.counts, "deferred": deferred}),
            kind="compact",
            siltstone=__version__,
            committed=datetime.now(UTC).isoformat(timespec="seconds"),
            source=self._dataset.source,
            dataset=self._dataset.name,
            input=self._store.root,
            zone=self._settings.rules.zone if not self._dataset.contract.key else "UTC",
            learned={**ledger.learned_by_dataset, self._dataset.name: learned},
            removed=removed,
            outputs=[o.as_dict() for o in outputs],
            quarantine=[d.report.quarantine for d in self._waves.done if d.report.quarantine],
            columns=[[c.name, c.kind, c.key] for c in columns],
        )
