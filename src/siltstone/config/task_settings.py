"""The configuration as tasks need it: bytes and microseconds."""

from dataclasses import asdict, dataclass
from typing import Any

from siltstone.config.model import Config
from siltstone.mapping.rules import Grain, Rules
from siltstone.model.data_files import Sizes


@dataclass(frozen=True)
class Settings:
    """What a task needs of the configuration, in bytes and microseconds."""

    sizes: Sizes
    group_bytes: int
    batch_bytes: int
    memory_bytes: int
    raw_bytes: int
    rules: Rules


def sizes_of(config: Config) -> Sizes:
    """Accepted and wanted size of a data file, in bytes."""
    sizes = config.compaction
    return Sizes(round(sizes.target_file_mb * 1e6), round(sizes.min_file_mb * 1e6), round(sizes.max_file_mb * 1e6))


def group_bytes_of(config: Config) -> int:
    """Arrow data in a row group of a data file, in bytes."""
    return round(config.compaction.row_group_mb * (1 << 20))


def settings_of(config: Config, source_name: str, grain: Grain = "day") -> Settings:
    """What tasks need of the configuration, for a table whose dates have this grain."""
    limits, sizes = config.limits, config.compaction
    options = config.sources.of(source_name)
    return Settings(
        sizes=sizes_of(config),
        group_bytes=group_bytes_of(config),
        batch_bytes=config.engine.batch_mb << 20,
        memory_bytes=config.engine.memory_mb << 20,
        raw_bytes=limits.quarantine_raw_kb << 10,
        rules=Rules(
            hints=options.kinds,
            max_line_bytes=limits.max_line_kb << 10,
            max_keys=limits.max_keys,
            max_depth=limits.max_depth,
            max_columns=sizes.max_columns,
            max_text_bytes=limits.max_decompressed_mb << 20,
            max_ratio=limits.max_ratio,
            salvage=limits.salvage,
            zone=getattr(options, "zone", "UTC"),
            earliest_us=options.earliest_us,
            future_us=options.future_us,
            grain=grain,
        ),
    )


def options_of(config: Config, source_name: str) -> dict[str, Any]:
    """A source's section of the configuration as plain values, as tasks carry it; of `records.NAME` its block.

    Raises UsageError for an unknown source and for a block that the configuration does not have.
    """
    return asdict(config.sources.of(source_name))
