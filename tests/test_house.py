"""The arrows of the house: which room may import which, and what only some rooms may touch."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import siltstone

SRC = Path(siltstone.__file__).parent
FILES = sorted(SRC.rglob("*.py"))

# Every room, and the rooms that it imports. The outermost come last; a new arrow is a decision that is made here.
ROOMS = {
    "version": "",
    "errors": "",
    "model": "errors version",
    # pure: bytes, tables and plain values in, the same out
    "formats": "errors model",
    "kernels": "errors model",
    "timeseries": "errors",
    "mapping": "errors formats model",
    "sources": "errors formats mapping model",
    "dimensions": "",
    # what touches the world
    "storage": "errors model",
    "engine": "errors model storage",
    "table": "engine errors formats kernels model storage version",
    "config": "errors mapping model sources timeseries",
    # jobs
    "aggregation": "config engine errors kernels model sources storage table timeseries",
    "maintenance": "aggregation config engine errors formats kernels mapping model sources storage table version",
    "ingest": "config engine errors formats kernels maintenance mapping model sources storage table version",
    "derived": "aggregation config engine errors kernels model sources storage table timeseries",
    "dataframes": "aggregation config errors model timeseries",
    "plotting": "aggregation config errors model storage table timeseries",
    "publishing": "config engine errors kernels model storage table",
    # the doors: functions for Python, which the command line calls too
    "api": "aggregation config derived engine errors ingest maintenance model plotting publishing timeseries",
    "spark": "dataframes engine",
    "siltstone": "api version",  # the package itself: its version and public names
    "cli": "api config engine errors maintenance model storage version",
    "__main__": "cli",
}
PURE = {"errors", "model", "formats", "kernels", "timeseries", "mapping", "sources", "dimensions"}
IMPURE = {"os", "pathlib", "time", "logging", "obstore", "deltalake", "socket", "subprocess", "io"}
KNOW_SPARK = {
    *("siltstone.engine.spark", "siltstone.engine.session"),
    *("siltstone.dataframes.aggregate", "siltstone.dataframes.asof", "siltstone.dataframes.instants"),
}
OPENS_PARQUET = {"ParquetFile", "ParquetDataset", "read_table", "read_metadata", "read_schema"} | {
    f"{verb}_parquet{what}" for verb in ("read", "scan") for what in ("", "_metadata", "_schema")
}
READ_OTHER_PARQUET = {
    "siltstone.table.reader": "data files of tables",
    "siltstone.formats.parquet.reader": "files of sources",
    "siltstone.sources.haltian": "files of sources, by formats.parquet",
    "siltstone.sources.records": "files of sources, by formats.parquet",
    "siltstone.table.ledger": "manifests",
    "siltstone.table.folded_runs": "manifests, many in one file",
    "siltstone.table.quarantine": "records that were refused",
    "siltstone.publishing.editions": "manifests of published editions",
    "siltstone.publishing.mortar_layout": "footers of published files",
    "siltstone.publishing.stream_writing": "published files",
    "siltstone.derived.boundary_rows": "rows that tasks hand to each other",
}


def room_of(dotted: str) -> str:
    """`formats` of siltstone.formats.csv; a name of the package itself, such as its version, is of `siltstone`."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "siltstone"


def module_of(file: Path) -> str:
    parts = ["siltstone", *file.relative_to(SRC).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported(file: Path) -> tuple[str, ...]:
    """Every module that a file imports anywhere, also inside functions and `if TYPE_CHECKING`."""
    found: list[str] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            assert node.module is not None
            from_package = node.module == "siltstone"
            found += [f"siltstone.{a.name}" for a in node.names] if from_package else [node.module]
    return tuple(found)


def arrows() -> dict[tuple[str, str], str]:
    """Each pair of rooms, of which the first imports the second, with one module that does."""
    pairs = {}
    for file in FILES:
        own = room_of(module_of(file))
        for name in imported(file):
            if name.split(".")[0] == "siltstone" and room_of(name) != own:
                pairs[own, room_of(name)] = f"{module_of(file)} imports {name}"
    return pairs


def test_rooms_import_only_the_rooms_that_are_named_here() -> None:
    allowed = {(room, other) for room, others in ROOMS.items() for other in others.split()}
    found = arrows()
    unnamed = [
        f"{why}, but {room} may not import {other}"
        for (room, other), why in found.items()
        if (room, other) not in allowed
    ]
    unused = [f"{room} does not import {other} any more" for room, other in allowed - found.keys()]
    offenders = sorted([*unnamed, *unused])
    assert not offenders, "\n".join(offenders)


def test_every_module_has_a_room_and_rooms_form_no_circle() -> None:
    top = {file.relative_to(SRC).parts[0].removesuffix(".py") for file in FILES} - {"__init__"}
    offenders = [f"{name} is no room of ROOMS" for name in sorted(top - ROOMS.keys())]
    left = {room: set(others.split()) for room, others in ROOMS.items()}
    while free := [room for room, others in left.items() if not others & left.keys()]:
        for room in free:
            del left[room]
    offenders += [f"{room} is in a circle or behind one" for room in left]
    assert not offenders, "\n".join(offenders)


def test_few_modules_know_spark() -> None:
    words = ("sparkContext", "_jvm")
    offenders = [
        f"{module_of(file)} knows {name}"
        for file in FILES
        if module_of(file) not in KNOW_SPARK
        for name in (*imported(file), *(word for word in words if word in file.read_text()))
        if name.split(".")[0] in ("pyspark", "delta", *words)
    ]
    assert not offenders, "\n".join(offenders)


def test_no_module_is_over_400_lines() -> None:
    lines = {module_of(file): len(file.read_text().splitlines()) for file in FILES}
    offenders = [f"{module} has {count} lines" for module, count in lines.items() if count > 400]
    assert not offenders, "\n".join(offenders)


def test_pure_rooms_touch_no_storage_clock_or_log() -> None:
    offenders = [
        f"{module_of(file)} imports {name}"
        for file in FILES
        if room_of(module_of(file)) in PURE
        for name in imported(file)
        if name.split(".")[0] in IMPURE
    ]
    assert not offenders, "\n".join(offenders)


def called(file: Path) -> Iterator[str]:
    """The name of every function and class that a file calls or hands on, without the module it is of."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_only_the_data_reader_opens_data_files() -> None:
    opening = {module_of(file): OPENS_PARQUET.intersection(called(file)) for file in FILES}
    offenders = {module: sorted(names) for module, names in opening.items() if names}
    assert offenders.keys() - READ_OTHER_PARQUET.keys() == set(), f"use siltstone.table.reader: {offenders}"
    assert READ_OTHER_PARQUET.keys() - offenders.keys() == set(), "they open none any more: take them off the list"
    datasets = [module_of(file) for file in FILES if "pyarrow.dataset" in imported(file)]
    assert datasets == []
