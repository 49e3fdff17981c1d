"""The input's listing, and what of it is new: everything less the ledger."""

import hashlib
from dataclasses import dataclass
from types import ModuleType

import polars as pl

from siltstone.accounts import Account, FileAccount
from siltstone.errors import UsageError
from siltstone.ledger import Ledger
from siltstone.storage import Storage, open_root


@dataclass(frozen=True)
class Listing:
    """Files of the source at the input: `files` has path, identity, size, etag, modified_us; `ignored` counts objects
    that are none of the source's."""

    files: pl.DataFrame
    ignored: int


@dataclass(frozen=True)
class News:
    """A listing against the ledger: files `todo`; how many were `skipped` as done (those gone by now included);
    `noted` ones, whose content was done under another etag; `changed` ones, whose rows are in the table with other
    content."""

    todo: pl.DataFrame
    skipped: int
    noted: list[FileAccount]
    changed: list[str]


def list_input(store: Storage, source: ModuleType, source_root: str) -> Listing:
    """All files that the source knows, by the canonical path or the path below `source_root`, in order.

    Raises UsageError when the input does not lie below `source_root`.
    """
    objects = store.objects()
    root = open_root(source_root).root + "/" if source_root else ""
    if not objects["uri"].str.starts_with(root).all():
        raise UsageError(f"compaction.source_root {root} does not hold all of {store.root}", "Give a folder above it.")
    frame = objects.with_columns(identity=pl.col("uri").str.strip_prefix(root))
    located = [source.locate(identity) is not None for identity in frame["identity"]]
    files = frame.filter(pl.Series(located, dtype=pl.Boolean)).sort("identity")
    return Listing(files.select("path", "identity", "size", "etag", "modified_us"), frame.height - files.height)


def compare(listing: Listing, ledger: Ledger, store: Storage) -> News:
    """What is new; objects with a new etag are read once to tell a copy from other content."""
    known = ledger.entries.rename({"path": "identity", "etag": "old_etag", "size": "old_size"})
    joined = listing.files.join(known, on="identity", how="left", maintain_order="left")
    is_new = pl.col("old_etag").is_null() | (
        (pl.col("state") == "quarantined") & (pl.col("etag") != pl.col("old_etag"))
    )
    is_same = (pl.col("etag") == pl.col("old_etag")) & (pl.col("size") == pl.col("old_size"))
    todo = joined.filter(is_new)
    noted: list[FileAccount] = []
    changed: list[str] = []
    for row in joined.filter(~is_new & ~is_same).iter_rows(named=True):
        fetched = store.read(row["path"])
        if fetched is None:
            continue
        digest = hashlib.sha256(fetched.data).hexdigest()
        if digest == row["sha256"]:
            account = Account(rows_out=row["rows_out"])
            identity, size = row["identity"], row["size"]
            noted.append(FileAccount(identity, size, fetched.etag, digest, state="noted", account=account))
        else:
            changed.append(row["identity"])
    skipped = joined.height - todo.height - len(noted) - len(changed)
    return News(todo.select(listing.files.columns), skipped, noted, changed)
