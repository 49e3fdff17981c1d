"""The survey of a keyed dataset: what a spread of files tells about its rows, their size, the grain of their dates."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import polars as pl
import pyarrow.parquet as pq

from siltstone.errors import Unreadable
from siltstone.formats.documents import Item
from siltstone.formats.portions import Room, batches
from siltstone.ingest.defects import netted, rows_of
from siltstone.ingest.keyed_frames import complete
from siltstone.mapping.dataset import Dataset, Keyed
from siltstone.mapping.rules import Grain, Rules
from siltstone.model.data_files import Sizes
from siltstone.model.schema import base_schema
from siltstone.model.survey_summary import ReadingsSurvey
from siltstone.storage import Storage
from siltstone.table.writer import parquet_options

_SAMPLE_ROWS = 200_000
_BATCH_BYTES = 16 << 20  # of documents that are parsed at a time
_MOST_VALUES = 100
_FEWEST_FILES_A_MONTH = 8  # of the smallest accepted size, that the days of a month must fill to be worth a folder each


@dataclass
class KeyedSurvey:
    """What was found: files and records read, rows that they gave, series, the first and last instant (microseconds
    UTC), values of `kind`, `quality` and the most frequent measurements, `ratio`, output bytes per input byte."""

    dataset: str
    files: int = 0
    unreadable: int = 0
    records: int = 0
    bad_records: int = 0
    rows: int = 0
    rescued: int = 0
    series: set[str] = field(default_factory=set)
    first_us: int | None = None
    last_us: int | None = None
    values: dict[str, Counter[str]] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    ratio: float = 0.2

    @property
    def days(self) -> float:
        """Days from the first to the last instant, 1 at least."""
        if self.first_us is None or self.last_us is None:
            return 1.0
        return max((self.last_us - self.first_us) / 86_400e6, 1.0)

    def grain(self, input_bytes: int, sizes: Sizes) -> Grain:
        """The grain of dates that gives files of the wanted size: by the month where the days of one, if all the input
        is like the sample, would not fill eight of the smallest accepted ones."""
        a_day = input_bytes * self.ratio / self.days
        return "day" if a_day * 30 >= _FEWEST_FILES_A_MONTH * sizes.smallest else "month"

    def summary(self, grain: Grain) -> ReadingsSurvey:
        """The same as plain values, with the grain that the dates of a table would get."""
        plain = {name: value for name, value in vars(self).items() if name not in ("series", "values", "reasons")}
        return ReadingsSurvey(
            **plain,
            series=len(self.series),
            values={name: dict(counts.most_common(_MOST_VALUES)) for name, counts in self.values.items()},
            reasons=dict(self.reasons.most_common(_MOST_VALUES)),
            grain=grain,
        )


def take_keyed_survey(store: Storage, files: pl.DataFrame, dataset: Dataset, rules: Rules) -> KeyedSurvey:
    """Read the files (columns path, identity, size, modified_us) and sum up what they hold."""
    survey = KeyedSurvey(dataset.name)
    sample: list[pl.DataFrame] = []
    opened = _Opened(store, files, dataset, rules, survey)
    sampled_rows = 0
    failed: dict[int, str] = {}
    for batch, _ in batches(opened.documents(), Room(_BATCH_BYTES)):
        parts, _, defects = rows_of(dataset, batch, base_schema(dataset.contract), rules)
        failed |= defects
        for part in cast(Sequence[Keyed], parts):
            survey.records += sum(part.records.values())
            survey.bad_records += len(part.bad)
            survey.reasons.update(bad.reason for bad in part.bad)
            if part.frame.height:
                frame = complete(part.frame, dataset.contract)
                _find(frame, dataset, survey)
                if sampled_rows < _SAMPLE_ROWS:
                    sample.append(frame.head(_SAMPLE_ROWS - sampled_rows))
                    sampled_rows += sample[-1].height
    if sample and opened.bytes:
        survey.ratio = _written_bytes(sample, dataset) * survey.rows / sampled_rows / opened.bytes
    survey.unreadable += len(failed)
    survey.reasons.update(failed.values())
    return survey


class _Opened:
    """The documents of those files that can be opened, and the bytes of these files so far."""

    def __init__(
        self, store: Storage, files: pl.DataFrame, dataset: Dataset, rules: Rules, survey: KeyedSurvey
    ) -> None:
        self._store, self._files, self._dataset, self._rules = store, files, dataset, rules
        self._survey = survey
        self.bytes = 0

    def documents(self) -> Iterator[Any]:
        """One after the other; the survey counts the files."""
        contents = self._store.ahead(self._store.read, self._files["path"], self._files["size"])
        for index, (row, fetched) in enumerate(zip(self._files.iter_rows(named=True), contents, strict=True)):
            if fetched is None:
                continue
            self._survey.files += 1
            try:
                if fetched.refusal:
                    raise Unreadable(fetched.refusal)
                with netted():
                    item = Item(index, row["identity"], row["modified_us"], fetched.data)
                    document = self._dataset.open(item, self._rules).document
            except Unreadable as error:
                self._survey.unreadable += 1
                self._survey.reasons[str(error)] += 1
                continue
            self.bytes += row["size"]
            yield document


def _find(frame: pl.DataFrame, dataset: Dataset, survey: KeyedSurvey) -> None:
    survey.rows += frame.height
    survey.rescued += frame["_rescued"].count()
    survey.series.update(frame[dataset.contract.key[0]].unique().drop_nulls())
    first, last = frame.select(pl.col("ts").min().alias("first"), pl.col("ts").max().alias("last")).row(0)
    survey.first_us = first if survey.first_us is None else min(first, survey.first_us)
    survey.last_us = last if survey.last_us is None else max(last, survey.last_us)
    for name in ("measurement", "kind", "quality", "site"):
        if name in frame.columns:
            counts = frame[name].value_counts()
            found = dict(zip(counts[name].to_list(), counts["count"].to_list(), strict=True))
            survey.values.setdefault(name, Counter()).update({str(k): n for k, n in found.items()})


def _written_bytes(sample: list[pl.DataFrame], dataset: Dataset) -> float:
    """The size of some rows as the table would have them."""
    rows = pl.concat([f.drop("document", "line") for f in sample], how="diagonal_relaxed")
    buffer = io.BytesIO()
    ordered = rows.sort(dataset.contract.key[0], "ts")
    pq.write_table(ordered.to_arrow(compat_level=pl.CompatLevel.oldest()), buffer, **parquet_options())
    return buffer.tell()
