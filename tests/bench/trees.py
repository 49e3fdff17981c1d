"""The inputs of the cases, made once and kept: a tree of files and its truth beside it."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import haltian_exports
import mortar_buildings
import sitewise_exports
from fleet import Fleet, write_fleet
from haltian_exports import Export, write_export
from mortar_buildings import write_buildings
from readings_truth import ReadingsTruth, load_readings_truth, save_readings_truth
from sitewise_exports import Exports, write_exports
from truth import Truth, count_tree, fields_of, load_truth, rows_of, save_truth

HERE = Path(__file__).parent
DEMO = HERE.parent / "demo"


@dataclass(frozen=True)
class Tree:
    """An input folder; beside it, what is known of it."""

    root: Path

    @property
    def truth(self) -> Path:
        return self.root.parent / "truth.json"

    @property
    def schema(self) -> Path:
        """Field to kind, for readers that are told the schema."""
        return self.root.parent / "schema.json"

    @property
    def rows(self) -> int:
        return rows_of(load_truth(self.truth))

    def warm_cache(self) -> None:
        """Read every file once, so that no contender pays for the disk alone."""
        for path in self.root.rglob("*"):
            if path.is_file():
                path.read_bytes()


class ReadingsTree(Tree):
    """An input whose right result is a table of readings."""

    @property
    def rows(self) -> int:
        return load_readings_truth(self.truth).rows


def fleet_tree(cache: Path, fleet: Fleet) -> Tree:
    """The fleet's files, made by two processes unless `cache` has them."""
    made_by = [HERE / "telemetry.py", HERE / "fleet.py", HERE / "truth.py"]
    return _cached(cache, fleet.name, made_by, lambda root: write_fleet(root, fleet))


def building_tree(cache: Path) -> Tree:
    """The 19,536 files of the demo's building."""

    def make(root: Path) -> Truth:
        sys.path.insert(0, str(DEMO))
        from building import write_building

        write_building(root)
        return count_tree(root)

    return _cached(cache, "building", [DEMO / "building.py", HERE / "truth.py"], make)


def noise_tree(cache: Path, write: Callable[[Path], Truth], made_by: Path) -> Tree:
    """What the runs of the case `optimize` read."""
    return _cached(cache, "noise", [made_by, HERE / "truth.py"], write)


def objects_tree(cache: Path, files: int) -> Tree:
    """The first files of the building."""

    def make(root: Path) -> Truth:
        whole = building_tree(cache).root
        for path in sorted(whole.rglob("*.gz"))[:files]:
            copy = root / path.relative_to(whole)
            copy.parent.mkdir(parents=True)
            shutil.copy(path, copy)
        return count_tree(root)

    return _cached(cache, f"{files}-objects", [DEMO / "building.py", HERE / "truth.py"], make)


def sitewise_tree(cache: Path) -> Tree:
    """10,000 Avro files of a plant."""
    return _cached_readings(cache, "sitewise", sitewise_exports, lambda root: write_exports(root, Exports()))


def haltian_tree(cache: Path) -> Tree:
    """11,520 Parquet files of an organization with few devices: eight an hour for sixty days."""
    return _cached_readings(cache, "haltian", haltian_exports, lambda root: write_export(root, Export()))


def mortar_tree(cache: Path) -> Tree:
    """12,840 CSVs of ten buildings."""
    return _cached_readings(cache, "mortar", mortar_buildings, write_buildings)


def _cached_readings(cache: Path, name: str, made_by: ModuleType, make: Callable[[Path], ReadingsTruth]) -> Tree:
    def fill(folder: Path) -> None:
        save_readings_truth(folder / "truth.json", make(folder / "input"))

    code = [Path(made_by.__file__ or ""), HERE / "readings_truth.py"]
    return ReadingsTree(cached_folder(cache, name, code, fill) / "input")


def _cached(cache: Path, name: str, made_by: list[Path], make: Callable[[Path], Truth]) -> Tree:
    def fill(folder: Path) -> None:
        truth = make(folder / "input")
        save_truth(folder / "truth.json", truth)
        kinds = {name: field.kind for name, field in fields_of(truth).items()}
        (folder / "schema.json").write_text(json.dumps(kinds))

    return Tree(cached_folder(cache, name, made_by, fill) / "input")


def cached_folder(cache: Path, name: str, made_by: list[Path], fill: Callable[[Path], None]) -> Path:
    """`cache/NAME-HASH`; the hash is that of the code that fills it, and folders of older code are removed."""
    code = hashlib.sha256(b"".join(path.read_bytes() for path in made_by)).hexdigest()[:8]
    folder = cache / f"{name}-{code}"
    if not folder.exists():
        for old in cache.glob(f"{name}-????????"):
            shutil.rmtree(old)
        print(f"making {folder} ...", flush=True)
        unfinished = cache / f"unfinished-{name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        fill(unfinished)
        unfinished.rename(folder)
    return folder
