"""Deletes what no run needs: files of runs that died, were refused or went another way, and replaced data files.

What is needed: the data files of the newest version; files that any writer took out of it within the grace
period, for readers of an older version; the manifests, ledger and quarantine files on the chain, unless the runs are
folded (then the files of these); the log of a plain table from the newest checkpoint but one on; of a table of
aggregates the edges of input files that its runs within the grace period knew. Everything else that is older than the
grace period goes. Younger files may belong to a run that is under way; older ones too, if it takes that long: so a
fence is committed before any goes that a run may be about to commit. Age goes by the clock of the store.
"""

import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import polars as pl

from siltstone.config.model import Config
from siltstone.engine.tasks import Progress
from siltstone.errors import StorageError, UsageError
from siltstone.maintenance.fold import fold
from siltstone.model.data_files import DataFile, staged
from siltstone.model.layout import FOLDER, OWN_EDGES
from siltstone.model.run_header import RunHeader
from siltstone.model.run_summary import VacuumSummary
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.delta_log import removed_in
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.folded_runs import folded_paths
from siltstone.table.other_writers import changes_by_others
from siltstone.table.quarantine import quarantine_file
from siltstone.table.transaction import newest_files, retry

_OWN = tuple(f"{FOLDER}/{part}/" for part in ("runs", "ledger", "quarantine", "plans", "work"))
_EDGES = f"{FOLDER}/edges/"
_CUT = re.compile(r"^-?[0-9]+_-?[0-9]+_")  # of the edges of a part of a file
_DATA_FILE = re.compile(r"_?data_[0-9a-f]{32}\.parquet")  # also one that is staged, or cut short while it was written
_STAGED = re.compile(r"(^|/)_(data_[0-9a-f]{32}\.parquet)\.staged$")
_PART = re.compile(r"-[0-9]{4}\.quarantine$")
_LEFTOVER = re.compile(rf"(_delta_log|{FOLDER}/log|{_EDGES}.+)/((?P<version>[0-9]+)\.json|[^/]+)#[0-9]+")
SAFE_HOURS = 24
_HOUR_US = 3_600_000_000
_TRIES = 5


def vacuum(table: Table, config: Config, progress: Progress, *, dry_run: bool, force: bool = False) -> VacuumSummary:
    """Delete what is not needed and older than `vacuum.grace_hours`; what it was, with `dry_run` what it would be.

    Raises UsageError for a grace below a day without `force`, and LostRaceError where runs commit again and again.
    """
    started = time.time()
    hours = config.vacuum.grace_hours
    if hours < SAFE_HOURS and not (force or dry_run):
        raise UsageError(
            f"vacuum.grace_hours is {hours}, less than {SAFE_HOURS}: runs under way would have to read input again, "
            "and readers of an older version of the table would miss files",
            "Raise it, or give --force where nothing else uses the table.",
        )
    table = table.for_writing()
    table.recover()
    newest_files(table)  # refuses what is no table before anything is put there
    # List first: a file that is committed after the listing is young, one that was committed before is needed.
    now_us, objects = _listed(table)
    horizon_us = now_us - hours * _HOUR_US + 1  # what has just the age of the grace goes

    def attempt() -> _Spare:
        spare = _spare(table, objects, horizon_us, dry_run=dry_run)
        if spare.needs_fence and not dry_run:
            table.fence(horizon_us, spare.snapshot)
        return spare

    spare = retry(attempt, table.storage.root, progress, outcome="nothing was deleted")
    old = spare.old
    if not dry_run:
        for number, _ in enumerate(table.storage.ahead(partial(_delete, table.storage), old["path"])):
            progress("deleting", number, old.height, 0)
    return VacuumSummary(
        table=table.storage.root,
        dry_run=dry_run,
        files=old["path"].to_list(),
        bytes=int(old["size"].sum()),
        files_young=spare.young,
        grace_hours=hours,
        seconds=round(time.time() - started, 3),
    )


def _delete(storage: Storage, path: str) -> None:
    """The only place that deletes; never what lies outside of the table, by a link that came after the listing."""
    storage.delete(path, follows_links=False)


def _listed(table: Table) -> tuple[int, pl.DataFrame]:
    """The store's time, as it stamps an object that is put now (microseconds since 1970), and all other objects of the
    table; links are left out."""
    storage = table.storage
    for _ in range(_TRIES):
        clock = f"{FOLDER}/plans/clock-{uuid.uuid4().hex}"  # where vacuum finds it if this dies
        storage.put(clock, b"")
        objects, now_us = storage.objects(follows_links=False), storage.modified_us(clock)
        storage.delete(clock)
        is_clock = pl.col("path") == clock
        if now_us is not None:  # as the listing says, which may be more exact, unless a link leads to its folder
            return max([now_us, *objects.filter(is_clock)["modified_us"]]), objects.filter(~is_clock)
    raise StorageError(
        f"{_TRIES} times an object that was put to {storage.uri(clock)} was gone at once",
        "Run again when no other vacuum of the table does.",
    )


@dataclass(frozen=True)
class _Spare:
    """What can go at a version of the table: `old` objects (columns as OBJECTS); so many more are too `young`.
    `needs_fence`: a run under way may have written one of the old ones, and may be about to commit it."""

    snapshot: Snapshot
    old: pl.DataFrame
    young: int
    needs_fence: bool


def _spare(table: Table, objects: pl.DataFrame, horizon_us: int, *, dry_run: bool) -> _Spare:
    """What can go of the objects at the newest version, once old runs are folded."""
    snapshot, stored = newest_files(table)
    _refuse_damaged(table, snapshot, stored, set(objects["path"]))
    reachable: set[str] = set()
    if (others := changes_by_others(table, snapshot, ledgers.load(table.storage, snapshot.head))) is not None:
        if others.kind == "rows":
            raise others.refusal()
        reachable = {s.path for s in others.gone}
    headers = ledgers.headers(table.storage, snapshot.head)
    history = _History(headers, horizon_us, dict(objects.select("path", "modified_us").iter_rows()))
    chain = fold(table.storage, snapshot.head, datetime.fromtimestamp(horizon_us / 1e6, UTC), dry_run=dry_run)
    recent = objects.filter(pl.col("modified_us") >= horizon_us)["path"]
    needed = chain | reachable | _needed(stored, history) | removed_in(table.storage, recent)
    past = table.past_entries(objects["path"])
    is_spare_edge = _spare_edges(history)
    is_spare = [
        is_spare_edge(_edge_name(path))
        if path.startswith(_EDGES) and not _is_leftover(path, snapshot)
        else path in past or _is_leftover(path, snapshot) or (_is_ours(path, table) and _wanted_as(path) not in needed)
        for path in objects["path"]
    ]
    spare = objects.filter(pl.Series(is_spare, dtype=pl.Boolean))
    old = spare.filter(pl.col("modified_us") < horizon_us)
    settled = _settled(headers) | past | set(folded_paths(table.storage))
    return _Spare(snapshot, old, spare.height - old.height, any(_may_be_committed(p, settled) for p in old["path"]))


def _refuse_damaged(table: Table, snapshot: Snapshot, stored: Sequence[DataFile], listed: Set[str]) -> None:
    """Raise StorageError where data files are missing: what runs have taken out may be all that there is of their rows.
    Files that are not listed, since they came later or behind a link, are looked for one by one."""
    others = [s.path for s in stored if s.path not in listed]
    missing = [path for path in others if not (table.storage.size(path) or table.storage.size(staged(path)))]
    if missing and table.lost_files(snapshot):
        raise table.overtaken(snapshot, f"version {snapshot.version} is not the newest one any more")
    if missing:
        raise StorageError(
            f"{len(missing):,} data files are missing in {table.storage.root}, such as {missing[0]}; nothing was "
            "deleted, since files that runs have taken out may hold their rows",
            "siltstone repair tells what can be taken back; then run again.",
        )


@dataclass(frozen=True)
class _History:
    """The headers of committed runs, newest first, and when each was committed."""

    headers: Sequence[RunHeader]
    horizon_us: int
    modified_us: Mapping[str, int]

    def is_recent(self, header: RunHeader) -> bool:
        """Whether a run was committed within the grace period: as it says itself, or as its manifest's time in the
        store does, since the clock of a run's host may be days behind."""
        said_us = int(datetime.fromisoformat(header.committed).timestamp() * 1_000_000)
        stored_us = max((self.modified_us.get(path, 0) for path in ledgers.files_of(header)), default=0)
        return max(said_us, stored_us) >= self.horizon_us


def _needed(stored: Sequence[DataFile], history: _History) -> set[str]:
    """The paths that the newest version and its history within the grace period name, and all quarantine files."""
    needed = {s.path for s in stored}
    for header in history.headers:
        needed |= {quarantine_file(name) for name in header.quarantine}
        if history.is_recent(header):
            needed |= set(header.removed)
    return needed


def _settled(headers: Sequence[RunHeader]) -> set[str]:
    """The paths, of edges the names, that committed runs have named or removed."""
    found: set[str] = set()
    for header in headers:
        found |= {*header.removed, *ledgers.files_of(header), *header.before, *header.after}
    return found


def _may_be_committed(path: str, settled: Set[str]) -> bool:
    """Whether a run under way may be about to commit a spare file: one that no committed run has named or removed. Of
    edges those of a rollup only: all others are of files that runs knew once."""
    if not path.startswith(_EDGES):
        return path not in settled
    return path.endswith(OWN_EDGES) and _edge_name(path) not in settled


def _spare_edges(history: _History) -> Callable[[str], bool]:
    """Whether edges of a name can go: of an input file that runs knew once, but none that was the newest one within the
    grace period; or those that a rollup wrote which was not.

    An input file that no run has known yet is none of them: one that is under way may need its edges.
    """
    known: set[str] = set()
    wanted: set[str] = set()
    is_recent = True
    for header in history.headers:
        names = {*header.before, *header.after}
        if header.kind == "aggregate":
            names |= {row["path"].rpartition("/")[2] for row in header.files}
        known |= names
        wanted |= names if is_recent else set()
        is_recent = is_recent and history.is_recent(header)
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
    """How the set of needed paths names it: the parts of a quarantine file as one, and a staged data file, which its
    commit may have put into the table a moment ago, by its own name."""
    return _PART.sub("", path) if path.startswith(f"{FOLDER}/quarantine/") else _STAGED.sub(r"\1\2", path)


def _edge_name(path: str) -> str:
    """What edges are of, as manifests name it: a part of a file has the file's name."""
    return _CUT.sub("", path.rpartition("/")[2])


def _is_leftover(path: str, snapshot: Snapshot) -> bool:
    """Whether a path is what a put on a local disk has left behind that died before it was linked to its name, in
    folders where not all is spare that no run needs. Of an entry of the log that is not there yet it stays: another put
    would fill it again, and the first one, if it only sleeps, would link that."""
    found = _LEFTOVER.fullmatch(path)
    return found is not None and (found["version"] is None or int(found["version"]) <= snapshot.version)
