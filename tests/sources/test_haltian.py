"""Haltian's exports: every entity and measurement with its exact types, and what differs from them."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from siltstone import sources
from siltstone.errors import Unreadable
from siltstone.formats.documents import Item
from siltstone.mapping.dataset import Keyed, Place
from siltstone.mapping.rules import Rules
from siltstone.mapping.source_options import SourceOptions
from siltstone.model.contracts import ARROW_TYPE, NO_SITE
from siltstone.model.schema import Schema
from siltstone.sources import haltian
from support import haltian as files
from support.haltian import ROOT_SPACE, at

ORG, DEVICE = "6f0c2b1e-0000-4000-8000-000000000001", "6f0c2b1e-0000-4000-8000-00000000000d"
HOUR, NOON = datetime(2026, 1, 28, 14), at("2026-01-28 12:00")
NOON_US = 1_769_601_600_000_000
EVENT = {"deviceId": DEVICE, "ts": NOON, "organizationId": ORG}
MODIFIED_US = NOON_US + 3 * 3_600_000_000


def item(index: int, entity: str, rows: files.Rows, hour: datetime = HOUR, **changes: pa.DataType | None) -> Item:
    return Item(index, files.path_of(entity, hour), MODIFIED_US, files.file_of(entity, rows, **changes))


def keyed(items: Sequence[Item]) -> list[Keyed]:
    """What the dataset of the first item's path gives for all of them."""
    dataset = next(d for d in haltian.datasets(SourceOptions()) if d.locate(items[0].path))
    documents = [dataset.open(item, Rules()).document for item in items]
    found, schema = dataset.rows(documents, Schema(()), Rules())
    assert schema == Schema(())
    return list(found)


def readings(entity: str, *rows: dict[str, Any], **changes: pa.DataType | None) -> pl.DataFrame:
    """The readings of one file, each row with the usual device, time and organization unless it has its own."""
    (found,) = keyed([item(0, entity, [EVENT | row for row in rows], **changes)])
    assert (list(found.bad), found.records) == ([], {0: len(rows)})
    return found.frame


POINT = '{"type":"Point","coordinates":[25.47,65.01]}'
CASES: dict[str, tuple[dict[str, Any], list[tuple[str, str, float | None, str | None]]]] = {
    # 21.3 as a 32-bit float is 21.299999237060547: the value is kept as it was sent
    "AmbientTemperature": ({"ambientTemperature": 21.3}, [("", "double", 21.299999237060547, None)]),
    "BatteryPercentage": ({"batteryPercentage": 99.5}, [("", "double", 99.5, None)]),
    "BatteryVoltage": ({"batteryVoltage": 3.25}, [("", "double", 3.25, None)]),
    "BootCount": (
        {"bootCount": 7, "bootReason": "watchdog"},
        [(".bootCount", "integer", 7.0, None), (".bootReason", "string", None, "watchdog")],
    ),
    "CO2": ({"co2": 612.0}, [("", "double", 612.0, None)]),
    "DirectionalMovement": (
        {"entries": 4, "exits": 0},
        [(".entries", "integer", 4.0, None), (".exits", "integer", 0.0, None)],
    ),
    "Distance": ({"distance": Decimal("9999999999")}, [("", "integer", 9999999999.0, None)]),
    "OccupancySeconds": ({"occupancySeconds": 61.5}, [("", "double", 61.5, None)]),
    "OccupancyStatus": ({"status": 1}, [("", "integer", 1.0, None)]),
    "OccupantsCount": ({"occupantsCount": 12}, [("", "integer", 12.0, None)]),
    "Position": (
        {"isStatic": 0, "spaceId": "room", "positionGlobal": POINT},
        [
            (".isStatic", "integer", 0.0, None),
            (".spaceId", "string", None, "room"),
            (".positionGlobal", "json", None, POINT),
        ],
    ),
    "PositionZone": ({"zoneId": "z1"}, [("", "string", None, "z1")]),
    "TVOC": ({"tvoc": 0.5}, [("", "double", 0.5, None)]),
}


def test_the_cases_are_all_measurements() -> None:
    assert set(CASES) == set(files.MEASUREMENTS) == set(haltian.MEASUREMENTS)


@pytest.mark.parametrize("measurement", CASES)
def test_a_measurement_gives_a_reading_per_field(measurement: str) -> None:
    row, expected = CASES[measurement]
    frame = readings(f"measurement{measurement}", row)
    assert frame.select("series_id", "measurement", "kind", "value", "text").rows() == [
        (f"{DEVICE}/{measurement}{field}", measurement + field, kind, value, text)
        for field, kind, value, text in expected
    ]
    constant = frame.select("source", "device_id", "site", "quality", "ts", "ts_nanos", "_rescued", "document", "line")
    assert set(constant.rows()) == {("haltian", DEVICE, ORG, "good", NOON_US, 0, None, 0, 0)}
    assert (frame["value"].dtype, frame["text"].dtype, frame["ts"].dtype) == (pl.Float64(), pl.String(), pl.Int64())


def test_an_event_without_an_organization_has_no_site() -> None:
    assert readings("measurementCO2", {"co2": 1.0, "organizationId": None})["site"].to_list() == [NO_SITE]
    assert readings("measurementCO2", {"co2": 1.0}, organizationId=None)["site"].to_list() == [NO_SITE]


def test_files_of_several_measurements_and_empty_ones_are_read_together() -> None:
    found = keyed(
        [
            item(0, "measurementCO2", [EVENT | {"co2": 400.0}, EVENT | {"co2": 500.0}]),
            item(1, "measurementTVOC", []),
            item(2, "measurementTVOC", [EVENT | {"tvoc": 3.0}]),
            item(3, "measurementPositionZone", []),
            item(4, "measurementCO2", [EVENT | {"co2": 600.0}], datetime(2026, 1, 28, 15)),
        ]
    )
    records = {index: count for part in found for index, count in part.records.items()}
    assert records == {0: 2, 1: 0, 2: 1, 3: 0, 4: 1}
    rows = pl.concat([part.frame for part in found if part.frame.height])
    assert rows.select("document", "line", "value").sort("document", "line").rows() == [
        (0, 0, 400.0),
        (0, 1, 500.0),
        (2, 0, 3.0),
        (4, 0, 600.0),
    ]


def test_a_field_that_is_null_gives_no_reading_and_the_record_still_counts() -> None:
    frame = readings("measurementBootCount", {"bootCount": 3}, {"bootReason": "x"}, {})
    assert frame.select("line", "measurement").rows() == [(0, "BootCount.bootCount"), (1, "BootCount.bootReason")]


def test_nan_and_infinity_are_no_values_and_are_rescued() -> None:
    frame = readings("measurementCO2", {"co2": float("nan")}, {"co2": float("-inf")}, {"co2": 1.0})
    assert frame.select("value", "_rescued").rows() == [
        (None, '{"co2":"NaN"}'),
        (None, '{"co2":"-Infinity"}'),
        (1.0, None),
    ]


def test_columns_of_a_newer_schema_are_rescued_once_per_record() -> None:
    frame = readings(
        "measurementPosition",
        {"isStatic": 1, "spaceId": "a", "floor": "2"},
        {"spaceId": "b", "floor": "3", "accuracy": 0.5},
        {"floor": "4"},
        {"isStatic": 1},
        floor=pa.string(),
        accuracy=pa.float64(),
    )
    assert frame.select("line", "measurement", "value", "text", "_rescued").rows() == [
        (0, "Position.isStatic", 1.0, None, '{"floor":"2"}'),
        (0, "Position.spaceId", None, "a", None),
        (1, "Position.spaceId", None, "b", '{"floor":"3","accuracy":"0.5"}'),
        (2, "Position.isStatic", None, None, '{"floor":"4"}'),  # nothing else holds it
        (3, "Position.isStatic", 1.0, None, None),
    ]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (pa.int64(), [1, 2**53 + 1], [(1.0, None), (None, '{"status":"9007199254740993"}')]),
        (pa.float64(), [1.0, 0.5], [(1.0, None), (None, '{"status":"0.5"}')]),
        (pa.bool_(), [True, False], [(1.0, None), (0.0, None)]),
        (pa.decimal128(5, 2), [Decimal("1.00"), Decimal("0.25")], [(1.0, None), (None, '{"status":"0.25"}')]),
        (pa.string(), ["1"], [(None, '{"status":"1"}')]),
    ],
)
def test_a_column_of_another_type_gives_what_it_holds_exactly(
    kind: pa.DataType, values: list[Any], expected: list[tuple[float | None, str | None]]
) -> None:
    frame = readings("measurementOccupancyStatus", *({"status": value} for value in values), status=kind)
    assert frame.select("value", "_rescued").rows() == expected


def test_instants_of_other_units_are_the_same_instants() -> None:
    ns = NOON_US * 1_000 + 1_007
    frame = readings("measurementCO2", {"ts": ns, "co2": 1.0}, ts=pa.timestamp("ns"))
    assert frame.select("ts", "ts_nanos").rows() == [(NOON_US + 1, 7)]


def test_records_without_time_or_device_or_of_an_impossible_time_are_refused() -> None:
    rows = [{"ts": None}, {"deviceId": None}, {"ts": at("2026-02-28 00:00")}, {}, {"ts": 9 * 10**18}]
    (found,) = keyed([item(0, "measurementCO2", [EVENT | {"co2": 1.0} | row for row in rows])])
    assert [(bad.line, bad.reason.split(" 2")[0]) for bad in found.bad[:3]] == [
        (0, "its time is missing"),
        (1, "its series is missing"),
        (2, "its time"),
    ]
    assert [bad.line for bad in found.bad] == [0, 1, 2, 4]
    assert (found.records, found.frame["line"].to_list()) == ({0: 1}, [3])


@pytest.mark.parametrize("missing", ["deviceId", "ts", "entries", "exits"])
def test_a_missing_column_is_named(missing: str) -> None:
    dropped: dict[str, pa.DataType | None] = {missing: None}
    with pytest.raises(Unreadable, match=f"it has no column {missing}; it has "):
        readings("measurementDirectionalMovement", {}, **dropped)


def test_a_time_or_device_of_another_type_is_told() -> None:
    with pytest.raises(Unreadable, match="its column ts is int64, expected a timestamp"):
        readings("measurementCO2", {"ts": 1}, ts=pa.int64())
    with pytest.raises(Unreadable, match="its column deviceId is int64, expected text"):
        readings("measurementCO2", {"deviceId": 1}, deviceId=pa.int64())
    with pytest.raises(Unreadable, match="its column keyword is int32, expected text"):
        keyed([item(0, "deviceKeyword", [], keyword=pa.int32())])


_SAMPLE = {pa.string(): "x", files.MS: NOON, pa.uint32(): 2**32 - 1, pa.float32(): 0.1}


@pytest.mark.parametrize("entity", files.ENTITIES)
def test_an_entity_keeps_every_column_exactly(entity: str) -> None:
    types = files.ENTITIES[entity]
    full: dict[str, Any] = {name: _SAMPLE[kind] for name, kind in types.items()}
    contract = haltian.ENTITIES[entity]
    bare = dict.fromkeys(contract.key, "another")
    (found,) = keyed([item(0, entity, [full, bare, {}], datetime(2026, 1, 28, 14))])
    kinds = {column.name: column.kind for column in (*contract.leading, *contract.record)}
    assert set(kinds) == set(types)
    frame = found.frame
    assert frame["ts"].to_list() == [NOON_US + 2 * 3_600_000_000] * 2  # the hour of the name
    assert frame["_rescued"].null_count() == 2
    assert found.records == {0: 2}
    assert [(bad.line, bad.reason) for bad in found.bad] == [(2, f"{' or '.join(contract.key)} is missing")]
    for name, kind in kinds.items():
        value, nothing = frame[name].to_list()
        assert (value, nothing) == (0.10000000149011612 if kind == "float" else full[name], bare.get(name)), name
        assert frame[name].to_arrow().type in (ARROW_TYPE[kind], pa.large_string()), name


def test_every_entity_is_a_history_with_its_key() -> None:
    assert {c.table: c.key for c in haltian.CONTRACTS if c.is_history} == {
        "organization": ("id",),
        "device": ("id",),
        "device_group": ("id",),
        "device_group_devices": ("deviceGroupId", "deviceId"),
        "device_keyword": ("deviceId", "keyword"),
        "space": ("id",),
        "zone": ("id",),
    }


def test_what_an_entity_has_beyond_its_columns_and_types_is_rescued() -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "wirepasNodeId": 2.0, "createdTs": 1_000_000_001, "color": "red"},
        {"id": "b", "wirepasNodeId": 2.5, "createdTs": 1_000_000_000},
    ]
    changes = {"wirepasNodeId": pa.float64(), "createdTs": pa.timestamp("ns"), "color": pa.string(), "tuid": None}
    (found,) = keyed([item(0, "device", rows, **changes)])
    assert found.frame.select("id", "wirepasNodeId", "_rescued").rows() == [
        ("a", 2, '{"color":"red","createdTs":"1970-01-01 00:00:01.000000001"}'),
        ("b", None, '{"wirepasNodeId":"2.5"}'),
    ]
    assert found.frame["createdTs"].dt.epoch("us").to_list() == [None, 1_000_000]


def test_values_that_are_hard_to_say_are_rescued_all_the_same() -> None:
    row = {"id": "a", "createdTs": 9 * 10**15, "tags": ["x", None], "raw": b"\x00\xff", "geo": {"lat": 1.5}}
    changes = {"tags": pa.list_(pa.string()), "raw": pa.binary(), "geo": pa.struct([("lat", pa.float64())])}
    (found,) = keyed([item(0, "organization", [row, {"id": "b"}], **changes)])
    assert found.frame.select("createdTs", "_rescued").rows() == [
        (None, r'{"tags":"[\"x\",null]","raw":"00ff","geo":"{\"lat\":1.5}","createdTs":"9000000000000000"}'),
        (None, None),
    ]


def test_an_empty_snapshot_is_one_of_no_rows() -> None:
    found = keyed([item(0, "space", []), item(1, "space", [{"id": "s", "parentSpaceId": ROOT_SPACE}], HOUR)])
    assert {index: count for part in found for index, count in part.records.items()} == {0: 0, 1: 1}
    assert [row for part in found for row in part.frame["document"].to_list()] == [1]


def test_a_path_names_entity_and_hour() -> None:
    device = next(d for d in haltian.datasets(SourceOptions()) if d.name == "haltian.device")
    measured = haltian.Measurements()
    path = "device/2026/01/2026_01_28_14_device.parquet"
    assert device.locate(path) == Place("", "device", datetime(2026, 1, 28, 14))
    assert device.locate(f"downloads/parquet/{ORG}/{path}") == Place(
        f"downloads/parquet/{ORG}", "device", datetime(2026, 1, 28, 14)
    )
    assert measured.locate(path) is None
    path = "measurementCO2/2026/01/2026_01_28_14_measurementCO2.parquet"
    assert measured.locate(f"x/{path}") == Place("", "measurementCO2", datetime(2026, 1, 28, 14))
    assert device.locate(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "device/2026/01/2026_01_28_14_space.parquet",  # the folder's entity is another
        "devices/2026/01/2026_01_28_14_devices.parquet",
        "measurementNoise/2026/01/2026_01_28_14_measurementNoise.parquet",
        "device/2026/01/2026_02_30_14_device.parquet",
        "device/2026/01/2026_01_28_24_device.parquet",
        "device/2026/01/2026_01_28_14_device.parquet.tmp",
        "device/2026_01_28_14_device.parquet",
    ],
)
def test_other_paths_are_not_located(path: str) -> None:
    assert [d.name for d in haltian.datasets(SourceOptions()) if d.locate(path)] == []


def test_every_entity_has_one_dataset() -> None:
    located = {
        entity: [d.name for d in haltian.datasets(SourceOptions()) if d.locate(files.path_of(entity, HOUR))]
        for entity in files.TYPES
    }
    assert located == {
        entity: ["haltian.measurements" if entity.startswith("measurement") else f"haltian.{entity}"]
        for entity in files.TYPES
    }
    assert {d.contract.table for d in sources.datasets("haltian", {})} == {c.table for c in haltian.CONTRACTS}


@pytest.mark.parametrize(
    ("folder", "is_before"),
    [
        ("x/device/2025", True),
        ("device/2025/12", True),
        ("device/2026", False),
        ("device/2026/01", False),
        ("measurementCO2/2025/12/", True),
        ("other/2025/12", False),
        ("device", False),
    ],
)
def test_folders_of_past_months_are_before(folder: str, is_before: bool) -> None:
    assert haltian.Measurements().is_before(folder, datetime(2026, 1, 28, 14)) is is_before


def test_an_organization_of_another_type_is_rescued() -> None:
    """Also where events are repeated, which are told by their organization, too."""
    row = {"ambientTemperature": 1.0, "organizationId": [(1, NOON)]}
    kind = pa.map_(pa.int64(), files.MS)
    found = readings("measurementAmbientTemperature", row, organizationId=kind)
    assert found.select("site", "_rescued").rows() == [
        (NO_SITE, '{"organizationId":"{\\"1\\":\\"2026-01-28T12:00:00+00:00\\"}"}')
    ]
