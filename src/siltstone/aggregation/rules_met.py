"""Which rules of a user fit no series as they are written, and would if capitals did not count."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from siltstone.aggregation.spec import AggregateSpec
from siltstone.config.model import Config
from siltstone.model.contracts import Contract
from siltstone.model.run_header import terms_of
from siltstone.storage import open_root
from siltstone.table import ledger as ledgers
from siltstone.table.open import table_at
from siltstone.table.reader import fetched
from siltstone.table.transaction import newest_files
from siltstone.timeseries.interpretation import Match

_NAMES = ("source", "device_id", "measurement", "series_id")


def met_by_other_capitals(uri: str, contract: Contract, config: Config) -> list[str]:
    """The patterns of such rules, by the terms and the series of a table that was made with them. Rules of a table that
    was made when capitals did not count are never among them."""
    table = table_at(open_root(uri, config.storage), contract)
    if (snapshot := table.snapshot()) is None:
        return []
    stored = terms_of(ledgers.load(table.storage, snapshot.head).newest)["rules"]
    rules = [
        r.match for r in AggregateSpec("1h", rules=tuple(stored)).interpretations.rules if not r.match.ignores_case
    ]
    if not rules:
        return []
    frames = [fetched(table.storage, f.path).frame(_NAMES).unique() for f in newest_files(table)[1]]
    series = pl.concat([pl.DataFrame(schema=dict.fromkeys(_NAMES, pl.String)), *frames]).unique().rows()
    return [_told(match) for match in rules if _is_met_otherwise(match, series)]


def _is_met_otherwise(match: Match, series: Sequence[tuple[str | None, ...]]) -> bool:
    return not any(_fits(match, s) for s in series) and any(_fits(replace(match, ignores_case=True), s) for s in series)


def _fits(match: Match, names: tuple[str | None, ...]) -> bool:
    source, device, measurement, series = (name or "" for name in names)
    return match.fits_kind(source, measurement) and match.fits_series(device, series)


def _told(match: Match) -> str:
    parts = ("source", "device", "measurement", "series")
    given = [f"{name}: {pattern}" for name in parts if (pattern := getattr(match, name)) != "*"]
    return f"{{{', '.join(given)}}}"
