"""Places of devices: one row per device whatever is joined, and the tree of spaces."""

from typing import Any

import polars as pl
import pytest

from siltstone.dimensions.spaces import device_places, in_force, space_paths, with_places
from support.haltian import ROOT_SPACE, at

MORNING, NOON, EVENING = at("2026-01-28 08:00"), at("2026-01-28 12:00"), at("2026-01-28 18:00")
UTC_US = pl.Datetime("us", "UTC")


def history(*rows: dict[str, Any]) -> pl.DataFrame:
    """A history table of rows that hold since the morning, unless they say otherwise."""
    filled = [{"valid_from": MORNING, "valid_to": None, **row} for row in rows]
    return pl.DataFrame(filled, schema_overrides={"valid_from": UTC_US, "valid_to": UTC_US})


def reading(device: str, measurement: str, text: str, ts: Any, source: str = "haltian") -> dict[str, Any]:
    return {"device_id": device, "measurement": measurement, "text": text, "ts": ts, "source": source}


SPACES = history(
    {"id": "oulu", "name": "Oulu", "parentSpaceId": ROOT_SPACE, "type": "location"},
    {"id": "hq", "name": "HQ", "parentSpaceId": "oulu", "type": "building"},
    {"id": "f2", "name": "Floor 2", "parentSpaceId": "hq", "type": "floor", "valid_to": NOON},
    {"id": "f2", "name": "2nd floor", "parentSpaceId": "hq", "type": "floor", "valid_from": NOON},
    {"id": "yard", "name": "Yard", "parentSpaceId": None, "type": "location"},
    {"id": "lost", "name": "Lost", "parentSpaceId": "gone", "type": "floor"},
    {"id": "old", "name": "Old", "parentSpaceId": "hq", "type": "floor", "valid_to": NOON},
)
DEVICES = history(
    {"id": "d1", "name": "Desk", "model": "tsar02", "organizationId": "o", "valid_to": NOON},
    {"id": "d1", "name": "Desk 1", "model": "tsar02", "organizationId": "o", "valid_from": NOON},
    {"id": "d2", "name": "Door", "model": "tsar02", "organizationId": "o"},
    {"id": "g1", "name": "Desks", "model": "device-group", "organizationId": "o"},
    {"id": "d0", "name": "Removed", "model": "tsar02", "organizationId": "o", "valid_to": NOON},
)
GROUPS = history({"id": "g1"})
MEMBERS = history(
    {"deviceGroupId": "g2", "deviceId": "d1"},
    {"deviceGroupId": "g1", "deviceId": "d1"},
    {"deviceGroupId": "g1", "deviceId": "d2", "valid_to": NOON},
)
KEYWORDS = history({"deviceId": "d1", "keyword": "window"}, {"deviceId": "d1", "keyword": "quiet"})
ZONES = history({"id": "z1", "name": "Quiet zone", "spaceId": "f2"}, {"id": "z2", "name": "Lobby", "spaceId": "yard"})
READINGS = pl.DataFrame(
    [
        reading("d1", "Position.spaceId", "yard", MORNING),
        reading("d1", "Position.spaceId", "f2", NOON),
        reading("d1", "PositionZone.zoneId", "z2", NOON),
        reading("d2", "PositionZone.zoneId", "z3", MORNING),
        reading("d2", "PositionZone.zoneId", "z2", NOON),
        reading("d2", "PositionZone.zoneId", "z1", NOON),
        reading("d2", "Position.spaceId", "hq", NOON, source="other"),
    ],
    schema_overrides={"ts": UTC_US},
)
TABLES: dict[str, Any] = {
    "space": SPACES,
    "zone": ZONES,
    "groups": GROUPS,
    "members": MEMBERS,
    "keywords": KEYWORDS,
    "readings": READINGS,
}


def test_spaces_have_paths_from_their_root_whichever_way_it_is_marked() -> None:
    paths = space_paths(SPACES).select("space_id", "space_type", "space_path", "space_depth", "space_problem")
    assert paths.rows() == [
        ("f2", "floor", "Oulu/HQ/2nd floor", 2, None),
        ("hq", "building", "Oulu/HQ", 1, None),
        ("lost", "floor", "Lost", 0, "unknown parent gone"),
        ("oulu", "location", "Oulu", 0, None),
        ("yard", "location", "Yard", 0, None),
    ]
    before = space_paths(SPACES, MORNING)
    assert dict(before.select("space_id", "space_path").rows())["f2"] == "Oulu/HQ/Floor 2"
    assert "old" in before["space_id"]


def test_a_row_is_in_force_from_its_first_instant_to_before_its_end() -> None:
    rows = history({"id": "a", "valid_to": NOON}, {"id": "b", "valid_from": NOON})
    assert [in_force(rows, t)["id"].to_list() for t in (MORNING, NOON, None)] == [["a"], ["b"], ["b"]]


def test_each_device_has_one_row_with_lists_of_what_it_has_many_of() -> None:
    places = device_places(DEVICES, **TABLES)
    assert places.select("device_id", "device_name", "is_group", "group_ids", "group_names", "keywords").rows() == [
        ("d1", "Desk 1", False, ["g1", "g2"], ["Desks", "g2"], ["quiet", "window"]),
        ("d2", "Door", False, [], [], []),
        ("g1", "Desks", True, [], [], []),
    ]
    assert places.select("zone_ids", "zone_names", "space_id", "space_path", "placed_at").rows() == [
        (["z2"], ["Lobby"], "f2", "Oulu/HQ/2nd floor", NOON),
        (["z1", "z2"], ["Quiet zone", "Lobby"], "f2", "Oulu/HQ/2nd floor", NOON),  # by the first of its zones
        ([], [], None, None, None),
    ]
    assert places.filter(~pl.col("is_group")).height == 2  # devices; three with the group among them


def test_places_are_those_of_the_instant() -> None:
    places = device_places(DEVICES, **TABLES, at=MORNING)
    assert places.select("device_id", "device_name", "space_id", "group_ids").rows() == [
        ("d0", "Removed", None, []),
        ("d1", "Desk", "yard", ["g1", "g2"]),
        ("d2", "Door", None, ["g1"]),
        ("g1", "Desks", None, []),
    ]


def test_places_need_no_other_table() -> None:
    places = device_places(DEVICES)
    assert places["device_id"].to_list() == ["d1", "d2", "g1"]
    assert places.select("is_group", "space_id", "placed_at").null_count().row(0) == (3, 3, 3)
    assert places["group_ids"].to_list() == [[], [], []]


def test_readings_with_places_are_the_same_readings() -> None:
    readings = pl.DataFrame({"device_id": ["d2", "d1", "x", "d1"], "value": [1.0, 2.0, 3.0, 4.0]})
    places = device_places(DEVICES, **TABLES)
    joined = with_places(readings, places)
    assert joined.select(readings.columns).equals(readings)
    assert joined["space_path"].to_list() == ["Oulu/HQ/2nd floor", "Oulu/HQ/2nd floor", None, "Oulu/HQ/2nd floor"]
    assert with_places(readings.lazy(), places).collect().equals(joined)
    with pytest.raises(pl.exceptions.ComputeError, match="join keys did not fulfill m:1"):
        with_places(readings, pl.concat([places, places]))


def test_readings_of_a_scan_give_the_same_places() -> None:
    lazy = {**TABLES, "readings": READINGS.lazy()}
    assert device_places(DEVICES, **lazy).equals(device_places(DEVICES, **TABLES))
