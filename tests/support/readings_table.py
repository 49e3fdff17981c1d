"""A lake with a table of readings, written without a source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from siltstone.model.access import Access
from siltstone.model.contracts import READINGS
from siltstone.model.data_files import NewFile, Sizes
from siltstone.model.run_header import RunHeader
from siltstone.model.schema import base_schema
from siltstone.storage import open_root
from siltstone.table import ledger
from siltstone.table.delta_table import Change, Table
from siltstone.table.ledger import Head
from siltstone.table.open import table_at
from siltstone.table.writer import PartitionWriter, WriterSettings

_SCHEMA = base_schema(READINGS)
_TYPES: dict[str, Any] = {"double": pl.Float64(), "int": pl.Int32(), "bigint": pl.Int64(), "string": pl.String()}
_COLUMNS: dict[str, Any] = {
    "ts": pl.Datetime("us", "UTC"),
    **{c.name: _TYPES[c.kind] for c in _SCHEMA.columns},
    "source_file": pl.String(),
    "_rescued": pl.String(),
    "site": pl.String(),
}

Row = Mapping[str, Any]


def reading(series: str, at: str, value: float | None = 1.5, **more: Any) -> Row:
    """The base reading, of `at` such as 2015-01-01T00:15; a test gives only what matters to it."""
    return {
        "series_id": series,
        "ts": datetime.fromisoformat(at).replace(tzinfo=UTC),
        "value": value,
        "source": "mortar",
        "site": "bldg1",
        "device_id": f"urn:bldg1/{series[:4]}",
        "measurement": series[:4],
        "kind": "double",
        "quality": "good",
        "ts_nanos": 0,
        **more,
    }


def quarters(series: str, day: str, count: int, **more: Any) -> list[Row]:
    """A reading every 15 minutes from the day's begin, with the values 0, 1, 2, ..."""
    start = datetime.fromisoformat(day)
    return [reading(series, (start + timedelta(minutes=15 * i)).isoformat(), float(i), **more) for i in range(count)]


@dataclass
class Readings:
    """The table LAKE/readings, and its rows by day, file after file."""

    lake: str
    access: Access = field(default_factory=Access)
    kind: str = "auto"

    @property
    def table(self) -> Table:
        return table_at(open_root(self.lake, self.access).child("readings"), READINGS, self.kind)

    def add(self, rows: Sequence[Row], *, replaces: Sequence[tuple[str, str]] = ()) -> None:
        """Commit rows, one data file per day and site; `replaces` takes out all files of those (day, site) first."""
        table = self.table
        if table.snapshot() is None:
            table.create()
        snapshot = table.snapshot()
        assert snapshot is not None
        outputs = [o for day, site in sorted({_place(r) for r in rows}) for o in _written(table, rows, day, site)]
        removed = [s for s in table.files(snapshot) if s.partition in replaces]
        head = Head.after(snapshot.head)
        header = {
            "kind": "compact",
            "zone": "UTC",
            "committed": datetime.now(UTC).isoformat(timespec="seconds"),
            "removed": [s.path for s in removed],
            "outputs": [o.as_dict() for o in outputs],
            "quarantine": [],
            "columns": [],
        }
        known = ledger.load(table.storage, snapshot.head)
        ledger.write_manifest(table.storage, head, known, RunHeader.from_dict(header), [], dataset="tests")
        table.commit(Change(head, outputs, {}, removed=removed), snapshot)


def _place(row: Row) -> tuple[str, str]:
    return row["ts"].date().isoformat(), row["site"]


def _written(table: Table, rows: Sequence[Row], day: str, site: str) -> list[NewFile]:
    own = pl.DataFrame([r for r in rows if _place(r) == (day, site)], schema=_COLUMNS).drop("site")
    writing = WriterSettings(table.storage, Sizes(1 << 30, 1, 1 << 30), 1 << 30, table.is_staged)
    writer = PartitionWriter(writing, READINGS, (day, site), schema=lambda: _SCHEMA)
    writer.write(own.sort("series_id", "ts").to_arrow(compat_level=pl.CompatLevel.oldest()), breaks=False)
    writer.close()
    return writer.outputs


def two_hours(lake: Path) -> Readings:
    """Readings of one series `a`, every quarter of an hour of the first two hours of 2025-12-01."""
    found = Readings(str(lake))
    found.add(quarters("a", "2025-12-01", 8))
    return found
