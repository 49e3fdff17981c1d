"""The input's listing, and what of it is new: everything less the ledger."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from siltstone.errors import UsageError
from siltstone.ingest.reread import companions
from siltstone.ingest.task_spec import FormerVersion, SourceFile
from siltstone.mapping.dataset import Dataset
from siltstone.model.accounts import Account, FileAccount
from siltstone.storage import Storage, open_root
from siltstone.table.ledger import EDITED, NO_DATASET, Ledger


def spread(files: pl.DataFrame, count: int) -> pl.DataFrame:
    """At most `count` files, evenly spread over the listing."""
    if files.height <= count:
        return files
    rows: pl.DataFrame = files[np.unique(np.linspace(0, files.height - 1, count).round().astype(int)).tolist()]
    return rows


def first_batch(todo: pl.DataFrame, device_of: Callable[[str], str], most_bytes: int) -> pl.DataFrame:
    """Of each device's files (columns identity and size, in order of identity) the first ones: one, and as many more as
    keep them within so many bytes."""
    devices = pl.Series("{device}", [device_of(identity) for identity in todo["identity"]], dtype=pl.String())
    before = (pl.col("size").cum_sum() - pl.col("size")).over("{device}")
    batch = todo.with_columns(devices).with_columns(before.alias("{before}"))
    is_first = (pl.col("{before}") == 0) | (pl.col("{before}") + pl.col("size") <= most_bytes)
    return batch.filter(is_first).select(todo.columns)


@dataclass(frozen=True)
class Listing:
    """Files of a dataset at the input: `files` has path, identity, size, etag, modified_us; `ignored` counts objects
    that are none of its; neither has anything of the folders before `since`, if that is given."""

    files: pl.DataFrame
    ignored: int
    since: datetime | None = None

    def without(self, identities: Collection[str]) -> "Listing":
        return replace(self, files=self.files.filter(~pl.col("identity").is_in(list(identities))))


@dataclass(frozen=True)
class ListingDiff:
    """A listing against the ledger: files `todo`, with `former_rows`, `former_duplicates` and `former_sha256` of their
    earlier version (see `FormerVersion`); how many were `skipped` as done (those gone by now included); `noted` ones,
    whose content was done under another etag; `changed` ones, whose new content can't be taken in yet. Of those of the
    todo that are `together` either all are taken in or none. `later` more files are left to further batches."""

    todo: pl.DataFrame
    skipped: int
    noted: list[FileAccount]
    changed: list[str]
    together: frozenset[str]
    later: int = 0

    def source_files(self) -> list[SourceFile]:
        """The files to do, as tasks list them."""
        plain = self.todo.select("path", "identity", "size", "etag", "modified_us").iter_rows(named=True)
        former = self.todo.select("former_rows", "former_duplicates", "former_sha256").iter_rows()
        return [
            SourceFile(**file, former=FormerVersion(*version) if any(version[:2]) else None)
            for file, version in zip(plain, former, strict=True)
        ]

    @property
    def former_rows(self) -> dict[str, int]:
        """How many rows the table has of the earlier version of each file to do."""
        return dict(self.todo.select("identity", "former_rows").iter_rows())


def list_input(
    store: Storage, datasets: Sequence[Dataset], source_root: str, since: datetime | None = None, only: str = ""
) -> list[Listing]:
    """The files of each dataset, by the canonical path or the path below `source_root`, in order; what is none of
    theirs is counted in the first listing.

    With `since` only those whose folder is not of an hour before it, by the folders' own clock; older folders are not
    looked into where the store can spare it. With `only` the file of that name directly in the store alone.
    Raises UsageError when the input does not lie below `source_root`.
    """
    objects = _objects(store, datasets, since)
    if only:
        objects = objects.filter(path=only)
    root = open_root(source_root).root + "/" if source_root else ""
    if not objects["uri"].str.starts_with(root).all():
        raise UsageError(f"compaction.source_root {root} does not hold all of {store.root}", "Give a folder above it.")
    frame = objects.with_columns(identity=pl.col("uri").str.strip_prefix(root)).sort("identity")
    ignored = frame.height
    listings = []
    for dataset in datasets:
        located = [_is_wanted(dataset, identity, since) for identity in frame["identity"]]
        files = frame.filter(pl.Series(located, dtype=pl.Boolean))
        ignored -= files.height
        files = files.select("path", "identity", "size", "etag", "modified_us")
        listings.append(Listing(files, 0, since))
    return [replace(listings[0], ignored=ignored), *listings[1:]]


def _is_wanted(dataset: Dataset, identity: str, since: datetime | None) -> bool:
    is_old = since is not None and dataset.is_before(identity.rpartition("/")[0], since)
    return dataset.locate(identity) is not None and not is_old


def _objects(store: Storage, datasets: Sequence[Dataset], since: datetime | None) -> pl.DataFrame:
    if since is None:
        return store.objects()
    if not any(dataset.is_by_hour for dataset in datasets):
        raise UsageError(f"folders of {datasets[0].source} tell no hour", "Leave --since out.")

    def is_old(folder: str) -> bool:
        return all(dataset.is_before(folder, since) for dataset in datasets)

    objects = store.objects(enter=lambda folder: not is_old(folder))
    return objects.filter(~pl.Series([is_old(uri.rpartition("/")[0]) for uri in objects["uri"]], dtype=pl.Boolean))


def compare(
    listing: Listing,
    ledger: Ledger,
    store: Storage,
    dataset: Dataset,
    *,
    shares_rows: bool = True,
    retry_quarantined: bool = False,
    again: Collection[str] = (),
    refused: Collection[str] = (),
) -> ListingDiff:
    """What is new; objects with a new etag are read once to tell a copy from other content.

    With `retry_quarantined` files with refused records, or refused as a whole, are new again, and so are those of
    `again`. Where files share rows of the table (see `Strategy`) a file with a former version brings its companions
    along, or is left out where it can't: one is gone, or its new content is `refused`. A file of which another writer
    edited rows is left out.
    """
    _refuse_foreign(listing, ledger, dataset)
    entries = ledger.of(dataset.name).entries
    known = entries.rename({"path": "identity", "etag": "old_etag", "size": "old_size"})
    joined = listing.files.join(known, on="identity", how="left", maintain_order="left")
    is_retried = pl.lit(retry_quarantined) & (pl.col("state").eq("quarantined") | (pl.col("records_quarantined") > 0))
    is_new = pl.col("old_etag").is_null() | is_retried | pl.col("identity").is_in(list(again))
    is_new &= pl.col("state").fill_null("") != EDITED
    edited = set(joined.filter(state=EDITED)["identity"])
    is_same = (pl.col("etag") == pl.col("old_etag")) & (pl.col("size") == pl.col("old_size"))
    todo = set(joined.filter(is_new)["identity"])
    noted, other_content = _read_again(joined.filter(~is_new & ~is_same), store)
    todo |= other_content - edited
    listed = set(listing.files["identity"]) - edited
    sharing = entries if shares_rows else entries.clear()
    device_of = partial(_device, dataset)
    found = companions(todo.difference(refused), listed.difference(refused), sharing, device_of)
    todo = (todo | found.along) - found.left_out
    noted = [n for n in noted if n.path not in todo]
    former_sha256 = pl.when(pl.col("state") != "quarantined").then(pl.col("sha256")).fill_null("")
    files = joined.filter(pl.col("identity").is_in(list(todo))).select(
        *listing.files.columns,
        former_rows=pl.col("rows_out").fill_null(0),
        former_duplicates=(pl.col("duplicates_dropped") + pl.col("keys_superseded")).fill_null(0),
        former_sha256=former_sha256,
    )
    changed = sorted(found.left_out | (other_content & edited))
    skipped = joined.height - files.height - len(noted) - len(changed)
    return ListingDiff(files, skipped, noted, changed, found.together)


def _read_again(touched: pl.DataFrame, store: Storage) -> tuple[list[FileAccount], set[str]]:
    """Of known files with a new etag: accounts of those with the content that they had, and the names of those with
    another; not of those that are gone."""
    noted: list[FileAccount] = []
    other_content: set[str] = set()
    contents = store.ahead(store.read, touched["path"], touched["size"])
    for row, fetched in zip(touched.iter_rows(named=True), contents, strict=True):
        if fetched is None:
            continue
        if hashlib.sha256(fetched.data).hexdigest() == row["sha256"]:
            noted.append(_noted(row, fetched.etag))
        else:
            other_content.add(row["identity"])
    return noted, other_content


def _refuse_foreign(listing: Listing, ledger: Ledger, dataset: Dataset) -> None:
    """Raise UsageError where the table has rows of a listed file from another dataset."""
    is_other = ~pl.col("dataset").is_in([dataset.name, NO_DATASET])
    foreign = ledger.entries.filter(is_other, pl.col("rows_out") > 0)
    both = foreign.join(listing.files, left_on="path", right_on="identity", how="semi")
    for path, name in both.select("path", "dataset").head(1).iter_rows():
        raise UsageError(
            f"the table has rows of {path} from {name}, and takes a file from one source only",
            "Give another lake, or let the sources have files of their own.",
        )


def _device(dataset: Dataset, identity: str) -> tuple[str, str]:
    place = dataset.locate(identity)
    assert place is not None
    return place.site, place.device


def _noted(row: Mapping[str, Any], etag: str) -> FileAccount:
    """The ledger's entry again, under the object's new etag."""
    counts = {n: row[n] for n in ("rows_out", "records_quarantined", "duplicates_dropped", "keys_superseded")}
    account = Account(records_in=sum(counts.values()), **counts)
    state = "noted" if row["state"] == "ingested" else row["state"]
    return FileAccount(
        row["identity"],
        row["size"],
        etag,
        row["sha256"],
        state=state,
        lane="noted",
        folders=row["folders"],
        modified_us=row["modified_us"],
        account=account,
    )
