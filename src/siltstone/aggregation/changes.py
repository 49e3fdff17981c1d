"""What an output must recompute: the buckets that new, gone or changed data files touch, and their neighbours."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from siltstone.aggregates.buckets import Buckets
from siltstone.aggregates.points import Ints
from siltstone.aggregation.state_files import KEYS
from siltstone.aggregation.terms import Terms
from siltstone.errors import StorageError
from siltstone.footers import naming
from siltstone.planning import Stored
from siltstone.storage import Storage

_NAME = ["site", "series_id"]
_ABOUT = ["source", "device_id", "measurement"]


def same_rows(headers: Sequence[Mapping[str, Any]], known: set[str]) -> set[str]:
    """The known data files, with those of later settlings that hold nothing but their rows. `headers`: of the input's
    runs, oldest first."""
    found = set(known)
    for header in headers:
        removed = set(header.get("removed", ()))
        if header["kind"] == "settle" and removed and removed <= found:
            found |= {output["path"] for output in header["outputs"]}
    return found


def has_successor(path: str, headers: Sequence[Mapping[str, Any]], now: set[str]) -> bool:
    """Whether a data file's rows are in files that are there `now`, because they were settled."""
    for header in headers:
        if header["kind"] == "settle" and path in header.get("removed", ()):
            outputs = [output["path"] for output in header["outputs"]]
            return all(o in now or has_successor(o, headers, now) for o in outputs)
    return False


def light_rows(table: Storage, stored: Sequence[Stored], terms: Terms) -> pl.DataFrame:
    """Series, bucket and number of usable points of every row of an output, and whether a next point tells of the time
    before it: KEYS, `n` and `looks_ahead`."""
    buckets = terms.buckets
    schema = {**KEYS, **dict.fromkeys(_ABOUT, pl.String()), "n": pl.Int64()}
    frames = [pl.DataFrame(schema=schema)]
    for file in stored:
        fetched = table.read(file.path)
        if fetched is None:
            raise StorageError(f"{table.uri(file.path)} is gone", "Run again.")
        with naming(table.uri(file.path)):
            rows = pl.read_parquet(io.BytesIO(fetched.data), columns=[*_NAME, *_ABOUT, "bucket_start", "n"])
        number = buckets.number(rows["bucket_start"].dt.epoch("us").to_numpy())
        frames.append(rows.with_columns(bucket=pl.Series(number, dtype=pl.Int64)).select(schema.keys()))
    found = pl.concat(frames)
    names = found.select(*_NAME, *_ABOUT).unique(_NAME)
    ways = terms.read_as(names.rows())
    looks_ahead = pl.Series("looks_ahead", [way.looks_ahead for way in ways], dtype=pl.Boolean)
    return found.drop(_ABOUT).join(names.select(*_NAME, looks_ahead), on=_NAME, how="left", maintain_order="left")


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


def at_the_ends(light: pl.DataFrame, *, first: bool, last: bool) -> pl.DataFrame:
    """The keys of the first and the last row of each series: what points before and after all of them may change."""
    ends = [pl.col("bucket").min()] * first + [pl.col("bucket").max().alias("last")] * last
    found = light.group_by(_NAME).agg(ends)
    parts = [found.select(*_NAME, bucket=name) for name in found.columns[len(_NAME) :]]
    return pl.concat([pl.DataFrame(schema=KEYS), *parts]).unique()


def dates_of(
    light: pl.DataFrame, touched: pl.DataFrame, buckets: Buckets, known_until_us: int, newest: int | None
) -> list[str]:
    """The dates whose rows may be others now: those of the touched buckets and of rows that end after `known_until_us`,
    the earlier one of both watermarks; those of the rows without points behind a touched one, and of the next one with
    points, which see its value; and, of series that look ahead, those of the rows back to the previous one with points.

    `newest`: number of the newest bucket where empty ones have rows too, else None: such rows follow a touched bucket
    up to the next row of its series.
    """
    marked = touched.with_columns(is_touched=pl.lit(value=True))
    rows = light.join(marked, on=list(KEYS), how="full", coalesce=True).sort(*_NAME, "bucket")
    begins = (pl.col("n") > 0) | pl.col("is_touched").fill_null(value=False)
    rows = rows.with_columns(
        is_touched=pl.col("is_touched").fill_null(value=False),
        looks_ahead=pl.col("looks_ahead").fill_null(value=False),
        begins=begins.fill_null(value=False),
    ).with_columns(block=pl.col("begins").cum_sum().over(_NAME))  # a row with points, and the empty ones behind it
    blocks = rows.group_by(*_NAME, "block").agg(pl.col("is_touched").any().alias("own")).sort(*_NAME, "block")
    after, before = (pl.col("own").shift(n).over(_NAME).fill_null(value=False) for n in (1, -1))
    rows = rows.join(blocks.with_columns(after=after, before=before), on=[*_NAME, "block"], how="left")
    rows = rows.sort(*_NAME, "bucket")
    near = rows.filter(
        pl.col("own") | (pl.col("after") & pl.col("begins")) | (pl.col("before") & pl.col("looks_ahead"))
    )
    ends = pl.Series(buckets.bounds(rows["bucket"].to_numpy())[1], dtype=pl.Int64)
    numbers = [near["bucket"], rows.filter(ends > known_until_us)["bucket"]]
    if newest is not None:
        until = pl.col("bucket").shift(-1).over(_NAME).fill_null(newest + 1)
        following = rows.with_columns(until=until).filter("is_touched")
        numbers.append(following.select(pl.int_ranges("bucket", "until")).to_series().explode().drop_nulls())
    starts = buckets.bounds(pl.concat(numbers).unique().sort().to_numpy())[0]
    return dates_at(starts)


def with_neighbours(light: pl.DataFrame, touched: pl.DataFrame, buckets: Buckets, dates: Sequence[str]) -> list[str]:
    """The dates, and those whose states tell what was before and comes after their rows: of each series back to the
    last row before with usable points, and on to the next one."""
    rows = light.join(touched, on=list(KEYS), how="full", coalesce=True).sort(*_NAME, "bucket")
    starts = pl.Series(buckets.bounds(rows["bucket"].to_numpy())[0], dtype=pl.Int64)
    day = pl.from_epoch(starts, time_unit="us").dt.date().cast(pl.String())
    begins = pl.col("n").fill_null(1) > 0
    rows = rows.with_columns(day=day, block=begins.cum_sum().over(_NAME))
    blocks = rows.group_by(*_NAME, "block").agg(own=pl.col("day").is_in(list(dates)).any()).sort(*_NAME, "block")
    aside = [pl.col("own").shift(n).over(_NAME).fill_null(value=False) for n in (1, -1)]
    is_last = pl.col("block") == pl.col("block").max().over(_NAME)  # its value may be carried on
    near = blocks.filter(pl.col("own") | aside[0] | aside[1] | is_last)
    return sorted({*dates, *rows.join(near, on=[*_NAME, "block"], how="semi")["day"].unique().to_list()})


def dates_at(instants: Ints) -> list[str]:
    """The UTC dates of instants (microseconds), each once, rising."""
    days = pl.from_epoch(pl.Series(instants, dtype=pl.Int64), time_unit="us").dt.date().unique().sort()
    return days.cast(pl.String()).to_list()
