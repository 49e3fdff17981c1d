"""Times in two columns, seconds and nanoseconds, to instants: in exact integers, never by way of a double."""

import polars as pl

from siltstone.mapping.misfits import as_integer, as_text

_MOST_S = 9_000_000_000_000  # of more seconds the microseconds leave 64 bits


def instants(frame: pl.DataFrame, seconds: str, nanos: str) -> pl.DataFrame:
    """`ts` (int64, microseconds since 1970 UTC), `ts_nanos` (int32, 0 to 999) and `reason` of each row of the frame.

    The column `nanos` is added to `seconds`; it may be negative, or a second and more, and may be missing. `ts` is
    null where the seconds are missing, and, with a `reason`, where one of the two is no integer or too large.
    """
    given = [name for name in (seconds, nanos) if name in frame.columns]
    times = frame.select(as_integer(frame, name).alias(name) for name in given)
    is_odd = pl.any_horizontal(
        *(frame[name].is_not_null() & times[name].is_null() for name in given),
        ~pl.col(seconds).is_between(-_MOST_S, _MOST_S),
    ).fill_null(value=False)
    offset = pl.col(nanos).fill_null(0) if nanos in given else pl.lit(0, pl.Int64())
    instants_of_rows = times.select(
        ts=pl.when(~is_odd).then(pl.col(seconds)) * 1_000_000 + offset // 1_000,
        ts_nanos=(offset - offset // 1_000 * 1_000).cast(pl.Int32()),
        is_odd=is_odd,
    )
    if not instants_of_rows["is_odd"].any():
        return instants_of_rows.select("ts", "ts_nanos", reason=pl.lit(None, pl.String()))
    texts = frame.select(as_text(frame, name).alias(name) for name in given)
    words = [pl.format(f"{name} {{}}", pl.col(name).fill_null("null")) for name in given]
    reasons = texts.select(pl.concat_str(*words, separator=", ") + " is no instant").to_series()
    return instants_of_rows.select("ts", "ts_nanos", reason=pl.when("is_odd").then(reasons))
