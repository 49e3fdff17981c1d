"""What a survey found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from siltstone.model.run_summary import RunSummary, Summary


@dataclass(frozen=True, eq=False, repr=False)
class FieldSummary(Summary):
    """A field of records: its first spelling, the kind of its column, values by kind, and what is odd about them."""

    key: str
    kind: str | None
    values: Mapping[str, int]
    nulls: int
    big_integers: int
    spellings: Sequence[str]
    remarks: Sequence[str]


@dataclass(frozen=True, eq=False, repr=False)
class RecordsSurvey(Summary):
    """What the files of a dataset without a key hold; `hints` are for the configuration, `defects` counts by reason the
    unreadable files that siltstone itself failed at."""

    files: int
    unreadable: int
    records: int
    bad_records: int
    shift_hours: int
    ratio: float
    fields: Sequence[FieldSummary]
    hints: Mapping[str, str]
    defects: Mapping[str, int]


@dataclass(frozen=True, eq=False, repr=False)
class ReadingsSurvey(Summary):
    """What the files of a dataset with a key hold, and the grain that the dates of its table would get."""

    dataset: str
    files: int
    unreadable: int
    records: int
    bad_records: int
    rows: int
    rescued: int
    first_us: int | None
    last_us: int | None
    ratio: float
    series: int
    values: Mapping[str, Mapping[str, int]]
    reasons: Mapping[str, int]
    grain: str


@dataclass(frozen=True, eq=False, repr=False)
class SurveySummary(RunSummary):
    """What `survey` found: one dataset without a key, which `--json` prints alone, or several with keys."""

    datasets: Sequence[RecordsSurvey] | Sequence[ReadingsSurvey]

    def as_dict(self) -> dict[str, Any]:
        first = self.datasets[0]
        return first.as_dict() if isinstance(first, RecordsSurvey) else super().as_dict()
