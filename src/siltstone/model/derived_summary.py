"""What runs say that make tables, files or pictures of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from siltstone.model.run_summary import RunSummary, names_of, plain


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class DerivedSummary(RunSummary):
    """What is the same in all runs that make a table of another one. `run` is "" where nothing had changed since the
    last one: then `files_known` counts the data files of the input, and nothing else was counted."""

    _ONLY_IF_NOTHING: ClassVar[frozenset[str]] = frozenset({"files_known"})
    _IN_ANY_CASE: ClassVar[frozenset[str]] = frozenset({"table", "input", "left", "right", "engine", "run", "seconds"})

    table: str
    engine: str
    run: str = ""
    files_known: int = 0
    rows_in: int = 0
    rows_out: int = 0
    rows: int = 0
    files_written: int = 0
    files_removed: int = 0
    bytes_written: int = 0
    seconds: float = 0.0

    def _names(self) -> list[str]:
        names = names_of(type(self))
        if self.run:
            return [name for name in names if name not in self._ONLY_IF_NOTHING]
        return [name for name in names if name in self._IN_ANY_CASE | self._ONLY_IF_NOTHING]

    @property
    def counts(self) -> dict[str, Any]:
        """What the manifest of the run keeps."""
        whole = {name: plain(getattr(self, name)) for name in names_of(type(self))}
        return {name: value for name, value in whole.items() if name not in {"run", "seconds", *self._ONLY_IF_NOTHING}}


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class BucketsSummary(DerivedSummary):
    """What is the same in all runs that make a table of buckets."""

    input: str
    every: str = ""
    series: int = 0
    provisional: int = 0
    watermark_us: int = 0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AggregateSummary(BucketsSummary):
    """What `aggregate` computed; `buckets_touched` is None where all were."""

    points: int = 0
    rows_left_out: int = 0
    repeated: int = 0
    buckets_touched: int | None = None


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ConventionSummary(BucketsSummary):
    """What `aggregate` computed by another system's convention."""

    convention: str


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RollupSummary(BucketsSummary):
    """What `rollup` computed of a finer table, whose buckets are `base` long."""

    base: str = ""
    points: int = 0
    buckets_touched: int | None = None


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ResampleSummary(DerivedSummary):
    """What `resample` computed."""

    input: str
    every: str = ""
    fill: str = ""
    rows_beside: int = 0
    points: int = 0
    rows_left_out: int = 0
    repeated: int = 0


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class AsofSummary(DerivedSummary):
    """What `asof` joined."""

    left: str
    right: str
    rows_left_out: int = 0
    rows_matched: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class PlotSummary(RunSummary):
    """What `plot` drew: for each series its `series_id`, `site`, `measure` and `shape`."""

    out: str
    bytes: int
    table: str
    buckets: int
    zone: str
    series: Sequence[Mapping[str, str]]


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class PublishSummary(RunSummary):
    """What `publish` wrote; `edition` is None where nothing had changed, `archive` where none was asked for."""

    out: str = ""
    table: str = ""
    source: str = ""
    keys_in_files: bool = False
    edition: int | None
    collections: Sequence[str]
    streams: int
    streams_added: int
    files: int
    rows: int
    bytes: int
    rows_added: int
    rows_removed: int
    files_written: int
    files_replaced: int
    bytes_written: int
    not_published: int
    nanoseconds_cut: int
    not_good: int
    renamed: Mapping[str, str]
    archive: str | None = None
    archive_bytes: int | None = None
    archive_sha256: str | None = None
    seconds: float = 0.0

    def _names(self) -> list[str]:
        names = names_of(type(self))
        return [name for name in names if self.archive is not None or not name.startswith("archive")]
