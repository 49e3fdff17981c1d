"""A table that siltstone has made: looked at, proven, and taken care of."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from siltstone.api.arguments import Place, config_or_default, engine_or_local, lake_and_name, silent

if TYPE_CHECKING:
    import polars as pl

    from siltstone.config.model import Config
    from siltstone.engine.tasks import Engine, Progress
    from siltstone.model.run_summary import (
        AdoptSummary,
        OptimizeSummary,
        RepairSummary,
        VacuumSummary,
        VerifySummary,
    )


@dataclass(frozen=True)
class LakeTable:
    """A table of a lake, as `open_table` gives it. Each method looks at its newest version."""

    lake: str
    name: str
    config: "Config"

    def describe(self) -> dict[str, Any]:
        """Rows, files, sizes, partitions, runs, new columns and quarantine counts: what `siltstone show --json` prints
        of the table."""
        from siltstone.maintenance.describe import describe_lake

        found: dict[str, Any] = describe_lake(self.lake, self.name, self.config)["tables"][0]
        return found

    def files(self) -> list[str]:
        """The paths or URIs of the data files, in no order: what any reader of Parquet opens."""
        from siltstone.maintenance.describe import newest_paths

        return newest_paths(self.lake, self.name, self.config)

    def quarantine(self) -> "pl.DataFrame":
        """A row for each refused record or file: `source_file`, `line`, `byte_offset`, `reason`, `raw` (its first
        bytes), `raw_bytes`, and the `run` that refused it."""
        from siltstone.maintenance.describe import quarantined

        return quarantined(self.lake, self.name, self.config.storage)


def open_table(table: Place, *, config: "Config | None" = None) -> LakeTable:
    """The table at LAKE/NAME; UsageError names the tables that there are, where it is none."""
    found = LakeTable(*lake_and_name(table), config_or_default(config))
    from siltstone.maintenance import describe

    describe.open_table(found.lake, found.name, found.config.storage)
    return found


def optimize(
    table: Place,
    *,
    dry_run: bool = False,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
) -> "OptimizeSummary":
    """Merge the undersized files of the table at LAKE/TABLE; what was merged, with `dry_run` what would be. No row
    changes.

    Raises UsageError for tables of aggregates, whose runs write whole dates anew; LostRaceError.
    """
    config = config_or_default(config)
    from siltstone.maintenance import describe
    from siltstone.maintenance.optimize import optimize as merge

    opened = describe.open_table(*lake_and_name(table), config.storage, describe.is_of_source)
    describe.no_aggregates(opened, "each run writes whole dates anew")
    return merge(opened, config, engine_or_local(engine, config), progress or silent, dry_run=dry_run)


def verify(
    table: Place,
    *,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
) -> "VerifySummary":
    """Read the sources and the data files of the table at LAKE/TABLE again; what was proven, and every problem as a
    sentence. Where something is wrong, `problems` is not empty: no error is raised.

    Raises UsageError for tables of aggregates, which `aggregate` with `full` computes again.
    """
    config = config_or_default(config)
    engine = engine_or_local(engine, config)
    from siltstone.maintenance import describe
    from siltstone.maintenance import verify as audit

    opened = describe.open_table(*lake_and_name(table), config.storage, describe.is_of_source)
    describe.no_aggregates(opened, "siltstone aggregate with --full computes it again from its input")
    return audit.verify(opened, config, engine, progress or silent)


def vacuum(
    table: Place,
    *,
    dry_run: bool = False,
    force: bool = False,
    config: "Config | None" = None,
    progress: "Progress | None" = None,
) -> "VacuumSummary":
    """Delete the files below LAKE/TABLE that no run needs and that are older than vacuum.grace_hours of the
    configuration, by the clock of the storage; what was deleted, with `dry_run` what would be.

    Raises UsageError for a grace below 24 hours without `force`; LostRaceError.
    """
    config = config_or_default(config)
    from siltstone.maintenance import describe
    from siltstone.maintenance import vacuum as cleaning

    opened = describe.open_table(*lake_and_name(table), config.storage)
    return cleaning.vacuum(opened, config, progress or silent, dry_run=dry_run, force=force)


def adopt(
    table: Place,
    *,
    yes: bool = False,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
) -> "AdoptSummary":
    """What another writer (DELETE, UPDATE, MERGE) changed in the table at LAKE/TABLE, by source file; with `yes`
    the rows are siltstone's own from then on, as they are now.

    Raises UsageError for tables of aggregates, which `aggregate` with `full` computes again; LostRaceError.
    """
    config = config_or_default(config)
    from siltstone.maintenance import describe
    from siltstone.maintenance.adopt import adopt as take_over

    opened = describe.open_table(*lake_and_name(table), config.storage, describe.is_of_source)
    describe.no_aggregates(opened, "siltstone aggregate with --full computes it again from its input")
    return take_over(opened, config, engine_or_local(engine, config), progress or silent, does=yes)


def repair(
    table: Place,
    *,
    yes: bool = False,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
) -> "RepairSummary":
    """Which runs of the table at LAKE/TABLE must be dropped since their manifest or data files are gone, and what that
    takes back and loses; with `yes` it is done. The next `compact` reads again what is lost, where it still can.

    Raises UsageError for tables of aggregates, which their own command makes again; LostRaceError.
    """
    config = config_or_default(config)
    from siltstone.maintenance import describe
    from siltstone.maintenance.repair import repair as mend

    opened = describe.open_table(*lake_and_name(table), config.storage, describe.is_of_source)
    describe.no_aggregates(opened, "delete the folder and run the same command again")
    return mend(opened, config, engine_or_local(engine, config), progress or silent, does=yes)
