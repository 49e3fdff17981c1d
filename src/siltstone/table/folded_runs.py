"""Old runs of the chain in one file: their headers and the accounts of their files, in the place of a manifest each.

`vacuum` writes such files and takes away the manifests that they stand for; no file is ever changed. All that the
manifests say is in it, so that nothing that reads the chain can tell the difference.
"""

import base64
import io
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from siltstone.errors import StorageError
from siltstone.model.layout import FOLDER
from siltstone.model.run_header import RunHeader
from siltstone.storage import Storage

AT = "at"
_ENDING = ".runs"


@dataclass(frozen=True)
class Runs:
    """Runs that follow one another in the chain: their headers, newest first; the accounts of their files (columns as
    in a manifest, and AT: the place of the run in `headers`), and where in the table's folder both are kept."""

    path: str
    headers: Sequence[RunHeader]
    files: pl.DataFrame

    @property
    def names(self) -> list[str]:
        """How the runs are called."""
        return [header.name for header in self.headers]

    def since(self, name: str) -> "Runs":
        """The run of that name and those before it."""
        at = self.names.index(name)
        files = self.files.filter(pl.col(AT) >= at).with_columns(pl.col(AT) - at)
        return replace(self, headers=self.headers[at:], files=files)


def joined(parts: Sequence[Runs]) -> Runs:
    """The runs of several parts of the chain, newest first, as those of one file."""
    headers: list[RunHeader] = []
    files = []
    for part in parts:
        files.append(part.files.with_columns(pl.col(AT) + len(headers)))
        headers += part.headers
    path = f"{FOLDER}/ledger/{headers[0].name}-{len(headers)}{_ENDING}"
    return Runs(path, headers, pl.concat(files))


def write_folded(table: Storage, runs: Runs) -> None:
    """Write runs to their file, and read it back: StorageError where that does not give the same."""
    said = json.dumps([header.as_dict() for header in runs.headers], separators=(",", ":")).encode()
    metadata = {"siltstone": base64.b85encode(zlib.compress(said)).decode()}
    buffer = io.BytesIO()
    runs.files.write_parquet(buffer, metadata=metadata)
    table.put(runs.path, buffer.getvalue())  # where it is there already, another vacuum has written the same
    back = read_folded(table, runs.path)
    if list(back.headers) != list(runs.headers) or not back.files.equals(runs.files):
        raise StorageError(
            f"{table.uri(runs.path)} does not say what the manifests say that it stands for",
            "Nothing was deleted. Move that file away, then run again.",
        )


def read_folded(table: Storage, path: str) -> Runs:
    """The runs of a file."""
    fetched = table.read(path)
    if fetched is None:
        raise StorageError(
            f"{table.uri(path)} is gone", "Run again; if it stays so, restore the _siltstone folder from a backup."
        )
    try:
        packed = pl.read_parquet_metadata(io.BytesIO(fetched.data))["siltstone"]
        headers = [RunHeader.from_dict(row) for row in json.loads(zlib.decompress(base64.b85decode(packed)))]
        return Runs(path, headers, pl.read_parquet(io.BytesIO(fetched.data)))
    except (pl.exceptions.PolarsError, KeyError, ValueError, zlib.error) as error:
        raise StorageError(f"{table.uri(path)} is damaged: {error}", "Restore it from a backup.") from error


def folded_paths(table: Storage) -> list[str]:
    """The files of folded runs, those with the oldest runs first."""
    found = table.objects(f"{FOLDER}/ledger")["path"]
    return sorted(path for path in found if path.endswith(_ENDING))


def folded_since(table: Storage, run: int, name: str) -> Runs | None:
    """A run and those before it, as far as the file goes that has it; None where none has."""
    for path in folded_paths(table):
        newest = int(path.rpartition("/")[2].partition("-")[0])
        if newest >= run and name in (found := read_folded(table, path)).names:
            return found.since(name)
    return None
