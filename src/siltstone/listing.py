"""The input's listing, and what of it is new: everything less the ledger."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

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


def compare(listing: Listing, ledger: Ledger, store: Storage, *, retry_quarantined: bool = False) -> News:
    """What is new; objects with a new etag are read once to tell a copy from other content.

    A file that gave no row is new again when its content changed, or with `retry_quarantined`.
    """
    known = ledger.entries.rename({"path": "identity", "etag": "old_etag", "size": "old_size"})
    joined = listing.files.join(known, on="identity", how="left", maintain_order="left")
    gave_nothing = (pl.col("rows_out") == 0) & (
        (pl.col("state") == "quarantined") | (pl.col("records_quarantined") > 0)
    )
    is_new = pl.col("old_etag").is_null() | (gave_nothing & pl.lit(retry_quarantined))
    is_same = (pl.col("etag") == pl.col("old_etag")) & (pl.col("size") == pl.col("old_size"))
    todo = joined.filter(is_new)["identity"].to_list()
    noted: list[FileAccount] = []
    changed: list[str] = []
    touched = joined.filter(~is_new & ~is_same)
    contents = store.ahead(store.read, touched["path"], touched["size"])
    for row, fetched in zip(touched.iter_rows(named=True), contents, strict=True):
        if fetched is None:
            continue
        if hashlib.sha256(fetched.data).hexdigest() == row["sha256"]:
            noted.append(_noted(row, fetched.etag))
        elif row["rows_out"] == 0:
            todo.append(row["identity"])
        else:
            changed.append(row["identity"])
    skipped = joined.height - len(todo) - len(noted) - len(changed)
    return News(listing.files.filter(pl.col("identity").is_in(todo)), skipped, noted, changed)


def _noted(row: Mapping[str, Any], etag: str) -> FileAccount:
    """The ledger's entry again, under the object's new etag."""
    rows, refused = row["rows_out"], row["records_quarantined"]
    account = Account(records_in=rows + refused, rows_out=rows, records_quarantined=refused)
    state = "noted" if row["state"] == "ingested" else row["state"]
    return FileAccount(row["identity"], row["size"], etag, row["sha256"], state=state, account=account)
