"""What lies below a folder, and the folder made again what it was: a lake that many tests share is built once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def files_below(root: Path) -> dict[str, bytes]:
    """Every file below a folder: its path from there, and its bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _folders_below(root: Path) -> set[Path]:
    return {path for path in root.rglob("*") if path.is_dir()}


@contextmanager
def put_back(root: Path) -> Iterator[None]:
    """At the end, new files and folders below `root` are gone, and the others are again what they were."""
    files, folders = files_below(root), _folders_below(root)
    yield
    for folder in _folders_below(root) - folders:
        shutil.rmtree(folder, ignore_errors=True)  # a folder in a new one is gone with it
    found = files_below(root)
    for name in found.keys() - files.keys():
        (root / name).unlink()
    for name, data in files.items():
        if found.get(name) != data:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
