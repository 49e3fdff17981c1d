"""Which kind of table lies at a path."""

from siltstone.errors import UsageError
from siltstone.model.contracts import Contract
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
