"""The table contracts: which columns a table has, what they mean, and how a record's key becomes a column."""

from dataclasses import dataclass

import pyarrow as pa

from siltstone.kinds import Kind

ARROW_TYPE: dict[str, pa.DataType] = {
    "double": pa.float64(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "boolean": pa.bool_(),
    "string": pa.large_string(),
    "json": pa.large_string(),
}

INVALID_PARTITION = "_invalid"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is filled from a key of the source's records.

    `key` is the key's first spelling; `name` is what Delta accepts; `kind` never changes once the table has the
    column (`json` is a string column that holds the text of nested values).
    """

    name: str
    kind: Kind
    key: str


@dataclass(frozen=True, slots=True)
class Field:
    """A column that siltstone adds to every row, with its meaning."""

    name: str
    type: pa.DataType
    meaning: str


@dataclass(frozen=True)
class Contract:
    """One table: columns in order are `leading`, then `added`, then the record columns, which are open-ended.

    `statistics` names the columns that carry min, max and null count in the Delta log; readers skip files by them.
    `leading` record columns come first in the schema because Delta readers expect statistics there.
    """

    table: str
    partition_by: tuple[Field, ...]
    time: Field
    leading: tuple[Column, ...]
    added: tuple[Field, ...]
    record: tuple[Column, ...]
    sort_by: tuple[str, str]

    @property
    def statistics(self) -> tuple[str, ...]:
        return (self.time.name, *(c.name for c in self.leading))

    @property
    def reserved(self) -> tuple[str, ...]:
        """Column names that no key of a record may take."""
        return (self.time.name, *(f.name for f in self.partition_by), *(f.name for f in self.added))


TIMESTAMP = pa.timestamp("us", tz="UTC")

DATALOG = Contract(
    table="datalog",
    partition_by=(
        Field("hiveperiod", pa.date32(), "local date of the heartbeat in the configured zone"),
        Field("dstrct_code", pa.large_string(), "site code, from the folder"),
    ),
    time=Field("ts", TIMESTAMP, "instant of the heartbeat, UTC, cut to microseconds"),
    leading=(Column("unitno", "string", "unitno"), Column("deviceid", "string", "deviceid")),
    added=(
        Field("source_file", pa.large_string(), "canonical path of the file that held the record"),
        Field("_rescued", pa.large_string(), "JSON object: key -> text of each value that did not fit its column"),
    ),
    record=(Column("heartbeat", "bigint", "heartbeat"),),
    sort_by=("unitno", "ts"),
)

CONTRACTS = {contract.table: contract for contract in (DATALOG,)}
