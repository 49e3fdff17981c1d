"""The aggregate job: files of a table become states, states become rows, one commit makes them an output table."""

import hashlib
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from siltstone import __version__
from siltstone import ledger as ledgers
from siltstone.aggregation.changes import dates_of, in_rectangles, light_rows, same_rows
from siltstone.aggregation.finish_tasks import FinishTask, Written, finish_tasks
from siltstone.aggregation.input_table import input_table
from siltstone.aggregation.output_table import check_output, check_same, output_table
from siltstone.aggregation.reading_plan import EARLIEST_US, LATEST_US, Period, latest_us, overlapping, portions, split
from siltstone.aggregation.series_points import Counted
from siltstone.aggregation.state_files import KEYS, Wanted, read_states, write_keys
from siltstone.aggregation.state_tasks import StatesFound, StateTask
from siltstone.aggregation.terms import Terms
from siltstone.config import Config
from siltstone.engine import Engine
from siltstone.errors import AccountsError, LostRaceError, UsageError
from siltstone.footers import read_footer
from siltstone.ledger import Head
from siltstone.planning import Stored
from siltstone.settings import sizes_of
from siltstone.storage import Storage
from siltstone.table import Change, Refused, Snapshot, Table
from siltstone.waves import Progress
from siltstone.writing import Output

_TASK_ROWS = 4_000_000  # of data files that one task reads, about
_ATTEMPTS = 6


def aggregate_table(
    input_uri: str,
    output_uri: str,
    terms: Terms,
    period: Period,
    config: Config,
    engine: Engine,
    progress: Progress,
    *,
    full: bool = False,
) -> dict[str, Any]:
    """Bring an output table of aggregates up to date with a table of readings or a wide one; the run's summary.

    Only the buckets that new, changed or gone data files touch are computed again, but with `full` all.

    Raises UsageError, StorageError, AccountsError, and LostRaceError when other runs committed to the output again and
    again.
    """
    started = time.time()
    engine.prepare(2)
    source = input_table(input_uri, terms, config)
    table = output_table(output_uri, terms, config)
    for _ in range(_ATTEMPTS):
        try:
            summary = _Aggregating(source, table, terms, period, config, engine, progress, full=full).run()
        except Refused:
            progress("another run committed first: planning again", 0, 0, 0)
            continue
        return {**summary, "seconds": round(time.time() - started, 3)}
    raise LostRaceError(
        f"{_ATTEMPTS} times another run committed to {output_uri} first; this one committed nothing",
        "Run again when fewer runs write to it.",
    )


class _Aggregating:
    """One attempt: against one version of the input and one of the output."""

    def __init__(
        self,
        source: Table,
        table: Table,
        terms: Terms,
        period: Period,
        config: Config,
        engine: Engine,
        progress: Progress,
        *,
        full: bool,
    ) -> None:
        self._source, self._table, self._terms, self._period = source, table, terms, period
        self._config, self._engine, self._progress, self._full = config, engine, progress, full
        self._work = table.storage.child(ledgers.FOLDER, "work")
        self._made: list[str] = []

    def run(self) -> dict[str, Any]:
        self._source.recover()
        self._snapshot = _there(self._source)
        self._check_columns()
        self._stored = self._source.files(self._snapshot)
        if self._table.snapshot() is None:
            self._table.create()
        self._table.recover()
        self._planned = _there(self._table)
        self._ledger = ledgers.load(self._table.storage, self._planned.head)
        check_same(self._table, self._ledger.newest, self._terms, self._period)
        self._old = self._table.files(self._planned)
        self._work.make()
        try:
            return self._update() if self._ledger.newest and not self._full else self._whole()
        finally:
            list(self._work.ahead(self._work.delete, self._made))

    def _check_columns(self) -> None:
        there = self._snapshot.schema.by_name
        if unknown := [c for c in self._terms.columns if c not in there]:
            raise UsageError(
                f"{self._source.storage.root} has no column {', '.join(unknown)}",
                f"It has {', '.join(sorted(there)[:12])}{' ...' if len(there) > 12 else ''}.",
            )

    @property
    def _watermark(self) -> int:
        """Where what is known ends: the latest instant of the table, or a later end of the period."""
        latest = latest_us(self._stored, self._source.contract) or 0
        return latest if self._period.end_us == LATEST_US else max(latest, self._period.end_us)

    def _whole(self) -> dict[str, Any]:
        """Every row anew."""
        start, end = self._span(self._period.start_us, self._period.end_us)
        parts = split(self._stored, self._source.contract, start, end)
        edges = [*parts.before, *parts.after]
        found = self._read([*self._state_tasks(parts.within), *(self._edge_task(f) for f in edges)])
        states, ends = found[: len(found) - len(edges)], [f.path for f in found[len(found) - len(edges) :]]
        before, after = ends[: len(parts.before)], ends[len(parts.before) :]
        return self._commit(
            states, self._finish(states, tuple(filter(None, before)), tuple(filter(None, after))), self._old
        )

    def _span(self, start_us: int, end_us: int) -> tuple[int, int]:
        """The instants whose points belong to the buckets that start in a period."""
        if self._period.is_whole:
            return start_us, end_us
        ends = np.array([max(start_us, -(1 << 55)), min(end_us, 1 << 55) - 1])
        starts, stops = self._terms.buckets.bounds(self._terms.buckets.number(ends))
        return int(starts[0]), int(stops[1])

    def _update(self) -> dict[str, Any]:
        """The rows that new and gone data files touch, and what is near them."""
        buckets = self._terms.buckets
        files = {row["path"]: row for row in self._ledger.newest["files"]}
        now = {s.path: s for s in self._stored}
        headers = ledgers.headers(self._source.storage, self._snapshot.head)[::-1]
        known = same_rows(headers, set(files))
        added = [s for s in self._stored if s.path not in known]
        kept = same_rows(headers, set(now) & known)
        gone = [files[path] for path in files if path not in now and not self._has_successor(path, headers, now)]
        grew = self._watermark != self._ledger.newest["watermark_us"]
        if not added and not gone and not grew:
            return self._nothing(len(now), kept)
        light = light_rows(self._table.storage, self._old, buckets)
        fresh = self._read(self._state_tasks(added)) if added else []
        touched = pl.concat([in_rectangles(light, buckets, gone), self._keys(fresh)]).unique()
        touched = self._inside(touched)
        again = self._again(touched) if touched.height else []
        dates = dates_of(light, touched, buckets)
        if self._terms.empty == "carry":
            dates = sorted({*dates, *self._dates_since(self._ledger.newest["watermark_us"])})
        replaced = self._named()
        write_keys(self._work, replaced, touched)
        old = tuple(f.path for f in self._old)
        written = self._finish(again, (), (), base=old, replaced=replaced, dates=dates or ["none"])
        return self._commit(
            again, written, [f for f in self._old if f.partition[0] in set(dates)], touched=touched.height
        )

    def _has_successor(self, path: str, headers: Sequence[Mapping[str, Any]], now: Mapping[str, Stored]) -> bool:
        """Whether a data file's rows are in others now because they were settled."""
        for header in headers:
            if header["kind"] == "settle" and path in header.get("removed", ()):
                outputs = [o["path"] for o in header["outputs"]]
                return all(o in now or self._has_successor(o, headers, now) for o in outputs)
        return False

    def _keys(self, found: Sequence[StatesFound]) -> pl.DataFrame:
        rows, _ = read_states(self._work, [f.path for f in found if f.path], Wanted())
        return rows.select(KEYS.keys()).unique()

    def _inside(self, keys: pl.DataFrame) -> pl.DataFrame:
        start, _ = self._terms.buckets.bounds(keys["bucket"].to_numpy())
        return keys.filter(pl.Series((start >= self._period.start_us) & (start < self._period.end_us)))

    def _again(self, touched: pl.DataFrame) -> list[StatesFound]:
        """The states of the touched buckets, from all data files that have points in them."""
        numbers = touched["bucket"].to_numpy()
        starts, ends = self._terms.buckets.bounds(np.array([numbers.min(), numbers.max()]))
        window = int(starts[0]), int(ends[1])
        low, high = touched["series_id"].min(), touched["series_id"].max()
        unit = self._source.contract.sort_by[0]
        files = []
        for file in split(self._stored, self._source.contract, *window).within:
            least, most = file.bounds.get(unit, (None, None))
            is_apart = not self._terms.columns and least is not None and (least > high or most < low)
            if not is_apart:
                files.append(file)
        only = self._named()
        write_keys(self._work, only, touched)
        return self._read([replace(task, window=window, only=only) for task in self._state_tasks(files)])

    def _dates_since(self, instant_us: int) -> list[str]:
        first = datetime.fromtimestamp(instant_us / 1e6, UTC).date()
        last = datetime.fromtimestamp(self._watermark / 1e6, UTC).date()
        return [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]

    def _named(self) -> str:
        path = f"{uuid.uuid4().hex}.parquet"
        self._made.append(path)
        return path

    def _state_tasks(self, stored: Sequence[Stored]) -> list[StateTask]:
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
        return tasks

    def _edge_task(self, file: Stored) -> StateTask:
        return replace(self._task([file], ()), edges=self._edges)

    @property
    def _edges(self) -> Storage:
        """Where edges of data files are kept: they depend on what is read, not on the buckets."""
        terms = self._terms
        meaning = json.dumps([terms.columns, terms.rules, terms.series, terms.devices, terms.measurements, terms.sites])
        return self._table.storage.child(ledgers.FOLDER, "edges", hashlib.sha256(meaning.encode()).hexdigest()[:16])

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

    def _read(self, tasks: Sequence[StateTask]) -> list[StatesFound]:
        def tell(done: int) -> None:
            self._progress(f"reading: {done} of {len(tasks)} tasks", 0, 0, 0)

        tell(0)
        if any(task.edges for task in tasks):
            self._edges.make()
        found = self._engine.run(tasks, tell)
        self._made += [f.path for f, task in zip(found, tasks, strict=True) if f.path and task.edges is None]
        return found

    def _finish(
        self,
        found: Sequence[StatesFound],
        before: tuple[str, ...],
        after: tuple[str, ...],
        *,
        base: tuple[str, ...] = (),
        replaced: str = "",
        dates: Sequence[str] = (),
    ) -> list[Written]:
        states = [f for f in found if f.path]
        count = 1 if base else finish_tasks(sum(f.states for f in states))
        names = sorted(name for f in states for name in f.names)
        bounds = ["", *dict.fromkeys(names[len(names) * i // count] for i in range(1, count)), ""]
        task = FinishTask(
            table=self._table.storage,
            folder=self._work,
            edges=self._edges,
            states=tuple(f.path for f in states),
            low="",
            high="",
            terms=self._terms,
            window=(self._period.start_us, self._period.end_us),
            watermark_us=self._watermark,
            sizes=sizes_of(self._config),
            group_bytes=round(self._config.compaction.row_group_mb * (1 << 20)),
            is_staged=self._table.is_staged,
            before=before,
            after=after,
            base=self._table.storage if base else None,
            stored=base,
            replaced=replaced,
            dates=tuple(dates),
        )
        tasks = [replace(task, low=low, high=high) for low, high in pairwise(bounds)]
        self._progress(f"finishing {sum(f.states for f in states):,} buckets", 0, 0, 0)
        return self._engine.run(tasks, lambda _: None)

    def _nothing(self, files: int, kept: set[str]) -> dict[str, Any]:
        return {
            "table": self._table.storage.root,
            "input": self._source.storage.root,
            "engine": self._engine.name,
            "run": "",
            "files_known": files,
        }

    def _commit(
        self,
        found: Sequence[StatesFound],
        written: Sequence[Written],
        removed: Sequence[Stored],
        touched: int | None = None,
    ) -> dict[str, Any]:
        total = Counted()
        for one in found:
            total.add(one.counted)
        outputs = [o for w in written for o in w.outputs]
        self._check(total, outputs, removed, touched)
        rows = sum(o.rows for o in outputs)
        summary = {
            "table": self._table.storage.root,
            "input": self._source.storage.root,
            "engine": self._engine.name,
            "every": self._terms.buckets.name,
            "rows_in": total.rows,
            "points": total.points,
            "rows_left_out": total.left_out,
            "repeated": total.repeated,
            "buckets_touched": touched,
            "series": sum(w.series for w in written),
            "rows_out": rows,
            "rows": rows + sum(f.rows for f in self._old) - sum(f.rows for f in removed),
            "provisional": sum(w.provisional for w in written),
            "files_written": len(outputs),
            "files_removed": len(removed),
            "bytes_written": sum(o.bytes for o in outputs),
            "watermark_us": self._watermark,
        }
        head = Head.after(self._planned.head)
        header = {
            **summary,
            "kind": "aggregate",
            "siltstone": __version__,
            "terms": self._terms.as_dict(),
            "period": [self._period.start_us, self._period.end_us],
            "files": [self._described(s) for s in self._stored],
            "committed": datetime.now(UTC).isoformat(timespec="seconds"),
            "removed": [s.path for s in removed],
            "outputs": [o.as_dict() for o in outputs],
            "quarantine": [],
            "columns": [],
        }
        ledgers.write_manifest(self._table.storage, head, self._ledger, header, [], dataset="aggregate")
        self._progress(f"committing {len(outputs)} files", 0, 0, 0)
        self._table.commit(Change(head, outputs, {"run": head.name, "rows": rows}, removed=removed), self._planned)
        return {**summary, "run": head.name}

    def _check(self, total: Counted, outputs: Sequence[Output], removed: Sequence[Stored], touched: int | None) -> None:
        """Raise AccountsError unless every row that was read is accounted for, and, where all was read, the files hold
        every point of the period's buckets."""
        problems = []
        if not self._terms.columns and total.rows != total.points + total.left_out + total.repeated:
            problems.append(f"{total.rows:,} rows read are not {total}")
        problems += check_output(self._table, outputs, self._planned.schema)
        if problems:
            raise AccountsError("this aggregate", problems)

    def _described(self, file: Stored) -> dict[str, Any]:
        first, last = file.bounds.get(self._source.contract.time.name, (None, None))
        return {
            "path": file.path,
            "rows": file.rows,
            "site": file.partition[-1] if file.partition else "",
            "first_us": EARLIEST_US if first is None else int(first),
            "last_us": LATEST_US if last is None else int(last),
        }


def _there(table: Table) -> Snapshot:
    snapshot = table.snapshot()
    if snapshot is None:
        raise UsageError(f"no table at {table.storage.root}", "siltstone compact SOURCE INPUT LAKE makes one.")
    return snapshot
