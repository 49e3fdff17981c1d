"""Frames of keyed rows: completed, counted, in the order of data files, as Arrow."""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson
import polars as pl
import pyarrow as pa

from siltstone.mapping.dataset import Keyed
from siltstone.model.accounts import Counters
from siltstone.model.arrow import coded_texts
from siltstone.model.contracts import RESCUED, Contract

_TEXT = pl.String()


def complete(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The frame with every column of the contract, in its types."""
    types = {c.name: _POLARS[c.kind] for c in (*contract.leading, *contract.record)} | {RESCUED.name: _TEXT}
    there = set(frame.columns)
    columns = [pl.col(n).cast(t) if n in there else pl.lit(None, t).alias(n) for n, t in types.items()]
    return frame.with_columns(columns)


_POLARS: Mapping[str, pl.DataType] = {
    "double": pl.Float64(),
    "bigint": pl.Int64(),
    "int": pl.Int32(),
    "boolean": pl.Boolean(),
    "string": _TEXT,
    "json": _TEXT,
    "float": pl.Float32(),
    "timestamp": pl.Datetime("us", "UTC"),
}


def count_rows(parts: Sequence[Keyed], counters: Counters) -> None:
    """Count the records of parts, and how many more or fewer rows they gave."""
    for part in parts:
        documents = np.array(list(part.records), np.int64)
        records = np.array(list(part.records.values()), np.int64)
        document, line = (part.frame[name].to_numpy() for name in ("document", "line"))
        begins = np.ones(len(document), bool)
        begins[1:] = (document[1:] != document[:-1]) | (line[1:] != line[:-1])
        most = int(max(documents, default=0)) + 1
        rows, gave = np.bincount(document, minlength=most), np.bincount(document[begins], minlength=most)
        left_out = part.repeated.group_by("document").agg(pl.col("records").sum(), pl.col("rows").sum())
        repeated, repeated_rows = np.zeros(most, np.int64), np.zeros(most, np.int64)
        repeated[left_out["document"].to_numpy()] = left_out["records"].to_numpy()
        repeated_rows[left_out["document"].to_numpy()] = left_out["rows"].to_numpy()
        rows, gave = (rows + repeated_rows)[documents], (gave + repeated)[documents]
        counters.add_counts("records_in", documents, records)
        counters.add_counts("rows_split", documents, rows - gave)
        counters.add_counts("records_empty", documents, records - gave)
        counters.add_counts("duplicates_dropped", documents, repeated_rows[documents])


def count_cells(frame: pl.DataFrame, contract: Contract, counters: Counters) -> None:
    """Count the rows out and their cells: one for each record column, and those that were rescued."""
    names = [c.name for c in (*contract.leading, *contract.record)]
    stored = pl.sum_horizontal(pl.col(n).is_not_null().cast(pl.Int64) for n in names)
    sums = frame.select("document", stored=stored, rescued=keys_in(frame[RESCUED.name])).group_by("document")
    found = sums.agg(pl.len().cast(pl.Int64).alias("rows"), pl.col("stored").sum(), pl.col("rescued").sum())
    documents, rows, cells, more = (found[n].to_numpy() for n in ("document", "rows", "stored", "rescued"))
    all_cells = rows * len(names)
    counters.add_counts("rows_out", documents, rows)
    counters.add_cells(documents, np.stack([all_cells + more, cells, all_cells - cells, more], axis=1))


def keys_in(rescued: pl.Series) -> pl.Series:
    """The number of keys in each JSON object; 0 for null."""
    if rescued.null_count() == len(rescued):
        return pl.zeros(len(rescued), pl.Int64(), eager=True)
    counts = {text: len(orjson.loads(text)) for text in rescued.unique() if text is not None}
    return rescued.replace_strict(counts, default=0, return_dtype=pl.Int64())


def columns_of(contract: Contract) -> list[str]:
    """The columns of the rows of a task, in order."""
    names = [c.name for c in (*contract.leading, *contract.record)]
    return [*names, RESCUED.name, "ts", "date", "site", "document", "line"]


def is_grouped(frame: pl.DataFrame, contract: Contract) -> bool:
    """Whether the rows of each unit are together and in order of time, so that equal keys are side by side."""
    unit, time = contract.key[0], "ts"
    if contract.key[1:2] != (contract.time.name,):
        return False
    runs = frame[unit].rle().struct.unnest()
    if runs["value"].n_unique() < runs.height:
        return False
    begins = np.zeros(frame.height, bool)
    begins[np.cumsum(runs["len"].to_numpy())[:-1]] = True
    instant, nanos = frame[time].to_numpy(), frame["ts_nanos"].fill_null(0).to_numpy()
    step = np.diff(instant, prepend=instant[:1])
    behind = (step < 0) | (step == 0) & (np.diff(nanos, prepend=nanos[:1]) < 0)
    return not (behind & ~begins).any()


def in_order(frame: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """The rows sorted as data files have them."""
    order = order_of(frame, contract)
    return frame if order is None else frame[order]


def order_of(frame: pl.DataFrame, contract: Contract) -> pl.Series | None:
    """The rows' places in the order of data files; None where they are in it already, as mostly."""
    unit, *rest = [*contract.sort_by, *(name for name in contract.key if name not in contract.sort_by)]
    runs = frame[unit].rle().struct.unnest()
    ranks = runs["value"].rank("dense").cast(pl.Int64()).to_numpy()
    codes = pl.Series("{unit}", np.repeat(ranks, runs["len"].to_numpy()))
    keys = pl.DataFrame([codes, *(frame[name] for name in rest)])
    falls = pl.lit(value=False)
    for name in reversed(keys.columns):
        now, before = pl.col(name), pl.col(name).shift(1)
        falls = (now < before) | ((now == before) & falls)
    if not keys.select(falls.any()).item():
        return None
    return keys.select(pl.arg_sort_by(keys.columns, maintain_order=True)).to_series()


def column_of(values: pl.Series) -> pa.Array:
    """A column as data files have it."""
    return coded_texts(values) if values.dtype == pl.String() else values.to_arrow()
