"""siltstone turns floods of small telemetry files into few well-sized Parquet/Delta files, losslessly.

What can be imported from here is the public face, with `siltstone.spark`, `siltstone.errors` and
`siltstone.dimensions`; docs/python.md explains each. Everything else may move. A name is imported when it is first
used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from siltstone.version import __version__

if TYPE_CHECKING:
    from siltstone.api.aggregates import aggregate, conventions, rollup
    from siltstone.api.compact import compact, survey
    from siltstone.api.configuration import Config, load_config
    from siltstone.api.engines import LocalEngine
    from siltstone.api.pictures import plot
    from siltstone.api.publish import publish
    from siltstone.api.series import asof, resample
    from siltstone.api.spark_engine import SparkEngine
    from siltstone.api.tables import LakeTable, adopt, open_table, optimize, repair, vacuum, verify

_MODULES = {
    "aggregates": ("aggregate", "conventions", "rollup"),
    "compact": ("compact", "survey"),
    "configuration": ("Config", "load_config"),
    "engines": ("LocalEngine",),
    "pictures": ("plot",),
    "publish": ("publish",),
    "series": ("asof", "resample"),
    "spark_engine": ("SparkEngine",),
    "tables": ("LakeTable", "adopt", "open_table", "optimize", "repair", "vacuum", "verify"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Config",
    "LakeTable",
    "LocalEngine",
    "SparkEngine",
    "__version__",
    "adopt",
    "aggregate",
    "asof",
    "compact",
    "conventions",
    "load_config",
    "open_table",
    "optimize",
    "plot",
    "publish",
    "repair",
    "resample",
    "rollup",
    "survey",
    "vacuum",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'siltstone' has no attribute {name!r}")
    found = getattr(import_module(f"siltstone.api.{_MODULE_OF[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
