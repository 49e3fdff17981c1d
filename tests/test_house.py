"""The arrows of the house: rings 0 and 1 are pure, and imports point inward or sideways only."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import siltstone

SRC = Path(siltstone.__file__).parent
MEMBERS = {
    0: "siltstone accounts contracts errors kinds records_options sites",
    1: """
        aggregates arrays bounds companions conform datasets duplicates formats histories keeping mapping merging
        planning sources tally views zones
    """,
    2: """
        aggregation bins checks compaction config data_reader describe engine fetching footers home_rows joining keyed
        ledger listing measurements plain_table plans plotting portions progress publishing quarantine reading
        rewriting session settings settling storage summaries superseding survey table tables task vacuuming
        verification waves writing yaml_files
    """,
    3: "__main__ aggregate_command arguments cli doctor plot_command publish_command series_command show",
}
RINGS = {number: set(members.split()) for number, members in MEMBERS.items()}
FILES = sorted(SRC.rglob("*.py"))
SPARK_KNOWN_TO = {"engine.py", "session.py", "frames.py", "frame_times.py", "asof_frames.py"}


def place(dotted: str) -> str:
    """The ring's member that a module belongs to: `siltstone.formats.tokens` is part of `formats`."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def ring(name: str) -> int:
    """The ring of a member; a name that is none is a function or constant of the package itself."""
    return next((number for number, members in RINGS.items() if name in members), 0)


def module_of(file: Path) -> str:
    parts = ["siltstone", *file.relative_to(SRC).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, also inside functions and `if TYPE_CHECKING`."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file.name}: relative import"
            assert node.module is not None
            from_package = node.module == "siltstone"
            yield from ((f"siltstone.{a.name}" for a in node.names) if from_package else [node.module])


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_imports_point_inward_or_sideways(file: Path) -> None:
    own = ring(place(module_of(file)))
    inner = {name for name in imported(file) if name.split(".")[0] == "siltstone"}
    outward = sorted(name for name in inner if ring(place(name)) > own)
    assert outward == [], f"ring {own} must not know {outward}"


def test_every_module_is_in_a_ring() -> None:
    members = set().union(*RINGS.values())
    assert {place(module_of(file)) for file in FILES} - members == set()


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_only_engine_and_session_know_spark(file: Path) -> None:
    if file.name in SPARK_KNOWN_TO:
        return
    spark = [name for name in imported(file) if name.split(".")[0] in ("pyspark", "delta")]
    assert spark == []
    assert [word for word in ("sparkContext", "_jvm") if word in file.read_text()] == []


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_no_module_is_over_400_lines(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= 400


@pytest.mark.parametrize(
    "file", [f for f in FILES if ring(place(module_of(f))) <= 1 and module_of(f) != "siltstone"], ids=module_of
)
def test_rings_0_and_1_touch_no_storage_clock_or_log(file: Path) -> None:
    impure = {"os", "pathlib", "time", "logging", "obstore", "deltalake", "socket", "subprocess", "io"}
    assert {name.split(".")[0] for name in imported(file)} & impure == set()


OPENS_PARQUET = {"ParquetFile", "ParquetDataset", "read_table", "read_metadata", "read_schema"} | {
    f"{verb}_parquet{what}" for verb in ("read", "scan") for what in ("", "_metadata", "_schema")
}
READ_OTHER_PARQUET = {
    "siltstone.table.reader": "data files of tables",
    "siltstone.formats.parquet.reader": "files of sources",
    "siltstone.sources.haltian": "files of sources, by formats.parquet",
    "siltstone.sources.records": "files of sources, by formats.parquet",
    "siltstone.table.ledger": "manifests",
    "siltstone.table.quarantine": "records that were refused",
    "siltstone.publishing.editions": "manifests of published editions",
    "siltstone.publishing.mortar_layout": "footers of published files",
    "siltstone.publishing.stream_writing": "published files",
    "siltstone.derived.boundary_rows": "rows that tasks hand to each other",
}


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
    assert offenders.keys() - READ_OTHER_PARQUET.keys() == set(), f"use siltstone.data_reader: {offenders}"
    assert READ_OTHER_PARQUET.keys() - offenders.keys() == set(), "they open none any more: take them off the list"
    datasets = [module_of(file) for file in FILES if "pyarrow.dataset" in imported(file)]
    assert datasets == []
