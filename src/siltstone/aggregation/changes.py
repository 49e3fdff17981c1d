"""What an output must recompute: the buckets that new, gone or changed data files touch, and their neighbours."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from siltstone.aggregates.buckets import Buckets
from siltstone.aggregation.state_files import KEYS
from siltstone.footers import naming
from siltstone.planning import Stored
from siltstone.storage import Storage

_NAME = ["site", "series_id"]
LIGHT = [*_NAME, "bucket_start", "n", "provisional"]


def same_rows(headers: Sequence[Mapping[str, Any]], known: set[str]) -> set[str]:
    """The known data files, with those of later settlings that hold nothing but their rows. `headers`: of the input's
    runs, oldest first."""
    found = set(known)
    for header in headers:
        removed = set(header.get("removed", ()))
        if header["kind"] == "settle" and removed and removed <= found:
            found |= {output["path"] for output in header["outputs"]}
    return found


def light_rows(table: Storage, stored: Sequence[Stored], buckets: Buckets) -> pl.DataFrame:
    """Series, bucket, points and whether it is provisional, of every row of an output."""
    schema = {**KEYS, "n": pl.Int64(), "provisional": pl.Boolean()}
    frames = [pl.DataFrame(schema=schema)]
    for file in stored:
        fetched = table.read(file.path)
        assert fetched is not None
        with naming(table.uri(file.path)):
            rows = pl.read_parquet(io.BytesIO(fetched.data), columns=LIGHT)
        number = buckets.number(rows["bucket_start"].dt.epoch("us").to_numpy())
        frames.append(rows.with_columns(bucket=pl.Series(number, dtype=pl.Int64)).select(schema.keys()))
    return pl.concat(frames)


def in_rectangles(light: pl.DataFrame, buckets: Buckets, gone: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """The keys of rows that data files which are gone may have had points in; their bounds are from the manifest."""
    found = [pl.DataFrame(schema=KEYS)]
    start, end = buckets.bounds(light["bucket"].to_numpy())
    rows = light.with_columns(start=pl.Series(start, dtype=pl.Int64), end=pl.Series(end, dtype=pl.Int64))
    for file in gone:
        inside = (pl.col("end") > file["first_us"]) & (pl.col("start") <= file["last_us"])
        if file["site"]:
            inside &= pl.col("site") == file["site"]
        found.append(rows.filter(inside).select(KEYS.keys()))
    return pl.concat(found).unique()


def dates_of(light: pl.DataFrame, touched: pl.DataFrame, buckets: Buckets) -> list[str]:
    """The dates whose rows may be others now: those of the touched buckets, of the rows up to the next and previous one
    with points of their series, and of provisional rows."""
    marked = touched.with_columns(is_touched=pl.lit(value=True))
    rows = light.join(marked, on=list(KEYS), how="full", coalesce=True).sort(*_NAME, "bucket")
    has_points = pl.col("n").fill_null(1) > 0
    block = has_points.cum_sum().over(_NAME)  # a row with points, and the empty ones behind it
    touched_blocks = (
        rows.with_columns(block=block)
        .group_by(*_NAME, "block")
        .agg(pl.col("is_touched").any())
        .sort(*_NAME, "block")
        .with_columns(
            near=pl.col("is_touched").fill_null(value=False)
            | pl.col("is_touched").shift(1).over(_NAME).fill_null(value=False)
            | pl.col("is_touched").shift(-1).over(_NAME).fill_null(value=False)
        )
    )
    near = rows.with_columns(block=block).join(touched_blocks.filter("near"), on=[*_NAME, "block"], how="semi")
    buckets_near = pl.concat([near["bucket"], rows.filter(pl.col("provisional"))["bucket"]]).unique().sort()
    starts = pl.Series(buckets.bounds(buckets_near.to_numpy())[0], dtype=pl.Int64)
    return sorted(
        set(pl.select(pl.from_epoch(starts, time_unit="us").dt.date().cast(pl.String())).to_series().to_list())
    )
