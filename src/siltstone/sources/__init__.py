"""One module per foreign export, found here by its name; it holds all that siltstone knows of that export.

A module has `datasets(options)`, the kinds of its files, and may have:

- `Options`, a dataclass that extends `SourceOptions`: the keys of its section `sources.NAME` of the configuration;
- `CONTRACTS`, the tables that it writes; without it `readings` alone;
- `HAS_BLOCKS`, where its section holds blocks by name. Each is a source `NAME.BLOCK` with `Options` of its own, and
  `datasets(options, block)` gets its name.

A module is imported when its source is asked for, so that a command takes the time of one source only.
"""

import difflib
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from siltstone.errors import UsageError
from siltstone.mapping.source_options import SourceOptions

if TYPE_CHECKING:
    from siltstone.mapping.dataset import Dataset
    from siltstone.model.contracts import Contract


@cache
def names() -> list[str]:
    """The names of all sources, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> ModuleType:
    """The module of a source, of a block `records.NAME` that of `records`. Raises UsageError with the known names."""
    module = name.partition(".")[0]
    if module not in names():
        near = difflib.get_close_matches(module, names(), 1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"no source named {name!r}", f"{hint}Known sources: {', '.join(names())}.")
    return import_module(f"{__name__}.{module}")


def options_type(name: str) -> type[SourceOptions]:
    """The dataclass of a source's options, or of the options of one block."""
    options: type[SourceOptions] = getattr(load(name), "Options", SourceOptions)
    return options


def has_blocks(name: str) -> bool:
    """Whether the source's section of the configuration holds blocks by name."""
    return bool(getattr(load(name), "HAS_BLOCKS", False))


def datasets(source: str, options: Mapping[str, Any]) -> tuple["Dataset", ...]:
    """The datasets of a source, of a block or of the source of a dataset, under options as plain values."""
    given = options_type(source).from_plain(options)
    block = [source.partition(".")[2]] if has_blocks(source) else []
    datasets: tuple[Dataset, ...] = load(source).datasets(given, *block)
    return datasets


def dataset(name: str, options: Mapping[str, Any]) -> "Dataset":
    """One dataset by its own name. Raises UsageError with the names of the source's datasets if it has none such."""
    own = {dataset.name: dataset for dataset in datasets(name, options)}
    if name not in own:
        raise UsageError(f"no dataset named {name!r}", f"Known datasets of this source: {', '.join(own)}")
    return own[name]


def contract_of(table: str) -> "Contract | None":
    """The contract of a table that some source writes, else None.

    The source that has the table's name is asked first: asking a source imports its module.
    """
    for name in sorted(names(), key=lambda name: name != table):
        for contract in _contracts(name):
            if contract.table == table:
                return contract
    return None


@cache
def contracts() -> dict[str, "Contract"]:
    """The contract of every table that some source writes, by the table's name."""
    return {contract.table: contract for name in names() for contract in _contracts(name)}


def _contracts(name: str) -> tuple["Contract", ...]:
    from siltstone.model.contracts import READINGS  # it needs pyarrow, which the command line does not

    contracts: tuple[Contract, ...] = getattr(load(name), "CONTRACTS", (READINGS,))
    return contracts
