"""What a right result holds: rows, values and sums of each field, by site, unit and local date.

A fleet's truth is counted while it is made. Any tree's can be counted from its files with the standard library alone,
which shares no code with a contender.
"""

import gzip
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

WITA_HOURS = 8


@dataclass(frozen=True)
class Field:
    """A field's values that are not null: their kind, how many, and their sum in units of 10^-decimals (text: None)."""

    kind: str
    decimals: int
    count: int
    sum: int | None

    def __add__(self, other: "Field") -> "Field":
        kind = self.kind if self.kind == other.kind else "double"
        decimals = max(self.decimals, other.decimals)
        total = None if self.sum is None or other.sum is None else self.scaled(decimals) + other.scaled(decimals)
        return replace(self, kind=kind, decimals=decimals, count=self.count + other.count, sum=total)

    def scaled(self, decimals: int) -> int:
        return (self.sum or 0) * 10 ** (decimals - self.decimals)


Group = tuple[str, str, str]
Truth = dict[Group, dict[str, Field]]
"""By site, unit and local date: the fields by their JSON key. Each record has a `heartbeat`: its count is the rows."""


def add(truth: Truth, other: Truth) -> None:
    """Add `other` to `truth`."""
    for group, fields in other.items():
        mine = truth.setdefault(group, {})
        for name, field in fields.items():
            mine[name] = mine[name] + field if name in mine else field


def fields_of(truth: Truth) -> dict[str, Field]:
    """The fields of all groups together."""
    whole: Truth = {}
    for fields in truth.values():
        add(whole, {("", "", ""): fields})
    return whole.get(("", "", ""), {})


def rows_of(truth: Truth) -> int:
    return sum(fields["heartbeat"].count for fields in truth.values())


def rows_by_partition(truth: Truth) -> dict[tuple[str, str], int]:
    """Rows by (hiveperiod, dstrct_code)."""
    rows: dict[tuple[str, str], int] = {}
    for (site, _, date), fields in truth.items():
        rows[date, site] = rows.get((date, site), 0) + fields["heartbeat"].count
    return rows


def local_date(epoch_seconds: int) -> str:
    """The date at the mine (UTC+8, no change of clock)."""
    return datetime.fromtimestamp(epoch_seconds + WITA_HOURS * 3_600, UTC).date().isoformat()


def count_tree(root: Path) -> Truth:
    """The truth of a tree `{site}/{device}/{hour}/*.gz`, read record by record; heartbeats are epoch seconds."""
    truth: Truth = {}
    for path in sorted(root.rglob("*.gz")):
        site = path.relative_to(root).parts[0]
        lines = gzip.decompress(path.read_bytes()).splitlines()
        add(truth, _count(site, (json.loads(line, parse_float=Decimal) for line in lines)))
    return truth


def _count(site: str, records: Iterable[dict]) -> Truth:
    truth: Truth = {}
    for record in records:
        group = truth.setdefault((site, record["unitno"], local_date(record["heartbeat"])), {})
        for name, value in record.items():
            if value is not None:
                one = _field(value)
                group[name] = group[name] + one if name in group else one
            else:
                group.setdefault(name, Field("double", 0, 0, 0))
    return truth


def _field(value: object) -> Field:
    if isinstance(value, bool):
        return Field("boolean", 0, 1, int(value))
    if isinstance(value, int):
        return Field("bigint", 0, 1, value)
    if isinstance(value, Decimal):
        decimals = max(0, -int(value.as_tuple().exponent))
        return Field("double", decimals, 1, int(value.scaleb(decimals)))
    return Field("string", 0, 1, None)


def save_truth(path: Path, truth: Truth) -> None:
    rows = [[*group, {name: list(asdict(f).values()) for name, f in fields.items()}] for group, fields in truth.items()]
    path.write_text(json.dumps(rows))


def load_truth(path: Path) -> Truth:
    """Raises FileNotFoundError."""
    return {
        (site, unit, date): {name: Field(*field) for name, field in fields.items()}
        for site, unit, date, fields in json.loads(path.read_text())
    }
