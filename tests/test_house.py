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
