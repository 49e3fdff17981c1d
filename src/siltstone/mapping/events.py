"""Records of one measurement of many devices, each with one field or several, to readings: a series per field."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
import polars.selectors as cs

from siltstone.formats.documents import Records
from siltstone.formats.exact_columns import column_named
from siltstone.mapping.exact import instant, text, whole_double, with_texts
from siltstone.mapping.misfits import as_double, rescue_columns
from siltstone.model.arrays import Ints

_OWN = ("deviceId", "ts", "organizationId")


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a measurement's files, and the kind that its readings have."""

    name: str
    kind: Literal["double", "integer", "string", "json"]


def readings_of(records: Records, measurement: str, fields: Sequence[Field], source: str) -> pl.DataFrame:
    """The readings under the names of the contract, `site` being the organization, in order of document and line.

    The records have `deviceId` (text), `ts` (timestamp) and the fields, and may have `organizationId`. A series is
    `{deviceId}/{measurement}`, and with several fields `{deviceId}/{measurement}.{field}`; a null gives no reading. A
    value that a double does not hold exactly (or NaN) is rescued, and its reading has no value. Other columns are
    rescued in the record's first reading; a record with only other columns gives one reading without value.
    """
    frame = records.frame
    names = {field.name for field in fields}
    further = [n for n in frame.columns if n not in (*_OWN, *names) and frame[n].null_count() < frame.height]
    has_site = frame.schema.get("organizationId") == pl.String
    if not has_site and "organizationId" in frame.columns:
        further.append("organizationId")
    us, nanos = instant(frame, "ts")
    shared = frame.select(
        device_id=pl.col("deviceId"),
        source=pl.lit(source),
        ts=us,
        ts_nanos=nanos,
        site=pl.col("organizationId") if has_site else pl.lit(None, pl.String()),
        document=pl.Series(records.document, dtype=pl.Int64()),
        line=pl.Series(records.line, dtype=pl.Int64()),
    )
    first = _first(frame, fields) if further else None
    parts = [
        _values(frame, field, further, None if first is None else first == number)
        for number, field in enumerate(fields)
    ]
    values, number, record = _by_record(parts)
    has_any = values.select(pl.any_horizontal(pl.all().is_not_null())).to_series()
    if not has_any.all():
        gives_reading = has_any.to_numpy()
        values, number, record = values.filter(has_any), number[gives_reading], record[gives_reading]
    words = [measurement if len(fields) == 1 else f"{measurement}.{field.name}" for field in fields]
    constant = pl.DataFrame(
        {"measurement": words, "kind": [field.kind for field in fields], "ending": [f"/{word}" for word in words]}
    )
    if len(fields) > 1 or len(record) < frame.height:
        shared = shared[record]
    return pl.concat([shared, values, constant[number]], how="horizontal").select(
        pl.exclude("ending"), quality=pl.lit("good"), series_id=pl.col("device_id") + pl.col("ending")
    )


def without_repeats(
    records: Records, values: Sequence[str], bounds_us: tuple[int, int]
) -> tuple[Records, pl.DataFrame]:
    """Two results: the records that equal no earlier one in every column, and a frame of the repeated ones.

    The frame has `document`, `ts` (microseconds), `site`, and `rows`: the number of readings that the record stands
    for, one for each of the `values` that is not null. A record is left out only if it is sure to give a reading: it
    has a value, a device, and an instant in the bounds. Texts may be categorical; the result has plain texts.
    """
    frame = records.frame
    instants, _ = instant(frame, "ts")
    has_site = frame.schema.get("organizationId") in (pl.String(), pl.Categorical())
    site = pl.col("organizationId") if has_site else pl.lit(None, pl.String())
    given = pl.sum_horizontal(pl.col(n).is_not_null().cast(pl.Int64) for n in values)
    is_sure = (given > 0) & pl.col("deviceId").is_not_null() & instants.is_between(*bounds_us)
    gone = frame.select(is_sure.fill_null(value=False)).to_series().to_numpy().copy()
    if any(dtype.is_nested() for dtype in frame.dtypes):
        gone[:] = False
    else:
        coded = frame.with_columns(cs.categorical().to_physical()).with_row_index("{row}")
        gone[coded.unique(~cs.by_name("{row}"), keep="first")["{row}"].to_numpy()] = False
    kept = np.flatnonzero(~gone)
    plain = (frame if len(kept) == frame.height else frame[kept]).with_columns(cs.categorical().cast(pl.String()))
    document = pl.Series(records.document, dtype=pl.Int64())
    places = frame.select(document=document, ts=instants, site=site.cast(pl.String()), rows=given)
    once = replace(records, frame=plain, document=records.document[kept], line=records.line[kept])
    return once, places.filter(pl.Series(gone))


def _by_record(parts: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame, Ints, Ints]:
    """The parts' rows by turns: the first of each, then the second; with each row's part and place in it."""
    count, rows = len(parts), parts[0].height
    number, record = np.tile(np.arange(count), rows), np.repeat(np.arange(rows), count)
    return (parts[0] if count == 1 else pl.concat(parts)[number * rows + record]), number, record


def _first(frame: pl.DataFrame, fields: Sequence[Field]) -> pl.Series:
    """The number of each record's first field that is not null; 0 where all are."""
    first = pl.lit(0)
    for number, field in reversed(list(enumerate(fields))):
        first = pl.when(pl.col(field.name).is_not_null()).then(number).otherwise(first)
    return frame.select(first.alias("first")).to_series()


def _values(frame: pl.DataFrame, field: Field, further: Sequence[str], carries: pl.Series | None) -> pl.DataFrame:
    """`value`, `text` and `_rescued` of the field in each record; the latter with the further columns where the record
    `carries` them here."""
    is_text = field.kind in ("string", "json")
    if is_text:
        given = text(frame, field.name)
    else:
        given = whole_double(frame, field.name) if field.kind == "integer" else as_double(frame, field.name)
    values = frame.select(given.alias("given")).to_series()
    lost = {}
    if values.null_count() > frame[field.name].null_count():
        lost[field.name] = pl.col(field.name).is_not_null() & pl.lit(values).is_null()
    lost |= {name: column_named(name).is_not_null() & pl.lit(carries) for name in further}
    texts = rescue_columns(with_texts(frame[list(lost)]), lost) if lost else None
    return pl.DataFrame(
        {
            "value": pl.repeat(None, frame.height, dtype=pl.Float64(), eager=True) if is_text else values,
            "text": values if is_text else pl.repeat(None, frame.height, dtype=pl.String(), eager=True),
            "_rescued": pl.repeat(None, frame.height, dtype=pl.String(), eager=True) if texts is None else texts,
        }
    )
