"""The task of a history: new snapshots are merged with the rows of the table, and the whole table is rewritten."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.errors import AccountsError, Unreadable
from siltstone.ingest.defects import LateRefusal, without_late_refusals
from siltstone.ingest.keyed_frames import column_of, complete, count_rows, keys_in
from siltstone.ingest.reader import SourceReader
from siltstone.ingest.task_spec import IngestReport, IngestTask
from siltstone.kernels.scd2 import merged
from siltstone.mapping.dataset import Dataset, Keyed, Wide
from siltstone.model.accounts import Counters, FileAccount
from siltstone.model.contracts import RESCUED, SOURCE_FILE, Contract
from siltstone.model.time_zones import instant_us
from siltstone.table.quarantine import QuarantineWriter
from siltstone.table.reader import naming, opened
from siltstone.table.writer import PartitionWriter

_TIMES = ("valid_from", "valid_to")
_UTC = pl.Datetime("us", "UTC")
_SNAPSHOTS = pl.Schema({"ts": pl.Int64(), "source_file": pl.String(), "scope": pl.String()})
_NONE = (0, 0, 0, 0)
_MANY_ROWS = 10_000  # of a snapshot
_Cells = Mapping[str, tuple[int, int, int, int]]


@dataclass(frozen=True)
class HistoryTask(IngestTask):
    """Merges the snapshots of some files into a history, which it rewrites."""

    def run(self) -> IngestReport:
        return without_late_refusals(lambda known: _run(self, known))


def _run(task: IngestTask, failed: Mapping[int, Unreadable]) -> IngestReport:
    quarantine = QuarantineWriter(task.table, task.settings.raw_bytes)
    reader = SourceReader(task, quarantine, failed)
    dataset, contract = reader.dataset, reader.dataset.contract
    same = _Same(task, dataset)
    rows = _rows(task, reader, same)
    before = _stored(task, contract)
    refused = {a.path for a in reader.accounts() if a.state != "ingested"}
    own = {f.identity for f in task.files} - refused
    snapshots = _snapshots(task, dataset, rows, own - {task.files[i].identity for i in same.of})
    known = _known(task, dataset, before)
    replaced = own.intersection(known["source_file"]) if dataset.whole else set()
    history = merged(before, snapshots, rows, known=known, key=contract.key, replaced=replaced).history
    history = complete(history, contract).with_columns(pl.col(name).cast(_UTC) for name in _TIMES)
    writer = _write(task, reader, history)
    counts = _counts_by_file(history, contract)
    former = _counts_by_file(before, contract)
    _count(reader, rows, _counts_by_file(_shown_by(history, snapshots), contract))
    files_of_others = (former.keys() | counts.keys()) - {f.identity for f in task.files}
    adjusted = {path: _less(former.get(path, _NONE), counts.get(path, _NONE)) for path in sorted(files_of_others)}
    files = _closed(reader, counts, [o.path for o in writer.outputs])
    return IngestReport(
        files=files,
        outputs=writer.outputs,
        new_columns=[],
        quarantine=quarantine.close(),
        rewritten=[s.path for s in task.stored],
        adjusted={path: less for path, less in adjusted.items() if any(less)},
        carried_cells=sum(c[1] for c in counts.values()) - sum(a.account.cells_stored for a in files),
    )


def _less(before: Sequence[int], now: Sequence[int]) -> list[int]:
    return [a - b for a, b in zip(before, now, strict=True)]


def _rows(task: IngestTask, reader: SourceReader, same: "_Same") -> pl.DataFrame:
    """The rows of all snapshots of the task but those that are the `same` as the one before, with their instant, file,
    scope and line."""
    dataset, contract = reader.dataset, reader.dataset.contract
    identities = pl.Series([f.identity for f in task.files], dtype=pl.String())
    scopes = pl.Series([_scope(dataset, path) for path in identities], dtype=pl.String())
    frames = [_empty(contract)]
    records: dict[int, int] = {}
    odd: set[int] = set()

    def take(parsed: Iterable[tuple[Any, Sequence[Wide | Keyed]]]) -> None:
        for _, parts in parsed:
            keyed = cast(Sequence[Keyed], parts)
            count_rows(keyed, reader.counters)
            for part in keyed:
                records.update(part.records)
                odd.update(bad.document for bad in part.bad)
                frame = _once(part.frame, reader.counters)
                document = frame["document"]
                files = {"source_file": identities.gather(document), "scope": scopes.gather(document)}
                frames.append(complete(frame, contract).with_columns(**files).select(frames[0].columns))
                _refuse_too_many(frames, document, task)

    reader.fetching.expect(same.order)
    take(reader.parsed(same.others(reader)))
    take(reader.rows(same.forget(odd | reader.failed)))
    twins = np.array(list(same.of), np.int64)
    for name in ("records_in", "duplicates_dropped"):
        reader.counters.add_counts(name, twins, np.array([records[i] for i in same.of.values()], np.int64))
    return pl.concat(frames)


def _once(frame: pl.DataFrame, counters: Counters) -> pl.DataFrame:
    """Rows of one document that are alike in everything but their line as one of them, if they are many; the others
    count as duplicates."""
    if frame.height < _MANY_ROWS:
        return frame
    others = [name for name in frame.columns if name != "line"]
    first = frame.select(pl.struct(others).is_first_distinct()).to_series()
    counters.add("duplicates_dropped", frame.filter(~first)["document"].to_numpy())
    return frame.filter(first)


def _refuse_too_many(frames: Sequence[pl.DataFrame], document: pl.Series, task: IngestTask) -> None:
    """Raises LateRefusal, for the file read last, where the rows of all snapshots take more memory than there is."""
    if sum(frame.height for frame in frames) < _MANY_ROWS or not len(document):
        return
    if sum(int(frame.estimated_size()) for frame in frames) > task.settings.memory_bytes:
        why = f"with it the snapshots have {sum(f.height for f in frames):,} rows, more than engine.memory_mb holds"
        raise LateRefusal(int(document[-1]), Unreadable(why))


class _Same:
    """Snapshots with the very bytes of the one before in their scope: they change no interval. `of` names for each,
    by its index, the one that it repeats."""

    def __init__(self, task: IngestTask, dataset: Dataset) -> None:
        self.of: dict[int, int] = {}
        self._whole = dataset.whole
        paths = [f.identity for f in task.files]
        self._places = [(_scope(dataset, path), _hour_us(dataset, path)) for path in paths]
        self.order = sorted(range(len(paths)), key=lambda i: (self._places[i], paths[i]))
        known = sorted((_scope(dataset, path), _hour_us(dataset, path)) for path in task.known)
        self._before = [bisect_left(known, place) for place in self._places]
        self._behind = [bisect_right(known, place) for place in self._places]

    def others(self, reader: SourceReader) -> Iterator[Any]:
        """The documents of all snapshots that differ from the one before."""
        before: int | None = None
        for document in reader.documents(self.order):
            index = document.index
            if before is not None and self._follows(before, index) and reader.sha256(before) == reader.sha256(index):
                self.of[index] = self.of.get(before, before)
            else:
                yield document
            before = index

    def forget(self, indices: Collection[int]) -> list[int]:
        """Those that repeat one of the given: they are to be read like any other."""
        found = [index for index, first in self.of.items() if first in indices]
        for index in found:
            del self.of[index]
        return found

    def _follows(self, before: int, index: int) -> bool:
        """Whether one snapshot comes right after another, with none that the table knows between them."""
        (scope, hour), (next_scope, next_hour) = self._places[before], self._places[index]
        is_alone = self._behind[index] == self._before[before]  # no known snapshot from the one to the other
        return self._whole and scope == next_scope and hour < next_hour and is_alone


def _empty(contract: Contract) -> pl.DataFrame:
    own = complete(pl.DataFrame({"line": []}, schema={"line": pl.Int64()}), contract)
    return own.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _SNAPSHOTS.items())


def _stored(task: IngestTask, contract: Contract) -> pl.DataFrame:
    """The history as the table has it, times in microseconds."""
    names = [c.name for c in (*contract.leading, *contract.record)]
    columns = [*names, RESCUED.name, SOURCE_FILE.name, *_TIMES]
    types = {**_empty(contract).schema, **dict.fromkeys(_TIMES, pl.Int64())}
    frames = [pl.DataFrame(schema={name: types[name] for name in columns})]
    for stored in task.stored:
        with opened(task.table, stored.path, rows=stored.rows) as file, naming(file.uri):
            frames.append(file.frame(columns).select(pl.col(n).cast(types[n]) for n in columns))
    return pl.concat(frames)


def _snapshots(task: IngestTask, dataset: Dataset, rows: pl.DataFrame, own: set[str]) -> pl.DataFrame:
    """One row for each snapshot of the task: of a whole table the hour in its name, else the instant of its rows, or of
    its upload where it has none."""
    if dataset.whole:
        return _named_snapshots(dataset, sorted(own))
    found = rows.select(_SNAPSHOTS.names()).unique()
    without = sorted(own.difference(found["source_file"]))
    uploaded = {f.identity: f.modified_us for f in task.files}
    empty = pl.DataFrame(
        {"ts": [uploaded[path] for path in without], "source_file": without, "scope": without}, schema=_SNAPSHOTS
    )
    return pl.concat([found, empty])


def _named_snapshots(dataset: Dataset, paths: Sequence[str]) -> pl.DataFrame:
    instants = [_hour_us(dataset, path) for path in paths]
    scopes = [_scope(dataset, path) for path in paths]
    return pl.DataFrame({"ts": instants, "source_file": paths, "scope": scopes}, schema=_SNAPSHOTS)


def _hour_us(dataset: Dataset, path: str) -> int:
    """The hour in a file's name as an instant, 0 where it has none."""
    place = dataset.locate(path)
    return 0 if place is None or place.hour is None else instant_us(place.hour)


def _scope(dataset: Dataset, path: str) -> str:
    """What a snapshot is whole in: the site of its file, or, where it shows its own rows alone, the file."""
    place = dataset.locate(path)
    assert place is not None
    return place.site if dataset.whole else path


def _known(task: IngestTask, dataset: Dataset, before: pl.DataFrame) -> pl.DataFrame:
    """The snapshots that the history tells of."""
    if dataset.whole:
        return _named_snapshots(dataset, task.known)
    first = before.group_by("source_file").agg(pl.col("valid_from").min().alias("ts"))
    return first.select("ts", "source_file", scope="source_file").sort("source_file")


def _write(task: IngestTask, reader: SourceReader, history: pl.DataFrame) -> PartitionWriter:
    writer = PartitionWriter(task.writing, reader.dataset.contract, (), schema=lambda: reader.schema)
    if history.height:
        ordered = history.sort(*reader.dataset.contract.sort_by, maintain_order=True)
        writer.write(pa.table({name: column_of(ordered[name]) for name in ordered.columns}), breaks=False)
    writer.close()
    return writer


def _shown_by(history: pl.DataFrame, snapshots: pl.DataFrame) -> pl.DataFrame:
    """The rows of the history that begin with one of the snapshots."""
    instant = pl.col("valid_from").cast(pl.Int64())
    begun = history.with_columns(ts=instant).join(snapshots, on=["source_file", "ts"], how="semi")
    return begun.drop("ts")


def _counts_by_file(history: pl.DataFrame, contract: Contract) -> _Cells:
    """What the history has of each source file: rows, cells stored, nulls and values rescued."""
    names = [c.name for c in (*contract.leading, *contract.record)]
    stored = pl.sum_horizontal(pl.col(n).is_not_null().cast(pl.Int64) for n in names)
    sums = history.select("source_file", stored=stored, rescued=keys_in(history[RESCUED.name])).group_by("source_file")
    found = sums.agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("stored").sum(), pl.col("rescued").sum())
    return {path: (rows, cells, rows * len(names) - cells, rescued) for path, rows, cells, rescued in found.iter_rows()}


def _count(reader: SourceReader, rows: pl.DataFrame, shown: _Cells) -> None:
    """Rows that the history shows first by their file are rows out, all others are as another snapshot had them."""
    read = dict(rows.group_by("source_file").len().iter_rows())
    for index, file in enumerate(reader.files):
        out, cells, nulls, rescued = shown.get(file.identity, _NONE)
        counts = {"rows_out": out, "duplicates_dropped": read.get(file.identity, 0) - out}
        counts |= {"keys_seen": cells + nulls + rescued, "cells_stored": cells, "nulls": nulls}
        for name, count in (counts | {"values_rescued": rescued}).items():
            reader.counters.add_counts(name, np.array([index]), np.array([count]))


def _closed(reader: SourceReader, counts: _Cells, outputs: Sequence[str]) -> list[FileAccount]:
    """The accounts; `rows_kept` are rows that former versions of a file have shown first."""
    for account in reader.accounts():
        if problems := account.account.problems():
            raise AccountsError(account.path, problems)
        if account.state != "deferred":
            account.rows_kept = counts.get(account.path, _NONE)[0] - account.account.rows_out
            account.outputs = list(outputs)
    return reader.accounts()
