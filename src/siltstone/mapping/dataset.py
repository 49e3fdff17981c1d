"""A dataset is one kind of file of a source: which files belong to it, and how their bytes become rows of its table.

Two shapes of rows: `Wide`, one row per record with whatever columns the records bring, and `Keyed`, rows of a contract
with fixed columns and a key.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from siltstone.formats.documents import BadRecord, Item, Lane, Opened, ParseRules
from siltstone.mapping.rules import Rules
from siltstone.model.arrays import Ints
from siltstone.model.contracts import READINGS, Contract, Policy
from siltstone.model.schema import Schema


@dataclass(frozen=True, slots=True)
class Place:
    """What a path says about its file.

    - `site`: "" where only the records say it.
    - `device`: one task reads all files of a device together, because rows with equal keys are in these files only.
    - `hour`: of the folder or the name, by the clock of the device; None where the path has none.
    - `likely_site`: the site that the records will probably say; only the plan uses it.
    """

    site: str
    device: str
    hour: datetime | None = None
    likely_site: str = ""


@dataclass(frozen=True)
class Wide:
    """Rows of records, refused ones left out, in order of document and line.

    `table` has the record columns that occur and `_rescued`; the arrays an entry for each of its rows: `ts_us` (UTC),
    `day` (local date as days since 1970), `unit` (of its time, index into the dataset's `time_units`). `cells`, `keys`
    and `nulls` are as in `Parsed`, for these rows.
    """

    lane: Lane
    table: pa.Table
    document: Ints
    line: Ints
    ts_us: Ints
    day: npt.NDArray[np.int32]
    unit: npt.NDArray[np.int8]
    bad: Sequence[BadRecord] = ()
    cells: Ints | None = None
    keys: Mapping[int, int] = field(default_factory=dict)
    nulls: Mapping[int, int] = field(default_factory=dict)


REPEATED = pl.Schema(
    {"document": pl.Int64(), "date": pl.Int32(), "site": pl.String(), "records": pl.Int64(), "rows": pl.Int64()}
)


@dataclass(frozen=True)
class Keyed:
    """Rows of a contract with a key, refused records left out, in order of document and line.

    A record may give no row, one row or several.

    - `frame` has the contract's record columns that occur (missing ones are null) and these:
      `ts`, int64 microseconds UTC (in a history contract: of the snapshot); `_rescued`; `document`, int64; `line`,
      int64, the record's place in its file, from 0. If it is no history contract also: `date`, int32 days since 1970,
      the date of the partition, and `site`, its safe value.
    - `records` has the number of records that were not refused, by document.
    - `repeated` counts the records that are left out because an earlier record of the same documents is equal in
      every column: by `document`, `date` and `site` the number of `records`, and of the `rows` that they stand for.
    """

    lane: Lane
    frame: pl.DataFrame
    bad: Sequence[BadRecord]
    records: Mapping[int, int]
    repeated: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REPEATED))


class Dataset(ABC):
    """One kind of file of a source, and how its bytes become rows of a table.

    A dataset gives `name` and `layout`, the three methods `locate`, `open` and `rows`, and what differs from the
    defaults below.
    """

    name: str
    """What the ledger calls it: the source's name, or `SOURCE.KIND` where the source has several kinds of file."""

    layout: str
    """What a path looks like, for people."""

    contract: Contract = READINGS
    """The table that its rows go to."""

    policy: Policy = "last"
    """Which of several rows with one key stays."""

    whole: bool = False
    """Of a history contract: True if a file is a snapshot of the whole table, False if only of the rows that it had
    before."""

    is_by_hour: bool = False
    """Whether folders or names say the hour of a file, so that `is_before` can leave some out."""

    time_units: Sequence[str] = ()
    """The units of time that its records may have, where a run counts them."""

    @property
    def source(self) -> str:
        """What the column `source` of its rows says: the first part of the name."""
        return self.name.partition(".")[0]

    @abstractmethod
    def locate(self, path: str) -> Place | None:
        """The place that the path of a file says; None if the file is not of this dataset."""

    def is_before(self, folder: str, since: datetime) -> bool:
        """Whether all files in a folder are of an hour before `since`, by their own clock; False if it can't be
        said."""
        return False

    @abstractmethod
    def open(self, item: Item, rules: ParseRules) -> Opened:
        """The document of a file. Raises Unreadable with the reason when the file gives nothing.

        A document can be pickled and has `index`, `path`, `modified_us`, `size` (bytes that parsing it takes) and, of
        keyed rows, `record(line)`: the byte offset and the bytes of a record. One that may become far more than its
        size says has `load` and `portions` (see `formats.portions`).
        """

    @abstractmethod
    def rows(self, documents: Sequence[Any], schema: Schema, rules: Rules) -> tuple[Sequence[Wide | Keyed], Schema]:
        """Every row of the documents, and the schema with the columns that they brought."""


class WideDataset(Dataset):
    """A dataset of a contract without a key: nearly all rows of a file go to one partition."""

    @abstractmethod
    def partition_of(self, place: Place, shift_hours: int) -> tuple[str, str]:
        """Where most rows of a file will land, with `shift_hours` from the folder's hour to the local one."""

    @abstractmethod
    def first_unit(self, head: bytes) -> str:
        """The unit in the first record of a file's first bytes; "" when that can't be read."""
