"""Tables as Arrow reads them from Parquet, in types that polars has, too.

Parquet knows no zones: a timestamp is an instant or a wall clock. What Arrow noted of a zone is kept where it is one of
the time zone database, and is UTC else (`+05:30`, `Z`): the instants are the same. Decimals of over 38 digits are
texts, and durations in seconds the number of these: polars makes milliseconds of them without a look at their size.

Metadata that writers put beside a schema or a field are no data, and go: one flipped bit there makes them no UTF-8.
"""

from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from siltstone.errors import Unreadable

_OWN = {b"PARQUET:field_id"}  # which is a number


@lru_cache(maxsize=256)  # most files of a run have the schema of the one before; its metadata make it no other
def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema in plain types, without metadata. Raises Unreadable where two fields of one value have one name."""
    return pa.schema([_field(field) for field in schema])


def as_plain(table: pa.Table) -> pa.Table:
    """The table in plain types, without metadata that polars would look at."""
    given = table.schema
    schema = plain_schema(given)
    if schema == given:  # in all but metadata
        has_more = given.metadata or any(field.metadata and field.metadata.keys() - _OWN for field in given)
        return pa.Table.from_arrays(table.columns, schema=schema) if has_more else table
    columns = [_cast(column, field.type) for column, field in zip(table.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, target: pa.DataType) -> pa.ChunkedArray:
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    return column if column.type == target else pc.cast(column, target)


def _plain(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pa.types.is_timestamp(kind) and kind.tz and not _is_known(kind.tz):
        return pa.timestamp(kind.unit, "UTC")
    if pa.types.is_decimal256(kind):
        return pa.string()
    if kind == pa.duration("s"):
        return pa.int64()
    if pa.types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _plain(kind.value_type), kind.ordered)
    if pa.types.is_struct(kind):
        names = [kind.field(n).name for n in range(kind.num_fields)]
        if len(set(names)) < len(names):
            raise Unreadable(f"two fields of one value have one name: {', '.join(names)}")
        return pa.struct([_field(kind.field(n)) for n in range(kind.num_fields)])
    if pa.types.is_map(kind):
        return pa.map_(_field(kind.key_field), _field(kind.item_field), kind.keys_sorted)
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_field(kind.value_field), kind.list_size)
    if pa.types.is_list(kind):
        return pa.list_(_field(kind.value_field))
    return pa.large_list(_field(kind.value_field)) if pa.types.is_large_list(kind) else kind


def _field(field: pa.Field) -> pa.Field:
    return pa.field(field.name, _plain(field.type), field.nullable)


@lru_cache(maxsize=1_024)
def _is_known(zone: str) -> bool:
    """Whether polars and Python know a zone; each has names that the other lacks."""
    try:
        pl.Series([0]).cast(pl.Datetime("us", zone))
        ZoneInfo(zone)
    except (pl.exceptions.PolarsError, ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
