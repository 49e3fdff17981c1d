"""Where devices are: Haltian's entities side by side, with one row per device, so that no join multiplies readings.

Entity tables hold histories, and a device may be in many groups and have many keywords: joined plainly to readings,
each of these multiplies the rows. Here one instant is taken first (now, unless told), and what is many becomes a list:

    places = device_places(
        pl.read_delta("LAKE/device"), space=pl.read_delta("LAKE/space"), zone=pl.read_delta("LAKE/zone"),
        groups=pl.read_delta("LAKE/device_group"), members=pl.read_delta("LAKE/device_group_devices"),
        keywords=pl.read_delta("LAKE/device_keyword"), readings=pl.scan_delta("LAKE/readings"),
    )
    with_places(pl.scan_delta("LAKE/readings"), places)
    places.filter(~pl.col("is_group")).height  # how many devices there are
"""

from datetime import datetime
from typing import TypeVar

import polars as pl

from siltstone.dimensions.hierarchy import tree_paths

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

ROOT = "00000000-0000-0000-0000-000000000000"
"""What a space names as its parent when it has none; null means the same."""

_TEXTS = pl.List(pl.String())
_PLACE = {"path": "space_path", "path_ids": "space_path_ids", "depth": "space_depth", "problem": "space_problem"}


def in_force(history: pl.DataFrame, at: datetime | None = None) -> pl.DataFrame:
    """The rows of a history that are true at an instant; without one, the current ones."""
    if at is None:
        return history.filter(pl.col("valid_to").is_null())
    return history.filter((pl.col("valid_from") <= at) & (pl.col("valid_to").is_null() | (pl.col("valid_to") > at)))


def space_paths(space: pl.DataFrame, at: datetime | None = None) -> pl.DataFrame:
    """One row per space, ordered by space_id: space_id, space_name, space_type, and its place in the tree.

    `space_path` are the names from the root (a location) to the space, joined by "/" (see `hierarchy.tree_paths`, also
    for `space_problem`: a cycle, or a parent that no space is); `space_path_ids` their ids, `space_depth` 0 for a root.
    """
    spaces = in_force(space, at).sort("id", "valid_from").unique("id", keep="last", maintain_order=True)
    parent = pl.when(pl.col("parentSpaceId") != ROOT).then("parentSpaceId")
    paths = tree_paths(spaces.select("id", parent=parent, name="name"))
    named = spaces.select("id", space_name="name", space_type="type")
    joined = named.join(paths.select("id", *(pl.col(n).alias(a) for n, a in _PLACE.items())), on="id", validate="1:1")
    return joined.rename({"id": "space_id"}).sort("space_id")


def device_places(
    device: pl.DataFrame,
    *,
    space: pl.DataFrame | None = None,
    zone: pl.DataFrame | None = None,
    groups: pl.DataFrame | None = None,
    members: pl.DataFrame | None = None,
    keywords: pl.DataFrame | None = None,
    readings: Frame | None = None,
    at: datetime | None = None,
) -> pl.DataFrame:
    """One row per row of `device` in force at an instant (now), ordered by device_id. Tables not given leave nulls.

    - `device_name`, `device_model`, `organization_id`; `is_group`: whether it is a group (in `groups`, device_group),
      which stand among the devices and are to be left out of a count of them.
    - `group_ids` (from `members`, device_group_devices), `group_names`, `keywords`: lists in order, empty for none.
    - `zone_ids`, `zone_names`: where the latest PositionZone.zoneId of `readings` says; several if it has zones of one
      instant. `space_id`: that of the latest Position.spaceId, else of the first zone; its `space_path` and the rest
      as in `space_paths`. `placed_at`: the instant of the reading that `space_id` is from.
    """
    devices = in_force(device, at).sort("id", "valid_from").unique("id", keep="last", maintain_order=True)
    found = devices.select(
        device_id="id", device_name="name", device_model="model", organization_id="organizationId"
    ).with_columns(is_group=_is_group(groups, at))
    found = _with_list(found, _groups_of(members, devices, at))
    found = _with_list(found, _keywords_of(keywords, at))
    found = _with_list(found, _zones_of(readings, zone, at))
    positions = _latest(readings, "Position.spaceId", at).group_by("device_id").agg(pl.all().sort_by("text").first())
    found = found.join(positions.rename({"text": "_own", "ts": "_own_ts"}), on="device_id", how="left", validate="1:1")
    is_own = pl.col("_own").is_not_null()
    found = found.with_columns(
        space_id=pl.coalesce("_own", "_zone_space"),
        placed_at=pl.when(is_own).then("_own_ts").when(pl.col("_zone_space").is_not_null()).then("_zone_ts"),
    ).drop("_own", "_own_ts", "_zone_space", "_zone_ts")
    if space is not None:
        found = found.join(space_paths(space, at), on="space_id", how="left", validate="m:1")
    return found.sort("device_id")


def with_places(readings: Frame, places: pl.DataFrame) -> Frame:
    """The readings, every one once and in order, with the columns of `device_places`; null for unknown devices.

    Raises polars.exceptions.ComputeError if `places` has a device twice.
    """
    if isinstance(readings, pl.LazyFrame):
        return readings.join(places.lazy(), on="device_id", how="left", validate="m:1", maintain_order="left")
    return readings.join(places, on="device_id", how="left", validate="m:1", maintain_order="left")


def _is_group(groups: pl.DataFrame | None, at: datetime | None) -> pl.Expr:
    if groups is None:
        return pl.lit(None, pl.Boolean())
    return pl.col("device_id").is_in(in_force(groups, at)["id"].unique().to_list())


def _with_list(places: pl.DataFrame, lists: pl.DataFrame) -> pl.DataFrame:
    """The places with the lists of each device, empty where it has none."""
    joined = places.join(lists, on="device_id", how="left", validate="1:1")
    return joined.with_columns(pl.col(_TEXTS).fill_null(pl.lit([], _TEXTS)))


def _groups_of(members: pl.DataFrame | None, devices: pl.DataFrame, at: datetime | None) -> pl.DataFrame:
    """`group_ids` and `group_names` by device; a group's name is that of its row among the devices, else its id."""
    if members is None:
        members = pl.DataFrame(schema={"deviceId": pl.String(), "deviceGroupId": pl.String(), "valid_to": pl.Int64()})
        at = None
    pairs = in_force(members, at).select(device_id="deviceId", group="deviceGroupId").unique().drop_nulls()
    named = pairs.join(devices.select(group="id", name="name"), on="group", how="left", validate="m:1")
    named = named.sort("group").with_columns(pl.coalesce("name", "group"))
    return named.group_by("device_id", maintain_order=True).agg(group_ids="group", group_names="name")


def _keywords_of(keywords: pl.DataFrame | None, at: datetime | None) -> pl.DataFrame:
    if keywords is None:
        return pl.DataFrame(schema={"device_id": pl.String(), "keywords": _TEXTS})
    pairs = in_force(keywords, at).select(device_id="deviceId", keyword="keyword").unique().drop_nulls().sort("keyword")
    return pairs.group_by("device_id", maintain_order=True).agg(keywords="keyword")


def _zones_of(readings: Frame | None, zone: pl.DataFrame | None, at: datetime | None) -> pl.DataFrame:
    """`zone_ids`, `zone_names` and the first zone's space by device, from the latest readings of zones."""
    latest = _latest(readings, "PositionZone.zoneId", at).sort("text")
    if zone is None:
        named = latest.with_columns(name=pl.lit(None, pl.String()), space=pl.lit(None, pl.String()))
    else:
        zones = in_force(zone, at).sort("id", "valid_from").unique("id", keep="last", maintain_order=True)
        known = zones.select(text="id", name="name", space="spaceId")
        named = latest.join(known, on="text", how="left", validate="m:1", maintain_order="left")
    return named.group_by("device_id", maintain_order=True).agg(
        zone_ids="text",
        zone_names=pl.coalesce("name", "text"),
        _zone_space=pl.col("space").drop_nulls().first(),
        _zone_ts=pl.col("ts").first(),
    )


def _latest(readings: Frame | None, measurement: str, at: datetime | None) -> pl.DataFrame:
    """`device_id`, `text` and `ts` of each device's latest readings of a measurement, several if of one instant."""
    if readings is None:
        return pl.DataFrame(schema={"device_id": pl.String(), "text": pl.String(), "ts": pl.Datetime("us", "UTC")})
    rows = readings.lazy().filter(
        pl.col("measurement") == measurement, pl.col("source") == "haltian", pl.col("text").is_not_null()
    )
    if at is not None:
        rows = rows.filter(pl.col("ts") <= at)
    return (
        rows.select("device_id", "text", "ts")
        .filter(pl.col("ts") == pl.col("ts").max().over("device_id"))
        .unique()
        .collect()
    )
