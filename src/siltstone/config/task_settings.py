"""The configuration as tasks need it: bytes and microseconds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from siltstone import sources
from siltstone.config.model import Config, as_dict
from siltstone.errors import UsageError
from siltstone.formats.documents import Grain, Rules
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


_COMMON = {"earliest": "1970-01-01", "future_hours": 24}  # of a source without a section of its own


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
    options = options_of(config, source_name)
    earliest = datetime.fromisoformat(options["earliest"]).replace(tzinfo=UTC)
    return Settings(
        sizes=sizes_of(config),
        group_bytes=group_bytes_of(config),
        batch_bytes=config.engine.batch_mb << 20,
        memory_bytes=config.engine.memory_mb << 20,
        raw_bytes=limits.quarantine_raw_kb << 10,
        rules=Rules(
            hints={**getattr(sources.load(source_name), "HINTS", {}), **options.get("hints", {})},
            max_line_bytes=limits.max_line_kb << 10,
            max_keys=limits.max_keys,
            max_depth=limits.max_depth,
            max_columns=sizes.max_columns,
            max_text_bytes=limits.max_decompressed_mb << 20,
            max_ratio=limits.max_ratio,
            salvage=limits.salvage,
            zone=options.get("zone", "UTC"),
            earliest_us=int(earliest.timestamp()) * 1_000_000,
            future_us=options["future_hours"] * 3_600_000_000,
            grain=grain,
        ),
    )


def options_of(config: Config, source_name: str) -> dict[str, Any]:
    """A source's section of the configuration as plain values; of `records.NAME` the block of that name.

    Raises UsageError where there is no such block.
    """
    section, _, name = source_name.partition(".")
    options = as_dict(config)["sources"].get(section, _COMMON)
    if section != "records":
        return dict(options)
    if name not in options:
        known = f"There are: {', '.join(options)}." if options else "The configuration has none."
        raise UsageError(
            f"no block sources.records.{name or 'NAME'} in the configuration", f"{known} Give --conf FILE."
        )
    return {**options[name], "name": name}
