"""A published folder and its editions: which files are part of it, from which data files of the table they are.

`_siltstone/log/{version}.json` is created in one step and makes an edition true, so of two runs that publish at once
one is refused. `_metadata` is made of the newest edition; whoever comes next does it for a run that died. Files of an
edition that came before, and of runs that died, are deleted by the run whose edition does not name them. They are
listed in it, since a run under way could otherwise take one of them, which has the content that it would write, for its
own.
"""

import io
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any

import polars as pl

from siltstone.errors import LostRaceError, StorageError, UnknownOutcomeError, UsageError
from siltstone.publishing.mortar_layout import FILE_PATTERN, common_metadata, whole_metadata
from siltstone.storage import Storage

FOLDER = "_siltstone"
METADATA, COMMON = "_metadata", "_common_metadata"
_LOG, _STATES, _NEW = (f"{FOLDER}/{name}" for name in ("log", "states", "new"))
_OURS = re.compile(rf"{FILE_PATTERN}(#\d+)?")  # also what a store leaves behind of a file cut short
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
    """What is published: its files, the partitions of the table that they show, and on which `terms`."""

    version: int
    terms: Mapping[str, Any]
    files: Sequence[StreamFile] = ()
    partitions: Partitions = field(default_factory=dict)
    leaving: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Publication:
    """A folder of published streams."""

    storage: Storage

    def open(self, terms: Mapping[str, Any]) -> Edition:
        """The newest edition; a folder that is empty gets its first one, without files.

        Raises UsageError where the folder holds what is not siltstone's, or was published on other terms.
        """
        for _ in range(_READS):
            paths = self.storage.objects()["path"].to_list()
            versions = _versions(paths)
            if not versions:
                self._begin(paths, terms)
                continue
            self._refuse_foreign(p for p in paths if p.endswith(".parquet") and not _is_ours(p))
            entry = self._entry(max(versions))
            self._refuse_terms(entry["terms"], terms)
            if (edition := self._edition(entry)) is not None:
                return edition
        raise LostRaceError(
            f"other runs publish to {self.storage.root} again and again", "Run again when they are done."
        )

    def spare(self, edition: Edition) -> frozenset[str]:
        """The files there that are not part of an edition: of runs that died, or replaced.

        Raises StorageError when one that is part of it is missing.
        """
        named, there = {f.path for f in edition.files}, set(self.storage.objects()["path"])
        if missing := sorted(named - there):
            raise StorageError(
                f"{len(missing):,} published files are missing in {self.storage.root}, such as {missing[0]}",
                "Restore them from a backup, or publish to another folder.",
            )
        return frozenset(p for p in there - named if _is_ours(p))

    def is_finished(self, edition: Edition) -> bool:
        """Whether `_metadata` was made of this edition and what it has replaced was deleted."""
        return self.storage.read(_entry_path(edition.version, "published")) is not None

    def commit(self, edition: Edition) -> None:
        """Make an edition the newest one.

        Raises LostRaceError when another run has published meanwhile, UnknownOutcomeError, or StorageError (nothing
        happened).
        """
        token = secrets.token_hex(8)
        state = f"{_STATES}/{edition.version:020d}-{token}.state"
        self.storage.put(state, _state(edition))
        committed = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"version": edition.version, "token": token, "state": state, "committed": committed}
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
                raise failure
            is_mine = json.loads(there.data)["token"] == token
        if not is_mine:
            self.storage.delete(state)
            raise LostRaceError(
                f"another run has published to {self.storage.root} meanwhile; nothing of this one is part of it",
                "Run again: it goes on from what the other one published.",
            )

    def finish(self, edition: Edition) -> None:
        """Make `_metadata` of a committed edition, each file in one step, then delete what it has replaced."""
        before = self.storage.objects(FOLDER)["path"].to_list()
        newest: Edition | None = edition
        while newest is not None:  # a slower run than this one may have put the `_metadata` of an older edition there
            for name, data in self.summaries(newest):
                self._replace(name, data)
            version = max(_versions(self.storage.objects(_LOG)["path"].to_list()))
            newest = None if version == newest.version else self._edition(self._entry(version)) or newest
        gone = [p for p in before if p.startswith(f"{_STATES}/") and int(_stem(p).partition("-")[0]) < edition.version]
        gone += [p for p in before if p.startswith(f"{_NEW}/")]
        list(self.storage.ahead(self.storage.delete, [*sorted(edition.leaving), *gone]))
        self.storage.put(_entry_path(edition.version, "published"), b"")

    def summaries(self, edition: Edition) -> list[tuple[str, bytes]]:
        """The files over all files of an edition: the schema, and what their footers say."""
        keys_in_files = bool(edition.terms["keys_in_files"])
        footers = ((f.path, f.footer) for f in edition.files)
        common = common_metadata(keys_in_files=keys_in_files)
        return [(COMMON, common), (METADATA, whole_metadata(footers, keys_in_files=keys_in_files))]

    def _replace(self, name: str, data: bytes) -> None:
        there = self.storage.read(name)
        if there is None or there.data != data:
            new = f"{_NEW}/{secrets.token_hex(8)}"
            self.storage.put(new, data)
            self.storage.rename(new, name)

    def _begin(self, paths: Sequence[str], terms: Mapping[str, Any]) -> None:
        self._refuse_foreign(p for p in paths if not p.startswith(f"{FOLDER}/"))
        self.storage.make()
        entry = {"version": 0, "token": secrets.token_hex(8), "state": "", "committed": "", "terms": dict(terms)}
        self.storage.put(_entry_path(0), json.dumps(entry).encode())

    def _refuse_foreign(self, paths: Any) -> None:
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
        leaving = frozenset(header["leaving"])
        return Edition(entry["version"], entry["terms"], files, header["partitions"], leaving)

    def _damaged(self, path: str, error: Exception) -> StorageError:
        return StorageError(
            f"{self.storage.uri(path)} is damaged: {error}", "Restore it from a backup, or publish to another folder."
        )


def _state(edition: Edition) -> bytes:
    buffer = io.BytesIO()
    frame = pl.DataFrame({name: [getattr(f, name) for f in edition.files] for name in _FILES}, schema=_FILES)
    header = {"partitions": edition.partitions, "leaving": sorted(edition.leaving)}
    frame.write_parquet(buffer, metadata={"siltstone": json.dumps(header)})
    return buffer.getvalue()


def _is_ours(path: str) -> bool:
    return _OURS.fullmatch(path) is not None


def _stem(path: str) -> str:
    return path.rpartition("/")[2].partition(".")[0]


def _versions(paths: Sequence[str]) -> list[int]:
    return [int(_stem(p)) for p in paths if re.fullmatch(rf"{_LOG}/\d+\.json", p)]


def _entry_path(version: int, kind: str = "json") -> str:
    return f"{_LOG}/{version:020d}.{kind}"
