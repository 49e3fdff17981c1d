"""Files of Haltian's Data API as its schema reference has them, written here since no sample has a licence.

Rows are mappings of what matters; columns that a row leaves out are null.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

MS = pa.timestamp("ms", tz="UTC")
ROOT_SPACE = "00000000-0000-0000-0000-000000000000"

Types = Mapping[str, pa.DataType]
Rows = Sequence[Mapping[str, Any]]


def _texts(names: str) -> dict[str, pa.DataType]:
    return dict.fromkeys(names.split(), pa.string())


_CHANGES = {"createdTs": MS, "updatedTs": MS}
_LIFE = {"manufacturingDate": MS, "shippingDate": MS, "warrantyDate": MS, **_CHANGES}
_EVENT = {"deviceId": pa.string(), "ts": MS, "organizationId": pa.string()}

ENTITIES: Mapping[str, Types] = {
    "organization": {**_texts("id name"), **_CHANGES},
    "device": {
        **_texts("id name organizationId model externalId tuid installationStatus"),
        **_LIFE,
        "lastSeen": MS,
        "wirepasNodeId": pa.uint32(),
        "wirepasNetworkId": pa.uint32(),
        **_texts("imei iccid bluetoothMac bluetoothMac2 lanMac wifiMac customerLabelId vendorSerial"),
    },
    "deviceGroup": {**_texts("id organizationId model externalId installationStatus"), **_LIFE},
    "deviceGroupDevices": _texts("deviceGroupId deviceId organizationId"),
    "deviceKeyword": {**_texts("deviceId organizationId keyword"), **_CHANGES},
    "space": {
        **_texts("id name organizationId parentSpaceId type positionGlobal"),
        "northVector": pa.float32(),
        **_CHANGES,
    },
    "zone": {**_texts("id organizationId spaceId name polygonGlobal"), **_CHANGES},
}

MEASUREMENTS: Mapping[str, Types] = {
    "AmbientTemperature": {**_EVENT, "ambientTemperature": pa.float32()},
    "BatteryPercentage": {**_EVENT, "batteryPercentage": pa.float32()},
    "BatteryVoltage": {**_EVENT, "batteryVoltage": pa.float32()},
    "BootCount": {**_EVENT, "bootCount": pa.int32(), "bootReason": pa.string()},
    "CO2": {**_EVENT, "co2": pa.float32()},
    "DirectionalMovement": {**_EVENT, "entries": pa.int32(), "exits": pa.int32()},
    "Distance": {**_EVENT, "distance": pa.decimal128(10, 0)},
    "OccupancySeconds": {**_EVENT, "occupancySeconds": pa.float32()},
    "OccupancyStatus": {**_EVENT, "status": pa.int8()},
    "OccupantsCount": {**_EVENT, "occupantsCount": pa.int32()},
    "Position": {**_EVENT, "isStatic": pa.int8(), **_texts("spaceId positionGlobal")},
    "PositionZone": {**_EVENT, "zoneId": pa.string()},
    "TVOC": {**_EVENT, "tvoc": pa.float32()},
}

TYPES: Mapping[str, Types] = {**ENTITIES, **{f"measurement{name}": types for name, types in MEASUREMENTS.items()}}


def path_of(entity: str, hour: datetime) -> str:
    """Where an export of that hour (UTC) puts the file."""
    return f"{entity}/{hour:%Y}/{hour:%m}/{hour:%Y_%m_%d_%H}_{entity}.parquet"


def table_of(entity: str, rows: Rows, **changes: pa.DataType | None) -> pa.Table:
    """The rows as a table with the entity's exact types; `changes` gives columns another type, adds or (None) drops."""
    types = {name: kind for name, kind in {**TYPES[entity], **changes}.items() if kind is not None}
    return pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(list(types.items())))


def file_of(entity: str, rows: Rows, **changes: pa.DataType | None) -> bytes:
    """The table as a Parquet file (snappy); without rows it still has its schema."""
    sink = pa.BufferOutputStream()
    pq.write_table(table_of(entity, rows, **changes), sink, compression="snappy")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def at(text: str) -> datetime:
    """`2026-01-28 14:05` as an instant, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
