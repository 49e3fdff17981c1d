"""A small fleet and its lake in a temporary folder: what the end-to-end tests write, run and read back."""

import gzip
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable

from siltstone.config.load import load_config
from siltstone.config.model import Config
from siltstone.engine.tasks import Engine
from siltstone.ingest.job import compact
from siltstone.maintenance.describe import open_table
from siltstone.maintenance.optimize import optimize
from siltstone.maintenance.vacuum import vacuum
from siltstone.maintenance.verify import verify
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage
from siltstone.table.open import table_at
from siltstone.table.quarantine import read_quarantine

UPLOADED = 1_766_188_800  # 2025-12-20T00:00:00Z, when the first file of every world was uploaded
NOON = 1_765_339_200  # 2025-12-10T04:00:00Z, 12:00 on that day in Asia/Makassar (UTC+8)

MIDNIGHT = 1_765_382_400  # 2025-12-10T16:00:00Z, where 2025-12-11 begins in Asia/Makassar

_FILE_TIMES = itertools.count(UPLOADED)  # each write gets a time of its own, so that no two etags can be equal

Content = bytes | Sequence[Mapping[str, Any] | str]


def record(
    heartbeat: int | None = NOON, unit: str = "LD772", device: str = "SLS30I009", **fields: Any
) -> dict[str, Any]:
    """The base record; a test gives only what matters to it."""
    return {"heartbeat": heartbeat, "unitno": unit, "deviceid": device, **fields}


def ndjson(records: Sequence[Mapping[str, Any] | str]) -> bytes:
    """Records one per line; a text stands for itself."""
    return b"".join((r if isinstance(r, str) else json.dumps(r)).encode() + b"\n" for r in records)


def gz(text: bytes) -> bytes:
    return gzip.compress(text, mtime=0)


def put(path: Path, data: bytes) -> None:
    """Write one file, at a time of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    at = next(_FILE_TIMES)
    os.utime(path, (at, at))


def every_kind() -> dict[str, Content]:
    """Files of two sites and two days: a stray, duplicates, a misfit, a bad line, a bad file, bins that disagree about
    three columns. Of 38 records 35 become rows, 2 are duplicates and one is quarantined."""
    twice = record(MIDNIGHT + 1, n=1)
    return {
        "BRCB/AAA/2025121012": [record(NOON, "PM189", "AAA")],
        "BRCB/SLS30I009/2025121012": [record(NOON + s, x=s, VehicleSpeed=1) for s in range(30)],
        "BRCB/SLS30I009/2025121023": [record(MIDNIGHT - 1, x=0.5), twice, twice, "{"],
        "BRCB/SLS30I009/2025121100": [record(MIDNIGHT, x="late", vehiclespeed=None), twice],
        "BRCG/SLS30I623/2025121012": [record(NOON, "LD783", "SLS30I623", vehiclespeed=2, x=None, deep={"a": [1]})],
        "BRCG/SLS30I623/2025121013": b"no gzip",
    }


@dataclass(frozen=True)
class InProcess:
    """Runs each task where it is called; tests start no processes for it."""

    name: str = "local"

    def start(self) -> None:
        pass

    def warm_up(self, tasks: int, modules: Sequence[str]) -> None:
        pass

    def run(self, tasks: Sequence[Any], done: Any) -> list[Any]:
        return [task.run() for task in tasks]


@dataclass(frozen=True)
class World:
    """A folder of input and a lake; `settings` are `key=value` as on the command line."""

    root: Path
    engine: Engine = field(default_factory=InProcess)

    @property
    def input(self) -> Path:
        return self.root / "in"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def table(self) -> Path:
        return self.lake / "datalog"

    def path(self, place: str) -> Path:
        """The file of `SITE/device/YYYYMMDDHH`."""
        return self.input / place / f"{place.rsplit('/', 1)[1]}.txt.gz"

    def deliver(self, tree: Mapping[str, Content]) -> None:
        """Write files by `SITE/device/YYYYMMDDHH`; bytes as they are, records as gzipped NDJSON."""
        for place, content in tree.items():
            put(self.path(place), content if isinstance(content, bytes) else gz(ndjson(content)))

    def put(self, path: Path, data: bytes) -> None:
        """Write one file, at a time of its own."""
        put(path, data)

    def config(self, *settings: str) -> Config:
        return load_config([], settings)

    def compact(
        self, *settings: str, engine: Engine | None = None, source: Path | None = None, retry: bool = False
    ) -> dict[str, Any]:
        """Run the job and return its summary, once its accounts have been checked."""
        given, config = str(source or self.input), self.config(*settings)
        summary = compact(
            "datalog", given, str(self.lake), config, engine or self.engine, quiet, retry_quarantined=retry
        )
        assert unclosed(summary) == []
        return summary

    def settle(self, *settings: str, dry_run: bool = False, engine: Engine | None = None) -> dict[str, Any]:
        """Settle the table and return the summary."""
        table = open_table(str(self.lake), "datalog", self.config(*settings).storage)
        return optimize(table, self.config(*settings), engine or self.engine, quiet, dry_run=dry_run)

    def vacuum(self, *settings: str, dry_run: bool = False, force: bool = False) -> list[str]:
        """Vacuum the table; the names of the files that were deleted, or would be, sorted."""
        table = open_table(str(self.lake), "datalog", self.config(*settings).storage)
        summary = vacuum(table, self.config(*settings), quiet, dry_run=dry_run, force=force)
        return sorted(path.rpartition("/")[2] for path in summary.files)

    def age(self, hours: float, pattern: str = "*") -> None:
        """Make every file of the lake older, or those with such a name, as if nothing had been written since."""
        for path in self.lake.rglob(pattern):
            if path.is_file():
                at = path.stat().st_mtime - hours * 3600
                os.utime(path, (at, at))

    def verify(self, *settings: str) -> dict[str, Any]:
        """What verify finds in the table."""
        table = table_at(Storage(os.path.realpath(self.table)), DATALOG)
        return verify(table, self.config(*settings), self.engine, quiet)

    def frame(self, version: int | None = None) -> pl.DataFrame:
        """The table (at a version) as polars reads it, sorted by all columns; a source file is named by its place in
        the tree."""
        place = pl.col("source_file").str.strip_prefix(f"{os.path.realpath(self.input)}/").str.replace(r"/[^/]*$", "")
        frame = pl.scan_delta(str(self.table), version=version).with_columns(place).collect()
        return frame.sort("dstrct_code", "unitno", "deviceid", "ts", pl.all(), nulls_last=False)

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """The named columns of every row, sorted; dates, times and source files in a short form."""
        frame = self.frame().with_columns(
            pl.col("hiveperiod").cast(pl.String), pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S%.6f")
        )
        return sorted(frame.select(columns).rows(), key=_none_first)

    def quarantine(self) -> list[tuple[str, int | None, int | None, str, bytes]]:
        """Every refusal that a committed run names: place, line, offset, reason, raw bytes."""
        table = Storage(os.path.realpath(self.table))
        found = read_quarantine(table, [name for header in self.headers() for name in header["quarantine"]])
        root = f"{os.path.realpath(self.input)}/"
        return sorted(
            (
                (file.removeprefix(root).rpartition("/")[0], line, offset, reason, raw)
                for file, line, offset, reason, raw in found.select(
                    "source_file", "line", "byte_offset", "reason", "raw"
                ).rows()
            ),
            key=_none_first,
        )

    def headers(self, kind: str = "compact") -> list[dict[str, Any]]:
        """The headers of the committed runs of a kind, newest first."""
        from siltstone.table import ledger
        from siltstone.table.delta_table import Table

        table = Table(Storage(os.path.realpath(self.table)), DATALOG)
        snapshot = table.snapshot()
        headers = [] if snapshot is None else ledger.headers(table.storage, snapshot.head)
        return [h.as_dict() for h in headers if h.kind == kind]

    def actions(self, version: int | None = None) -> list[dict[str, Any]]:
        """The actions of one commit in the Delta log, the newest one by default."""
        number = self.version() if version is None else version
        entry = self.table / "_delta_log" / f"{number:020d}.json"
        return [json.loads(line) for line in entry.read_text().splitlines()]

    def stored(self) -> dict[str, int]:
        """The table's data files and their sizes in bytes, as they lie on the disk."""
        paths = [unquote(path) for path in pa.table(DeltaTable(str(self.table)).get_add_actions())["path"].to_pylist()]
        return {path: (self.table / path).stat().st_size for path in sorted(paths)}

    def version(self) -> int:
        """The newest version in the Delta log."""
        return max(int(p.stem) for p in (self.table / "_delta_log").glob("*.json"))

    def files(self) -> list[str]:
        """Every file of the lake, committed or not."""
        return sorted(str(p.relative_to(self.lake)) for p in self.lake.rglob("*") if p.is_file())


def unclosed(summary: Mapping[str, Any]) -> list[str]:
    """The sums of a summary that do not close."""
    s = summary
    sums = {
        "records": (
            s["records_in"] + s["rows_split"],
            s["rows_out"]
            + s["records_quarantined"]
            + s["duplicates_dropped"]
            + s["keys_superseded"]
            + s["records_empty"],
        ),
        "cells": (s["keys_seen"], s["cells_stored"] + s["nulls"] + s["values_rescued"]),
        "files": (
            s["files_listed"],
            s["files_ingested"]
            + s["files_skipped"]
            + s["files_quarantined"]
            + s["files_deferred"]
            + s["files_changed"],
        ),
    }
    return [f"{name}: {whole} is not {parts}" for name, (whole, parts) in sums.items() if whole != parts]


def quiet(what: str, files: int, of: int, byte_count: int) -> None:
    """A progress that says nothing."""


def _none_first(row: tuple[Any, ...]) -> tuple[tuple[bool, str, Any], ...]:
    return tuple((v is not None, type(v).__name__, v) for v in row)
