"""The arrows of the house: rings 0 and 1 are pure, and imports point inward or sideways only."""

import ast
from functools import cache
from pathlib import Path

import siltstone

SRC = Path(siltstone.__file__).parent
MEMBERS = {
    0: "siltstone accounts contracts errors kinds records_options sites table_format",
    1: """
        aggregates arrays bounds companions conform datasets duplicates formats histories keeping mapping merging
        planning sources tally views zones
    """,
    2: """
        aggregation bins checks compaction config describe engine fetching footers home_rows joining keyed
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


def test_imports_point_inward_or_sideways() -> None:
    outward = [
        f"{module_of(file)} (ring {own}) must not know {name}"
        for file in FILES
        for own in [ring(place(module_of(file)))]
        for name in sorted(set(imported(file)))
        if name.split(".")[0] == "siltstone" and ring(place(name)) > own
    ]
    assert not outward, "\n".join(outward)


def test_every_module_is_in_a_ring() -> None:
    members = set().union(*RINGS.values())
    homeless = sorted({place(module_of(file)) for file in FILES} - members)
    assert not homeless, "\n".join(homeless)


def test_few_modules_know_spark() -> None:
    words = ("sparkContext", "_jvm")
    knowing = [
        f"{module_of(file)} knows {name}"
        for file in FILES
        if file.name not in SPARK_KNOWN_TO
        for name in (*imported(file), *(word for word in words if word in file.read_text()))
        if name.split(".")[0] in ("pyspark", "delta", *words)
    ]
    assert not knowing, "\n".join(knowing)


def test_no_module_is_over_400_lines() -> None:
    lines = {module_of(file): len(file.read_text().splitlines()) for file in FILES}
    long = [f"{module} has {count} lines" for module, count in lines.items() if count > 400]
    assert not long, "\n".join(long)


def test_rings_0_and_1_touch_no_storage_clock_or_log() -> None:
    impure = {"os", "pathlib", "time", "logging", "obstore", "deltalake", "socket", "subprocess", "io"}
    touching = [
        f"{module_of(file)} imports {name}"
        for file in FILES
        if ring(place(module_of(file))) <= 1 and module_of(file) != "siltstone"
        for name in imported(file)
        if name.split(".")[0] in impure
    ]
    assert not touching, "\n".join(touching)
