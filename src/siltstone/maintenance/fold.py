"""Folds old runs: what a hundred manifests say goes into one file, and these may go then.

Only runs behind the newest snapshot of the ledger are folded, and behind the grace period: a run under way, and who
reads an older version of the table, look for the manifests of the others. A file of folded runs takes in those before
it that are not larger than itself, so that few are left after many runs, and none is written often.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from siltstone.model.run_header import RunHeader
from siltstone.model.table_format import FOLDED, format_of
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.folded_runs import Runs, folded_paths, joined, read_folded, write_folded
from siltstone.table.ledger import Head


def fold(table: Storage, head: Head | None, horizon: datetime, *, dry_run: bool) -> set[str]:
    """Fold the runs of the chain that are old enough; the files in the table's folder that the chain is needed in.

    Manifests of folded runs are none of these once the newest run says that older releases may not read the table
    (format 2): the first run that writes a ledger snapshot after a fold says so. Each file of folded runs has been read
    in this call.
    """
    chain = list(ledgers.chain(table, head))
    headers = [header for runs in chain for header in runs.headers]
    if not headers:
        return set()
    first = _first_old(headers, horizon)
    folded = {name: runs for path in folded_paths(table) for runs in (read_folded(table, path),) for name in runs.names}
    ahead = [runs for at, runs in enumerate(chain) if at >= first and runs.names[0] not in folded]
    if len(ahead) >= ledgers.SNAPSHOT_EVERY and not dry_run:
        new = joined(_with_smaller(ahead, folded))
        write_folded(table, new)
        folded |= dict.fromkeys(new.names, new)
    may_go = format_of(headers[0].more, table.root).min_reader_version >= FOLDED.min_reader_version
    kept: set[str] = set()
    for at, header in enumerate(headers):
        is_folded = at >= first and header.name in folded
        kept |= {folded[header.name].path} if is_folded else set()
        kept |= set() if is_folded and may_go else ledgers.files_of(header)
    return kept


def _first_old(headers: Sequence[RunHeader], horizon: datetime) -> int:
    """The place of the newest run that may be folded: behind a ledger snapshot and behind the horizon."""
    behind = next((at + 1 for at, header in enumerate(headers) if header.ledger), len(headers))
    old = (at for at in range(behind, len(headers)) if datetime.fromisoformat(headers[at].committed) < horizon)
    return next(old, len(headers))


def _with_smaller(ahead: Sequence[Runs], folded: Mapping[str, Runs]) -> list[Runs]:
    """Runs that are not folded yet, and those before them of files that hold no more runs than come together."""
    parts, count = list(ahead), sum(len(runs.headers) for runs in ahead)
    while (parent := parts[-1].headers[-1].parent) is not None:
        name = Head.of_version(parent).name
        before = folded[name].since(name) if name in folded else None
        if before is None or len(before.headers) > count:
            break
        parts.append(before)
        count += len(before.headers)
    return parts
