"""A listing of very many keys: a store gives a thousand per call, so several ranges of keys are asked for at once."""

from collections.abc import Sequence
from functools import partial
from itertools import islice, pairwise
from typing import Any

import obstore
import polars as pl
import polars.selectors as cs
from obstore.store import S3Store

from siltstone.storage.failures import whole
from siltstone.storage.prefetch import ahead

LISTED = pl.Schema({"key": pl.String(), "size": pl.Int64(), "etag": pl.String(), "modified_us": pl.Int64()})

_BATCH = 1_000  # what a call gives
_SERIAL_BATCHES = 20  # a listing that ends within them is not worth a thought

_Range = tuple[str | None, str | None]


def listed(store: S3Store, top: str, calls_at_once: int) -> pl.DataFrame:
    """Every object below a key, columns as LISTED, in any order.

    Raises InvalidPathError when obstore refuses one of the names.
    """
    first = whole(partial(_in_range, store, top, (None, None), _SERIAL_BATCHES))
    if first.height < _SERIAL_BATCHES * _BATCH:
        return first
    keys = first.filter(pl.col("size") > 0)["key"]  # without the markers of folders, which lost their slash
    starts: Sequence[str] = []
    if keys.is_sorted():  # as all stores give them, but for S3's directory buckets
        starts = _folders(store, top, keys, calls_at_once)
    picked = starts[:: max(1, len(starts) // (4 * calls_at_once))]
    bounds: list[_Range] = list(pairwise([None, *picked, None]))
    parts = ahead(lambda r: whole(partial(_in_range, store, top, r)), bounds, [0] * len(bounds), calls_at_once)
    return pl.concat(parts)


def _folders(store: S3Store, top: str, keys: pl.Series, calls_at_once: int) -> Sequence[str]:
    """Folders to begin ranges at, in order: from as few levels below the top as give enough of them, and from no level
    deeper than that of the folders in which most of the first objects lie."""
    slashes = keys.str.strip_prefix(f"{top}/" if top else "").str.count_matches("/", literal=True)
    levels = sorted(slashes)[len(slashes) // 2] if len(slashes) else 0
    folders = [top]
    for _ in range(levels):
        parts = ahead(partial(_inside, store), folders, [0] * len(folders), calls_at_once)
        folders = sorted(name for names in parts for name in names)
        if len(folders) >= 2 * calls_at_once:
            break
    return [] if folders == [top] else folders


def _inside(store: S3Store, folder: str) -> Sequence[str]:
    return whole(lambda: obstore.list_with_delimiter(store, folder))["common_prefixes"]


def _in_range(store: S3Store, top: str, bounds: _Range, most_batches: int | None = None) -> pl.DataFrame:
    """The objects with keys after the first bound and not after the second, in the order of bytes."""
    after, last = bounds
    batches = [LISTED.to_frame()]
    stream = obstore.list(store, top, offset=after, chunk_size=_BATCH, return_arrow=True)
    for batch in islice(stream, most_batches):
        frame = _frame(batch)
        if last is not None and frame["key"][-1] > last:
            batches.append(frame.filter(pl.col("key") <= last))
            break
        batches.append(frame)
    return pl.concat(batches)


def _frame(batch: Any) -> pl.DataFrame:
    """A batch of obstore's listing, columns as LISTED."""
    return (
        pl.DataFrame(pl.from_arrow(batch))
        .unnest(cs.all())
        .select(
            pl.col("path").alias("key"),
            pl.col("size").cast(pl.Int64),
            pl.col("e_tag").str.strip_chars('"').alias("etag"),
            pl.col("last_modified").dt.epoch("us").alias("modified_us"),
        )
    )
