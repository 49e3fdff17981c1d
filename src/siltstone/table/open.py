"""Which kind of table lies at a path."""

from siltstone.errors import UsageError
from siltstone.model.contracts import Contract
from siltstone.model.layout import FOLDER
from siltstone.storage import Storage
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


def refuse_lake(storage: Storage) -> None:
    """Raise UsageError where a folder that should be a table is a lake; it names the lake's tables."""
    if tables := tables_in(storage):
        raise UsageError(
            f"{storage.root} is a lake, not a table",
            f"Its tables: {', '.join(tables)}. Give one, such as {storage.root}/{tables[0]}.",
        )
