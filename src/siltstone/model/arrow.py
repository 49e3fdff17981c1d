"""Columns of numpy and Arrow turned into each other, without pandas.

pyarrow imports pandas, if it is installed, whenever it takes a list or gives an array to numpy: half a second in each
worker. polars does not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa


def to_arrow(values: npt.NDArray[Any]) -> pa.Array:
    """An Arrow array of the same type."""
    return pl.Series(values).to_arrow()


def texts(values: Sequence[str]) -> pa.Array:
    """Strings as a large_string array."""
    return pl.Series(values, dtype=pl.String()).to_arrow(compat_level=pl.CompatLevel.oldest())


def to_numpy(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    """The values of a column without nulls; not to be written to."""
    return pl.Series(column).to_numpy()


CODED = pa.dictionary(pa.int32(), pa.string())
"""Texts that stand for many rows each, as numbers and the list that they point into."""


def coded_texts(values: pl.Series) -> pa.DictionaryArray:
    """A column of texts with long runs of equal ones, as in sorted rows."""
    runs = values.rle().struct.unnest()
    return coded_at(runs["value"], np.repeat(np.arange(runs.height), runs["len"].to_numpy()))


def coded_at(values: pl.Series, places: npt.NDArray[Any]) -> pa.DictionaryArray:
    """A column with few different texts: for each row the text at its place."""
    encoded = values.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.string()).dictionary_encode()
    if encoded.null_count:
        indices = pl.Series(encoded.indices).cast(pl.Int32()).gather(places).to_arrow()
    else:
        indices = to_arrow(pl.Series(encoded.indices).to_numpy().astype(np.int32)[places])
    return pa.DictionaryArray.from_arrays(indices, encoded.dictionary)


def compact(table: pa.Table) -> pa.Table:
    """The rows; a dictionary of texts with more entries than rows is built again."""
    for place, column in enumerate(table.columns):
        if pa.types.is_dictionary(column.type) and len(column.chunk(0).dictionary) > len(table):
            plain = column.cast(column.type.value_type).dictionary_encode().cast(column.type)
            table = table.set_column(place, table.field(place), plain)
    return table


def coded(column: pa.ChunkedArray) -> tuple[list[str | None], npt.NDArray[np.int64]]:
    """The distinct texts of a column, None behind them, and for each row the place of its own."""
    if pa.types.is_dictionary(column.type):
        encoded = column.unify_dictionaries().combine_chunks()
    else:
        encoded = column.combine_chunks().dictionary_encode()
    distinct = [*encoded.dictionary.to_pylist(), None]
    codes = pl.Series(encoded.indices)
    if encoded.null_count:
        codes = codes.fill_null(len(distinct) - 1)
    return distinct, codes.to_numpy().astype(np.int64)


DIGESTS = 1 << 64


def row_digest(table: pa.Table) -> int:
    """The sum, modulo DIGESTS, of the hashes of all rows: whatever their order, equal rows have an equal one."""
    hashes = pl.DataFrame(table).hash_rows(seed=0).to_numpy()
    return int(hashes.sum(dtype=np.uint64))
