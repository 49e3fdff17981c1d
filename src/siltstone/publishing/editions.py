"""A published folder and its editions: which files are part of it, from which data files of the table they are.

`_siltstone/log/{version}.json` is created in one step and makes an edition true, so of two runs that publish at once
one is refused. Files are written under staged names, which no reader of the folder takes for data. Once their edition
is in the log they get their own names, `_metadata` is made of it, and right then the files go that it has replaced;
whoever comes next does so for a run that died. A reader of the folder sees a mix between the first of these names and
the last of these deletes, and at no other time.

What a dead run has left goes with the next edition, once it is a day old. All that goes is listed in the edition: the
next one gives no new file the name of one that may still be about to be deleted. A run that is older than an edition
can't commit any more, so nothing that it has written is missed.
"""

import io
import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import polars as pl

from siltstone.errors import LostRaceError, StorageError, UnknownOutcomeError, UsageError
from siltstone.model.data_files import staged
from siltstone.publishing.mortar_layout import FILE_PATTERN, common_metadata, whole_metadata
from siltstone.storage import Storage

FOLDER = "_siltstone"
METADATA, COMMON = "_metadata", "_common_metadata"
_LOG, _STATES, _NEW = (f"{FOLDER}/{name}" for name in ("log", "states", "new"))
_OURS = re.compile(FILE_PATTERN)
_IN_FOLDER = "collection=[^/]+/uuid=[^/]+"
_LEFT_BEHIND = re.compile(rf"{_IN_FOLDER}/_[^/]+\.staged|({_IN_FOLDER}|{FOLDER})/.*#\d+")  # also a put cut short
_SAFE_AGE_US = 24 * 3_600_000_000  # what is younger may belong to a run that is under way
_KEPT_ENTRIES = 50
_READS = 5


@dataclass(frozen=True, slots=True)
class StreamFile:
    """A published file; `series` is the stream as the table calls it, `footer` the end of the file."""

    collection: str
    uuid: str
    series: str
    path: str
    rows: int
    size: int
    sha256: str
    first_us: int
    last_us: int
    footer: bytes


_FILES = pl.Schema(
    {
        f.name: {str: pl.String(), int: pl.Int64(), bytes: pl.Binary()}[f.type]  # type: ignore[index]
        for f in fields(StreamFile)
    }
)

Partitions = dict[str, dict[str, dict[str, Any]]]
"""By site and date: `files`, which data files the rows are from, and what became of the rows, counted."""


@dataclass(frozen=True)
class Edition:
    """What is published: its files, the partitions of the table that they show, and on which `terms`.

    `arriving` are the files that its run wrote, under staged names with the run's `token`; `leaving` those that go.
    """

    version: int
    terms: Mapping[str, Any]
    files: Sequence[StreamFile] = ()
    partitions: Partitions = field(default_factory=dict)
    token: str = ""
    arriving: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()

    @property
    def state(self) -> str:
        """Where all that is written down."""
        return f"{_STATES}/{self.version:020d}-{self.token}.state"

    def staged(self, path: str) -> str:
        """The name of an arriving file until the edition is in the log."""
        return staged_by(self.token, path)


def new_token() -> str:
    """What a run names its staged files by, and its entry in the log."""
    return secrets.token_hex(8)


def staged_by(token: str, path: str) -> str:
    """Where the run of a token writes a file: no other run writes or deletes a file of that name."""
    return staged(f"{path}.{token}")


@dataclass(frozen=True)
class Publication:
    """A folder of published streams."""

    storage: Storage

    def open(self, terms: Mapping[str, Any]) -> Edition:
        """The newest edition, finished where its run has died; a folder that is empty gets its first one, without
        files.

        Raises UsageError where the folder holds what is not siltstone's, or was published on other terms.
        """
        for _ in range(_READS):
            paths = set(self.storage.objects()["path"])
            versions = _versions(paths)
            if not versions:
                self._begin(paths, terms)
                continue
            self._refuse_foreign(p for p in paths if p.endswith(".parquet") and not _is_ours(p))
            entry = self._entry(max(versions))
            self._refuse_terms(entry["terms"], terms)
            if (edition := self._edition(entry)) is not None:
                is_done = _entry_path(edition.version, "published") in paths
                if edition.version and (not is_done or any(edition.staged(p) in paths for p in edition.arriving)):
                    self.finish(edition)
                return edition
        raise LostRaceError(
            f"other runs publish to {self.storage.root} again and again", "Run again when they are done."
        )

    def spare(self, edition: Edition) -> frozenset[str]:
        """The files there that are not part of an edition: replaced, or left by runs that died a day ago or earlier.

        Raises StorageError when one that is part of it is missing.
        """
        there = self.storage.objects()
        modified_us = dict(zip(there["path"], there["modified_us"], strict=True))
        named = {edition.staged(f.path) if f.path in edition.arriving else f.path for f in edition.files}
        if missing := sorted(named - modified_us.keys()):
            raise StorageError(
                f"{len(missing):,} published files are missing in {self.storage.root}, such as {missing[0]}",
                "Restore them from a backup, or publish to another folder.",
            )
        named |= edition.arriving
        horizon_us = int(time.time() * 1_000_000) - _SAFE_AGE_US
        return frozenset(
            p
            for p in modified_us.keys() - named
            if _is_ours(p) or (modified_us[p] < horizon_us and _LEFT_BEHIND.fullmatch(p))
        )

    def describe(self, edition: Edition) -> None:
        """Write down what a new edition is, for its `commit`, and see to it that the disk has its files."""
        self.storage.sync([edition.staged(path) for path in sorted(edition.arriving)])
        self.storage.put(edition.state, _state(edition))

    def commit(self, edition: Edition, undo: Callable[[], None]) -> None:
        """Make an edition the newest one; `undo` is called where it surely is none and never will be.

        Raises LostRaceError when another run has published meanwhile, UnknownOutcomeError, or StorageError (nothing
        happened).
        """
        token = edition.token
        committed = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"version": edition.version, "token": token, "state": edition.state, "committed": committed}
        path = _entry_path(edition.version)
        try:
            is_mine = self.storage.put(path, json.dumps({**entry, "terms": dict(edition.terms)}).encode())
        except StorageError as failure:
            try:
                there = self.storage.read(path)
            except StorageError as error:
                raise UnknownOutcomeError(
                    f"the publication of edition {edition.version} failed and its log can't be read: {error}",
                    "Nothing was deleted. Run the same command again: it will find out and go on.",
                ) from error
            if there is None:
                if self.storage.is_local:  # elsewhere the call may still arrive, late
                    undo()
                raise failure
            is_mine = json.loads(there.data)["token"] == token
        # A run that slept so long that the entry in its place is gone could put its own there.
        if not is_mine or edition.version < max(_versions(self.storage.objects(_LOG)["path"])) - _KEPT_ENTRIES:
            undo()
            raise LostRaceError(
                f"another run has published to {self.storage.root} meanwhile; nothing of this one is part of it",
                "Run again: it goes on from what the other one published.",
            )

    def finish(self, edition: Edition) -> None:
        """Give the files of a committed edition their own names, make `_metadata` of it, each in one step, then delete
        what it has replaced."""
        before = self.storage.objects(FOLDER)
        newest, is_newest = edition, False
        while not is_newest:  # a slower run than this one may have put the `_metadata` of an older edition there
            self._show(newest)
            version = max(_versions(self.storage.objects(_LOG)["path"]))
            is_newest = version == newest.version
            newest = newest if is_newest else self._edition(self._entry(version)) or newest
        gone = sorted(edition.leaving - {f.path for f in newest.files})
        list(self.storage.ahead(self.storage.delete, [*gone, *_past(before, edition.version)]))
        self.storage.sync((), folders_of=[METADATA, *sorted(edition.arriving), *gone])
        self.storage.put(_entry_path(edition.version, "published"), b"")

    def _show(self, edition: Edition) -> None:
        """Let readers of the folder, and of `_metadata`, see an edition: all is written by then, and only renamed."""
        new = [(self._prepared(name, data), name) for name, data in self.summaries(edition)]
        names = [(edition.staged(p), p) for p in sorted(edition.arriving)]
        try:
            list(self.storage.ahead(lambda pair: self.storage.rename(*pair), names))
        except StorageError:
            if self.storage.read(_entry_path(edition.version, "published")) is None:
                raise
            # Another run has finished it, and a third one may have replaced the file.
        for written, name in new:
            if written:
                self.storage.rename(written, name)

    def summaries(self, edition: Edition) -> list[tuple[str, bytes]]:
        """The files over all files of an edition: the schema, and what their footers say."""
        keys_in_files = bool(edition.terms["keys_in_files"])
        footers = ((f.path, f.footer) for f in edition.files)
        common = common_metadata(keys_in_files=keys_in_files)
        return [(COMMON, common), (METADATA, whole_metadata(footers, keys_in_files=keys_in_files))]

    def _prepared(self, name: str, data: bytes) -> str:
        """Where the new content of a file waits; empty where it has that content."""
        there = self.storage.read(name)
        if there is not None and there.data == data:
            return ""
        new = f"{_NEW}/{secrets.token_hex(8)}"
        self.storage.put(new, data)
        return new

    def _begin(self, paths: Iterable[str], terms: Mapping[str, Any]) -> None:
        self._refuse_foreign(p for p in paths if not p.startswith(f"{FOLDER}/"))
        self.storage.make()
        entry = {"version": 0, "token": new_token(), "state": "", "committed": "", "terms": dict(terms)}
        self.storage.put(_entry_path(0), json.dumps(entry).encode())

    def _refuse_foreign(self, paths: Iterable[str]) -> None:
        if foreign := sorted(paths):
            shown = f"{', '.join(foreign[:3])}{' ...' if len(foreign) > 3 else ''}"
            raise UsageError(
                f"{self.storage.root} holds {len(foreign):,} files that siltstone did not publish: {shown}",
                "Give an empty folder, or move them away.",
            )

    def _refuse_terms(self, before: Mapping[str, Any], terms: Mapping[str, Any]) -> None:
        for name, what in (("table", "the table"), ("source", "source"), ("keys_in_files", "keys in files:")):
            if before[name] != terms[name]:
                raise UsageError(
                    f"{self.storage.root} was published from {what} {before[name]}, not {terms[name]}",
                    "Go on with that, or give another folder to publish to.",
                )

    def _entry(self, version: int) -> dict[str, Any]:
        fetched = self.storage.read(_entry_path(version))
        if fetched is None:
            raise StorageError(
                f"{self.storage.uri(_entry_path(version))} is gone", "Was the folder deleted? Run again."
            )
        try:
            entry: dict[str, Any] = json.loads(fetched.data)
        except ValueError as error:
            raise self._damaged(_entry_path(version), error) from error
        return entry

    def _edition(self, entry: Mapping[str, Any]) -> Edition | None:
        """The edition of an entry; None where a newer one has come and its state is gone."""
        if not entry["state"]:
            return Edition(entry["version"], entry["terms"])
        fetched = self.storage.read(entry["state"])
        if fetched is None:
            return None
        try:
            header = json.loads(pl.read_parquet_metadata(io.BytesIO(fetched.data))["siltstone"])
            files = [StreamFile(**row) for row in pl.read_parquet(io.BytesIO(fetched.data)).iter_rows(named=True)]
        except (pl.exceptions.PolarsError, KeyError, ValueError) as error:
            raise self._damaged(entry["state"], error) from error
        arriving, leaving = frozenset(header.get("arriving", ())), frozenset(header["leaving"])
        return Edition(entry["version"], entry["terms"], files, header["partitions"], entry["token"], arriving, leaving)

    def _damaged(self, path: str, error: Exception) -> StorageError:
        return StorageError(
            f"{self.storage.uri(path)} is damaged: {error}", "Restore it from a backup, or publish to another folder."
        )


def _state(edition: Edition) -> bytes:
    buffer = io.BytesIO()
    frame = pl.DataFrame({name: [getattr(f, name) for f in edition.files] for name in _FILES}, schema=_FILES)
    lists = {name: sorted(getattr(edition, name)) for name in ("arriving", "leaving")}
    header = {"partitions": edition.partitions, **lists}
    frame.write_parquet(buffer, metadata={"siltstone": json.dumps(header)})
    return buffer.getvalue()


def _is_ours(path: str) -> bool:
    return _OURS.fullmatch(path) is not None


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _versions(paths: Iterable[str]) -> list[int]:
    return [int(_stem(p)) for p in paths if re.fullmatch(rf"{_LOG}/\d+\.json", p)]


def _past(listed: pl.DataFrame, version: int) -> list[str]:
    """What nobody needs any more of siltstone's own folder once an edition is finished: states of editions before it,
    summaries that never got their names, and entries of the log that are a day old and far behind."""
    horizon_us = int(time.time() * 1_000_000) - _SAFE_AGE_US
    kept = {_STATES: version, _LOG: version - _KEPT_ENTRIES}
    gone = []
    for path, modified_us in listed.select("path", "modified_us").iter_rows():
        folder, number = path.rpartition("/")[0], _stem(path).partition("-")[0]
        is_old = folder == _STATES or modified_us < horizon_us
        if folder == _NEW or (folder in kept and is_old and number.isdecimal() and int(number) < kept[folder]):
            gone.append(path)
    return gone


def _entry_path(version: int, kind: str = "json") -> str:
    return f"{_LOG}/{version:020d}.{kind}"
