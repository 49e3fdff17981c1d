"""What other writers did to a table since siltstone's newest run.

Each manifest keeps the version that its commit makes and a digest of the names of the data files after it. At another
version the names are held against the digest: equal, whoever committed has changed no file (properties, comments,
statistics, VACUUM). The log says who changed some, as far as it has not been cleaned up. Tables whose newest manifest
is of an older release have no digest yet: for them the log alone tells.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Literal

from siltstone.errors import OtherWriterError
from siltstone.model.data_files import DataFile, NewFile
from siltstone.model.run_header import RunHeader
from siltstone.table import ledger as ledgers
from siltstone.table.delta_log import LoggedCommit
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.ledger import Ledger

_KEY = "data_files"
TAKEN_OVER = "taken_over"
"""The key of a header: data files of other writers that the run wrote anew, each row as it was."""
DERIVED = ("aggregate", "rollup", "resample", "asof")
_MODULUS = 1 << 128
_SHOWN = 3


@dataclass(frozen=True)
class OtherWriters:
    """How the data files differ from those after siltstone's newest run.

    - `kind`: `files`, where the same rows are in other files; `restored`, where an older version was put back; `rows`,
      where rows were changed.
    - `gone`: data files that siltstone's runs put in and that are not in the table any more; `come`: those that no run
      put in; `stored`: all that it has.
    - `commits`: those that changed files, newest first. Where the log has been cleaned up, they may not be all
      (`has_all_commits`), and `files` is a guess by the numbers of rows.
    - `is_derived`: whether the table was made of others, so that it can be made anew.
    - `restored_to`: the newest run whose data files the table has again; None where it is that before the first.
    """

    root: str
    kind: Literal["files", "rows", "restored"]
    gone: Sequence[DataFile]
    come: Sequence[DataFile]
    stored: Sequence[DataFile]
    commits: Sequence[LoggedCommit]
    has_all_commits: bool
    run: str
    is_derived: bool
    restored_to: RunHeader | None = None

    def __str__(self) -> str:
        """Who did it: version, operation and engine of the newest commits."""
        said = [f"version {c.version}: {c.operation} by {c.engine}" for c in self.commits[:_SHOWN]]
        if more := len(self.commits) - len(said):
            said.append(f"and {more} more")
        if not self.has_all_commits:
            said.append("the log of before is cleaned up" if said else "the log is cleaned up and does not say by whom")
        return "; ".join(said)

    def refusal(self) -> OtherWriterError:
        """The error of a run that can't go on."""
        move = (
            f"siltstone adopt {self.root} names the source files whose rows were touched, and with --yes takes the "
            "rows as they are now."
        )
        if self.is_derived:
            move = "The same command that made it makes it anew, siltstone aggregate with --full."
        return OtherWriterError(
            f"{self.root} was changed by another writer since siltstone's run {self.run} ({self}); nothing was written",
            move,
        )


def with_digest(
    header: RunHeader,
    table: Table,
    planned: Snapshot,
    newest: RunHeader | None,
    outputs: Iterable[NewFile],
    removed: Iterable[DataFile],
) -> RunHeader:
    """The header of a run that is about to commit at `planned`, with the digest of the data files after it. `newest`:
    the newest run, if nobody else has changed files since; else None, and all names are read."""
    told = None if newest is None else newest.more.get(_KEY)
    count, digest = (told["count"], int(told["digest"], 16)) if told else _digest(table.paths(planned))
    put_in, taken_out = _digest(o.path for o in outputs), _digest(s.path for s in removed)
    after = {
        "version": planned.version + 1,
        "count": count + put_in[0] - taken_out[0],
        "digest": f"{(digest + put_in[1] - taken_out[1]) % _MODULUS:032x}",
    }
    return replace(header, more={**header.more, _KEY: after})


def _digest(paths: Iterable[str]) -> tuple[int, int]:
    """How many names there are, and the sum of their hashes: it does not depend on their order, and can be brought up
    to date by those that come and go."""
    hashes = [int.from_bytes(blake2b(path.encode(), digest_size=16).digest()) for path in paths]
    return len(hashes), sum(hashes) % _MODULUS


def changes_by_others(table: Table, snapshot: Snapshot, ledger: Ledger) -> OtherWriters | None:
    """What others did to the data files since the newest run; None where they changed none. Raises Refused where the
    table moves on meanwhile."""
    newest = ledger.newest
    if newest is None and snapshot.version == 0:
        return None
    told = None if newest is None else newest.more.get(_KEY)
    if told and (snapshot.version == told["version"] or _is_as_told(table.paths(snapshot), told)):
        return None
    commits, has_all = table.commits_since(snapshot)
    if newest is not None and not told and not commits:
        return None  # an older release's table, of which the log tells nothing
    if newest is None and not table.paths(snapshot):
        return None
    return _described(table, snapshot, commits, has_all)


def _is_as_told(paths: Sequence[str], told: Mapping[str, Any]) -> bool:
    count, digest = _digest(paths)
    return count == told["count"] and digest == int(told["digest"], 16)


def _described(table: Table, snapshot: Snapshot, commits: Sequence[LoggedCommit], has_all: bool) -> OtherWriters | None:
    headers = ledgers.headers(table.storage, snapshot.head)
    stored = table.files(snapshot)
    now = {s.path: s for s in stored}
    known, restored_to = _files_of_runs(headers, now.keys())
    gone = [_stored(output) for path, output in known.items() if path not in now]
    come = [s for path, s in now.items() if path not in known]
    if not gone and not come:
        return None  # of an older release's table: what others changed they have changed back
    run = headers[0].name if headers else "(none)"
    is_derived = bool(headers) and headers[0].kind in DERIVED
    changed = OtherWriters(table.storage.root, "rows", gone, come, stored, commits, has_all, run, is_derived)
    if headers and commits and commits[0].operation == "RESTORE" and restored_to is not False:
        return replace(changed, kind="restored", restored_to=restored_to)
    has_same_rows = _rows_by_partition(gone) == _rows_by_partition(come)
    if has_same_rows and headers and not any(commit.changes_data for commit in commits):
        return replace(changed, kind="files")
    return changed


def _files_of_runs(
    headers: Sequence[RunHeader], now: Iterable[str]
) -> tuple[dict[str, Mapping[str, Any]], RunHeader | Literal[False] | None]:
    """The data files after the newest run, by path; and the newest run after which there were exactly those that the
    table has `now`: None if that is before the first, False if there is none. `headers`: newest first."""
    files: dict[str, Mapping[str, Any]] = {}
    differing = set(now)
    found: RunHeader | Literal[False] | None = False if differing else None
    for header in reversed(headers):
        for path in header.removed:
            if files.pop(path, None) is not None:
                differing ^= {path}
        for output in header.outputs:
            files[output["path"]] = output
            differing ^= {output["path"]}
        if not differing:
            found = header
    return files, found


def files_after_newest_run(headers: Sequence[RunHeader]) -> dict[str, Mapping[str, Any]]:
    """The data files after the newest run, by path, as its and earlier headers describe them; newest header first."""
    return _files_of_runs(headers, ())[0]


def _stored(output: Mapping[str, Any]) -> DataFile:
    return DataFile(output["path"], tuple(output["partition"]), output["bytes"], output["rows"], "")


def _rows_by_partition(files: Iterable[DataFile]) -> dict[tuple[str, ...], int]:
    counts: Counter[tuple[str, ...]] = Counter()
    for file in files:
        counts[file.partition] += file.rows
    return {partition: count for partition, count in counts.items() if count}
