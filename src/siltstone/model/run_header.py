"""What a run's manifest says of the run as a whole: its header, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

_ALWAYS = ("run", "name", "parent", "ledger")
_LEARNED_BEFORE = ("zone", "files named by", "shift_hours", "ratio")


@dataclass(frozen=True)
class RunHeader:
    """The header of a committed run. Names are those of its keys in the manifest.

    - `kind`: compact, settle, aggregate, rollup, resample or asof. `run` counts from 1; `name` is that with the token
      that the run drew; `parent` is the version of the run before, None of the first; `ledger` names the snapshot of
      the ledger that was written with it, "" for none.
    - `siltstone`, `engine`, `committed`: by which version, where, when (ISO 8601, UTC).
    - `removed`, `outputs`: data files taken out, and put in with rows, bytes and digest; `quarantine`: files of refused
      records; `columns`: those that were added, each with name, kind and key.
    - Of `compact` and `settle`: `source`, `dataset`, `input`, the `zone` and `grain` of dates, and `learned`, what the
      next run of each dataset goes by.
    - Of tables made of others: their `terms`, the `period` and, of rollups, the `window` in microseconds, the `files`
      that they are made of, files of points `before` and `after` the period, `watermark_us`, where what is known ends,
      and `told`, what the base of a rollup said of all that. `rows` are those of the table.
    - `more`: all other keys as they were stored: counts of the run's summary, the table's `format` (see
      `table_format`), and what newer versions write.
    """

    kind: str = ""
    run: int = 0
    name: str = ""
    parent: int | None = None
    ledger: str = ""
    siltstone: str = ""
    engine: str = ""
    committed: str = ""
    removed: Sequence[str] = ()
    outputs: Sequence[Mapping[str, Any]] = ()
    quarantine: Sequence[str] = ()
    columns: Sequence[Sequence[str]] = ()
    source: str = ""
    dataset: str = ""
    input: str = ""
    zone: str = ""
    grain: Literal["day", "month"] | None = None
    learned: Mapping[str, Mapping[str, Any]] | None = None
    terms: Mapping[str, Any] | None = None
    period: Sequence[int] = ()
    window: Sequence[int] | None = None
    files: Sequence[Any] = ()
    before: Sequence[str] = ()
    after: Sequence[str] = ()
    watermark_us: int = 0
    told: Mapping[str, Any] | None = None
    rows: int = 0
    more: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "RunHeader":
        """The header from its keys, of which any may be missing. Those that are not known stay in `more`, and so do
        known ones that say what their absence says: `as_dict` gives all of them back."""
        said = {name: row[name] for name in _DEFAULTS if name in row}
        known = {name: value for name, value in said.items() if name in _ALWAYS or value != _DEFAULTS[name]}
        return cls(**known, more={key: value for key, value in row.items() if key not in known})

    def as_dict(self) -> dict[str, Any]:
        """The header by its keys, as it is stored."""
        given = {name: getattr(self, name) for name in _DEFAULTS}
        told = {n: value for n, value in given.items() if n in _ALWAYS or value != _DEFAULTS[n]}
        return {**self.more, **told}

    @property
    def learned_by_dataset(self) -> dict[str, Mapping[str, Any]]:
        """What the next run of each dataset goes by; headers of version 0 knew of one dataset alone, named as its
        source."""
        if self.learned is not None or not self.source:
            return dict(self.learned or {})
        before = {**self.more, "zone": self.zone or None}
        return {self.source: {key: before.get(key) for key in _LEARNED_BEFORE}}

    @property
    def output_paths(self) -> list[str]:
        """The data files that the run put into the table."""
        return [output["path"] for output in self.outputs]


_DEFAULTS = {f.name: f.default for f in fields(RunHeader) if f.default is not MISSING}


def terms_of(header: RunHeader | None) -> Mapping[str, Any]:
    """With what terms a table of aggregates was made; empty before its first run, and for other tables."""
    return {} if header is None else header.terms or {}
