"""What must be true of every file, however odd: each record is in exactly one place, and lanes and neighbours change
nothing. A file may be refused; no other exception may come out."""

import re
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from siltstone.errors import Unreadable
from siltstone.formats.avro.container import AvroDocument
from siltstone.formats.csv import CsvDocument
from siltstone.formats.documents import BadRecord, Document, row_cells
from siltstone.ingest.keyed_frames import complete
from siltstone.mapping.dataset import Keyed, Wide
from siltstone.model.contracts import ARROW_TYPE, Contract
from siltstone.model.schema import Schema
from support.fuzzing.readers import NEW_TABLE, Case, only_careful_lanes

Place = tuple[int, int]
Row = tuple[tuple[str, Any], ...]

_LOST_BLOCK = re.compile(r"block (\d+), which says")
_OWN = pl.Schema({"ts": pl.Int64(), "document": pl.Int64(), "line": pl.Int64()})
_PARTITION = {"date": pl.Int32(), "site": pl.String()}


class Wrong(AssertionError):
    """Something that must be true of a case is not."""


@dataclass
class Found:
    """What a reading gave: rows by document and line, refused records, and how many records each document has that are
    not refused; of Wide the cells of each row."""

    rows: dict[Place, list[Row]] = field(default_factory=dict)
    bad: list[BadRecord] = field(default_factory=list)
    records: Counter[int] = field(default_factory=Counter)
    cells: dict[Place, tuple[int, ...]] = field(default_factory=dict)
    repeated: int = 0
    schema: Schema = NEW_TABLE


def check(case: Case) -> Found:
    """Read the files of a case as a run does. Raises Wrong if something is not as it must be."""
    documents = [document for item in case.items if (document := _opened(case, item)) is not None]
    if not documents:
        return Found()
    together = _read(case, documents, case.schema)
    for document in documents:
        _check_account(document, together)
    with only_careful_lanes():
        _compare("the careful lane", together, _read(case, documents, case.schema))
    known = _read(case, documents, together.schema)
    for document in documents:
        _compare("the file alone", known, _read(case, [document], together.schema), document.index)
    return together


def _opened(case: Case, item: Any) -> Any:
    try:
        return case.dataset.open(item, case.rules).document
    except Unreadable:
        return None


def _read(case: Case, documents: Sequence[Any], schema: Schema) -> Found:
    found = Found()
    parts, found.schema = case.dataset.rows(documents, schema, case.rules)
    for part in parts:
        found.bad += part.bad
        if isinstance(part, Wide):
            _add_wide(found, part, {document.index: document for document in documents})
        else:
            _add_keyed(found, part, case.dataset.contract)
    found.bad.sort(key=lambda bad: (bad.document, bad.line, bad.reason))
    return found


def _add_wide(found: Found, part: Wide, documents: Mapping[int, Document]) -> None:
    keys = {column.name: column.key for column in found.schema.columns}
    kinds = {column.name: ARROW_TYPE[column.kind] for column in found.schema.columns}
    for column in part.table.schema:
        if column.name in kinds and column.type != kinds[column.name]:
            raise Wrong(f"{column.name} is {column.type}, not {kinds[column.name]}")
    cells = row_cells(part, np.arange(len(part.line)), documents).tolist()
    places = list(zip(part.document.tolist(), part.line.tolist(), strict=True))
    for place, counts, *instant, row in zip(
        places, cells, part.ts_us.tolist(), part.day.tolist(), part.unit.tolist(), part.table.to_pylist(), strict=True
    ):
        if place in found.rows:
            raise Wrong(f"{place} has two rows")
        named = {keys.get(name, name): value for name, value in row.items()}
        found.rows[place] = [_row({**named, "{instant}": str(instant)})]
        found.cells[place] = tuple(counts)
        found.records[place[0]] += 1


def _add_keyed(found: Found, part: Keyed, contract: Contract) -> None:
    expected = complete(_OWN.to_frame(), contract).schema | ({} if contract.is_history else _PARTITION)
    odd = {name: dtype for name, dtype in part.frame.schema.items() if name in expected and dtype != expected[name]}
    if odd:
        raise Wrong(f"columns of odd types: {odd}")
    found.records.update(part.records)
    found.repeated += int(part.repeated["records"].sum())
    for row in part.frame.iter_rows(named=True):
        place = row.pop("document"), row.pop("line")
        found.rows.setdefault(place, []).append(_row({n: v for n, v in row.items() if n in expected}))


def _row(cells: Mapping[str, Any]) -> Row:
    """The cells that are not null, doubles bit by bit."""
    bits = {n: struct.pack(">d", v) if isinstance(v, float) else v for n, v in cells.items() if v is not None}
    return tuple(sorted(bits.items()))


def _check_account(document: Any, found: Found) -> None:
    """Each record is a row, a duplicate, or in the quarantine once."""
    bad = [b for b in found.bad if b.document == document.index]
    blocks = {int(match[1]) for b in bad if (match := _LOST_BLOCK.match(b.reason))}
    places = [(b.document, b.line) for b in bad if not _LOST_BLOCK.match(b.reason)]
    if twice := [place for place, count in Counter(places).items() if count > 1]:
        raise Wrong(f"refused twice: {twice}")
    if both := found.rows.keys() & set(places):
        raise Wrong(f"refused, and rows too: {sorted(both)}")
    lines = _lines(document)
    if isinstance(document, AvroDocument):
        lines -= sum(count - 1 for number, (count, _) in enumerate(document.blocks, 1) if number in blocks)
    missing = lines - found.records[document.index] - len(bad)
    if missing and not (missing == 1 and isinstance(document, Document) and document.truncated):
        raise Wrong(
            f"{lines} records in file {document.index}, {found.records[document.index]} read and {len(bad)} refused"
        )
    for place in [place for place in found.rows if place[0] == document.index][:1]:
        document.record(place[1])


def _lines(document: Any) -> int:
    """How many records a file has, counted apart."""
    match document:
        case Document():
            return sum(bool(line.strip()) for line in document.text.split(b"\n"))
        case CsvDocument():
            return sum(1 for _ in document.scanned())
        case AvroDocument():
            return sum(count for count, _ in document.blocks)
    count: int = document.table.num_rows
    return count


def _compare(what: str, found: Found, other: Found, index: int | None = None) -> None:
    """Raises Wrong where another reading of the same files, or of one of them, gave something else."""
    rows = {p: r for p, r in found.rows.items() if index in (None, p[0])}
    others = other.rows if not found.repeated else {p: r for p, r in other.rows.items() if p in rows}
    for place in rows.keys() | others.keys():
        if rows.get(place) != others.get(place):
            raise Wrong(f"{place} is {_shown(rows.get(place))}, by {what} {_shown(others.get(place))}")
    bad = [b for b in found.bad if index in (None, b.document)]
    for one, another in zip([*bad, None], [*other.bad, None], strict=False):
        if one != another:
            raise Wrong(f"refused is {one}, by {what} {another}")
    if found.schema != other.schema:
        raise Wrong(f"the schema is {found.schema}, by {what} {other.schema}")
    if any(found.cells[place] != other.cells[place] for place in other.cells):
        raise Wrong(f"{what} counts other cells")


def _shown(rows: Sequence[Row] | None) -> str:
    return str(rows)[:600]
