"""The configuration as tasks need it: bytes and microseconds."""

from datetime import UTC, datetime

from siltstone import sources
from siltstone.bins import Settings
from siltstone.config import Config
from siltstone.formats.documents import Rules
from siltstone.planning import Sizes


def sizes_of(config: Config) -> Sizes:
    """Accepted and wanted size of a data file, in bytes."""
    sizes = config.compaction
    return Sizes(round(sizes.target_file_mb * 1e6), round(sizes.min_file_mb * 1e6), round(sizes.max_file_mb * 1e6))


def settings_of(config: Config, source_name: str) -> Settings:
    """What tasks need of the configuration."""
    limits, sizes = config.limits, config.compaction
    section, source = getattr(config.sources, source_name), sources.load(source_name)
    earliest = datetime.fromisoformat(section.earliest).replace(tzinfo=UTC)
    return Settings(
        sizes=sizes_of(config),
        group_bytes=round(sizes.row_group_mb * (1 << 20)),
        batch_bytes=config.engine.batch_mb << 20,
        memory_bytes=config.engine.memory_mb << 20,
        max_text_bytes=limits.max_decompressed_mb << 20,
        max_ratio=limits.max_ratio,
        salvage=limits.salvage,
        raw_bytes=limits.quarantine_raw_kb << 10,
        rules=Rules(
            hints={**source.HINTS, **section.hints},
            max_line_bytes=limits.max_line_kb << 10,
            max_keys=limits.max_keys,
            max_depth=limits.max_depth,
            max_columns=sizes.max_columns,
        ),
        zone=section.zone,
        earliest_us=int(earliest.timestamp()) * 1_000_000,
        future_us=section.future_hours * 3_600_000_000,
    )
