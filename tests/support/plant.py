"""A plant, a building and whatever else writes into one lake of readings: what the tests of keyed sources run."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastavro
import polars as pl

from siltstone.config.load import load_config
from siltstone.config.model import Config
from siltstone.engine.tasks import Engine
from siltstone.ingest.job import compact
from siltstone.maintenance.describe import open_table
from siltstone.maintenance.optimize import optimize
from siltstone.maintenance.verify import verify
from support.fleet import InProcess, put, quiet, unclosed

ASSET = "e9687d2a-0dbe-4f65-9ed6-6f443cba41f7"
PROPERTY = "95e63da7-d34e-43e1-bc6f-1b490154b07a"
SERIES = f"{ASSET}_{PROPERTY}"
NOON = 1_625_745_600  # 2021-07-08T12:00:00Z

_NULLABLE = {
    "doubleValue": "double", "stringValue": "string", "integerValue": "int", "booleanValue": "boolean",
    "jsonValue": "string", "recordVersion": "long",
}  # fmt: skip
_RAW = fastavro.parse_schema(
    {
        "type": "record",
        "name": "RawDatum",
        "fields": [
            {"name": "seriesId", "type": "string"},
            {"name": "timeInSeconds", "type": "long"},
            {"name": "offsetInNanos", "type": "long"},
            {"name": "quality", "type": "string"},
            *({"name": name, "type": ["null", kind], "default": None} for name, kind in _NULLABLE.items()),
        ],
    }
)


def raw(*values: tuple[int, float | None, int | None], series: str = SERIES, codec: str = "null") -> bytes:
    """A SiteWise file of (seconds after noon, value, version)."""
    rows = [
        {"seriesId": series, "timeInSeconds": NOON + s, "offsetInNanos": 0, "quality": "GOOD",
         "doubleValue": value, "recordVersion": version}
        for s, value, version in values
    ]  # fmt: skip
    buffer = io.BytesIO()
    fastavro.writer(buffer, _RAW, rows, codec=codec, sync_marker=b"0123456789abcdef")
    return buffer.getvalue()


def raw_path(number: int, series: str = SERIES, day: int = 8) -> str:
    """Where the export puts a series' file; `number` tells files of a day apart."""
    bucket = "a3" if series == SERIES else "b4"
    folder = f"raw/startYear=2021/startMonth=7/startDay={day}/seriesBucket={bucket}"
    return f"{folder}/raw_{series}_{NOON + (day - 8) * 86_400 + number}_GOOD.avro"


@dataclass(frozen=True)
class Plant:
    """Folders of input by source, and a lake."""

    root: Path
    engine: Engine = field(default_factory=InProcess)

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    def input(self, source: str) -> Path:
        return self.root / "in" / source

    def deliver(self, source: str, files: Mapping[str, bytes]) -> None:
        """Write files at a time of their own."""
        for path, data in files.items():
            put(self.input(source) / path, data)

    def config(self, *settings: str, conf: Sequence[str] = ()) -> Config:
        return load_config(conf, settings)

    def compact(
        self, source: str, *settings: str, conf: Sequence[str] = (), engine: Engine | None = None, **chosen: Any
    ) -> dict[str, Any]:
        """Run the job, check its accounts, and return the summary: of several tables by their name."""
        given = str(self.input(source.partition(".")[0]))
        config = self.config(*settings, conf=conf)
        summary = compact(source, given, str(self.lake), config, engine or self.engine, quiet, **chosen)
        tables = summary.get("tables", [summary])
        for table in tables:
            assert unclosed(table) == []
        return {t["table"].rpartition("/")[2]: t for t in tables} if "tables" in summary else summary

    def settle(self, table: str = "readings", *settings: str) -> dict[str, Any]:
        config = self.config(*settings)
        return optimize(open_table(str(self.lake), table, config.storage), config, self.engine, quiet)

    def problems(self, table: str = "readings", *settings: str, conf: Sequence[str] = ()) -> list[str]:
        """What verify finds."""
        config = self.config(*settings, conf=conf)
        found = verify(open_table(str(self.lake), table, config.storage), config, self.engine, quiet)
        return list(found["problems"])

    def frame(self, table: str = "readings") -> pl.DataFrame:
        return pl.scan_delta(str(self.lake / table)).collect()

    def rows(self, *columns: str, table: str = "readings") -> list[tuple[Any, ...]]:
        """The named columns of every row, sorted; `s` is the instant in seconds after noon."""
        frame = self.frame(table)
        if "ts" in frame.columns:
            frame = frame.with_columns(s=pl.col("ts").dt.epoch("us") / 1e6 - NOON)
        return sorted(frame.select(columns).rows(), key=lambda row: [(v is not None, str(type(v)), v) for v in row])

    def accounts(self, table: str = "readings") -> dict[str, dict[str, int]]:
        """What counts as of now for each source file, by its name."""
        from siltstone.table import ledger

        opened = open_table(str(self.lake), table, self.config().storage)
        snapshot = opened.snapshot()
        assert snapshot is not None
        names = ("records_in", "rows_out", "duplicates_dropped", "keys_superseded", "rows_kept")
        found = ledger.accounts(opened.storage, snapshot.head)
        return {row["path"].rpartition("/")[2]: {n: row[n] for n in names} for row in found.iter_rows(named=True)}

    def log(self, table: str = "readings") -> list[dict[str, Any]]:
        """The actions of the newest commit."""
        entries = sorted((self.lake / table / "_delta_log").glob("*.json"))
        return [json.loads(line) for line in entries[-1].read_text().splitlines()]
