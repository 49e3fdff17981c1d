"""The configuration as frozen dataclasses: each section with its keys and defaults."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from siltstone import sources
from siltstone.errors import UsageError
from siltstone.mapping.source_options import SourceOptions
from siltstone.model.access import Access


@dataclass(frozen=True)
class EngineConfig:
    """The local engine: number of processes, and MiB of memory. See conf/base.yaml for the keys of every section."""

    workers: int = 0
    batch_mb: int = 16
    memory_mb: int = 512


@dataclass(frozen=True)
class CompactionConfig:
    """Sizes in MB (10^6 bytes; row groups in MiB), columns, identity and format of the tables that `compact` writes."""

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
    """When and how far small data files are merged."""

    after_compact: bool = True
    closed_after_hours: int = 48
    open_files: int = 16
    most_mb: float = 2000


@dataclass(frozen=True)
class VacuumConfig:
    """How many hours unneeded files are kept."""

    grace_hours: int = 168


@dataclass(frozen=True)
class SurveyConfig:
    """How many files a survey reads."""

    files: int = 24


@dataclass(frozen=True)
class LimitsConfig:
    """What a source file and its records may be at most; KiB, MiB or a number each."""

    max_line_kb: int = 1024
    max_keys: int = 10_000
    max_depth: int = 64
    max_decompressed_mb: int = 256
    max_ratio: int = 200
    quarantine_raw_kb: int = 64
    salvage: Literal["none", "truncated", "all"] = "truncated"


@dataclass(frozen=True)
class SourcesConfig:
    """The options of the sources. A source's own module declares them, and is imported when they are asked for.

    `changed` has, by the source's name, the options of each source that differ from the defaults: the options
    themselves, or for a source with blocks the options of each block by its name.
    """

    changed: Mapping[str, SourceOptions | Mapping[str, SourceOptions]] = field(default_factory=dict)

    def of(self, source_name: str) -> SourceOptions:
        """The options of a source, of a block `records.NAME`, or of the source of a dataset.

        Raises UsageError for an unknown source and for a block that the configuration does not have.
        """
        section, _, block = source_name.partition(".")
        options = self.changed.get(section)
        if not sources.has_blocks(section):
            return options if isinstance(options, SourceOptions) else sources.options_type(section)()
        blocks = options if isinstance(options, Mapping) else {}
        if block not in blocks:
            choice = f"There are: {', '.join(blocks)}." if blocks else "The configuration has none."
            what = f"no block sources.{section}.{block or 'NAME'} in the configuration"
            raise UsageError(what, f"{choice} Give --conf FILE.")
        return blocks[block]

    def problems(self) -> Iterator[str]:
        """Each contradiction in the options, beginning with the source and the key that it is about."""
        for name, section in self.changed.items():
            if isinstance(section, SourceOptions):
                yield from (f"{name}.{problem}" for problem in section.problems())
            else:
                for block, options in section.items():
                    yield from (f"{name}.{block}.{problem}" for problem in options.problems())

    def as_dict(self) -> dict[str, Any]:
        """The sections of all sources as plain values, by name."""
        return {name: self._section(name) for name in sources.names()}

    def _section(self, name: str) -> dict[str, Any]:
        if not sources.has_blocks(name):
            return asdict(self.of(name))
        blocks = self.changed.get(name, {})
        assert isinstance(blocks, Mapping)
        return {block: asdict(options) for block, options in blocks.items()}


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
    sections = {f.name: getattr(config, f.name) for f in fields(config)}
    return {name: s.as_dict() if isinstance(s, SourcesConfig) else asdict(s) for name, s in sections.items()}
