"""NDJSON files that each show the present state of a part of a table, to rows of a history contract.

A row that the next version of a file lacks is gone, so a file counts whole or not at all: one damaged line would look
like a deletion. An empty file says that nothing is left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import polars as pl

from siltstone.errors import Unreadable
from siltstone.formats.compression import inflate
from siltstone.formats.documents import Document, Item, Opened, Parsed, ParseRules
from siltstone.formats.ndjson.lanes import parse
from siltstone.formats.portions import Room
from siltstone.mapping.dataset import Keyed
from siltstone.mapping.keyed import count_by_document, refuse_without_key, with_empty_documents
from siltstone.model.schema import Schema

_PORTION_BYTES = 16 << 20  # of text that is looked at in one go
_BOM = b"\xef\xbb\xbf"
_POLARS_TYPE = {"string": pl.String(), "double": pl.Float64()}

Shape = Callable[[pl.DataFrame, Sequence[Document]], pl.DataFrame]
"""The contract's columns from a frame that has every column of the form, `_rescued`, `document`, `line`, and `ts`:
when the file was uploaded (microseconds)."""


@dataclass(frozen=True)
class Form:
    """What the lines of a kind of file have: their keys as columns of text and doubles, what makes them rows of the
    contract, and the columns that no row may lack."""

    columns: Schema
    shape: Shape
    key: tuple[str, ...]


def open_snapshot(item: Item, form: Form, rules: ParseRules) -> Opened:
    """The document of a file (gzip, zstd or text); Unreadable where any part of it can't be read or lacks its key."""
    if not item.data.removeprefix(_BOM).strip():
        return Opened(Document(item.index, b"", path=item.path, modified_us=item.modified_us))
    inflated = inflate(item.data, max_bytes=rules.max_text_bytes, max_ratio=rules.max_ratio, salvage="none")
    document = Document(item.index, inflated.data, path=item.path, modified_us=item.modified_us)
    keys = [column.key for column in form.columns.columns if column.name in form.key]
    for portion in document.portions(Room(_PORTION_BYTES)):
        if not all(_is_sure(line, keys, rules) for line in portion.lines):
            bad = [bad for keyed in snapshot_rows([portion], form, rules) for bad in keyed.bad]
            if bad:
                raise Unreadable(f"line {bad[0].line + 1}: {bad[0].reason}; such a file counts whole or not at all")
    return Opened(document)


def snapshot_rows(documents: Sequence[Document], form: Form, rules: ParseRules) -> list[Keyed]:
    """Every row of the documents; a document without rows is counted with 0 records."""
    closed = replace(rules, max_columns=len(form.columns.columns))  # a key without a column is rescued
    texts = [document for document in documents if document.text.strip()]
    parts = parse(texts, form.columns, closed)[0] if texts else ()
    return with_empty_documents([_keyed(part, documents, form) for part in parts], documents)


def _is_sure(line: bytes, keys: Sequence[str], rules: ParseRules) -> bool:
    """Whether a line is blank, or a flat object with its keys: nothing can be wrong with it as a whole."""
    if not line.strip():
        return True
    try:
        record: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(record, dict) or len(line) > rules.max_line_bytes or len(record) > rules.max_keys:
        return False
    is_flat = not any(isinstance(value, (dict, list)) for value in record.values())
    return is_flat and all(isinstance(record.get(key), str) for key in keys)


def _keyed(parsed: Parsed, documents: Sequence[Document], form: Form) -> Keyed:
    by_index = {document.index: document for document in documents}
    frame = pl.DataFrame(parsed.table)
    absent = [pl.lit(None, _POLARS_TYPE[c.kind]).alias(c.name) for c in form.columns.columns if c.name not in frame]
    uploaded = {index: document.modified_us for index, document in by_index.items()}
    frame = frame.with_columns(
        *absent,
        document=parsed.document,
        line=parsed.line,
        ts=np.array([uploaded[i] for i in parsed.document], np.int64),
    )
    frame = form.shape(frame, documents)
    keyed = Keyed(parsed.lane, frame, parsed.bad, count_by_document(parsed.document))
    return refuse_without_key(keyed, form.key, documents)
