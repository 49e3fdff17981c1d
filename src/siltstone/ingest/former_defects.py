"""Files that a version of siltstone failed at, which another version reads again by itself.

The accounts have the version in the reason of each such file. So that a run doesn't look through all of them, what the
next run of a dataset goes by (`learned` in the manifest) names the versions that failed at any.
"""

from collections.abc import Collection, Mapping, Sequence

import polars as pl

from siltstone.errors import SiltstoneError
from siltstone.ingest.defects import version_of
from siltstone.ingest.listing import Listing
from siltstone.model.accounts import FileAccount
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.ledger import Ledger
from siltstone.version import __version__

KEY = "defects"


def former_defects(table: Storage, ledger: Ledger, dataset: str, listing: Listing) -> dict[str, str]:
    """The files of a dataset that are quarantined since another version of siltstone failed at them: identity ->
    version. Those that a whole listing lacks are gone."""
    if set(ledger.learned(dataset).get(KEY, ())) <= {__version__}:
        return {}
    accounts = ledgers.accounts(table, ledger.head)
    refused = accounts.filter(pl.col("state") == "quarantined", pl.col("dataset") == dataset)
    if listing.since is None:
        refused = refused.join(listing.files, left_on="path", right_on="identity", how="semi")
    versions = {path: version_of(reason) for path, reason in refused.select("path", "reason").iter_rows()}
    return {path: version for path, version in versions.items() if version and version != __version__}


def refuse_defects_alone(files: Sequence[FileAccount], former: Collection[str]) -> None:
    """Raises SiltstoneError where siltstone failed at every file that was read: then it is not the files that are odd.
    Of files that a `former` version failed at, that is no news."""
    read = [f for f in files if f.state != "deferred"]
    failed = [f for f in read if version_of(f.reason)]
    if failed and len(failed) == len(read) and any(f.path not in former for f in failed):
        raise SiltstoneError(
            f"siltstone failed at all {len(failed):,} files that it read, and nothing was committed; the first is "
            f"{failed[0].path}: {failed[0].reason}",
            "This is a defect of siltstone: please report it with this message. The input is untouched.",
        )


def failed_versions(
    ledger: Ledger, dataset: str, read: Sequence[FileAccount], former: Mapping[str, str]
) -> dict[str, list[str]]:
    """What the next run is to know of it: the versions that failed at files which are still refused. Of the `former`
    ones those that this run has not read are."""
    paths = {f.path for f in read}
    versions = {version for path, version in former.items() if path not in paths}
    if __version__ in ledger.learned(dataset).get(KEY, ()) or any(version_of(f.reason) for f in read):
        versions.add(__version__)
    return {KEY: sorted(versions)} if versions else {}
