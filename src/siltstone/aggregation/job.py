"""The aggregate job: files of a table become states, states become rows, one commit makes them an output table."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import pyarrow.parquet as pq

from siltstone import __version__, sources
from siltstone import ledger as ledgers
from siltstone.accounts import Account, FileAccount
from siltstone.aggregation.finish_tasks import FinishTask, Written
from siltstone.aggregation.output import contract_of
from siltstone.aggregation.series_points import Counted
from siltstone.aggregation.state_tasks import StatesFound, StateTask
from siltstone.aggregation.terms import Terms
from siltstone.config import Config
from siltstone.contracts import READINGS, Contract
from siltstone.engine import Engine
from siltstone.errors import AccountsError, LostRaceError, UsageError
from siltstone.footers import read_footer
from siltstone.ledger import Head
from siltstone.planning import Stored
from siltstone.settings import sizes_of
from siltstone.storage import Storage, open_root
from siltstone.table import Change, Refused, Snapshot, Table
from siltstone.tables import table_at
from siltstone.waves import Progress

EARLIEST_US, LATEST_US = -(1 << 61), 1 << 61
_TASK_ROWS = 4_000_000  # of data files that one task reads, about
_FINISH_ROWS = 2_000_000  # states that one task finishes, about
_ATTEMPTS = 6


@dataclass(frozen=True)
class Period:
    """The buckets wanted: those that start in [start_us, end_us)."""

    start_us: int = EARLIEST_US
    end_us: int = LATEST_US


def aggregate_table(
    input_uri: str, output_uri: str, terms: Terms, period: Period, config: Config, engine: Engine, progress: Progress
) -> dict[str, Any]:
    """Bring an output table of aggregates up to date with a table of readings or a wide one; the run's summary.

    Raises UsageError, StorageError, AccountsError, and LostRaceError when other runs committed to the output again and
    again.
    """
    started = time.time()
    engine.prepare(2)
    source = input_table(input_uri, terms, config)
    for _ in range(_ATTEMPTS):
        try:
            summary = _Aggregating(source, output_uri, terms, period, config, engine, progress).run()
        except Refused:
            progress("another run committed first: planning again", 0, 0, 0)
            continue
        return {**summary, "seconds": round(time.time() - started, 3)}
    raise LostRaceError(
        f"{_ATTEMPTS} times another run committed to {output_uri} first; this one committed nothing",
        "Run again when fewer runs write to it.",
    )


def input_table(uri: str, terms: Terms, config: Config) -> Table:
    """The table to aggregate; UsageError where there is none, or not of the kind that the terms ask for."""
    storage = open_root(uri, config.storage)
    name = storage.root.rstrip("/").rpartition("/")[2]
    contracts: Mapping[str, Contract] = sources.contracts()
    contract = contracts.get(name)
    if contract is None or not storage.exists():
        raise UsageError(
            f"no table of siltstone at {storage.root}",
            f"Give the folder of one, such as LAKE/readings; there are {', '.join(sorted(contracts))}.",
        )
    if contract.is_history or (contract.key and contract is not READINGS):
        raise UsageError(f"{name} has no readings to aggregate", "Give LAKE/readings, or a wide table and --columns.")
    if bool(terms.columns) != (contract is not READINGS):
        raise UsageError(
            f"{name} is a {'wide table' if contract is not READINGS else 'table of readings'}",
            "Say which columns: --columns a,b." if contract is not READINGS else "Leave --columns out.",
        )
    table = table_at(storage, contract)
    if table.snapshot() is None:
        raise UsageError(f"no table at {storage.root}", "siltstone compact SOURCE INPUT LAKE makes one.")
    return table


class _Aggregating:
    """One attempt."""

    def __init__(
        self, source: Table, output_uri: str, terms: Terms, period: Period, config: Config, engine: Engine, progress: Progress
    ) -> None:
        self._source, self._terms, self._period = source, terms, period
        self._config, self._engine, self._progress = config, engine, progress
        storage = open_root(output_uri, config.storage)
        self._table = table_at(storage, contract_of(terms), config.compaction.format)
        self._work = storage.child(ledgers.FOLDER, "work")

    def run(self) -> dict[str, Any]:
        self._source.recover()
        snapshot = self._source.snapshot()
        assert snapshot is not None
        self._check_columns(snapshot)
        stored = self._source.files(snapshot)
        if self._table.snapshot() is None:
            self._table.create()
        self._table.recover()
        planned = self._table.snapshot()
        assert planned is not None
        self._work.make()
        tasks = self._tasks(stored)
        found = self._run(tasks, "reading")
        try:
            summary = self._finish(stored, tasks, found, planned, snapshot)
        finally:
            paths = [f.path for f in found if f.path]
            list(self._work.ahead(self._work.delete, paths))
        return summary

    def _check_columns(self, snapshot: Snapshot) -> None:
        there = snapshot.schema.by_name
        unknown = [c for c in self._terms.columns if c not in there]
        if unknown:
            raise UsageError(
                f"{self._source.storage.root} has no column {', '.join(unknown)}",
                f"siltstone show tells its columns; near: {', '.join(sorted(there)[:8])} ...",
            )

    def _tasks(self, stored: Sequence[Stored]) -> list[StateTask]:
        """Each data file is read once: files of a partition whose units overlap by one task, others in several."""
        tasks = []
        for together in overlapping(stored, self._source.contract):
            rows = sum(s.rows for s in together)
            if len(together) > 1 or rows < 2 * _TASK_ROWS:
                tasks.append(self._task(together, ()))
                continue
            (one,) = together
            footer = read_footer(self._source.storage, one.path, one.bytes)
            counts = [footer.row_group(g).num_rows for g in range(footer.num_row_groups)]
            tasks += [self._task(together, groups) for groups in portions(counts, _TASK_ROWS)]
        return sorted(tasks, key=lambda task: -len(task.files))

    def _task(self, files: Sequence[Stored], groups: tuple[int, ...]) -> StateTask:
        contract = self._source.contract
        unit, time_column = contract.sort_by
        return StateTask(
            table=self._source.storage,
            out=self._work,
            files=tuple(f.path for f in files),
            groups=groups,
            site=files[0].partition[-1] if files[0].partition else "",
            unit=unit,
            time=time_column,
            source=contract.table,
            terms=self._terms,
            window=(EARLIEST_US, LATEST_US),
        )

    def _run(self, tasks: Sequence[StateTask], what: str) -> list[StatesFound]:
        def tell(done: int) -> None:
            self._progress(f"{what}: {done} of {len(tasks)} tasks", 0, 0, 0)

        tell(0)
        return self._engine.run(tasks, tell)

    def _finish(
        self,
        stored: Sequence[Stored],
        tasks: Sequence[StateTask],
        found: Sequence[StatesFound],
        planned: Snapshot,
        snapshot: Snapshot,
    ) -> dict[str, Any]:
        latest = [f.latest_us for f in found if f.latest_us is not None]
        watermark = min(self._period.end_us, max(latest, default=0)) if self._period.end_us == LATEST_US else self._period.end_us
        total = Counted()
        for one in found:
            total.add(one.counted)
        if total.rows != total.points + total.left_out + total.repeated and not self._terms.columns:
            raise AccountsError("this aggregate", [f"{total.rows:,} rows read, but {total}"])
        written = self._engine.run(self._finish_tasks(found, watermark), lambda _: None)
        outputs = [o for w in written for o in w.outputs]
        head = Head.after(planned.head)
        old = self._table.files(planned)
        ledger = ledgers.load(self._table.storage, planned.head)
        rows = sum(o.rows for o in outputs)
        summary = {
            "table": self._table.storage.root,
            "engine": self._engine.name,
            "input": self._source.storage.root,
            "files_read": len(stored),
            "rows_in": total.rows,
            "points": total.points,
            "rows_left_out": total.left_out,
            "repeated": total.repeated,
            "series": sum(w.series for w in written),
            "rows_out": rows,
            "provisional": sum(w.provisional for w in written),
            "files_written": len(outputs),
            "bytes_written": sum(o.bytes for o in outputs),
            "watermark": datetime.fromtimestamp(watermark / 1e6, UTC).isoformat() if latest else None,
        }
        header = {
            **summary,
            "kind": "aggregate",
            "siltstone": __version__,
            "terms": self._terms.as_dict(),
            "period": [self._period.start_us, self._period.end_us],
            "input_version": snapshot.version,
            "committed": datetime.now(UTC).isoformat(timespec="seconds"),
            "removed": [s.path for s in old],
            "outputs": [o.as_dict() for o in outputs],
            "quarantine": [],
            "columns": [],
        }
        accounts = [FileAccount(s.path, s.bytes, "", account=Account(records_in=s.rows, rows_out=s.rows)) for s in stored]
        ledgers.write_manifest(self._table.storage, head, ledger, header, accounts, dataset="aggregate")
        self._progress(f"committing {len(outputs)} files", 0, 0, 0)
        self._table.commit(Change(head, outputs, {"run": head.name, "rows": rows}, removed=old), planned)
        return {**summary, "run": head.name}

    def _finish_tasks(self, found: Sequence[StatesFound], watermark: int) -> list[FinishTask]:
        states = [f for f in found if f.path]
        count = max(1, round(sum(f.states for f in states) / _FINISH_ROWS))
        names = sorted(name for f in states for name in f.names)
        bounds = ["", *dict.fromkeys(names[len(names) * i // count] for i in range(1, count)), ""]
        sizes, compaction = sizes_of(self._config), self._config.compaction
        return [
            FinishTask(
                table=self._table.storage,
                folder=self._work,
                states=tuple(f.path for f in states),
                low=low,
                high=high,
                terms=self._terms,
                window=(self._period.start_us, self._period.end_us),
                watermark_us=watermark,
                sizes=sizes,
                group_bytes=round(compaction.row_group_mb * (1 << 20)),
                is_staged=self._table.is_staged,
            )
            for low, high in zip(bounds[:-1], bounds[1:], strict=True)
            if states
        ]


def overlapping(stored: Sequence[Stored], contract: Contract) -> list[list[Stored]]:
    """The data files in groups: two of one partition whose ranges of units overlap are in one, since points of a series
    may be in both."""
    unit = contract.sort_by[0]
    found: list[list[Stored]] = []
    for _, members in groupby(sorted(stored, key=lambda s: (s.partition, s.first_unit)), key=lambda s: s.partition):
        last: Any = None
        for file in members:
            low, high = file.bounds.get(unit, (None, None))
            if last is None or low is None or low > last:
                found.append([])
                last = high
            found[-1].append(file)
            last = high if last is None or high is None else max(last, high)
    return found


def portions(counts: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Row groups of a file in runs of about so many rows."""
    found: list[list[int]] = [[]]
    held = 0
    for group, rows in enumerate(counts):
        if found[-1] and held + rows > most:
            found.append([])
            held = 0
        found[-1].append(group)
        held += rows
    return [tuple(groups) for groups in found]
