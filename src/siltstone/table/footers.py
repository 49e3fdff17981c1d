"""Reads the written files' footers back and holds them against the contract and the accounts.

delta-rs checks neither names nor types nor the files themselves, so nothing is committed that was not seen here.
"""

from collections.abc import Sequence
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from siltstone.model.contracts import Contract
from siltstone.model.data_files import NewFile
from siltstone.model.schema import Schema
from siltstone.storage import Storage
from siltstone.table.delta_table import Table
from siltstone.table.reader import written_footer
from siltstone.table.refusals import FilesGone


def check_footers(
    table: Storage, contract: Contract, schema: Schema, outputs: Sequence[NewFile], cells_stored: int
) -> list[str]:
    """What is wrong with the files, as sentences: sizes, rows, columns against the schema, and the number of cells.

    `cells_stored` is what the accounts say that all files together hold in their record columns. Raises FilesGone.
    """
    problems: list[str] = []
    cells = 0
    for output, (size, footer) in zip(outputs, table.ahead(partial(_found, table), outputs), strict=True):
        if footer is None:
            _refuse_gone(output, size)
            problems.append(f"{output.path}: {output.bytes:,} bytes were written, {size:,} are there")
            continue
        if footer.num_rows != output.rows:
            problems.append(f"{output.path}: {output.rows:,} rows were written, its footer says {footer.num_rows:,}")
        problems += [f"{output.path}: {p}" for p in _misfits(footer.schema.to_arrow_schema(), contract, schema)]
        cells += _cells(footer, schema)
    if not problems and cells != cells_stored:
        problems.append(f"{cells_stored:,} cells stored by the accounts, {cells:,} by the files' footers")
    return problems


def _found(table: Storage, output: NewFile) -> tuple[int, pq.FileMetaData | None]:
    """A file's size as it is, and its footer if that is the size that was written."""
    size = table.size(output.written_to)
    return size, written_footer(table, output.written_to, size) if size == output.bytes else None


def _refuse_gone(output: NewFile, size: int) -> None:
    if not size:
        raise FilesGone(f"{output.path}, which this run has written, is gone")


def _misfits(arrow: pa.Schema, contract: Contract, schema: Schema) -> list[str]:
    added = {f.name: f.type for f in (contract.time, *contract.added)}
    known = {**{f.name: f.type for f in schema.arrow()}, **added}
    problems = []
    for found in arrow:
        expected = known.get(found.name)
        is_text = expected is not None and pa.types.is_large_string(expected) and pa.types.is_string(found.type)
        if expected is None:
            problems.append(f"column {found.name!r} is not in the schema")
        elif expected != found.type and not is_text:
            problems.append(f"column {found.name!r} is {found.type}, the schema says {expected}")
    return problems


def _cells(footer: pq.FileMetaData, schema: Schema) -> int:
    """Non-null cells of the record columns."""
    cells = 0
    for group in range(footer.num_row_groups):
        metadata = footer.row_group(group)
        for number in range(metadata.num_columns):
            column = metadata.column(number)
            if footer.schema.column(number).name in schema.by_name:
                cells += metadata.num_rows - column.statistics.null_count
    return cells


def check_output(table: Table, outputs: Sequence[NewFile], schema: Schema) -> list[str]:
    """What is wrong with the files that were written, by their footers. Raises FilesGone."""
    problems = []
    for output in outputs:
        size = table.storage.size(output.written_to)
        if size != output.bytes:
            _refuse_gone(output, size)
            problems.append(f"{output.path}: {output.bytes:,} bytes were written, {size:,} are there")
            continue
        footer = written_footer(table.storage, output.written_to, size)
        if footer.num_rows != output.rows:
            problems.append(f"{output.path}: {output.rows:,} rows were written, its footer says {footer.num_rows:,}")
        names = set(footer.schema.to_arrow_schema().names)
        if missing := [name for name in schema.by_name if name not in names]:
            problems.append(f"{output.path}: no column {', '.join(missing)}")
    return problems
