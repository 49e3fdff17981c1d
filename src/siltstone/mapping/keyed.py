"""Steps that sources of keyed rows share: counting records, refusing rows without a key, columns from paths."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from siltstone.formats.documents import BadRecord
from siltstone.mapping.dataset import Keyed, Place
from siltstone.model.arrays import Ints


def count_by_document(document: Ints) -> dict[int, int]:
    """How many entries each document has, by its index; documents without one are left out."""
    indices, counts = np.unique(document, return_counts=True)
    return dict(zip(indices.tolist(), counts.tolist(), strict=True))


def refuse_without_key(keyed: Keyed, key: Sequence[str], documents: Sequence[Any]) -> Keyed:
    """The rows that have every column of the key; records of the others are refused.

    `keyed` has one row for each record.
    """
    is_without = keyed.frame.select(pl.any_horizontal(pl.col(key).is_null())).to_series()
    if not is_without.any():
        return keyed
    by_index = {document.index: document for document in documents}
    reason = f"{' or '.join(key)} is missing"
    bad = list(keyed.bad)
    records = dict(keyed.records)
    for index, line in keyed.frame.filter(is_without).select("document", "line").iter_rows():
        offset, raw = by_index[index].record(line)
        bad.append(BadRecord(index, line, offset, reason, raw))
        records[index] -= 1
    bad.sort(key=lambda record: (record.document, record.line))
    return replace(keyed, frame=keyed.frame.filter(~is_without), bad=bad, records=records)


def with_empty_documents(parts: Sequence[Keyed], documents: Sequence[Any]) -> list[Keyed]:
    """The parts, and one more without rows that counts 0 records for each document that no part has."""
    counted = {index for keyed in parts for index in keyed.records}
    empty = {document.index: 0 for document in documents if document.index not in counted}
    if not empty:
        return list(parts)
    frame = pl.DataFrame(schema={"ts": pl.Int64(), "document": pl.Int64(), "line": pl.Int64()})
    return [*parts, Keyed("typed", frame, (), empty)]


def place_columns(locate: Callable[[str], Place | None], documents: Sequence[Any], document: Ints) -> pl.DataFrame:
    """The columns `site` and `device_id` of some records, from the paths of their documents.

    `document` has the index of each record's document; `locate` is that of the dataset, which took all of them.
    """
    places: Mapping[int, Place | None] = {d.index: locate(d.path) for d in documents}
    named = [(index, place.site, place.device) for index, place in places.items() if place is not None]
    columns = pl.DataFrame(named, {"document": pl.Int64(), "site": pl.String(), "device_id": pl.String()}, orient="row")
    records = pl.DataFrame({"document": document})
    return records.join(columns, on="document", how="left", maintain_order="left").select("site", "device_id")
