"""Deletes what no run needs: files of runs that died, were refused or went another way, and replaced data files.

What is needed: the data files of the newest version; files that were taken out of it within the grace period, for
readers of an older version; the manifests, ledger and quarantine files on the chain, unless the runs are folded (then
the files of these); the log of a plain table from the newest checkpoint but one on; of a table of aggregates the
edges of input files that its runs within the grace period knew. Everything else that is older than the grace period
goes; younger files may belong to a run that is under way.
"""

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from siltstone.config.model import Config
from siltstone.engine.tasks import Progress
from siltstone.maintenance.fold import fold
from siltstone.model.layout import FOLDER, OWN_EDGES
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import VacuumSummary
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.quarantine import quarantine_file
from siltstone.table.transaction import newest_files

_OWN = tuple(f"{FOLDER}/{part}/" for part in ("runs", "ledger", "quarantine", "plans", "work"))
_EDGES = f"{FOLDER}/edges/"
_CUT = re.compile(r"^-?[0-9]+_-?[0-9]+_")  # of the edges of a part of a file
_DATA_FILE = re.compile(r"_?data_[0-9a-f]{32}\.parquet")  # also one that is staged, or cut short while it was written
_PART = re.compile(r"-[0-9]{4}\.quarantine$")


def vacuum(table: Table, config: Config, progress: Progress, *, dry_run: bool) -> VacuumSummary:
    """Delete what is not needed and older than `vacuum.grace_hours`; what it was, with `dry_run` what it would be."""
    started = time.time()
    grace = timedelta(hours=config.vacuum.grace_hours)
    horizon = datetime.now(UTC) - grace
    table = table.for_writing()
    table.recover()
    # List first: a file that is committed after the listing is young, one that was committed before is needed.
    objects = table.storage.objects()
    needed, headers = _needed(table, horizon, dry_run=dry_run)
    past = table.past_entries(objects["path"])
    is_spare_edge = _spare_edges(headers, horizon)
    is_spare = [
        is_spare_edge(_CUT.sub("", path.rpartition("/")[2]))
        if path.startswith(_EDGES)
        else path in past or (_is_ours(path, table) and _wanted_as(path) not in needed)
        for path in objects["path"]
    ]
    spare = objects.filter(pl.Series(is_spare, dtype=pl.Boolean))
    old = spare.filter(pl.col("modified_us") < int(horizon.timestamp() * 1_000_000))
    if not dry_run:
        for number, _ in enumerate(table.storage.ahead(table.storage.delete, old["path"])):
            progress("deleting", number, old.height, 0)
    return VacuumSummary(
        table=table.storage.root,
        dry_run=dry_run,
        files=old["path"].to_list(),
        bytes=int(old["size"].sum()),
        files_young=spare.height - old.height,
        grace_hours=config.vacuum.grace_hours,
        seconds=round(time.time() - started, 3),
    )


def _needed(table: Table, horizon: datetime, *, dry_run: bool) -> tuple[set[str], list[RunHeader]]:
    """The paths that the newest version, its history within the grace period and the chain of manifests name; and the
    headers of that chain, newest first."""
    snapshot, stored = newest_files(table)
    needed = {s.path for s in stored}
    headers = ledgers.headers(table.storage, snapshot.head)
    needed |= fold(table.storage, snapshot.head, horizon, dry_run=dry_run)
    for header in headers:
        needed |= {quarantine_file(name) for name in header.quarantine}
        if datetime.fromisoformat(header.committed) >= horizon:
            needed |= set(header.removed)
    return needed, headers


def _spare_edges(headers: Sequence[RunHeader], horizon: datetime) -> Callable[[str], bool]:
    """Whether edges of a name can go: of an input file that runs knew once, but none that was the newest one within the
    grace period; or those that a rollup wrote which was not.

    An input file that no run has known yet is none of them: one that is under way may need its edges.
    """
    known: set[str] = set()
    wanted: set[str] = set()
    is_recent = True
    for header in headers:
        names = {*header.before, *header.after}
        if header.kind == "aggregate":
            names |= {row["path"].rpartition("/")[2] for row in header.files}
        known |= names
        wanted |= names if is_recent else set()
        is_recent = is_recent and datetime.fromisoformat(header.committed) >= horizon
    return lambda name: name not in wanted and (name in known or name.endswith(OWN_EDGES))


def _is_ours(path: str, table: Table) -> bool:
    """Whether a path is one that runs write to and no log keeps: data files, and siltstone's own folder but the log."""
    if path.startswith(_OWN):
        return True
    *folders, name = path.split("/")
    levels = [f"{f.name}=" for f in table.contract.partition_by]
    in_partition = len(folders) == len(levels) and all(map(str.startswith, folders, levels))
    return in_partition and _DATA_FILE.match(name) is not None


def _wanted_as(path: str) -> str:
    """How the set of needed paths names it: the parts of a quarantine file as one."""
    return _PART.sub("", path) if path.startswith(f"{FOLDER}/quarantine/") else path
