"""The table to aggregate, held against what is asked of it."""

from collections.abc import Mapping

from siltstone import sources
from siltstone.aggregation.terms import Terms
from siltstone.config import Config
from siltstone.contracts import READINGS, Contract
from siltstone.errors import UsageError
from siltstone.storage import open_root
from siltstone.table import Table
from siltstone.tables import table_at


def input_table(uri: str, terms: Terms, config: Config) -> Table:
    """The table to aggregate; UsageError where there is none, or not of the kind that the terms ask for."""
    storage = open_root(uri, config.storage)
    name = storage.root.rstrip("/").rpartition("/")[2]
    contracts: Mapping[str, Contract] = sources.contracts()
    contract = contracts.get(name)
    if contract is None or not storage.exists():
        raise UsageError(
            f"no table of siltstone at {storage.root}",
            f"Give the folder of one, such as LAKE/readings; there are {', '.join(sorted(contracts))}.",
        )
    if contract.is_history or (contract.key and contract is not READINGS):
        raise UsageError(f"{name} has no readings to aggregate", "Give LAKE/readings, or a wide table and --columns.")
    if bool(terms.columns) != (contract is not READINGS):
        raise UsageError(
            f"{name} is a {'wide table' if contract is not READINGS else 'table of readings'}",
            "Say which columns: --columns a,b." if contract is not READINGS else "Leave --columns out.",
        )
    table = table_at(storage, contract)
    if table.snapshot() is None:
        raise UsageError(f"no table at {storage.root}", "siltstone compact SOURCE INPUT LAKE makes one.")
    return table
