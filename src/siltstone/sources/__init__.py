"""One module per foreign export; `load` finds it by name."""

import pkgutil
from importlib import import_module
from types import ModuleType

from siltstone.errors import UsageError


def names() -> list[str]:
    """The sources there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> ModuleType:
    """The source's module; UsageError names the known ones."""
    if name not in names():
        raise UsageError(f"no source named {name!r}", f"Known sources: {', '.join(names())}")
    return import_module(f"{__name__}.{name}")
