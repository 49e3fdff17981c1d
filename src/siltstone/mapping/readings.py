"""The last step of every source of readings: rows get a date and a site, or their record is refused."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import orjson
import polars as pl

from siltstone.formats.documents import BadRecord, Lane
from siltstone.mapping.dataset import REPEATED, Keyed
from siltstone.mapping.keyed import count_by_document
from siltstone.mapping.rules import Rules
from siltstone.model.arrays import Ints
from siltstone.model.contracts import INVALID_PARTITION, NO_SITE
from siltstone.model.partitions import is_safe
from siltstone.model.periods import DAY_US
from siltstone.model.time_zones import iso

_QUALITY = {"g": "good", "good": "good", "b": "bad", "bad": "bad", "u": "uncertain", "uncertain": "uncertain"}


class ReadRecords(Protocol):
    """Records as a format read them: `document` and `line` have an entry for each one that is not in `bad`."""

    @property
    def lane(self) -> Lane: ...
    @property
    def document(self) -> Ints: ...
    @property
    def line(self) -> Ints: ...
    @property
    def bad(self) -> Sequence[BadRecord]: ...


def keyed_readings(
    frame: pl.DataFrame,
    records: ReadRecords,
    documents: Sequence[Any],
    rules: Rules,
    *,
    repeated: pl.DataFrame | None = None,
) -> Keyed:
    """Rows with date and safe site; records with a row whose time is missing or out of bounds are refused.

    - `frame` has columns of a contract that is partitioned by date and site, `ts` among them (int64 us UTC, null where
      the record's time can't be read). Where they are needed it has `site` (the source's own words), `_rescued`, and
      `reason` (why a row can't be taken, else null). Without `document` and `line` it has one row for each record.
    - `documents` are those that the records are from, and may be more.
    - `repeated` has a row for each record that is left out: `document`, `ts`, `site` and the number of its `rows`.
    """
    if "document" not in frame.columns:
        frame = frame.with_columns(document=pl.Series(records.document), line=pl.Series(records.line))
    counts: Mapping[int, int] = count_by_document(records.document)
    uploaded_us = {d.index: d.modified_us for d in documents}
    uploaded = pl.col("document").replace_strict(uploaded_us, return_dtype=pl.Int64())
    ts = pl.col("ts")
    is_timed = ts.is_not_null() & (ts >= rules.earliest_us) & (ts <= uploaded + rules.future_us)
    has_series = pl.col("series_id").is_not_null() & (pl.col("series_id") != "")
    good = is_timed & has_series
    if "reason" in frame.columns:
        good = good & pl.col("reason").is_null()
    refused: list[BadRecord] = []
    if not (is_good := frame.select(good.fill_null(value=False)).to_series()).all():
        refused = _refusals(frame.filter(~is_good), documents, rules)
        lines = pl.DataFrame(
            {"document": [b.document for b in refused], "line": [b.line for b in refused]},
            schema={"document": pl.Int64(), "line": pl.Int64()},
        )
        frame = frame.join(lines, on=["document", "line"], how="anti", maintain_order="left")
        lost = count_by_document(lines["document"].to_numpy())
        counts = {index: count - lost.get(index, 0) for index, count in counts.items()}
    frame = _with_partition(frame, rules).drop("reason", strict=False)
    refusals = sorted([*records.bad, *refused], key=lambda b: (b.document, b.line))
    if repeated is None or not repeated.height:
        return Keyed(records.lane, frame, refusals, counts)
    by_place = (
        _with_partition(repeated, rules)
        .group_by("document", "date", "site")
        .agg(records=pl.len(), rows=pl.col("rows").sum())
    )
    return Keyed(records.lane, frame, refusals, counts, by_place.select(pl.col(n).cast(t) for n, t in REPEATED.items()))


def _with_partition(frame: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """The frame with safe sites, and with the date of each row's partition."""
    ts = pl.col("ts")
    day = ts // DAY_US
    if rules.grain == "month":
        day = ts.cast(pl.Datetime("us")).dt.truncate("1mo").cast(pl.Int64()) // DAY_US
    return _with_site(frame).with_columns(date=day.cast(pl.Int32()))


def quality_of(column: str) -> pl.Expr:
    """A quality word (G, GOOD, B, BAD, U, UNCERTAIN in any case) as in the contract; other words stay as they are."""
    word = pl.col(column)
    return word.str.to_lowercase().replace_strict(_QUALITY, default=word, return_dtype=pl.String())


def safe_site(site: str | None) -> str:
    """A site as a partition value: `_none` without a site, `_invalid` if the site is no safe folder name."""
    if not site:
        return NO_SITE
    return site if is_safe(site) else INVALID_PARTITION


def rescue_text(values: Mapping[str, str]) -> str | None:
    """The text of `_rescued` for values without a column: JSON, from key to the value's own text; None for none."""
    return orjson.dumps(values).decode() if values else None


def _with_site(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with safe sites; a site that is no safe folder name is kept in `_rescued`."""
    if "site" not in frame.columns:
        return frame.with_columns(site=pl.lit(NO_SITE))
    given = frame["site"].unique().to_list()
    safe = {site: safe_site(site) for site in given}
    if all(site == partition for site, partition in safe.items()):
        return frame
    odd = [site for site, partition in safe.items() if partition == INVALID_PARTITION]
    if odd:
        if "_rescued" not in frame.columns:
            frame = frame.with_columns(_rescued=pl.lit(None, pl.String()))
        both = pl.struct("_rescued", "site").map_elements(_rescue_site, return_dtype=pl.String())
        kept = pl.when(pl.col("site").is_in(odd)).then(both).otherwise(pl.col("_rescued"))
        frame = frame.with_columns(_rescued=kept)
    return frame.with_columns(site=pl.col("site").replace_strict(safe, return_dtype=pl.String()))


def _rescue_site(row: Mapping[str, str | None]) -> str | None:
    rescued = orjson.loads(row["_rescued"]) if row["_rescued"] else {}
    key = "site"
    while key in rescued:
        key += "_"
    return rescue_text({**rescued, key: row["site"] or ""})


def _refusals(frame: pl.DataFrame, documents: Sequence[Any], rules: Rules) -> list[BadRecord]:
    """One refusal for each record of the frame, with the reason of its first row."""
    by_index = {d.index: d for d in documents}
    refusals = []
    columns = ["document", "line", "ts", "series_id", *(["reason"] if "reason" in frame.columns else [])]
    for row in (
        frame.select(columns).unique(["document", "line"], keep="first", maintain_order=True).iter_rows(named=True)
    ):
        index, line = row["document"], row["line"]
        document = by_index[index]
        offset, data = document.record(line)
        reason = row.get("reason") or _reason(row["ts"], row["series_id"], document.modified_us, rules)
        refusals.append(BadRecord(index, line, offset, reason, data))
    return refusals


def _reason(ts_us: int | None, series: str | None, uploaded_us: int, rules: Rules) -> str:
    if ts_us is None:
        return "its time is missing"
    if not rules.earliest_us <= ts_us <= uploaded_us + rules.future_us:
        bounds = f"{iso(rules.earliest_us)} .. {iso(uploaded_us + rules.future_us)}"
        return f"its time {iso(ts_us)} is outside {bounds}"
    return "its series is missing" if not series else "it can't be read"
