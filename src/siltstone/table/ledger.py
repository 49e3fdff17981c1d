"""Manifests and the ledger: what each run did with every source file, chained by parent, so that nothing is read twice.

A run's manifest is written before its commit; the commit's transaction version names it. A manifest that no commit
names is garbage. Every 50 runs a snapshot of the ledger stands for the chain before it. Manifests behind such a
snapshot may be folded: then one file has what many of them said (`folded_runs`).
"""

import io
import json
import secrets
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal, TypeVar

import polars as pl

from siltstone.errors import StorageError
from siltstone.model.accounts import Account, FileAccount
from siltstone.model.layout import FOLDER
from siltstone.model.run_header import RunHeader
from siltstone.model.table_format import FIRST, FOLDED, KEY, check_format, format_of, next_format
from siltstone.storage import Storage
from siltstone.table.folded_runs import AT, Runs, folded_paths, folded_since

SNAPSHOT_EVERY = 50
_TOKEN_BITS = 32

_LIST = pl.List(pl.String())
LEDGER = pl.Schema(
    {
        "path": pl.String(),
        "etag": pl.String(),
        "size": pl.Int64(),
        "sha256": pl.String(),
        "state": pl.String(),
        "rows_out": pl.Int64(),
        "records_quarantined": pl.Int64(),
        "duplicates_dropped": pl.Int64(),
        "keys_superseded": pl.Int64(),
        "folders": _LIST,
        "dataset": pl.String(),
    }
)
_MANIFEST = pl.Schema(
    {
        "path": pl.String(), "size": pl.Int64(), "etag": pl.String(), "sha256": pl.String(), "state": pl.String(),
        "lane": pl.String(), "reason": pl.String(), "time_units": pl.String(), "outputs": _LIST,
        "folders": _LIST, "rows_kept": pl.Int64(), "duplicates_kept": pl.Int64(), "modified_us": pl.Int64(),
        "records_in": pl.Int64(), "rows_out": pl.Int64(), "records_quarantined": pl.Int64(),
        "duplicates_dropped": pl.Int64(), "keys_superseded": pl.Int64(), "rows_split": pl.Int64(),
        "records_empty": pl.Int64(), "deferred": pl.Int64(), "keys_seen": pl.Int64(), "cells_stored": pl.Int64(),
        "nulls": pl.Int64(), "values_rescued": pl.Int64(), "rows_adopted": pl.Int64(),
        "cells_adopted": pl.Int64(), "dataset": pl.String(),
    }
)  # fmt: skip
_OF_ACCOUNT = [f.name for f in fields(Account)]
_OF_FILE = [n for n in _MANIFEST if n not in (*_OF_ACCOUNT, "time_units", "outputs", "folders", "dataset")]
ADJUSTED = "adjusted"  # the lane of an account of which rows of other files replaced some
NO_DATASET = ""  # of a source file that no run has read: only another writer's rows name it
EDITED = "edited"  # the state of a source file whose rows are as another writer left them
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Head:
    """A run's place in the chain: its number and its random token, both in the transaction version of its commit; and
    its manifest, where that has been read, so that it is read once."""

    run: int
    token: int
    manifest: bytes = field(default=b"", compare=False, repr=False)

    @property
    def version(self) -> int:
        return self.run << _TOKEN_BITS | self.token

    @property
    def name(self) -> str:
        return f"{self.run:08d}-{self.token:08x}"

    @classmethod
    def of_version(cls, version: int) -> "Head":
        return cls(version >> _TOKEN_BITS, version & ((1 << _TOKEN_BITS) - 1))

    @classmethod
    def of_header(cls, header: RunHeader) -> "Head":
        return cls(header.run, int(header.name.rpartition("-")[2], 16))

    @classmethod
    def after(cls, parent: "Head | None") -> "Head":
        return cls(parent.run + 1 if parent else 1, secrets.randbits(_TOKEN_BITS))


@dataclass(frozen=True)
class Ledger:
    """Every source file that a committed run has dealt with (columns as LEDGER, one row per path), and the header of
    the newest run (None before the first). `rows_out` are the file's rows in the table now, `folders` the partitions
    that hold them or the equals of its repeated lines. `format` is what the next run's header says of the table's."""

    head: Head | None
    entries: pl.DataFrame
    newest: RunHeader | None
    format: Mapping[str, Any] = field(default_factory=lambda: asdict(FIRST))

    def of(self, dataset: str) -> "Ledger":
        """The entries of one dataset alone, and of files that no run has read."""
        return replace(self, entries=self.entries.filter(pl.col("dataset").is_in([dataset, NO_DATASET])))

    def learned(self, dataset: str) -> Mapping[str, Any]:
        """What the newest run of a dataset knew: `zone`, `files named by`, `shift_hours`, `ratio`; empty before it."""
        return self.learned_by_dataset.get(dataset, {})

    @property
    def learned_by_dataset(self) -> dict[str, Mapping[str, Any]]:
        """The same of each dataset."""
        return self.newest.learned_by_dataset if self.newest else {}

    @property
    def grain(self) -> Literal["day", "month"] | None:
        """The grain of dates that the first run chose; None before it, and where there was none to choose."""
        return self.newest.grain if self.newest else None


def load(table: Storage, head: Head | None) -> Ledger:
    """The ledger as of a head: the newest snapshot on its chain and the manifests after it."""
    known: list[RunHeader] = []
    layers: list[pl.DataFrame] = []
    for runs in chain(table, head):
        known += runs.headers
        standing = runs.files.with_columns(
            rows_out=pl.col("rows_out") + pl.col("rows_kept"),
            duplicates_dropped=pl.col("duplicates_dropped") + pl.col("duplicates_kept"),
        )
        layers.append(standing.select(LEDGER.names()))
        if (snapshot := _snapshot(table, known[-1])) is not None:
            layers.append(snapshot)
            break
    entries = pl.concat(layers) if layers else LEDGER.to_frame()
    entries = entries.unique("path", keep="first", maintain_order=True)
    return Ledger(head, entries, known[0] if known else None, next_format((h.more for h in known), table.root))


def with_manifest(table: Storage, head: Head) -> Head:
    """The head with its manifest; `load` and the others don't read it again."""
    fetched = table.read(manifest_path(head))
    if fetched is None and (runs := folded_since(table, head.run, head.name)) is not None:
        own = runs.files.filter(pl.col(AT) == 0).drop(AT)
        return replace(head, manifest=_encoded(own, runs.headers[0].as_dict()))
    return replace(head, manifest=_read(table, manifest_path(head)) if fetched is None else fetched.data)


def check_head(table: Storage, head: Head, *, writes: bool) -> None:
    """Raise TableFormatError unless this siltstone may read a table whose newest run is the head, or with `writes` may
    write it. The head has its manifest."""
    header = _header(table, head.manifest, manifest_path(head))
    check_format(format_of(header.more, table.root), table.root, writes=writes)


def headers(table: Storage, head: Head | None) -> list[RunHeader]:
    """The header of every committed run, newest first."""
    return [header for runs in chain(table, head) for header in runs.headers]


def accounts(table: Storage, head: Head | None) -> pl.DataFrame:
    """The account of each source file as of a head, one row per path: that of the run which read it last."""
    manifests = [runs.files.drop(AT) for runs in chain(table, head)]
    frame = pl.concat(manifests) if manifests else _MANIFEST.to_frame()
    return frame.filter(pl.col("lane") != "noted").unique("path", keep="first", maintain_order=True)


def read_by(table: Storage, head: Head) -> pl.DataFrame:
    """The accounts of the source files that one run read, or whose edited rows it adopted; columns as in its
    manifest."""
    runs = next(chain(table, head))
    files = runs.files.filter(pl.col(AT) == 0).drop(AT)
    lane = pl.col("lane")
    return files.filter(lane != "noted", (lane != ADJUSTED) | (pl.col("state") == EDITED))


def files_of(header: RunHeader) -> set[str]:
    """The files in the table's folder that the run of a header was written to: its manifest, and its ledger
    snapshot. Where the run has been folded they may be gone."""
    snapshot = {_snapshot_path(header.ledger)} if header.ledger else set()
    return {f"{FOLDER}/runs/{header.name}.manifest", *snapshot}


def history(table: Storage, head: Head | None) -> tuple[list[RunHeader], pl.DataFrame]:
    """The header of every committed run, newest first, and what they did with the files that count today (columns as
    in a manifest, and `run`, its name): the newest version of each file, and where that gave no row, the one whose
    rows stay. Copies under a new etag are left out."""
    found: list[RunHeader] = []
    layers = [_MANIFEST.to_frame().with_columns(run=pl.lit(""), age=pl.lit(0, pl.Int64()))]
    for runs in chain(table, head):
        names = pl.Series(runs.names, dtype=pl.String())
        layers.append(runs.files.with_columns(run=names.gather(runs.files[AT]), age=pl.col(AT) + len(found)).drop(AT))
        found += runs.headers
    files = pl.concat(layers)
    age = pl.col("age")
    newest, with_rows = (
        age.min().over("path"),
        age.filter(pl.col("rows_kept") + pl.col("duplicates_kept") == 0).min().over("path"),
    )
    read = files.filter(~pl.col("lane").is_in(["noted", ADJUSTED]))
    counted = read.filter((age == newest) | (age == with_rows))
    return found, counted.drop("age")


def account_of(row: Mapping[str, Any]) -> FileAccount:
    """The account of a file again, from its row of a manifest."""
    account = Account(**{name: row[name] for name in _OF_ACCOUNT})
    units = json.loads(row["time_units"])
    lists = {name: row[name] for name in ("outputs", "folders")}
    return FileAccount(**{name: row[name] for name in _OF_FILE}, **lists, time_units=units, account=account)


def write_manifest(
    table: Storage,
    head: Head,
    ledger: Ledger,
    header: RunHeader,
    files: Sequence[FileAccount],
    dataset: str,
    datasets: Mapping[str, str] | None = None,
) -> None:
    """Write what a run is about to commit, and the ledger snapshot when one is due. The files are of one `dataset`, but
    for those with another one in `datasets`. The table has format 2 from a snapshot behind a fold on, from which vacuum
    may take away what older releases look for, and from accounts on that these do not understand.

    Raises TableFormatError, and writes nothing, where the table's format is none that this siltstone may write.
    """
    check_format(format_of({KEY: ledger.format}, table.root), table.root, writes=True)
    snapshot, format_now = "", dict(ledger.format)
    if head.run % SNAPSHOT_EVERY == 0:
        snapshot = head.name
        _put(table, _snapshot_path(snapshot), ledger.entries, {})
    if (snapshot and folded_paths(table)) or any(map(_is_for_format_2, files)):
        format_now = next_format([{KEY: ledger.format}], table.root, FOLDED)
    whole = replace(
        header,
        run=head.run,
        name=head.name,
        parent=ledger.head.version if ledger.head else None,
        ledger=snapshot,
        more={**header.more, KEY: format_now},
    )
    _put(table, manifest_path(head), _manifest(files, dataset, datasets or {}), whole.as_dict())


def _manifest(files: Sequence[FileAccount], dataset: str, datasets: Mapping[str, str]) -> pl.DataFrame:
    """A row per file, columns as _MANIFEST."""
    columns: dict[str, Any] = {name: [getattr(f, name) for f in files] for name in _OF_FILE}
    columns |= {name: [getattr(f.account, name) for f in files] for name in _OF_ACCOUNT}
    columns["time_units"] = _repeated(
        [tuple(f.time_units.items()) for f in files], lambda units: json.dumps(dict(units)), pl.String()
    )
    columns["outputs"] = _repeated([tuple(f.outputs) for f in files], list, _LIST)
    columns["folders"] = _repeated([(tuple(f.folders), tuple(f.outputs)) for f in files], _folders, _LIST)
    named = [datasets.get(f.path, dataset) for f in files] if datasets else []
    columns["dataset"] = named or pl.repeat(dataset, len(files), dtype=pl.String(), eager=True)
    frame = pl.DataFrame(columns, schema=_MANIFEST)
    if any(map(_is_for_format_2, files)):
        return frame
    return frame.drop("rows_adopted", "cells_adopted")  # which builds of before adopt don't know


def _is_for_format_2(file: FileAccount) -> bool:
    """Whether older releases do not understand an account: they would read an edited file again."""
    return file.state == EDITED or bool(file.account.rows_adopted or file.account.cells_adopted)


def _folders(folders_and_outputs: tuple[tuple[str, ...], tuple[str, ...]]) -> list[str]:
    folders, outputs = folders_and_outputs
    return sorted({*folders, *(output.rpartition("/")[0] for output in outputs)})


def _repeated(values: Sequence[K], made: Callable[[K], Any], dtype: pl.DataType) -> pl.Series:
    """What is made of each value, once for all equal ones: few differ, and polars takes 60 us for a list."""
    places: dict[K, int] = {}
    rows = [places.setdefault(value, len(places)) for value in values]
    return pl.Series([made(value) for value in places], dtype=dtype).gather(rows)


def manifest_path(head: Head) -> str:
    """The file in the table's folder that a run's manifest is kept in."""
    return f"{FOLDER}/runs/{head.name}.manifest"


def _snapshot_path(name: str) -> str:
    return f"{FOLDER}/ledger/{name}.ledger"


def chain(table: Storage, head: Head | None) -> Iterator[Runs]:
    """All committed runs as of a head, newest first: one by one, those that have been folded many at once."""
    while head is not None:
        path = manifest_path(head)
        fetched = None if head.manifest else table.read(path)
        if data := head.manifest or (fetched.data if fetched else b""):
            header, manifest = _parsed(table, path, data)
            runs = Runs(path, [header], manifest.with_columns(pl.lit(0, pl.Int64()).alias(AT)))
        elif (found := folded_since(table, head.run, head.name)) is not None:
            runs = replace(found, files=_completed(found.files.drop(AT)).with_columns(found.files[AT]))
        else:
            raise _missing(table, path)
        yield runs
        parent = runs.headers[-1].parent
        head = Head.of_version(parent) if parent is not None else None


def _snapshot(table: Storage, header: RunHeader) -> pl.DataFrame | None:
    """The ledger before a run; None where none was written with it, or it is gone since the run has been folded."""
    path = _snapshot_path(header.ledger)
    fetched = table.read(path) if header.ledger else None
    return None if fetched is None else _parsed(table, path, fetched.data)[1]


def _put(table: Storage, path: str, frame: pl.DataFrame, header: Mapping[str, Any]) -> None:
    if not table.put(path, _encoded(frame, header)):
        raise StorageError(f"{table.uri(path)} exists already", "Two runs drew the same token; run again.")


def _encoded(frame: pl.DataFrame, header: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata={"siltstone": json.dumps(header)})
    return buffer.getvalue()


def _parsed(table: Storage, path: str, data: bytes) -> tuple[RunHeader, pl.DataFrame]:
    """A manifest or snapshot, from its bytes."""
    header = _header(table, data, path)
    try:
        return header, _completed(pl.read_parquet(io.BytesIO(data)))
    except pl.exceptions.PolarsError as error:
        raise _damaged(table, path, error) from error


def _header(table: Storage, data: bytes, path: str) -> RunHeader:
    try:
        return RunHeader.from_dict(json.loads(pl.read_parquet_metadata(io.BytesIO(data))["siltstone"]))
    except (pl.exceptions.PolarsError, KeyError, ValueError) as error:
        raise _damaged(table, path, error) from error


def _damaged(table: Storage, path: str, error: Exception) -> StorageError:
    return StorageError(f"{table.uri(path)} is damaged: {error}", "Restore it from a backup.")


def _completed(frame: pl.DataFrame) -> pl.DataFrame:
    """A manifest or snapshot with the columns that came later."""
    names = _MANIFEST.names() if "lane" in frame.columns else LEDGER.names()
    missing = set(names).difference(frame.columns)
    if not missing:
        return frame
    later = {name: pl.lit("datalog") if name == "dataset" else pl.lit(0, pl.Int64()) for name in missing}
    return frame.with_columns(**later).select(names)


def _read(table: Storage, path: str) -> bytes:
    fetched = table.read(path)
    if fetched is None:
        raise _missing(table, path)
    return fetched.data


def _missing(table: Storage, path: str) -> StorageError:
    return StorageError(
        f"{table.uri(path)} is missing, though the table's log names it",
        "Restore the _siltstone folder of the table from a backup: without it a run can't tell what is new. Without a "
        f"backup siltstone repair {table.root} goes on from the run before; it first says what would be lost.",
    )
