"""The inputs of the cases, made once and kept: a tree of files and its truth beside it."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleet import Fleet, write_fleet
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
        for path in self.root.rglob("*.gz"):
            path.read_bytes()


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
    """What the settle case's runs read."""
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


def _cached(cache: Path, name: str, made_by: list[Path], make: Callable[[Path], Truth]) -> Tree:
    """`cache/NAME-HASH/input`; the hash is that of the code that makes it, and trees of older code are removed."""
    code = hashlib.sha256(b"".join(path.read_bytes() for path in made_by)).hexdigest()[:8]
    folder = cache / f"{name}-{code}"
    if not folder.exists():
        for old in cache.glob(f"{name}-????????"):
            shutil.rmtree(old)
        print(f"making {folder} ...", flush=True)
        unfinished = cache / f"unfinished-{name}"
        shutil.rmtree(unfinished, ignore_errors=True)
        truth = make(unfinished / "input")
        save_truth(unfinished / "truth.json", truth)
        kinds = {name: field.kind for name, field in fields_of(truth).items()}
        (unfinished / "schema.json").write_text(json.dumps(kinds))
        unfinished.rename(folder)
    return Tree(folder / "input")
