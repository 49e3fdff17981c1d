"""A folder to which the readings of a lake are published, and what its readers see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from siltstone.config.load import load_config
from siltstone.publishing.job import publish
from support.fleet import quiet


@dataclass
class Folder:
    """A lake, and a folder to publish it to."""

    root: Path

    @property
    def out(self) -> Path:
        return self.root / "out"

    def publish(self, **more: Any) -> dict[str, Any]:
        return publish(str(self.root / "lake"), str(self.out), load_config([], []), quiet, **more)

    def rows(self) -> list[tuple[str, str, float]]:
        """What a reader of the folder sees now, sorted."""
        schema = {"collection": pl.String, "uuid": pl.String}
        frame = pl.read_parquet(self.out / "**/*.parquet", hive_partitioning=True, hive_schema=schema)
        times = pl.col("time").dt.strftime("%m-%d %H:%M")
        return sorted(frame.select(pl.col("uuid").str.head(1), times, "value").rows())

    def rows_by_metadata(self) -> int:
        """What a reader who opens `_metadata` now sees."""
        whole = pq.read_metadata(self.out / "_metadata")
        paths = {whole.row_group(i).column(0).file_path for i in range(whole.num_row_groups)}
        return sum(pq.read_metadata(self.out / path).num_rows for path in paths)

    def strays(self) -> list[str]:
        """The files that `_metadata` does not name, and summaries that wait for their names."""
        whole = pq.read_metadata(self.out / "_metadata")
        named = {whole.row_group(i).column(0).file_path for i in range(whole.num_row_groups)}
        there = {str(p.relative_to(self.out)) for p in self.out.glob("collection=*/**/*") if p.is_file()}
        return sorted([*(there - named), *map(str, self.out.glob("_siltstone/new/*"))])
