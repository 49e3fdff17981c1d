"""A bucket of the test server, and a small fleet with its lake in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import obstore
import polars as pl
from deltalake import DeltaTable

from siltstone.config.load import load_config
from siltstone.config.model import Config
from siltstone.engine.tasks import Engine
from siltstone.ingest.job import compact
from siltstone.model.access import Access
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage, open_root
from siltstone.storage.access import bucket_store
from siltstone.table import ledger
from siltstone.table.open import table_at
from siltstone.table.quarantine import read_quarantine
from support.fleet import Content, InProcess, gz, ndjson, quiet, unclosed
from support.s3_server import Faults, FaultyS3


@dataclass(frozen=True)
class Bucket:
    """A bucket, reached past the code under test where it is written to."""

    server: FaultyS3
    name: str

    @property
    def access(self) -> Access:
        return Access(endpoint=self.server.url, path_style=True)

    @property
    def faults(self) -> Faults:
        return self.server.faults

    def root(self, key: str = "") -> Storage:
        return open_root(f"s3://{self.name}/{key}", self.access)

    def put(self, key: str, data: bytes) -> None:
        obstore.put(bucket_store(self.access, self.name), key, data)

    def listed(self) -> list[str]:
        """Every key that does not begin with `in/`."""
        listed = obstore.list(bucket_store(self.access, self.name)).collect()
        return sorted(o["path"] for o in listed if not o["path"].startswith("in/"))


@dataclass(frozen=True)
class BucketWorld:
    """A World whose input and lake are folders of one bucket."""

    bucket: Bucket
    engine: Engine = field(default_factory=InProcess)

    @property
    def input(self) -> str:
        return f"s3a://{self.bucket.name}/in/"

    @property
    def lake(self) -> str:
        return f"s3://{self.bucket.name}/lake"

    @property
    def settings(self) -> tuple[str, ...]:
        return f"storage.endpoint={self.bucket.server.url}", "storage.path_style=true"

    def deliver(self, tree: Mapping[str, Content]) -> None:
        """Write objects by `SITE/device/YYYYMMDDHH`; bytes as they are, records as gzipped NDJSON."""
        for place, content in tree.items():
            data = content if isinstance(content, bytes) else gz(ndjson(content))
            self.bucket.put(f"in/{place}/{place.rpartition('/')[2]}.txt.gz", data)

    def config(self, *settings: str) -> Config:
        return load_config([], [*self.settings, *settings])

    def compact(self, *settings: str, engine: Engine | None = None, below: str = "") -> dict[str, Any]:
        """Run the job and return its summary, once its accounts have been checked."""
        source, config = f"{self.input}{below}", self.config(*settings)
        summary = compact("datalog", source, self.lake, config, engine or self.engine, quiet)
        assert unclosed(summary) == []
        return summary

    def table(self) -> Any:
        return table_at(self.bucket.root("lake/datalog"), DATALOG)

    def headers(self, kind: str = "compact") -> list[dict[str, Any]]:
        """The headers of the committed runs of a kind, newest first."""
        table = self.table()
        snapshot = table.snapshot()
        headers = [] if snapshot is None else ledger.headers(table.storage, snapshot.head)
        return [h.as_dict() for h in headers if h.kind == kind]

    def quarantine(self) -> list[tuple[Any, ...]]:
        """Every refusal that a committed run names: file, line, offset, reason, raw bytes."""
        names = [name for header in self.headers() for name in header["quarantine"]]
        found = read_quarantine(self.bucket.root("lake/datalog"), names)
        return found.select("source_file", "line", "byte_offset", "reason", "raw").rows()

    def frame(self) -> pl.DataFrame:
        """The table sorted by all columns, as World.frame gives it."""
        storage = self.bucket.root("lake/datalog")
        table = DeltaTable(storage.root, storage_options=storage.delta_options()).to_pyarrow_table()
        place = pl.col("source_file").str.strip_prefix(f"s3://{self.bucket.name}/in/").str.replace(r"/[^/]*$", "")
        frame = pl.DataFrame(pl.from_arrow(table)).with_columns(place)
        return frame.sort("dstrct_code", "unitno", "deviceid", "ts", pl.all(), nulls_last=False)

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """The named columns of every row, sorted."""
        return self.frame().select(columns).sort(pl.all(), nulls_last=False).rows()
