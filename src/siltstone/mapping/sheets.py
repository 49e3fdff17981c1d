"""Records of any format under one interface: columns of parts, cells of values, and all other cells."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import polars as pl

from siltstone.formats.documents import BadRecord, Lane, Records
from siltstone.formats.ndjson.members import NULL, TEXT, Members
from siltstone.mapping import cells
from siltstone.mapping.readings import ReadRecords
from siltstone.model.arrays import Ints

OWN = pl.Schema({"record": pl.Int64(), "key": pl.String(), "own": pl.String()})


class Sheet(ReadRecords, Protocol):
    """Records in order of document and line."""

    @property
    def names(self) -> Sequence[str]:
        """The names of all columns."""

    def column(self, name: str) -> pl.Series:
        """A cell of each record, null where it has none: text, or of the type that the file gives it."""

    def value(self, name: str) -> pl.DataFrame:
        """A column's cells, one for each record: `record`, `key` (the column), the columns of `cells.CELLS`, and
        `own`, the cell's text in the file."""

    def cells(self, names: Sequence[str]) -> pl.DataFrame:
        """The cells of some columns, by record, then in the order of columns, as `value` has them. NDJSON has none
        where a record lacks the key."""

    def others(self, named: Collection[str]) -> pl.DataFrame:
        """The cells with content outside the named columns: `record`, `key`, `own`."""

    def is_empty(self) -> pl.Series:
        """Which records have no content at all."""


@dataclass(frozen=True)
class MemberSheet:
    """Records of NDJSON."""

    members: Members

    @property
    def document(self) -> Ints:
        return self.members.document

    @property
    def line(self) -> Ints:
        return self.members.line

    @property
    def bad(self) -> Sequence[BadRecord]:
        return self.members.bad

    @property
    def lane(self) -> Lane:
        return "typed"

    @cached_property
    def names(self) -> Sequence[str]:
        """The keys that occur, in order of sight."""
        names: list[str] = self.members.frame["key"].unique(maintain_order=True).to_list()
        return names

    def column(self, name: str) -> pl.Series:
        """The plain text of a member of each record."""
        return self._one_per_record(name, ["text"])["text"]

    def value(self, name: str) -> pl.DataFrame:
        """A cell for each record, without content where it lacks the key."""
        return _cells_of(
            self._one_per_record(name, ["text", "kind", "own"]).with_columns(
                pl.int_range(pl.len(), dtype=pl.Int64()).alias("record"),
                pl.lit(name).alias("key"),
                pl.col("kind").fill_null(NULL),
            )
        )

    def cells(self, names: Sequence[str]) -> pl.DataFrame:
        """The cells of those members that occur."""
        frame = self.members.frame
        if set(names) != set(self.names):
            frame = frame.filter(pl.col("key").is_in(list(names)))
        return _cells_of(frame)

    def others(self, named: Collection[str]) -> pl.DataFrame:
        """Members with other keys, and members that repeat a key; nulls are none."""
        left = [name for name in self.names if name not in set(named)]
        frame, repeated = self.members.frame, self.members.repeated.filter(pl.col("kind") != NULL)
        frame = frame.filter(pl.col("key").is_in(left) & (pl.col("kind") != NULL)) if left else frame.clear()
        frame = pl.concat([frame, repeated]) if repeated.height else frame
        return frame.select("record", "key", _own_member().alias("own")).sort("record", maintain_order=True)

    def is_empty(self) -> pl.Series:
        """Records of nulls only."""
        frame = self.members.frame
        filled = np.zeros(len(self.line), np.bool_)
        full = frame["record"] if (frame["kind"] != NULL).all() else frame.filter(pl.col("kind") != NULL)["record"]
        filled[full.to_numpy()] = True
        return pl.Series(~filled)

    def _one_per_record(self, name: str, columns: Sequence[str]) -> pl.DataFrame:
        """A row per record of the members of one key."""
        frame = self.members.frame
        members = frame.filter(pl.col("key") == name)
        if members.height == len(self.line):
            return members.select(columns)
        place = pl.repeat(None, len(self.line), dtype=pl.Int64(), eager=True)
        place = place.scatter(members["record"], pl.int_range(members.height, eager=True))
        return members.select(pl.col(columns).gather(place))


def _cells_of(members: pl.DataFrame) -> pl.DataFrame:
    values = cells.of_members(members["text"], members["kind"], members["own"])
    return members.select("record", "key", _own_member().alias("own")).hstack(values)


def _own_member() -> pl.Expr:
    """A member's text as the file has it."""
    quoted = pl.concat_str(pl.lit('"'), pl.col("text"), pl.lit('"'))
    plain = pl.when(pl.col("kind") == TEXT).then(quoted).otherwise(pl.col("text"))
    return pl.coalesce("own", plain)


@dataclass(frozen=True)
class ColumnSheet:
    """Records of a format with columns. `cells_as` says what the cells are: `types`: values of the columns' types;
    `texts`: CSV, where a text that looks like a number with the mark `decimal` is one; `tokens`: JSON values, given as
    their own texts. `objects` are nested columns that are replaced by their fields."""

    records: Records
    cells_as: Literal["types", "texts", "tokens"] = "types"
    objects: Collection[str] = ()
    decimal: str = "."

    @property
    def document(self) -> Ints:
        return self.records.document

    @property
    def line(self) -> Ints:
        return self.records.line

    @property
    def bad(self) -> Sequence[BadRecord]:
        return self.records.bad

    @property
    def lane(self) -> Lane:
        return self.records.lane

    @cached_property
    def _columns(self) -> Mapping[str, pl.Series]:
        """The first column of each name, in order."""
        first: dict[str, pl.Series] = {}
        for name, column in self._all_columns:
            first.setdefault(name, column)
        return first

    @cached_property
    def _all_columns(self) -> list[tuple[str, pl.Series]]:
        """The columns in order with their names, each object's fields in its place, named by their paths. A field may
        have the name of another column. The series themselves have none: some names are patterns to polars."""
        columns: list[tuple[str, pl.Series]] = []
        waiting = [(column.name, column.alias("")) for column in reversed(self.records.frame.get_columns())]
        while waiting:
            name, column = waiting.pop()
            if name in self.objects and isinstance(column.dtype, pl.Struct):
                fields = column.struct.unnest().get_columns()
                waiting += [(f"{name}.{field.name}", field.alias("")) for field in reversed(fields)]
            else:
                columns.append((name, column))
        return columns

    def column(self, name: str) -> pl.Series:
        """The column, all null where the file has none."""
        column = self._columns.get(name)
        if column is None:
            return pl.repeat(None, len(self.line), dtype=pl.String(), eager=True)
        return column.to_frame().select(cells.unquoted("")).to_series() if self.cells_as == "tokens" else column

    @property
    def names(self) -> Sequence[str]:
        """The columns of the file, fields of objects by their paths."""
        return list(self._columns)

    def value(self, name: str) -> pl.DataFrame:
        """A cell for each record."""
        return self._cells_by_record([name])

    def cells(self, names: Sequence[str]) -> pl.DataFrame:
        """A cell for each record and column."""
        by_type: dict[pl.DataType, list[str]] = {}
        for name in names:
            by_type.setdefault(self._columns[name].dtype, []).append(name)
        parts = [self._cells_by_record(alike) for alike in by_type.values()]
        if not parts:
            return OWN.to_frame().hstack(cells.CELLS.to_frame())
        if len(parts) == 1:
            return parts[0]
        order = {name: place for place, name in enumerate(names)}
        return pl.concat(parts).sort("record", pl.col("key").replace_strict(order, return_dtype=pl.Int64()))

    def others(self, named: Collection[str]) -> pl.DataFrame:
        """Cells with content in other columns, and in columns that repeat the name of an earlier one."""
        parts = [
            pl.DataFrame({"own": cells.own_texts(column)})
            .select(pl.int_range(pl.len(), dtype=pl.Int64()).alias("record"), pl.lit(name).alias("key"), "own")
            .drop_nulls("own")
            for name, column in self._all_columns
            if name not in named or column is not self._columns[name]
        ]
        return pl.concat([OWN.to_frame(), *parts]).sort("record", maintain_order=True)

    def is_empty(self) -> pl.Series:
        """Records that have only null cells."""
        frame = self.records.frame
        if not frame.width:
            return pl.repeat(True, len(self.line), dtype=pl.Boolean(), eager=True)
        return frame.select(pl.all_horizontal(pl.all().is_null())).to_series()

    def _cells_by_record(self, names: Sequence[str]) -> pl.DataFrame:
        """The cells of columns of one type, by record."""
        rows, width = len(self.line), len(names)
        column = pl.concat([self._columns.get(name, self.column(name)).alias("") for name in names])
        if width > 1:
            column = column.gather(np.arange(rows * width).reshape(width, rows).T.ravel())
        match self.cells_as:
            case "types":
                values = cells.of_column(column)
            case "texts":
                values = cells.of_texts(column, self.decimal)
            case "tokens":
                values = cells.of_tokens(column)
        return pl.DataFrame(
            {
                "record": np.repeat(np.arange(rows, dtype=np.int64), width),
                "key": pl.Series(names, dtype=pl.String()).gather(np.tile(np.arange(width), rows)),
                "own": cells.own_texts(column),
            }
        ).hstack(values)
