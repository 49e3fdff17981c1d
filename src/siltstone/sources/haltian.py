"""Haltian's Data API: hourly Parquet exports, `{entity}/{YYYY}/{MM}/{YYYY}_{MM}_{DD}_{HH}_{entity}.parquet`.

Measurements -> `readings`, a series per device and field. They are events: a value holds until the next one. The other
entities -> one history table each; every file of them is a full snapshot of its table at the hour in its name (UTC).
Files without rows are normal. The export is called beta by its vendor, so columns beyond the known ones are rescued.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import polars as pl
import pyarrow as pa

from siltstone.errors import Unreadable
from siltstone.formats.documents import Item, Opened, ParseRules, Records, require_columns
from siltstone.formats.exact_columns import column_named
from siltstone.formats.parquet.reader import open_parquet, read_parquet
from siltstone.mapping.dataset import Dataset, Keyed, Place
from siltstone.mapping.events import Field, readings_of, without_repeats
from siltstone.mapping.exact import exact, with_texts
from siltstone.mapping.keyed import count_by_document, refuse_without_key, with_empty_documents
from siltstone.mapping.misfits import rescue_columns
from siltstone.mapping.readings import keyed_readings
from siltstone.mapping.rules import Rules
from siltstone.mapping.source_options import SourceOptions
from siltstone.model.contracts import READINGS, Contract, history_contract
from siltstone.model.kinds import Kind
from siltstone.model.schema import Schema

SOURCE = "haltian"
LAYOUT = "{entity}/{YYYY}/{MM}/{YYYY}_{MM}_{DD}_{HH}_{entity}.parquet"
PREFIX = "measurement"

MEASUREMENTS: Mapping[str, tuple[Field, ...]] = {
    "AmbientTemperature": (Field("ambientTemperature", "double"),),
    "BatteryPercentage": (Field("batteryPercentage", "double"),),
    "BatteryVoltage": (Field("batteryVoltage", "double"),),
    "BootCount": (Field("bootCount", "integer"), Field("bootReason", "string")),
    "CO2": (Field("co2", "double"),),
    "DirectionalMovement": (Field("entries", "integer"), Field("exits", "integer")),
    "Distance": (Field("distance", "integer"),),
    "OccupancySeconds": (Field("occupancySeconds", "double"),),
    "OccupancyStatus": (Field("status", "integer"),),
    "OccupantsCount": (Field("occupantsCount", "integer"),),
    "Position": (Field("isStatic", "integer"), Field("spaceId", "string"), Field("positionGlobal", "json")),
    "PositionZone": (Field("zoneId", "string"),),
    "TVOC": (Field("tvoc", "double"),),
}
"""The fields of each measurement. A field of several makes a series of its own, `{measurement}.{field}`."""


def _texts(names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), "string")


def _times(names: str) -> dict[str, Kind]:
    return dict.fromkeys(names.split(), "timestamp")


_CHANGES = _times("createdTs updatedTs")
_LIFE = _times("manufacturingDate shippingDate warrantyDate") | _CHANGES

ENTITIES: Mapping[str, Contract] = {
    "organization": history_contract("organization", ("id",), **_texts("id name"), **_CHANGES),
    "device": history_contract(
        "device",
        ("id",),
        **_texts("id name organizationId model externalId tuid installationStatus"),
        **_LIFE,
        lastSeen="timestamp",
        wirepasNodeId="bigint",  # unsigned 32 bit in the files
        wirepasNetworkId="bigint",
        **_texts("imei iccid bluetoothMac bluetoothMac2 lanMac wifiMac customerLabelId vendorSerial"),
    ),
    "deviceGroup": history_contract(
        "device_group", ("id",), **_texts("id organizationId model externalId installationStatus"), **_LIFE
    ),
    "deviceGroupDevices": history_contract(
        "device_group_devices", ("deviceGroupId", "deviceId"), **_texts("deviceGroupId deviceId organizationId")
    ),
    "deviceKeyword": history_contract(
        "device_keyword", ("deviceId", "keyword"), **_texts("deviceId organizationId keyword"), **_CHANGES
    ),
    "space": history_contract(
        "space",
        ("id",),
        **_texts("id name organizationId parentSpaceId type"),
        positionGlobal="json",
        northVector="float",  # degrees
        **_CHANGES,
    ),
    "zone": history_contract(
        "zone", ("id",), **_texts("id organizationId spaceId name"), polygonGlobal="json", **_CHANGES
    ),
}
CONTRACTS = (READINGS, *ENTITIES.values())

# Columns beside the key that are never null by the vendor's reference. A file without one is of another kind, and must
# not pass for a snapshot that shows that everything is gone.
NEEDED: Mapping[str, tuple[str, ...]] = {
    "organization": ("name", "createdTs"),
    "device": ("name", "model", "installationStatus", "createdTs"),
    "deviceGroup": ("model", "installationStatus", "createdTs"),
    "deviceKeyword": ("organizationId", "createdTs"),
    "space": ("organizationId", "type", "createdTs"),
    "zone": ("organizationId", "spaceId", "name", "createdTs"),
}

_KNOWN = frozenset({*ENTITIES, *(PREFIX + name for name in MEASUREMENTS)})
_FILE = re.compile(
    r"(?:^|(?P<root>.*)/)(?P<entity>[A-Za-z0-9]+)/[0-9]{4}/[0-9]{2}/"
    r"(?P<hour>[0-9]{4}_[0-9]{2}_[0-9]{2}_[0-9]{2})_(?P=entity)\.parquet"
)
_FOLDER = re.compile(r"(?:^|/)(?P<entity>[A-Za-z0-9]+)/(?P<year>[0-9]{4})(?:/(?P<month>[0-9]{2}))?/?$")


def datasets(options: SourceOptions) -> tuple["Measurements | Entity", ...]:
    """The readings, and one dataset for each entity and relationship. It has no options of its own."""
    return (Measurements(), *(Entity(entity, contract) for entity, contract in ENTITIES.items()))


class Measurements(Dataset):
    """All files of measurements. Exports may repeat what earlier ones had, so equal rows count once."""

    name = f"{SOURCE}.measurements"
    layout = LAYOUT.replace("{entity}", PREFIX + "{name}")
    policy = "distinct"
    is_by_hour = True

    def locate(self, path: str) -> Place | None:
        """The measurement as the device: a row is repeated only among the files of one measurement."""
        parts = _parse_path(path)
        return Place("", parts.entity, parts.hour) if parts and parts.entity.startswith(PREFIX) else None

    def is_before(self, folder: str, since: datetime) -> bool:
        return _is_before(folder, since)

    def open(self, item: Item, rules: ParseRules) -> Opened:
        opened = open_parquet(item, rules)
        fields = MEASUREMENTS[_measurement(item.path)]
        types = _types(opened, "deviceId", "ts", *(field.name for field in fields))
        if not pa.types.is_timestamp(types["ts"]):
            raise Unreadable(f"its column ts is {types['ts']}, expected a timestamp")
        if not _is_text(types["deviceId"]):
            raise Unreadable(f"its column deviceId is {types['deviceId']}, expected text")
        return opened

    def rows(self, documents: Sequence[Any], schema: Schema, rules: Rules) -> tuple[Sequence[Keyed], Schema]:
        by_measurement: dict[str, list[Any]] = {}
        for document in documents:
            by_measurement.setdefault(_measurement(document.path), []).append(document)
        parts = []
        for measurement, group in by_measurement.items():
            fields = MEASUREMENTS[measurement]
            uploaded_us = min(document.modified_us for document in group)
            bounds_us = rules.earliest_us, uploaded_us + rules.future_us
            for records in read_parquet(group, coded=True):
                once, repeated = without_repeats(records, [field.name for field in fields], bounds_us)
                readings = readings_of(once, measurement, fields, SOURCE)
                parts.append(keyed_readings(readings, records, documents, rules, repeated=repeated))
        return with_empty_documents(parts, documents), schema


class Entity(Dataset):
    """The files of one entity or relationship, each a full snapshot."""

    whole = True
    is_by_hour = True

    def __init__(self, entity: str, contract: Contract) -> None:
        self.entity, self.contract = entity, contract
        self.name = f"{SOURCE}.{entity}"
        self.layout = LAYOUT.replace("{entity}", entity)

    def locate(self, path: str) -> Place | None:
        """The place, with the folder of the export (an organization's) as the site: a snapshot is whole within it."""
        parts = _parse_path(path)
        return Place(parts.root, self.entity, parts.hour) if parts and parts.entity == self.entity else None

    def is_before(self, folder: str, since: datetime) -> bool:
        return _is_before(folder, since)

    def open(self, item: Item, rules: ParseRules) -> Opened:
        opened = open_parquet(item, rules, coded=False)
        types = _types(opened, *self.contract.key, *NEEDED.get(self.entity, ()))
        for name in self.contract.key:
            if not _is_text(types[name]):
                raise Unreadable(f"its column {name} is {types[name]}, expected text")
        return opened

    def rows(self, documents: Sequence[Any], schema: Schema, rules: Rules) -> tuple[Sequence[Keyed], Schema]:
        hours = {document.index: _hour_us(document.path) for document in documents}
        parts = [
            Keyed(records.lane, self._frame(records, hours), (), count_by_document(records.document))
            for records in read_parquet(documents)
        ]
        with_key = [refuse_without_key(part, self.contract.key, documents) for part in parts]
        return with_empty_documents(with_key, documents), schema

    def _frame(self, records: Records, hours: Mapping[int, int]) -> pl.DataFrame:
        """The contract's columns of the records, what they can't hold in `_rescued`; `ts` is the snapshot's hour."""
        frame = records.frame
        kinds = {c.name: c.kind for c in (*self.contract.leading, *self.contract.record) if c.name in frame.columns}
        values = {name: exact(frame, name, kind) for name, kind in kinds.items()}
        kept = frame.select(**values)
        lost = {name: column_named(name).is_not_null() for name in frame.columns if name not in kinds}
        lost |= {
            name: pl.col(name).is_not_null() & pl.lit(kept[name]).is_null()
            for name in kinds
            if kept[name].null_count() > frame[name].null_count()
        }
        texts = rescue_columns(with_texts(frame[list(lost)]), lost) if lost else None
        document = pl.Series(records.document, dtype=pl.Int64())
        return kept.with_columns(
            pl.lit(None, pl.String()).alias("_rescued") if texts is None else texts.alias("_rescued"),
            ts=document.replace_strict(hours, return_dtype=pl.Int64()),
            document=document,
            line=pl.Series(records.line, dtype=pl.Int64()),
        )


@dataclass(frozen=True, slots=True)
class _PathParts:
    root: str
    entity: str
    hour: datetime


@lru_cache(maxsize=65_536)
def _parse_path(path: str) -> _PathParts | None:
    """What a path says, by its name; None for unknown entities and where the folder is another entity's."""
    match = _FILE.fullmatch(path)
    if match is None or match["entity"] not in _KNOWN:
        return None
    try:
        return _PathParts(match["root"] or "", match["entity"], datetime.strptime(match["hour"], "%Y_%m_%d_%H"))
    except ValueError:
        return None


def _measurement(path: str) -> str:
    parts = _parse_path(path)
    assert parts is not None, f"{path} is of no measurement"
    return parts.entity.removeprefix(PREFIX)


def _hour_us(path: str) -> int:
    parts = _parse_path(path)
    assert parts is not None, f"{path} is of no entity"
    return int(parts.hour.replace(tzinfo=UTC).timestamp()) * 1_000_000


def _is_before(folder: str, since: datetime) -> bool:
    """Whether a year's or a month's folder of an entity has ended by then."""
    match = _FOLDER.search(folder)
    if match is None or match["entity"] not in _KNOWN:
        return False
    year, month = int(match["year"]), int(match["month"] or 12)
    return 1 <= month <= 12 and (year, month) < (since.year, since.month)


def _types(opened: Opened, *needed: str) -> Mapping[str, pa.DataType]:
    """The types of the columns needed. Raises Unreadable with the names of missing columns."""
    schema: pa.Schema = opened.document.schema
    require_columns(schema.names, *needed)
    return {name: schema.field(name).type for name in needed}


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())
