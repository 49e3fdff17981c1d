"""The quarantine: every refused record and file with its place, reason and bytes, in files that only a commit names."""

import hashlib
import io
import uuid
from collections.abc import Iterable, Sequence

import polars as pl

from siltstone.formats.documents import BadRecord
from siltstone.model.layout import FOLDER
from siltstone.storage import Storage

QUARANTINE = pl.Schema(
    {
        "source_file": pl.String(),
        "line": pl.Int64(),
        "byte_offset": pl.Int64(),
        "reason": pl.String(),
        "raw": pl.Binary(),
        "raw_bytes": pl.Int64(),
        "raw_sha256": pl.String(),
    }
)
_FLUSH_BYTES = 32 << 20
_ENTRY_BYTES = 400  # of an entry in memory, beside what it says


class QuarantineWriter:
    """Collects one task's refusals; writes nothing when there are none, and never holds more than 32 MiB of them."""

    def __init__(self, table: Storage, raw_bytes: int) -> None:
        self._table, self._cap = table, raw_bytes
        self._rows: list[tuple[str, int | None, int | None, str, bytes, int, str]] = []
        self._held = 0
        self._name = ""
        self._parts = 0

    def add_record(self, source_file: str, bad: BadRecord) -> None:
        """A refused line; `line` counts from 1 in the quarantine."""
        self._add(source_file, bad.line + 1, bad.offset, bad.reason, bad.raw)

    def add_file(self, source_file: str, reason: str, raw: bytes) -> None:
        """A file refused as a whole, or damaged: its first bytes, or those of the record that the damage cut."""
        self._add(source_file, None, None, reason, raw)

    def close(self) -> str:
        """Write what is left; the name of the quarantine file, empty when nothing was refused."""
        self._flush()
        return self._name

    def _add(self, source_file: str, line: int | None, offset: int | None, reason: str, raw: bytes) -> None:
        kept = raw[: self._cap]
        self._rows.append((source_file, line, offset, reason, kept, len(raw), hashlib.sha256(raw).hexdigest()))
        self._held += _ENTRY_BYTES + len(kept) + len(reason)
        if self._held > _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._name = self._name or uuid.uuid4().hex
            buffer = io.BytesIO()
            pl.DataFrame(self._rows, schema=QUARANTINE, orient="row").write_parquet(buffer)
            self._table.put(_path(self._name, self._parts), buffer.getvalue())
            self._parts += 1
            self._rows, self._held = [], 0


_COLUMNS = tuple(QUARANTINE.names())


def read_quarantine(table: Storage, names: Iterable[str], columns: Sequence[str] = _COLUMNS) -> pl.DataFrame:
    """Every refusal in the named quarantine files, columns of QUARANTINE."""
    frames = []
    names = list(names)
    for name, fetched in zip(names, table.ahead(table.read, [_path(name, 0) for name in names]), strict=True):
        part = 0
        while fetched is not None:
            frames.append(pl.read_parquet(io.BytesIO(fetched.data), columns=list(columns)))
            part += 1
            fetched = table.read(_path(name, part))
    return pl.concat(frames) if frames else QUARANTINE.to_frame().select(columns)


def oldest_part(name: str) -> str:
    """The path of the part of a quarantine file that was written first."""
    return _path(name, 0)


def quarantine_file(name: str) -> str:
    """The path of a quarantine file, without the number of its part."""
    return f"{FOLDER}/quarantine/{name}"


def _path(name: str, part: int) -> str:
    return f"{quarantine_file(name)}-{part:04d}.quarantine"
