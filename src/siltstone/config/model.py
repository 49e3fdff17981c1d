"""The configuration as frozen dataclasses: each section with its keys and defaults."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from siltstone.mapping.records_options import RecordsOptions
from siltstone.storage.access import Access


@dataclass(frozen=True)
class Engine:
    workers: int = 0
    batch_mb: int = 16
    memory_mb: int = 512


@dataclass(frozen=True)
class Compaction:
    target_file_mb: float = 200
    min_file_mb: float = 150
    max_file_mb: float = 250
    row_group_mb: float = 96
    max_columns: int = 5000
    source_root: str = ""
    format: Literal["auto", "delta", "parquet"] = "auto"
    grain: Literal["auto", "day", "month"] = "auto"


@dataclass(frozen=True)
class Settle:
    after_compact: bool = True
    closed_after_hours: int = 48
    open_files: int = 16
    most_mb: float = 2000


@dataclass(frozen=True)
class Vacuum:
    grace_hours: int = 168


@dataclass(frozen=True)
class Survey:
    files: int = 24


@dataclass(frozen=True)
class Limits:
    max_line_kb: int = 1024
    max_keys: int = 10_000
    max_depth: int = 64
    max_decompressed_mb: int = 256
    max_ratio: int = 200
    quarantine_raw_kb: int = 64
    salvage: Literal["none", "truncated", "all"] = "truncated"


@dataclass(frozen=True)
class Datalog:
    zone: str = "Asia/Makassar"
    earliest: str = "2015-01-01"
    future_hours: int = 24
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sitewise:
    earliest: str = "1970-01-01"
    future_hours: int = 24
    site: str = ""


@dataclass(frozen=True)
class Haltian:
    earliest: str = "1970-01-01"
    future_hours: int = 24


@dataclass(frozen=True)
class Mortar:
    collection: str = ""
    time_column: str = "datetime"
    zone: str = "UTC"
    duplicates: Literal["all", "distinct", "first", "last", "error"] = "last"
    earliest: str = "1970-01-01"
    future_hours: int = 24


@dataclass(frozen=True)
class Sources:
    datalog: Datalog = field(default_factory=Datalog)
    sitewise: Sitewise = field(default_factory=Sitewise)
    haltian: Haltian = field(default_factory=Haltian)
    mortar: Mortar = field(default_factory=Mortar)
    records: Mapping[str, RecordsOptions] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """Every setting of a run; see conf/base.yaml for units and meanings."""

    engine: Engine = field(default_factory=Engine)
    compaction: Compaction = field(default_factory=Compaction)
    settle: Settle = field(default_factory=Settle)
    vacuum: Vacuum = field(default_factory=Vacuum)
    survey: Survey = field(default_factory=Survey)
    limits: Limits = field(default_factory=Limits)
    storage: Access = field(default_factory=Access)
    sources: Sources = field(default_factory=Sources)


def as_dict(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, in the order of conf/base.yaml."""
    return asdict(config)
