"""One module per foreign export; each yields its datasets, which are found here by name.

A module has `CONTRACTS`, the tables that it writes, and `datasets(options)`, where `options` is its section of the
configuration as plain values.
"""

import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

from siltstone.errors import UsageError
from siltstone.mapping.dataset import Dataset
from siltstone.model.contracts import Contract


@cache
def names() -> list[str]:
    """The sources there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> ModuleType:
    """The source's module, for `records.NAME` that of `records`; UsageError names the known ones."""
    module = name.partition(".")[0]
    if module not in names():
        raise UsageError(f"no source named {name!r}", f"Known sources: {', '.join(names())}")
    return import_module(f"{__name__}.{module}")


def datasets(source: str, options: Mapping[str, Any]) -> tuple[Dataset, ...]:
    """The datasets of a source under its options."""
    found: tuple[Dataset, ...] = load(source).datasets(options)
    return found


def dataset(name: str, options: Mapping[str, Any]) -> Dataset:
    """One dataset by its own name."""
    return next(d for d in datasets(name, options) if d.name == name)


def contract_of(table: str) -> Contract | None:
    """The contract of a table that some source writes; a source of its name is asked first, for each is imported."""
    for name in sorted(names(), key=lambda name: name != table):
        for contract in load(name).CONTRACTS:
            if contract.table == table:
                found: Contract = contract
                return found
    return None


@cache
def contracts() -> dict[str, Contract]:
    """The contract of every table that some source writes, by the table's name."""
    return {contract.table: contract for name in names() for contract in load(name).CONTRACTS}
