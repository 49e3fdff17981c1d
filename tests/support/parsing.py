"""Small builders for the tests of the pure modules."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from siltstone.formats.documents import Document, Parsed, row_cells
from siltstone.model.contracts import Column
from siltstone.model.kinds import Kind
from siltstone.model.schema import Schema

BASE = Schema(
    (Column("unitno", "string", "unitno"), Column("deviceid", "string", "deviceid"), Column("hb", "bigint", "hb"))
)


def document(*lines: str | bytes, index: int = 0, truncated: bool = False) -> Document:
    """A document of these lines, each with its end."""
    whole = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    return Document(index, whole, truncated)


def columns(**kinds: Kind) -> Schema:
    """A schema whose keys are its names."""
    return Schema(tuple(Column(name, kind, name) for name, kind in kinds.items()))


def rows_by_key(parsed: Parsed, schema: Schema) -> list[dict[str, Any]]:
    """Each row's non-null cells under the keys of their columns, whatever the order of the columns."""
    keys = {c.name: c.key for c in schema.columns} | {"_rescued": "_rescued"}
    return [
        {keys[name]: value for name, value in sorted(row.items()) if value is not None}
        for row in parsed.table.to_pylist()
    ]


def cells_of(parsed: Parsed, documents: Sequence[Document]) -> list[list[int]]:
    """Per row: keys seen, cells stored, nulls, values rescued."""
    rows = np.arange(parsed.table.num_rows)
    counted: list[list[int]] = row_cells(parsed, rows, {d.index: d for d in documents}).tolist()
    return counted


def assert_same(actual: pa.Table, expected: pa.Table) -> None:
    """Whole-table equality: names, types, values, order."""
    assert actual.schema.equals(expected.schema), f"{actual.schema}\n--- expected ---\n{expected.schema}"
    assert actual.to_pylist() == expected.to_pylist()
