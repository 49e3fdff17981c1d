"""Plain values that callers give, as the jobs need them; the command line reads its options by the same functions."""

import os
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, TypedDict
from zoneinfo import ZoneInfo

from siltstone.errors import UsageError
from siltstone.model.places import refuse_half_uri

if TYPE_CHECKING:
    from siltstone.aggregation.read_plan import Period
    from siltstone.config.model import Config
    from siltstone.engine.tasks import Engine

Place = str | os.PathLike[str]
"""A local path or an `s3://` URI."""
Names = str | Sequence[str]
"""One name or pattern, or several."""
Instant = str | date | datetime
"""A time: a date is its first instant; what has no offset is of the zone."""
Naming = Callable[[str], str]
"""How errors name an argument: in Python and on the command line it has different names."""


_OF_ENGINES = ("start", "warm_up", "run")


class Filters(TypedDict):
    """Patterns of series: of each kind that is given one has to fit."""

    series: tuple[str, ...]
    devices: tuple[str, ...]
    measurements: tuple[str, ...]
    sites: tuple[str, ...]


def in_python(name: str) -> str:
    """The name of an argument as Python knows it."""
    return name


def silent(what: str, files: int, of: int, byte_count: int) -> None:
    """Tell nothing of the progress."""


def config_or_default(config: "Config | None") -> "Config":
    """The configuration that was given, else the defaults; UsageError for what is no configuration."""
    if config is None:
        from siltstone.config.load import load_config

        return load_config()
    from siltstone.config.model import Config

    if not isinstance(config, Config):
        raise UsageError(
            f"config {config!r:.80} is no configuration",
            "Give what load_config returns, such as load_config(settings=['engine.workers=4']).",
        )
    return config


def engine_or_local(engine: "Engine | None", config: "Config") -> "Engine":
    """The engine that was given, else a pool of processes on this machine; what its workers need begins to start.
    UsageError for what is no engine."""
    if engine is None:
        from siltstone.engine.local import LocalEngine

        engine = LocalEngine(config.engine.workers)
    if isinstance(engine, type) or not all(callable(getattr(engine, name, None)) for name in _OF_ENGINES):
        raise UsageError(
            f"engine {engine!r:.80} is no engine", "Give LocalEngine() or SparkEngine(spark), or leave it out."
        )
    engine.start()
    return engine


def place_of(given: Place) -> str:
    """A path or URI as text; UsageError for what looks like a URI and is none."""
    place = os.fspath(given)
    refuse_half_uri(place)  # of s3://BUCKET a Path makes s3:/BUCKET
    return place


def lake_and_name(table: Place) -> tuple[str, str]:
    """The lake and the name of the table at LAKE/TABLE; UsageError for a place that is too short for both."""
    given = place_of(table)
    is_uri = "://" in given
    path = given.rstrip("/") if is_uri or not given else os.path.abspath(given)
    lake, _, name = path.rpartition("/")
    if is_uri and lake.endswith("/"):
        raise UsageError(f"{path} is a bucket, not a table", f"Give LAKE/TABLE, such as {path}/lake/datalog.")
    if not name:
        raise UsageError(f"{given!r} is no table", "Give LAKE/TABLE, such as lake/datalog.")
    return lake or "/", name


def names_of(given: Names) -> tuple[str, ...]:
    """Names or patterns, also where one alone was given."""
    return (given,) if isinstance(given, str) else tuple(given)


def filters_of(series: Names, devices: Names, measurements: Names, sites: Names) -> Filters:
    """Patterns of series, each kind as a tuple."""
    return Filters(
        series=names_of(series), devices=names_of(devices), measurements=names_of(measurements), sites=names_of(sites)
    )


def period_between(start: Instant | None, end: Instant | None, zone: str, said: Naming = in_python) -> "Period":
    """The time from `start` to before `end`, open where one is None; UsageError where there is no time in it."""
    from siltstone.aggregation.read_plan import Period

    zone_of(zone)
    ever = Period()
    start_us = ever.start_us if start is None else instant_us(start, zone, said("start"))
    end_us = ever.end_us if end is None else instant_us(end, zone, said("end"))
    if end_us <= start_us:
        last, first = said("end"), said("start")
        raise UsageError(
            f"{last} {end} is not after {first} {start}", f"The period ends before {last}: give a later one."
        )
    return Period(start_us, end_us)


def zone_of(name: str) -> str:
    """The name, if it is one of a time zone; else UsageError."""
    from siltstone.timeseries.buckets import buckets_of

    buckets_of("1d", name)
    return name


def instant_us(given: Instant, zone: str, option: str) -> int:
    """Microseconds of an RFC 3339 instant, or of the start of a date in a zone. UsageError for anything else."""
    try:
        moment: date = given if isinstance(given, date) else _parsed(given)
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, datetime.min.time())
        whole = (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise UsageError(
            f"{option} {given!r} is no time",
            "Give a date such as 2026-01-31, 2026-01-31T06:00 of the zone, or 2026-01-31T06:00:00Z.",
        ) from None
    return int(whole.replace(microsecond=0).timestamp()) * 1_000_000 + whole.microsecond


def _parsed(text: str) -> date:
    return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)


def length_us(text: str | None, option: str) -> int | None:
    """Microseconds of a length of time; None where none is given. UsageError for anything else."""
    from siltstone.timeseries.interpretation import duration_us

    found = duration_us(text) if text else None
    if text is not None and found is None:
        raise UsageError(f"{option} {text!r} is no length of time", "Give one such as 90s, 15m, 1h or 2d.")
    return found


def one_of(given: str, known: Sequence[str], option: str) -> None:
    """Raise UsageError for a word that means nothing."""
    if given not in known:
        raise UsageError(f"{option} {given!r} means nothing here", f"Give one of {', '.join(known)}.")
