"""The table contracts: which columns a table has, what they mean, and how a record's key becomes a column.

Contracts that several sources share are here; one that belongs to a single source stands in its module.
"""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from siltstone.model.kinds import Kind

Policy = Literal["lines", "all", "distinct", "first", "last", "version", "error"]
"""Which of the rows with one key stays.

lines: byte-equal lines of a device in a partition of a run once (contracts without a key); all: every row, equal ones
too; distinct: rows equal in every column once; first, last: by the order of source files (identities) and lines;
version: the highest, of equal versions the last; error: the run stops."""

ARROW_TYPE: dict[str, pa.DataType] = {
    "double": pa.float64(),
    "bigint": pa.int64(),
    "int": pa.int32(),
    "boolean": pa.bool_(),
    "string": pa.large_string(),
    "json": pa.large_string(),
    "float": pa.float32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}

INVALID_PARTITION = "_invalid"
NO_SITE = "_none"


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

    `key` names the columns that identify a row: the dataset's policy says which rows with an equal key stay. A contract
    without a key takes every row. In a `history` contract `time` and `valid_to` bound the instants at which a row was
    true, and the key names the entity.
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
    key: tuple[str, ...] = ()
    is_history: bool = False

    @property
    def statistics(self) -> tuple[str, ...]:
        return (self.time.name, *(c.name for c in self.leading))

    @property
    def reserved(self) -> tuple[str, ...]:
        """Column names that no key of a record may take."""
        return (self.time.name, *(f.name for f in self.partition_by), *(f.name for f in self.added))


TIMESTAMP = pa.timestamp("us", tz="UTC")
SOURCE_FILE = Field("source_file", pa.large_string(), "canonical path of the file that held the record")
RESCUED = Field("_rescued", pa.large_string(), "JSON object: key -> text of each value that did not fit its column")

DATALOG = Contract(
    table="datalog",
    partition_by=(
        Field("hiveperiod", pa.date32(), "local date of the heartbeat in the configured zone"),
        Field("dstrct_code", pa.large_string(), "site code, from the folder"),
    ),
    time=Field("ts", TIMESTAMP, "instant of the heartbeat, UTC, cut to microseconds"),
    leading=(Column("unitno", "string", "unitno"), Column("deviceid", "string", "deviceid")),
    added=(SOURCE_FILE, RESCUED),
    record=(Column("heartbeat", "bigint", "heartbeat"),),
    sort_by=("unitno", "ts"),
)

BY_DATE_AND_SITE = (
    Field("date", pa.date32(), "UTC date of the instant; the first of its month where the table's grain is the month"),
    Field("site", pa.large_string(), "building, plant or organization; _none where the source knows none"),
)


def _columns(**kinds: Kind) -> tuple[Column, ...]:
    return tuple(Column(name, kind, name) for name, kind in kinds.items())


READINGS = Contract(
    table="readings",
    partition_by=BY_DATE_AND_SITE,
    time=Field("ts", TIMESTAMP, "instant of the reading, UTC, cut to microseconds"),
    leading=_columns(series_id="string", source="string"),
    added=(SOURCE_FILE, RESCUED),
    # ts_nanos: 0 to 999, what ts was cut by. value: numbers, and booleans as 0 and 1; text: all that is no number.
    # kind: double, integer, boolean, string or json. quality: good, uncertain, bad, or what the source said otherwise.
    # version: a larger one is newer, null the oldest.
    record=_columns(
        device_id="string",
        measurement="string",
        ts_nanos="int",
        value="double",
        text="string",
        kind="string",
        quality="string",
        version="bigint",
    ),
    sort_by=("series_id", "ts"),
    key=("series_id", "ts", "ts_nanos"),
)


def history_contract(table: str, key: tuple[str, ...], **kinds: Kind) -> Contract:
    """The contract of a table with the current and former states of entities: `key` are the columns of their ids."""
    columns = _columns(**kinds)
    return Contract(
        table=table,
        partition_by=(),
        time=Field("valid_from", TIMESTAMP, "first snapshot that shows the row so, UTC"),
        leading=tuple(c for c in columns if c.name == key[0]),
        added=(Field("valid_to", TIMESTAMP, "first snapshot that does not, UTC; null: current"), SOURCE_FILE, RESCUED),
        record=tuple(c for c in columns if c.name != key[0]),
        sort_by=(key[0], "valid_from"),
        key=key,
        is_history=True,
    )
