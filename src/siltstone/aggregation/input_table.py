"""The table that an aggregate is made of: opened, and compared with what is asked for."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from siltstone import sources
from siltstone.aggregation.output_table import output_at
from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.model import Config
from siltstone.errors import UsageError
from siltstone.model.contracts import READINGS, Contract
from siltstone.model.data_files import DataFile
from siltstone.storage import Storage, open_root
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.open import refuse_lake, table_at


def input_table(uri: str, terms: AggregateSpec, config: Config) -> Table:
    """The table to aggregate. Raises UsageError if there is none, or if it is of another kind than the terms need."""
    storage = open_root(uri, config.storage)
    name, contract = storage.root.rstrip("/").rpartition("/")[2], _contract_at(storage)
    if contract is None or not storage.exists():
        refuse_lake(
            storage,
            lambda table: _fits(_contract_at(table), terms),
            lambda table: _has_readings(_contract_at(table)),  # with other --columns
        )
        raise UsageError(f"no table of siltstone at {storage.root}", _instead(storage))
    if not _has_readings(contract):
        raise UsageError(f"{name} has no readings to aggregate", "Give LAKE/readings, or a wide table and --columns.")
    if not _fits(contract, terms):
        raise UsageError(
            f"{name} is a {'wide table' if contract is not READINGS else 'table of readings'}",
            "Say which columns: --columns a,b."
            if contract is not READINGS
            else "Leave --columns out; --measurement NAME says which of its series.",
        )
    table = table_at(storage, contract)
    existing(table)
    return table


def _contract_at(storage: Storage) -> Contract | None:
    """The contract of a source's table, by the name of its folder; None for any other name."""
    name = storage.root.rstrip("/").rpartition("/")[2]
    return READINGS if name == READINGS.table else sources.contract_of(name)


def _has_readings(contract: Contract | None) -> bool:
    return contract is not None and (contract is READINGS or not (contract.is_history or contract.key))


def _fits(contract: Contract | None, terms: AggregateSpec) -> bool:
    """Whether a table of readings, or with columns a wide one."""
    return _has_readings(contract) and bool(terms.columns) == (contract is not READINGS)


def _instead(storage: Storage) -> str:
    """The next move for a user who gave a folder that is no table to aggregate."""
    if output_at(storage) is not None:
        return "That is a table of aggregates: siltstone rollup makes coarser ones, siltstone asof joins them."
    return "Give the folder of one, such as LAKE/readings, or LAKE/datalog and --columns; siltstone show LAKE tells."


@dataclass(frozen=True)
class InputVersion:
    """One version of a table to aggregate, with its data files."""

    table: Table
    snapshot: Snapshot
    stored: Sequence[DataFile]

    @classmethod
    def of(cls, table: Table, terms: AggregateSpec) -> "InputVersion":
        """The newest version. Raises UsageError where it lacks a column of the terms."""
        table.recover()
        snapshot = existing(table)
        check_columns(table, snapshot, terms)
        return cls(table, snapshot, table.files(snapshot))


def check_columns(table: Table, snapshot: Snapshot, terms: AggregateSpec) -> None:
    """Raise UsageError if a wide table lacks a column that is asked for."""
    existing_columns = snapshot.schema.by_name
    if not (unknown := [column for column in terms.columns if column not in existing_columns]):
        return
    near = [n for column in unknown for n in difflib.get_close_matches(column, existing_columns, 1)]
    some = f"It has {', '.join(sorted(existing_columns)[:12])}{' ...' if len(existing_columns) > 12 else ''}."
    raise UsageError(
        f"{table.storage.root} has no column {', '.join(unknown)}",
        f"Did you mean {', '.join(near)}? {some}" if near else some,
    )


def existing(table: Table) -> Snapshot:
    """The newest version of a table. Raises UsageError if there is no table."""
    snapshot = table.snapshot()
    if snapshot is None:
        raise UsageError(f"no table at {table.storage.root}", "siltstone compact SOURCE INPUT LAKE makes one.")
    return snapshot
