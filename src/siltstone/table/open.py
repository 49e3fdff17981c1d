"""Which kind of table lies at a path."""

from collections.abc import Callable

from siltstone.errors import SiltstoneError, UsageError
from siltstone.model.contracts import READINGS, Contract
from siltstone.model.layout import FOLDER
from siltstone.storage import Storage
from siltstone.table import ledger as ledgers
from siltstone.table.delta_table import Table
from siltstone.table.parquet_table import LOG, PlainTable


def table_at(storage: Storage, contract: Contract, wanted: str = "auto") -> Table:
    """The table at a path, of the kind that it is; where there is none yet, of the `wanted` format: `delta`,
    `parquet`, or `auto` for Delta.

    Raises UsageError when another format is wanted than the table has.
    """
    found = [name for name, log in (("delta", "_delta_log"), ("parquet", LOG)) if storage.child(log).exists()]
    if len(found) > 1:
        raise UsageError(
            f"{storage.root} has the logs of a Delta and of a plain Parquet table",
            "Two runs created it at once in two formats: keep one, move the other away.",
        )
    if found and wanted not in ("auto", *found):
        raise UsageError(
            f"{storage.root} is a {found[0]} table, not {wanted}", "Leave --format out, or give another lake."
        )
    return PlainTable(storage, contract) if (*found, wanted)[0] == "parquet" else Table(storage, contract)


def tables_in(storage: Storage) -> list[str]:
    """The names of the tables of a lake, of any kind; none where the folder is no lake."""
    return [name for name in storage.folders() if storage.child(name, FOLDER).exists()]


def refuse_table(storage: Storage) -> None:
    """Raise UsageError where a folder that should be a lake is a table."""
    if storage.child("_delta_log").exists() or storage.child(FOLDER).exists():
        raise UsageError(f"{storage.root} is a table, not a lake", "Give the folder in which it lies.")


def kind_at(storage: Storage) -> str:
    """The kind of the newest run of the table at a path, whatever its columns; empty before the first run."""
    newest = ledgers.load(storage, table_at(storage, READINGS).newest_run()).newest
    return "" if newest is None else newest.kind


def refuse_lake(storage: Storage, *takes: Callable[[Storage], bool]) -> None:
    """Raise UsageError where a folder that should be a table is a lake; it names the lake's tables, and proposes one
    that the caller `takes`, by the first of these that is true of any."""
    if not (tables := tables_in(storage)):
        return
    fitting = next((name for take in takes for name in tables if _is_taken(storage.child(name), take)), None)
    move = f"Give one, such as {storage.root}/{fitting}." if fitting else "None of them is of the kind that is needed."
    raise UsageError(f"{storage.root} is a lake, not a table", f"Its tables: {', '.join(tables)}. {move}")


def _is_taken(table: Storage, takes: Callable[[Storage], bool]) -> bool:
    try:
        return takes(table)
    except SiltstoneError:  # of a newer format, or not to be read: no table to propose
        return False
