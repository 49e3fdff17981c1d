"""The lake that siltstone wrote at 555e899, put where a test wants it; and tables that say another format."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from support.folders import files_below

SAMPLE = Path(__file__).parents[1] / "samples" / "lake-555e899"
COMMANDS: Mapping[str, Mapping[str, list[str]]] = json.loads((SAMPLE / "commands.json").read_text())
_START, _LENGTH = "/tmp/lake-of-555e899/", 160
_MADE_AT = (_START + "x" * (_LENGTH - len(_START))).encode()


@dataclass(frozen=True)
class OldLake:
    """A copy of the sample; `root` is a path as long as the one it was made at."""

    root: Path

    @classmethod
    def below(cls, folder: Path) -> "OldLake":
        """A new copy: the path that it was made at is replaced in all files, nothing else."""
        folder = folder.resolve()
        root = folder / ("x" * (_LENGTH - len(f"{folder}/")))
        assert len(str(root)) == _LENGTH, f"{folder} is too long a path"
        with zipfile.ZipFile(SAMPLE / "lake.zip") as archive:
            for name in archive.namelist():
                file = root / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(archive.read(name).replace(_MADE_AT, str(root).encode()))
        return cls(root)

    def arguments(self, kind: str, name: str) -> list[str]:
        """The command line of that name."""
        return self.filled(*COMMANDS[kind][name])

    def filled(self, *arguments: str) -> list[str]:
        """Arguments with this lake's root."""
        return [argument.replace("{root}", str(self.root)) for argument in arguments]

    def deliver(self) -> None:
        """Put the third round of source files beside and over those of the first two."""
        for file in (p for p in (self.root / "later").rglob("*") if p.is_file()):
            to = self.root / "in" / file.relative_to(self.root / "later")
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(file.read_bytes())

    def tables(self) -> list[str]:
        """The names of all tables, such as lake/hourly."""
        return sorted(f"{lake}/{folder.name}" for lake in ("lake", "plain") for folder in (self.root / lake).iterdir())

    def rows(self, table: str) -> pl.DataFrame:
        """The rows of a table as polars reads them now."""
        if table.startswith("lake/"):
            return pl.scan_delta(str(self.root / table)).collect()
        paths = f"{self.root / table}/**/*.parquet"
        return pl.read_parquet(paths, hive_partitioning=True, missing_columns="insert")

    def rows_then(self, table: str) -> pl.DataFrame:
        """The rows of a table as polars read them when it was made."""
        return pl.read_parquet(self.root / "rows" / f"{table}.parquet")

    def told(self) -> Any:
        """What `verify` and `show` said when it was made."""
        return json.loads((self.root / "told.json").read_text().replace("{root}", str(self.root)))

    def newest_header(self, table: str) -> dict[str, Any]:
        """What the newest run said of itself."""
        header: dict[str, Any] = json.loads(pl.read_parquet_metadata(newest_manifest(self.root / table))["siltstone"])
        return header

    def files(self) -> dict[str, bytes]:
        """Every file below the root."""
        return files_below(self.root)


def newest_manifest(table: Path) -> Path:
    """The manifest of the newest run; no run of the table was refused."""
    return max((table / "_siltstone" / "runs").glob("*.manifest"), key=lambda path: path.name)


def say_format(table: Path, told: object) -> None:
    """Put `told` as the format into the header of a table's newest run, as a siltstone of later on would."""
    change_header(table, lambda header: {**header, "format": told})


def say_no_format(table: Path) -> None:
    """Leave the format out of the header of a table's newest run, as 555e899 would."""
    change_header(table, lambda header: {name: value for name, value in header.items() if name != "format"})


def change_header(table: Path, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Give the newest run another header."""
    manifest, buffer = newest_manifest(table), io.BytesIO()
    header = changed(json.loads(pl.read_parquet_metadata(manifest)["siltstone"]))
    pl.read_parquet(manifest).write_parquet(buffer, metadata={"siltstone": json.dumps(header)})
    manifest.write_bytes(buffer.getvalue())
