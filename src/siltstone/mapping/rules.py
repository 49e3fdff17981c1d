"""Which rows of a source a table takes, and which date each one gets."""

from dataclasses import dataclass
from typing import Literal

from siltstone.formats.documents import ParseRules

Grain = Literal["day", "month"]
"""What a partition's date stands for: a day, or the first of a month."""


@dataclass(frozen=True)
class Rules(ParseRules):
    """How files are parsed, and what a row must be.

    - `zone`: IANA name of the zone of local dates and times.
    - `earliest_us`, `future_us`: a row's instant is from `earliest_us` (microseconds since 1970) to `future_us`
      microseconds after the upload of its file.
    - `grain`: of the dates of the table's partitions.
    """

    zone: str = "UTC"
    earliest_us: int = 0
    future_us: int = 24 * 3_600_000_000
    grain: Grain = "day"
