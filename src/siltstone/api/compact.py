"""Bringing files into tables, and looking at them before."""

import re
from datetime import date, datetime
from typing import TYPE_CHECKING

from siltstone.api.arguments import Instant, Place, config_or_default, engine_or_local, place_of, silent
from siltstone.errors import UsageError

if TYPE_CHECKING:
    from siltstone.config.model import Config
    from siltstone.engine.tasks import Engine, Progress
    from siltstone.model.run_summary import CompactSummary
    from siltstone.model.survey_summary import SurveySummary

_SHAPES = ((r"\d{4}-\d\d-\d\d", "%Y-%m-%d"), (r"\d{10}", "%Y%m%d%H"))


def compact(
    source: str,
    input: Place,
    lake: Place,
    *,
    retry_quarantined: bool = False,
    since: Instant | None = None,
    config: "Config | None" = None,
    engine: "Engine | None" = None,
    progress: "Progress | None" = None,
) -> "CompactSummary":
    """Bring everything new at `input` into the tables of `lake`; a summary with one of each table. Run it any time:
    files that are in already are skipped.

    - `source`: datalog, haltian, mortar, sitewise, or records.NAME for a block of the configuration.
    - `input`: a folder or `s3://` URI with the source's files, at any depth, or one file. `lake`: of the tables.
    - `retry_quarantined`: read files with refused records again, with the settings of today.
    - `since`: look only at folders of this hour and later, by their own clock: a date, or YYYYMMDDHH.

    Raises PartlyError, with the summary, where a part is committed, another SiltstoneError where nothing is; input that
    is quarantined is no error, see `refused` of the summary.
    """
    hour = None if since is None else folder_hour(since)
    config = config_or_default(config)
    engine = engine_or_local(engine, config)
    from siltstone.ingest import job

    return job.compact(
        source,
        place_of(input),
        place_of(lake),
        config,
        engine,
        progress or silent,
        retry_quarantined=retry_quarantined,
        since=hour,
    )


def folder_hour(given: Instant, option: str = "since") -> datetime:
    """The hour that a folder is named by: of a date its first one. UsageError for anything else."""
    if isinstance(given, datetime):
        return given.replace(minute=0, second=0, microsecond=0, tzinfo=None)
    if isinstance(given, date):
        return datetime.combine(given, datetime.min.time())
    for shape, form in _SHAPES:
        if re.fullmatch(shape, given, re.ASCII):
            try:
                return datetime.strptime(given, form)
            except ValueError:
                break
    raise UsageError(f"{option} {given!r} is no date", "Give YYYY-MM-DD or YYYYMMDDHH, such as 2025-12-10.")


def survey(
    source: str,
    input: Place,
    *,
    files: int | None = None,
    every_file: bool = False,
    config: "Config | None" = None,
) -> "SurveySummary":
    """What the files at `input` hold, before a first run: fields, types, conflicts, sizes.

    Reads `files` of them, evenly spread (default: survey.files of the configuration), or every one. Raises UsageError
    where the source has no files there.
    """
    config = config_or_default(config)
    from siltstone.ingest.survey import summary_of_survey, survey_input

    if files is not None and files < 1:
        raise UsageError(f"{files} files are no survey", "Give 1 or more.")
    return summary_of_survey(
        survey_input(source, place_of(input), config, None if every_file else files or config.survey.files)
    )
