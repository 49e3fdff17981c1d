"""Readings as files for others."""

from typing import TYPE_CHECKING, Literal

from siltstone.api.arguments import Names, Naming, Place, config_or_default, in_python, names_of, place_of, silent
from siltstone.errors import UsageError

if TYPE_CHECKING:
    from siltstone.config.model import Config
    from siltstone.engine.tasks import Progress
    from siltstone.model.derived_summary import PublishSummary


def publish(
    lake: Place,
    out: Place,
    *,
    source: str = "mortar",
    collections: Names = (),
    keys_in_files: bool = False,
    archive: Literal["zip", "tar.gz"] | None = None,
    archive_to: Place | None = None,
    config: "Config | None" = None,
    progress: "Progress | None" = None,
    said: Naming = in_python,
) -> "PublishSummary":
    """Bring a folder of Mortar's partitioned Parquet up to date with LAKE/readings; the run's summary.

    - `out`: a folder or `s3://` URI that holds nothing else. `source`: of the readings to publish, or all.
      `collections`: these sites alone.
    - `keys_in_files`: write the columns collection and uuid into the files too, for single files that are handed out.
    - `archive`: also write all of it as one file, to `archive_to` or beside `out`.

    `said` is the command line's, which has other names for the arguments. Raises UsageError, StorageError, and
    LostRaceError where another run publishes to the same folder.
    """
    if archive_to and not archive:
        option = said("archive")
        raise UsageError(f"{said('archive_to')} is given without {option}", f"Add {option} zip or {option} tar.gz.")
    from siltstone.publishing import job

    return job.publish(
        place_of(lake),
        place_of(out),
        config_or_default(config),
        progress or silent,
        source=source,
        collections=names_of(collections),
        keys_in_files=keys_in_files,
        archive=archive,
        archive_to=None if archive_to is None else place_of(archive_to),
    )
