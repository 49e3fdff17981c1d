"""Tables that a run makes of others as a whole: opened, written by date, checked and committed."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import polars as pl
import pyarrow as pa

from siltstone.aggregation.output_table import newest_header
from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.model import Config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.derived.boundary_rows import BoundaryTask, Span, StoredRows, Window, outside, write_beside
from siltstone.engine.tasks import Engine, Progress
from siltstone.errors import TableFormatError, UsageError
from siltstone.model.contracts import ARROW_TYPE, Contract
from siltstone.model.data_files import NewFile
from siltstone.model.layout import FOLDER
from siltstone.model.run_header import RunHeader, terms_of
from siltstone.model.schema import Schema, base_schema
from siltstone.storage import open_root
from siltstone.table.delta_table import Table
from siltstone.table.open import table_at
from siltstone.table.transaction import Made, PlannedTable, commit, reading_at
from siltstone.table.writer import PartitionWriter, WriterSettings

_WRITTEN_AT_ONCE = 1 << 19  # rows
Completed = Callable[[pl.DataFrame], pl.DataFrame]


def write_sorted(
    writing: WriterSettings, contract: Contract, rows: pl.DataFrame, complete: Completed = lambda rows: rows
) -> list[NewFile]:
    """Write sorted rows, each UTC date to files of its partition; the files. `complete` adds missing columns to one
    part of the rows after the other."""
    schema = base_schema(contract)
    types = {contract.time.name: contract.time.type, **{c.name: ARROW_TYPE[c.kind] for c in schema.columns}}
    outputs: list[NewFile] = []
    dated = rows.with_columns(pl.col(contract.time.name).dt.date().alias("#date"))
    for (day,), part in dated.partition_by("#date", as_dict=True, maintain_order=True).items():
        writer = PartitionWriter(writing, contract, (str(day),), schema=lambda: schema)
        for few in part.iter_slices(_WRITTEN_AT_ONCE):
            plain = complete(few).select(*types).to_arrow(compat_level=pl.CompatLevel.oldest())
            writer.write(plain.cast(pa.schema(list(types.items()))), breaks=False)
        writer.close()
        outputs += writer.outputs
    return outputs


@dataclass
class TaskTotals:
    """What a task read and wrote: the number of rows read (`beside` of them outside its window), of these used as
    points, left out and repeated; the number of series, or of rows matched."""

    outputs: list[NewFile] = field(default_factory=list)
    rows: int = 0
    beside: int = 0
    points: int = 0
    left_out: int = 0
    repeated: int = 0
    series: int = 0
    matched: int = 0

    @classmethod
    def of(cls, parts: Sequence["TaskTotals"]) -> "TaskTotals":
        """The sums of all."""
        totals = cls()
        for part in parts:
            for name in vars(totals):
                setattr(totals, name, getattr(totals, name) + getattr(part, name))
        return totals


class DerivedTable:
    """A table that a run replaces as a whole, unless it was made of the same files with the same terms."""

    def __init__(self, uri: str, contract: Contract, kind: str, terms: Mapping[str, Any], config: Config) -> None:
        self._kind, self._terms = kind, json.loads(json.dumps(terms))
        storage = open_root(uri, config.storage)
        self.table = table_at(storage, contract, config.compaction.format)
        self._check(_newest(self.table))
        self._planned = PlannedTable.of(self.table)
        self._check(self._planned.newest)
        self.work = self.table.storage.child(FOLDER, "work")
        self.writing = WriterSettings(
            self.table.storage, sizes_of(config), group_bytes_of(config), self.table.is_staged
        )

    def _check(self, made: RunHeader | None) -> None:
        """Raise UsageError where the newest run made a table of another kind, or with other terms."""
        root = self.table.storage.root
        if made and made.kind != self._kind:
            raise UsageError(f"{root} is no table that siltstone {self._kind} has made", "Give a new folder.")
        if made and made.terms != self._terms:
            changed = [name for name in self._terms if (made.terms or {}).get(name) != self._terms[name]]
            raise UsageError(
                f"{root} was made with other terms: {', '.join(changed)}", "Give the same, or a new folder."
            )

    def is_of(self, files: Sequence[str]) -> bool:
        """Whether the table was made of exactly these files, and nobody else has changed it since."""
        newest = self._planned.newest
        return self._planned.others is None and newest is not None and newest.files == sorted(files)

    def reading(self) -> AbstractContextManager[None]:
        """Inside, files in `work` are written and read, which a vacuum may delete: see `reading_at`."""
        return reading_at(self.table, self._planned.snapshot)

    def commit(self, summary: Made, outputs: Sequence[NewFile], files: Sequence[str]) -> Made:
        """Replace all data files in one commit; the summary. Raises AccountsError, and Refused if another run has
        committed first."""
        extras = {"files": sorted(files)}
        return commit(self._planned, self._kind, summary, self._terms, outputs, self._planned.stored, extras)


def stored_terms(uri: str, contract: Contract, config: Config) -> Mapping[str, Any]:
    """The terms of the newest run at a path; empty where there is none."""
    return terms_of(_newest(table_at(open_root(uri, config.storage), contract)))


def _newest(table: Table) -> RunHeader | None:
    """The header of the newest run, None before the first; of kind "another" if the table has other columns."""
    try:
        return newest_header(table)
    except TableFormatError:
        raise
    except UsageError:
        return RunHeader(kind="another")


def stored_rows(table: Table, columns: Sequence[str], schema: Schema, values: Sequence[str] = ()) -> StoredRows:
    """How the columns of a table are read."""
    contract = table.contract
    unit, time = contract.sort_by
    last = contract.partition_by[-1:]
    kinds = tuple((name, "timestamp" if name == time else schema.by_name[name].kind) for name in columns)
    place = "" if not last or pa.types.is_date(last[0].type) else last[0].name
    return StoredRows(table.storage, unit, time, place, kinds, tuple(values))


def ends_beside(
    rows: StoredRows,
    files: Sequence[Span],
    parts: Sequence[Window],
    by: Sequence[str],
    filters: AggregateSpec,
    out: DerivedTable,
    engine: Engine,
    progress: Progress,
) -> list[tuple[str, str]]:
    """For each window the names of the files in `out.work` with the rows nearest before and after it. They are made of
    the boundary rows of data files, which stay in the table's folder for the next run."""
    meaning = json.dumps([rows.columns, rows.values, list(by), filters.as_dict()])
    folder = hashlib.sha256(meaning.encode()).hexdigest()[:16]
    kept = out.table.storage.child(FOLDER, "edges", folder)
    for place in (kept, out.work):
        place.make()
    others = outside(files, parts)
    tasks = [
        BoundaryTask(rows, file.logged, file.partition[-1] if rows.place else "", tuple(by), filters, kept)
        for file in others
    ]
    with out.reading():
        engine.run(tasks, lambda done: progress(f"first and last rows: {done} of {len(tasks)} files", 0, 0, 0))
        return write_beside(out.work, kept, files, parts, by, rows.time)
