"""The configuration as frozen dataclasses: each section with its keys and defaults."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from siltstone.mapping.records_options import RecordsOptions
from siltstone.model.access import Access


@dataclass(frozen=True)
class EngineConfig:
    workers: int = 0
    batch_mb: int = 16
    memory_mb: int = 512


@dataclass(frozen=True)
class CompactionConfig:
    target_file_mb: float = 200
    min_file_mb: float = 150
    max_file_mb: float = 250
    row_group_mb: float = 96
    max_columns: int = 5000
    source_root: str = ""
    format: Literal["auto", "delta", "parquet"] = "auto"
    grain: Literal["auto", "day", "month"] = "auto"


@dataclass(frozen=True)
class OptimizeConfig:
    after_compact: bool = True
    closed_after_hours: int = 48
    open_files: int = 16
    most_mb: float = 2000


@dataclass(frozen=True)
class VacuumConfig:
    grace_hours: int = 168


@dataclass(frozen=True)
class SurveyConfig:
    files: int = 24


@dataclass(frozen=True)
class LimitsConfig:
    max_line_kb: int = 1024
    max_keys: int = 10_000
    max_depth: int = 64
    max_decompressed_mb: int = 256
    max_ratio: int = 200
    quarantine_raw_kb: int = 64
    salvage: Literal["none", "truncated", "all"] = "truncated"


@dataclass(frozen=True)
class DatalogConfig:
    zone: str = "Asia/Makassar"
    earliest: str = "2015-01-01"
    future_hours: int = 24
    hints: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SitewiseConfig:
    earliest: str = "1970-01-01"
    future_hours: int = 24
    site: str = ""


@dataclass(frozen=True)
class HaltianConfig:
    earliest: str = "1970-01-01"
    future_hours: int = 24


@dataclass(frozen=True)
class MortarConfig:
    collection: str = ""
    time_column: str = "datetime"
    zone: str = "UTC"
    duplicates: Literal["all", "distinct", "first", "last", "error"] = "last"
    earliest: str = "1970-01-01"
    future_hours: int = 24


@dataclass(frozen=True)
class SourcesConfig:
    datalog: DatalogConfig = field(default_factory=DatalogConfig)
    sitewise: SitewiseConfig = field(default_factory=SitewiseConfig)
    haltian: HaltianConfig = field(default_factory=HaltianConfig)
    mortar: MortarConfig = field(default_factory=MortarConfig)
    records: Mapping[str, RecordsOptions] = field(default_factory=dict)


@dataclass(frozen=True)
class Config:
    """Every setting of a run; see conf/base.yaml for units and meanings."""

    engine: EngineConfig = field(default_factory=EngineConfig)
    compaction: CompactionConfig = field(default_factory=CompactionConfig)
    optimize: OptimizeConfig = field(default_factory=OptimizeConfig)
    vacuum: VacuumConfig = field(default_factory=VacuumConfig)
    survey: SurveyConfig = field(default_factory=SurveyConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    storage: Access = field(default_factory=Access)
    sources: SourcesConfig = field(default_factory=SourcesConfig)


def as_dict(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values, in the order of conf/base.yaml."""
    return asdict(config)
