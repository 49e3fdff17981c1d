"""An organization's export from Haltian's Data API: hourly Parquet files of six measurements and two entities.

Real layout, columns and types; made values, the same everywhere. An hour's file of a measurement repeats the three
hours before it, and has no rows at night; that of an entity has every row that there is.
"""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from readings_truth import Reading, ReadingsTruth, Series, series_of, states_of

START = 1_764_547_200
"""2025-12-01 00:00 UTC, a Monday."""
HOUR_MS = 3_600_000
REPEATED_HOURS = 4
TIME = pa.timestamp("ms", tz="UTC")

_NO_PARENT = "00000000-0000-0000-0000-000000000000"
Snapshot = tuple[int, dict[str, dict[str, Any]]]
"""Its epoch second, and rows by id."""


@dataclass(frozen=True)
class Measurement:
    """Devices [first, last) send it once in each `every_s` seconds, or by day and on weekdays only; `values` draws so
    many of each column."""

    entity: str
    types: dict[str, pa.DataType]
    devices: tuple[int, int]
    every_s: int
    by_day: bool
    values: Callable[[np.random.Generator, int], list[np.ndarray]]


@dataclass(frozen=True)
class Export:
    """How many hours it spans, and how many of the devices that a measurement has take part, one of `thinned`."""

    hours: int = 24 * 60
    thinned: int = 10

    @property
    def files(self) -> int:
        return self.hours * (len(MEASUREMENTS) + 2)


DEVICES, SPACES = 300, 44
MEASUREMENTS = (  # floats are such that 32 bits hold them exactly
    Measurement(
        "measurementAmbientTemperature",
        {"ambientTemperature": pa.float32()},
        (0, 150),
        300,
        False,
        lambda random, count: [(320 + random.integers(-40, 41, count)) / 16],
    ),
    Measurement(
        "measurementCO2",
        {"co2": pa.float32()},
        (0, 150),
        600,
        False,
        lambda random, count: [random.integers(800, 2_400, count) / 2],
    ),
    Measurement(
        "measurementDistance",
        {"distance": pa.decimal128(10, 0)},
        (150, 200),
        300,
        False,
        lambda random, count: [random.integers(200, 4_000, count, np.int32)],
    ),
    Measurement(
        "measurementOccupancyStatus",
        {"status": pa.int8()},
        (100, 300),
        600,
        True,
        lambda random, count: [random.integers(0, 2, count)],
    ),
    Measurement(
        "measurementOccupantsCount",
        {"occupantsCount": pa.int32()},
        (100, 300),
        600,
        True,
        lambda random, count: [random.integers(0, 9, count)],
    ),
    Measurement(
        "measurementDirectionalMovement",
        {"entries": pa.int32(), "exits": pa.int32()},
        (200, 240),
        300,
        True,
        lambda random, count: list(random.integers(0, 12, (2, count))),
    ),
)


def write_export(root: Path, export: Export) -> ReadingsTruth:
    """Write `{entity}/{YYYY}/{MM}/{YYYY}_{MM}_{DD}_{HH}_{entity}.parquet` below `root`."""
    random = np.random.default_rng(20251202)
    organization = _uuid(random)
    devices = np.array([_uuid(random) for _ in range(DEVICES)])
    series = [s for m in MEASUREMENTS for s in _write_measurement(root, export, m, organization, devices, random)]
    entities = {}
    for entity, schema, snapshots in (
        ("device", DEVICE, _devices(export.hours, organization, devices.tolist())),
        ("space", SPACE, _spaces(export.hours, organization, [_uuid(random) for _ in range(SPACES)])),
    ):
        kept = list(snapshots)
        for second, rows in kept:
            _write(root, entity, second, pa.Table.from_pylist(list(rows.values()), schema))
        entities[entity] = states_of(kept)
    sites = {organization: sum(s.rows for s in series)}
    return ReadingsTruth(series, {"site": sites}, entities)


def _write_measurement(
    root: Path,
    export: Export,
    measurement: Measurement,
    organization: str,
    devices: np.ndarray,
    random: np.random.Generator,
) -> Iterator[Series]:
    """Write a file for each hour; the series, one for each device and column."""
    ts, device = _events(random, export, measurement)
    types, values = measurement.types, measurement.values(random, len(ts))
    for hour in range(1, export.hours + 1):
        end = START * 1_000 + hour * HOUR_MS
        rows = slice(*np.searchsorted(ts, (end - REPEATED_HOURS * HOUR_MS, end)))
        names = pa.array(devices[device[rows]])
        columns = {"deviceId": names, "ts": pa.array(ts[rows], pa.int64()).cast(TIME)}
        columns["organizationId"] = pa.array([organization] * len(names), pa.string())
        for (name, kind), column in zip(types.items(), values, strict=True):
            columns[name] = pa.array(column[rows]).cast(kind)
        _write(root, measurement.entity, end // 1_000, pa.table(columns))
    for number in np.unique(device):
        mine = device == number
        for column in values:
            pairs = zip((ts[mine] * 1_000).tolist(), column[mine].tolist(), strict=True)
            yield series_of(Reading(us, value=float(value)) for us, value in pairs)


def _events(random: np.random.Generator, export: Export, measurement: Measurement) -> tuple[np.ndarray, np.ndarray]:
    """Times in epoch ms, ascending, and numbers of devices: one at a random moment of each of a device's slots."""
    slot_ms = measurement.every_s * 1_000
    slots = np.arange(export.hours * HOUR_MS // slot_ms) * slot_ms
    if measurement.by_day:
        hour = slots // HOUR_MS
        slots = slots[(hour % 24 >= 6) & (hour % 24 < 18) & (hour // 24 % 7 < 5)]
    numbers = np.arange(*measurement.devices, export.thinned)
    ts = START * 1_000 + slots[:, None] + random.integers(0, slot_ms, (len(slots), len(numbers)))
    device = np.broadcast_to(numbers, ts.shape).ravel()
    order = np.argsort(ts.ravel(), kind="stable")
    return ts.ravel()[order], device[order]


def _text(*names: str) -> list[pa.Field]:
    return [pa.field(name, pa.string()) for name in names]


def _times(*names: str) -> list[pa.Field]:
    return [pa.field(name, TIME) for name in names]


DEVICE = pa.schema(
    [
        *_text("id", "name", "organizationId", "model", "externalId", "tuid", "installationStatus"),
        *_times("manufacturingDate", "shippingDate", "warrantyDate", "createdTs", "updatedTs", "lastSeen"),
        pa.field("wirepasNodeId", pa.uint32()),
        pa.field("wirepasNetworkId", pa.uint32()),
        *_text(
            "imei", "iccid", "bluetoothMac", "bluetoothMac2", "lanMac", "wifiMac", "customerLabelId", "vendorSerial"
        ),
    ]
)
SPACE = pa.schema(
    [
        *_text("id", "name", "organizationId", "parentSpaceId", "type", "positionGlobal"),
        pa.field("northVector", pa.float32()),
        *_times("createdTs", "updatedTs"),
    ]
)


def _devices(hours: int, organization: str, ids: list[str]) -> Iterator[Snapshot]:
    """Every tenth device is renamed at its own hour, every thirtieth is missing for ten hours, every fiftieth is
    deleted, every seventh comes later."""
    for hour in range(1, hours + 1):
        rows = {}
        for number, key in enumerate(ids):
            turn = 1 + number * 37 % hours
            renamed = number % 10 == 0 and hour >= turn
            missing = number % 30 == 1 and turn <= hour < turn + 10
            deleted = number % 50 == 2 and hour >= turn
            if missing or deleted or (number % 7 == 3 and hour < turn):
                continue
            rows[key] = {
                "id": key,
                "name": f"Sensor {number}{' moved' * renamed}",
                "organizationId": organization,
                "model": "com.haltian.device.tsar02",
                "tuid": f"TSAR02B{number:08}",
                "installationStatus": "installed" if renamed or number % 3 else "new",
                "manufacturingDate": _ms(-number * 86_400),
                "createdTs": _ms(-3_600 * number),
                "updatedTs": _ms(turn * 3_600) if renamed else None,
                "wirepasNodeId": 4_000_000_000 + number,
                "wirepasNetworkId": 1_234_567,
            }
        yield START + hour * 3_600, rows


def _spaces(hours: int, organization: str, ids: list[str]) -> Iterator[Snapshot]:
    """A location with three buildings and their floors, some of which are renamed."""
    for hour in range(1, hours + 1):
        rows = {}
        for number, key in enumerate(ids):
            turn = 1 + number * 53 % hours
            renamed = number % 4 == 1 and hour >= turn
            parent = _NO_PARENT if number == 0 else ids[0] if number <= 3 else ids[1 + number % 3]
            rows[key] = {
                "id": key,
                "name": f"Space {number}{' (new)' * renamed}",
                "organizationId": organization,
                "parentSpaceId": parent,
                "type": "location" if number == 0 else "building" if number <= 3 else "floor",
                "northVector": number * 1.5,
                "createdTs": _ms(-86_400),
                "updatedTs": _ms(turn * 3_600) if renamed else None,
            }
        yield START + hour * 3_600, rows


def _write(root: Path, entity: str, second: int, table: pa.Table) -> None:
    hour = datetime.fromtimestamp(second, UTC)
    path = root / entity / f"{hour:%Y}" / f"{hour:%m}" / f"{hour:%Y_%m_%d_%H}_{entity}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="snappy")


def _ms(seconds_after_start: int) -> datetime:
    return datetime.fromtimestamp(START + seconds_after_start, UTC)


def _uuid(random: np.random.Generator) -> str:
    return str(uuid.UUID(bytes=random.bytes(16), version=4))
