"""How many rows of each source file some data files hold, with a digest of their values."""

from collections.abc import Iterable
from dataclasses import dataclass

from siltstone.engine.tasks import Engine
from siltstone.errors import StorageError
from siltstone.maintenance.verify_tasks import DataCheck, Sums
from siltstone.model.data_files import DataFile
from siltstone.model.schema import Schema
from siltstone.table.delta_table import Table
from siltstone.table.reader import NEXT_MOVE


@dataclass(frozen=True)
class RowsBySource:
    """Sums by source file ("" for rows that name none), and the paths of data files that are not there any more."""

    sums: dict[str, Sums]
    missing: list[str]


def rows_by_source(table: Table, schema: Schema, files: Iterable[DataFile], engine: Engine) -> RowsBySource:
    """What the data files hold. Raises StorageError where one is there and can't be read."""
    wanted = list(files)
    sizes = list(table.storage.ahead(table.storage.size, [f.path for f in wanted]))
    there = [file for file, size in zip(wanted, sizes, strict=True) if size]
    tasks = [
        DataCheck(table.contract.table, table.storage, f.path, f.partition, f.bytes, f.rows, "", schema, {})
        for f in there
    ]
    sums: dict[str, Sums] = {}
    for found in engine.run(tasks, lambda _: None) if tasks else []:
        if found.problems:
            raise StorageError(found.problems[0], NEXT_MOVE)
        for path, own in found.sources.items():
            sums.setdefault(path, Sums()).add(own)
    return RowsBySource(sums, [file.path for file, size in zip(wanted, sizes, strict=True) if not size])
