"""Publishes readings as Mortar's partitioned Parquet, and again only what has changed since.

An edition remembers which data files of the table each of its partitions is from. The next run reads partitions whose
files are others, and compares the rows in their span of time with what is published of it, stream by stream: so an
optimized table changes nothing, new rows are appended, and a file is written anew only where it holds a stale row or
covers the time of a late one.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import date
from functools import partial
from itertools import pairwise
from typing import Any

from siltstone.config.model import Config
from siltstone.engine.tasks import Progress
from siltstone.errors import AccountsError, PartlyError, SiltstoneError, StorageError, UsageError
from siltstone.model.contracts import READINGS
from siltstone.model.data_files import DataFile
from siltstone.model.derived_summary import PublishSummary
from siltstone.publishing.archives import Kind, Member, archive_name, write_archive
from siltstone.publishing.editions import Edition, Partitions, Publication, StreamFile, new_token
from siltstone.publishing.mortar_layout import Windows, is_monthly, pieces, stream_of
from siltstone.publishing.stream_reading import EVERY_SOURCE, StreamReader
from siltstone.publishing.stream_writing import MOST_ROWS, StreamTask, StreamWriter, no_rows, task_of
from siltstone.storage import open_root
from siltstone.table.delta_table import Table
from siltstone.table.open import table_at
from siltstone.table.transaction import reading_at, retry

_OPEN_FILES = 96
_BATCH_BYTES = 4 << 30  # on S3 files are read from copies on the local disk


def publish(
    lake_uri: str,
    out_uri: str,
    config: Config,
    progress: Progress,
    *,
    source: str = "mortar",
    collections: Sequence[str] = (),
    keys_in_files: bool = False,
    archive: Kind | None = None,
    archive_to: str | None = None,
    most_rows: int = MOST_ROWS,
) -> PublishSummary:
    """Bring a folder of published streams up to date with LAKE/readings; a summary.

    `source` is that of the readings to publish, or "all"; `collections` are the sites, none for every one.
    `keys_in_files` writes the columns collection and uuid into the files too. `archive` also writes all that is
    published as one file, to `archive_to` or beside the folder. Raises UsageError, StorageError, and LostRaceError when
    another run publishes to the same folder.
    """
    started = time.time()
    lake, out = open_root(lake_uri, config.storage), open_root(out_uri, config.storage)
    if any(f"{a.root}/".startswith(f"{b.root}/") for a, b in ((lake, out), (out, lake))):
        raise UsageError(f"{out.root} and the lake {lake.root} lie in each other", "Publish to a folder of its own.")
    out.refuse_unsafe()
    place = archive_name(out, archive, archive_to, config.storage) if archive else None
    table = table_at(lake.child(READINGS.table), READINGS)
    terms = {"table": table.storage.root, "source": source, "keys_in_files": keys_in_files}
    publication = Publication(out)
    edition, summary = _published(table, publication, config, progress, terms, collections, most_rows)
    if archive and place:
        progress("writing the archive", 0, 0, 0)
        members = [Member(f.path, f.sha256) for f in edition.files]
        members += [Member(name, hashlib.sha256(data).hexdigest()) for name, data in publication.summaries(edition)]
        try:
            summary = replace(summary, **write_archive(out, members, archive, *place))
        except SiltstoneError as error:
            if summary.edition is None:
                raise
            raise PartlyError(
                f"edition {summary.edition} of {out.root} is committed, but its archive was not written: {error}",
                "Run again: it writes the archive alone.",
                replace(summary, out=out.root, seconds=round(time.time() - started, 3)),
            ) from error
    return replace(summary, out=out.root, seconds=round(time.time() - started, 3))


def _published(
    table: Table,
    publication: Publication,
    config: Config,
    progress: Progress,
    terms: Mapping[str, Any],
    collections: Sequence[str],
    most_rows: int,
) -> tuple[Edition, PublishSummary]:
    """The edition that shows the table as it is, and the summary; anew when the table changes while it is read."""

    def attempt() -> tuple[Edition, PublishSummary]:
        table.recover()
        snapshot = table.snapshot()
        if snapshot is None:
            raise UsageError(f"no table at {table.storage.root}", "siltstone compact mortar INPUT LAKE makes one.")
        with reading_at(table, snapshot):
            stored = _of_source(table, snapshot, terms["source"])
            return _PublishRun(table, publication, config, progress, terms, most_rows).run(stored, collections)

    return retry(attempt, table.storage.root, outcome="nothing was published")


def _of_source(table: Table, snapshot: Any, source: str) -> list[DataFile]:
    """The data files that may hold readings of a source. Raises Refused when the table has moved on."""
    stored, bounds = table.files(snapshot), table.bounds(snapshot)
    if source == EVERY_SOURCE:
        return stored
    found = {path: columns["source"] for path, columns in bounds.items()}
    spans = {path: (low, high) for path, (low, high, _) in found.items() if low is not None}
    return [s for s in stored if s.path not in spans or spans[s.path][0] <= source <= spans[s.path][1]]


class _PublishRun:
    """One run: its streams are at first those of the newest edition, and change batch by batch."""

    def __init__(
        self,
        table: Table,
        publication: Publication,
        config: Config,
        progress: Progress,
        terms: Mapping[str, Any],
        most_rows: int,
    ) -> None:
        self._table, self._publication, self._progress = table, publication, progress
        self._terms, self._most_rows = terms, most_rows
        self._reader = StreamReader(table.storage, terms["source"], config.engine.memory_mb << 20)
        self._edition = publication.open(terms)
        self._token = new_token()
        leaving = self._edition.leaving
        self._writer = StreamWriter(publication.storage, self._token, leaving, terms["keys_in_files"], most_rows)
        self._streams: dict[str, dict[str, list[StreamFile]]] = {}
        for file in self._edition.files:
            self._streams.setdefault(file.collection, {}).setdefault(file.uuid, []).append(file)
        self._renamed: dict[str, str] = {}
        self._sums = dict.fromkeys(
            ("rows_added", "rows_removed", "files_written", "files_replaced", "bytes_written"), 0
        )

    def run(self, stored: Sequence[DataFile], collections: Sequence[str]) -> tuple[Edition, PublishSummary]:
        """Publish what has changed; the newest edition then, and the summary. A run that fails takes its files away."""
        before = set(self._streams_now())
        try:
            edition = self._made(stored, collections)
            is_new = edition.version != self._edition.version
            if is_new:
                self._publication.describe(edition)
        except BaseException:
            self._take_back()
            raise
        if is_new:
            self._publication.commit(edition, self._take_back)
            self._progress("writing _metadata", 0, 0, 0)
            self._finish(edition, before)
        return edition, self._summary(edition, before)

    def _finish(self, edition: Edition, before: set[tuple[str, str]]) -> None:
        root = self._publication.storage.root
        try:
            self._publication.finish(edition)
        except SiltstoneError as error:
            raise PartlyError(
                f"edition {edition.version} of {root} is committed, but its files have not all got their names, or "
                f"replaced ones are still there: {error}",
                "Run again: it finishes that. Until then readers of the folder may see a mix of both editions.",
                replace(self._summary(edition, before), out=root),
            ) from error

    def _take_back(self) -> None:
        """Delete what this run has written; where that fails too, a later one does."""
        out, mine = self._publication.storage, Edition(self._edition.version + 1, self._terms, token=self._token)
        with suppress(StorageError):
            list(out.ahead(out.delete, [*map(mine.staged, sorted(self._writer.written)), mine.state]))

    def _made(self, stored: Sequence[DataFile], collections: Sequence[str]) -> Edition:
        """The edition that shows the data files; the newest one where that is all it takes."""
        current = _by_partition(stored)
        sites = sorted({*current, *self._edition.partitions})
        if unknown := sorted(set(collections) - set(sites)):
            raise UsageError(
                f"no collection {', '.join(unknown)} in the table", f"Known: {', '.join(sites) or 'none'}."
            )
        partitions: Partitions = {site: dict(days) for site, days in self._edition.partitions.items()}
        changed = {s: _changed(current.get(s, {}), partitions.get(s, {})) for s in collections or sites}
        batches = [(s, b) for s, days in changed.items() for b in _batches(days, current.get(s, {}))]
        dates = {date.fromisoformat(d) for s in sites for d in (*current.get(s, {}), *partitions.get(s, {}))}
        of, read = sum(len(current.get(s, {}).get(d, ())) for s, days in batches for d in days), 0
        for site, days in batches:
            batch = [f for d in days for f in current.get(site, {}).get(d, ())]
            self._progress(f"publishing {of:,} files of the table", read, of, sum(f.bytes for f in batch))
            windows = Windows.of_partitions(map(date.fromisoformat, days), is_monthly=is_monthly(dates))
            self._publish(site, batch, windows)
            read += len(batch)
            self._note(partitions, site, days, current.get(site, {}))
        published = [f for streams in self._streams.values() for fs in streams.values() for f in fs]
        files = sorted(published, key=lambda f: f.path)
        arriving = frozenset(self._writer.written & {f.path for f in files})
        edition = Edition(self._edition.version, self._terms, files, partitions, self._token, arriving)
        self._check(edition)
        return self._numbered(edition, is_changed=bool(batches))

    def _numbered(self, edition: Edition, *, is_changed: bool) -> Edition:
        """The edition as the next one, with what goes then, unless nothing in it is new and nothing is to clean up."""
        if not edition.files and not self._edition.version:
            raise UsageError(
                f"{self._table.storage.root} has no reading of source {self._terms['source']} with a number",
                "--source NAME publishes those of another source, --source all every one.",
            )
        spare = self._publication.spare(edition)
        if not is_changed and not spare:
            return edition
        dropped = {edition.staged(path) for path in self._writer.written - edition.arriving}
        return replace(edition, version=edition.version + 1, leaving=spare | dropped)

    def _note(self, partitions: Partitions, site: str, days: Sequence[str], current: Mapping[str, Any]) -> None:
        """Remember which files the partitions of a batch are from, and what was counted in them."""
        known = partitions.setdefault(site, {})
        for day in days:
            known.pop(day, None)
            if day in current:
                counted = self._reader.counted[(day, site)]
                known[day] = {"files": _fingerprint(current[day]), **asdict(counted)}
        if not known:
            del partitions[site]

    def _publish(self, site: str, files: Sequence[DataFile], windows: Windows) -> None:
        """Make the streams of a collection say in the windows what the data files say."""
        sizes: list[int] = []

        def tasks() -> Iterator[StreamTask]:
            for task in self._tasks(site, files, windows):
                sizes.append(task.bytes)
                yield task

        for done in self._publication.storage.ahead(self._writer.run, tasks(), iter(partial(sizes.pop, 0), None)):
            streams = self._streams.setdefault(site, {})
            stream = stream_of(done.series)
            kept = [f for f in streams.get(stream, []) if f not in done.dropped]
            streams[stream] = sorted([*kept, *done.written], key=lambda f: f.first_us)
            self._sums["rows_added"] += done.added
            self._sums["rows_removed"] += done.removed
            self._sums["files_written"] += len(done.written)
            self._sums["files_replaced"] += len(done.dropped)
            self._sums["bytes_written"] += sum(f.size for f in done.written)

    def _tasks(self, site: str, files: Sequence[DataFile], windows: Windows) -> Iterator[StreamTask]:
        """One or more for each stream with rows in the files, or with published ones in the windows."""
        streams = {stream: list(fs) for stream, fs in self._streams.get(site, {}).items()}
        series_of = {stream: fs[0].series for stream, fs in streams.items() if fs}
        seen = set()

        def cut(series: str, at: int) -> int:
            published = streams.get(stream_of(series), ())
            return next((f.first_us for f in published if f.first_us < at <= f.last_us), at)

        for piece in pieces(self._reader.merged(files), self._most_rows, cut):
            stream = stream_of(piece.series)
            if (other := series_of.setdefault(stream, piece.series)) != piece.series:
                raise UsageError(
                    f"the series {other} and {piece.series} of {site} would both be stream {stream}",
                    "Publish them from one source at a time: --source NAME.",
                )
            if stream != piece.series:
                self._renamed[piece.series] = stream
            seen.add(stream)
            yield task_of(site, piece, windows.between(piece.start, piece.end), streams.get(stream, ()))
        for stream in streams.keys() - seen:
            if any(windows.touch(f.first_us, f.last_us) for f in streams[stream]):
                yield task_of(site, no_rows(series_of[stream]), windows, streams[stream])

    def _check(self, edition: Edition) -> None:
        """Raise AccountsError unless each collection has as many rows as were read, in files that do not overlap."""
        problems = []
        for site in sorted({*edition.partitions, *self._streams}):
            read = sum(p["rows"] for p in edition.partitions.get(site, {}).values())
            streams = self._streams.get(site, {})
            if (there := sum(f.rows for fs in streams.values() for f in fs)) != read:
                problems.append(f"collection {site}: {read:,} rows read of the table, {there:,} published")
            problems += [
                f"{b.path}: begins before the file before it ends"
                for fs in streams.values()
                for a, b in pairwise(fs)
                if b.first_us <= a.last_us
            ]
        if problems:
            raise AccountsError("this publication", problems[:20])

    def _streams_now(self) -> Iterable[tuple[str, str]]:
        return ((site, stream) for site, streams in self._streams.items() for stream, files in streams.items() if files)

    def _summary(self, edition: Edition, before: set[tuple[str, str]]) -> PublishSummary:
        now = set(self._streams_now())
        parts = [part for days in edition.partitions.values() for part in days.values()]
        names = ("not_published", "nanoseconds_cut", "not_good")
        sums: dict[str, Any] = {**self._sums, **{name: sum(part[name] for part in parts) for name in names}}
        return PublishSummary(
            table=self._terms["table"],
            source=self._terms["source"],
            keys_in_files=self._terms["keys_in_files"],
            edition=edition.version if edition.version != self._edition.version else None,
            collections=sorted({site for site, _ in now}),
            streams=len(now),
            streams_added=len(now - before),
            files=len(edition.files),
            rows=sum(f.rows for f in edition.files),
            bytes=sum(f.size for f in edition.files),
            **sums,
            renamed=self._renamed,
        )


def _by_partition(stored: Sequence[DataFile]) -> dict[str, dict[str, list[DataFile]]]:
    """The data files by site and date."""
    found: dict[str, dict[str, list[DataFile]]] = {}
    for file in sorted(stored, key=lambda s: s.path):
        day, site = file.partition
        found.setdefault(site, {}).setdefault(day, []).append(file)
    return found


def _fingerprint(files: Sequence[DataFile]) -> str:
    return hashlib.sha256("\n".join(f.path for f in files).encode()).hexdigest()[:16]


def _changed(current: Mapping[str, Sequence[DataFile]], known: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The dates of a site whose rows are from other files than before, in order."""
    days = sorted({*current, *known})
    return [d for d in days if d not in current or known.get(d, {}).get("files") != _fingerprint(current[d])]


def _batches(days: Sequence[str], current: Mapping[str, Sequence[DataFile]]) -> Iterator[list[str]]:
    """Runs of dates whose files can be open together."""
    batch: list[str] = []
    files = size = 0
    for day in days:
        more, bytes_more = len(current.get(day, ())), sum(f.bytes for f in current.get(day, ()))
        if batch and (files + more > _OPEN_FILES or size + bytes_more > _BATCH_BYTES):
            yield batch
            batch, files, size = [], 0, 0
        batch.append(day)
        files, size = files + more, size + bytes_more
    if batch:
        yield batch
