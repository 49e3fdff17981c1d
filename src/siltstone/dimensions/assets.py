"""Readings with the names that people know them by: asset, model, property, unit, alias and place in the hierarchy.

`assets` and `asset_hierarchy` are small, readings are not: the small side is made once, as a plain table, and joined to
any number of readings. In polars:

    properties = asset_properties(pl.read_delta("LAKE/assets"), pl.read_delta("LAKE/asset_hierarchy"))
    with_assets(pl.scan_delta("LAKE/readings"), properties)

In Spark, the small side as a broadcast (a left join, so that readings of unknown series stay):

    small = spark.createDataFrame(properties.to_arrow())  # Spark 4; else properties.to_pandas()
    spark.read.format("delta").load("LAKE/readings").join(F.broadcast(small), "series_id", "left")
"""

from typing import TypeVar

import polars as pl

from siltstone.dimensions.hierarchy import tree_paths

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)

_PROPERTY = {
    "time_series_id": "series_id",
    "asset_id": "asset_id",
    "asset_name": "asset_name",
    "asset_model_id": "asset_model_id",
    "asset_model_name": "asset_model_name",
    "asset_property_id": "property_id",
    "asset_property_name": "property_name",
    "asset_property_data_type": "property_data_type",
    "asset_property_unit": "property_unit",
    "asset_property_alias": "property_alias",
    "asset_composite_model_name": "composite_model_name",
    "asset_composite_model_type": "composite_model_type",
    "asset_status_state": "asset_state",
}
_PLACE = {
    "path": "asset_path",
    "path_ids": "asset_path_ids",
    "depth": "asset_depth",
    "root": "root_asset_id",
    "paths": "asset_paths",
    "problem": "asset_path_problem",
}


def asset_properties(assets: pl.DataFrame, hierarchy: pl.DataFrame) -> pl.DataFrame:
    """One row per series that the current metadata knows, ordered by series_id: its asset, property and place.

    Takes the tables `assets` and `asset_hierarchy`, of which the rows without `valid_to` are current. The columns of
    place are null for a series without asset; see `asset_paths` for their meaning.
    """
    known = _current(assets).sort("valid_from", "asset_last_update_date", nulls_last=False)
    properties = known.unique("time_series_id", keep="last", maintain_order=True)
    places = asset_paths(assets, hierarchy)
    return (
        properties.select(pl.col(name).alias(alias) for name, alias in _PROPERTY.items())
        .join(places, on="asset_id", how="left", validate="m:1")
        .sort("series_id")
    )


def asset_paths(assets: pl.DataFrame, hierarchy: pl.DataFrame) -> pl.DataFrame:
    """One row per asset of the current metadata or hierarchy: asset_id, and its place (see `hierarchy.tree_paths`).

    `asset_path` are the names from the root asset to this one, joined by "/". An asset may be a child in several
    hierarchies: `asset_paths` has all its paths, and `asset_path_problem` says so, as it does of cycles and of a
    parent that neither assets nor hierarchy know as anybody's child.
    """
    named = _current(assets).select("asset_id", "asset_name").sort("asset_name", nulls_last=True)
    is_child = pl.col("association_type").is_null() | (pl.col("association_type") == "CHILD")
    below = _current(hierarchy).filter(is_child)
    nodes = pl.concat(
        [
            named.select(id="asset_id", parent=pl.lit(None, pl.String()), name="asset_name"),
            below.select(id="target_asset_id", parent="source_asset_id", name=pl.lit(None, pl.String())),
        ]
    )
    return tree_paths(nodes).select(pl.col("id").alias("asset_id"), *(pl.col(n).alias(a) for n, a in _PLACE.items()))


def with_assets(readings: Frame, properties: pl.DataFrame) -> Frame:
    """The readings, every one once and in order, with the columns of `asset_properties`; null for unknown series.

    Raises polars.exceptions.ComputeError if `properties` has a series twice.
    """
    if isinstance(readings, pl.LazyFrame):
        return readings.join(properties.lazy(), on="series_id", how="left", validate="m:1", maintain_order="left")
    return readings.join(properties, on="series_id", how="left", validate="m:1", maintain_order="left")


def _current(history: pl.DataFrame) -> pl.DataFrame:
    return history.filter(pl.col("valid_to").is_null())
