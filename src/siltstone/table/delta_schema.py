"""The schema of a table as Delta has it: types, and what siltstone notes of each column."""

from typing import Any, cast

import pyarrow as pa
from deltalake import Field
from deltalake import Schema as DeltaSchema
from deltalake.schema import PrimitiveType

from siltstone.errors import UsageError
from siltstone.model.contracts import Column, Contract
from siltstone.model.kinds import Kind
from siltstone.model.schema import Schema

_DELTA_TYPE = {
    "double": "double",
    "bigint": "long",
    "int": "integer",
    "boolean": "boolean",
    "string": "string",
    "json": "string",
    "float": "float",
    "timestamp": "timestamp",
}
_KIND_OF_TYPE = {"double": "double", "long": "bigint", "integer": "int", "boolean": "boolean", "string": "string"}


def schema_of(delta: DeltaSchema, contract: Contract, root: str) -> Schema:
    """The record columns of a Delta schema. Raises UsageError for a type that siltstone does not write."""
    reserved = set(contract.reserved)
    columns = []
    for f in delta.fields:
        if f.name not in reserved:
            kind = f.metadata.get("siltstone.kind") or _KIND_OF_TYPE.get(getattr(f.type, "type", ""))
            if kind is None:
                raise UsageError(
                    f"{root} has a column {f.name!r} of type {f.type}, which siltstone does not write",
                    "Only siltstone may write its tables; drop the column or give another lake.",
                )
            columns.append(Column(f.name, cast(Kind, kind), f.metadata.get("siltstone.key", f.name)))
    return Schema(tuple(columns), contract.reserved)


def delta_field(column: Column) -> Field:
    """A record column with its key and kind."""
    metadata = {"siltstone.key": column.key, "siltstone.kind": column.kind}
    return Field(column.name, PrimitiveType(_DELTA_TYPE[column.kind]), metadata=metadata)


def delta_type(arrow: pa.DataType) -> Any:
    """The type of a column that the contract gives."""
    if pa.types.is_nested(arrow):
        return Field.from_arrow(pa.field("nested", arrow)).type
    return PrimitiveType({"timestamp[us, tz=UTC]": "timestamp", "date32[day]": "date"}.get(str(arrow), "string"))
