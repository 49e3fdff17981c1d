"""The options of a `sources.records.NAME` block: where the parts of a reading are in foreign records.

An *origin* is where a text comes from: `name` is a column of the record, `a.b.c` leads into nested objects, `=words` is
the same words for every record, `path:REGEX` the first group of a regular expression that is found in the file's path.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from siltstone.mapping.path_patterns import wrong_pattern
from siltstone.mapping.source_options import SourceOptions, zone_problems

RecordsFormat = Literal["ndjson", "csv", "avro", "parquet"]
TimeUnit = Literal["auto", "s", "ms", "us", "ns"]
OnRepeatedHour = Literal["earliest", "latest", "refuse"]
Duplicates = Literal["all", "distinct", "first", "last", "version", "error"]

PATH = "path:"
CONSTANT = "="
QUALITIES = ("good", "uncertain", "bad")
_LISTS = {"time", "series", "wide", "sentinels"}


@dataclass(frozen=True)
class RecordsOptions(SourceOptions):
    """The keys of a block, none required but `time` and one of `value` and `wide`.

    - `pattern`: glob that a file's path ends with; `*` stops at a slash, `**/` is any folders. Empty: every file whose
      name begins with neither `.` nor `_`.
    - `format`: ndjson, csv, avro or parquet; gzip and zstd are recognized by the content.
    - `delimiter`: of CSV cells, one character. `decimal`: of CSV numbers, `.` or `,`.
    - `time`: a column, or two (date, time): their texts are joined by a blank.
    - `time_format`: of text, in the words of strptime; empty: RFC 3339 and its common forms.
    - `time_unit`: of numbers: s, ms, us, ns since 1970, or auto: by magnitude.
    - `zone`: IANA name of the zone of local times without an offset.
    - `on_repeated_hour`: the meaning of a local time that the clocks show twice: earliest, latest, or refuse: the
      record is quarantined. A local time that the clocks skip is always refused.
    - `series`: origins, joined by `/`; empty: device/measurement, or the measurement without a device. In the
      wide form the measurement is appended to them.
    - `device`, `site`: an origin, empty for none. `measurement`: an origin, for the long form only; empty: the name of
      the value's column.
    - `value`: the column of the value (long form: one reading per record).
    - `wide`: columns that are a reading each, named by the column (wide form); `"*"` are all columns without another
      part, `"a.*"` all members of the object `a`.
    - `skip_empty`: whether an empty cell of the wide form gives no reading (else one without a value).
    - `quality`: the column of the quality's word, empty for none: good. `qualities`: word -> good, uncertain or bad;
      without it g, good, b, bad, u, uncertain in any case; other words stay as they are.
    - `version`: the column of a whole number; a larger one is newer.
    - `sentinels`: values that mean missing, such as "-200": the reading stays without a value, of quality bad.
    - `duplicates`: which readings of one series and instant stay: all, distinct (equal rows once), first, last (in
      the order of paths and records), version (the highest), error (the run stops).
    - `earliest`: UTC date; records before it are quarantined.
    - `future_hours`: h; records later than this after the file's upload are quarantined.
    """

    earliest: str = "2000-01-01"
    pattern: str = ""
    format: RecordsFormat = "ndjson"
    delimiter: str = ","
    decimal: Literal[".", ","] = "."
    time: Sequence[str] = ()
    time_format: str = ""
    time_unit: TimeUnit = "auto"
    zone: str = "UTC"
    on_repeated_hour: OnRepeatedHour = "earliest"
    series: Sequence[str] = ()
    device: str = ""
    measurement: str = ""
    site: str = ""
    value: str = ""
    wide: Sequence[str] = ()
    skip_empty: bool = True
    quality: str = ""
    qualities: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    sentinels: Sequence[str] = ()
    duplicates: Duplicates = "distinct"

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Self:
        """The options of a block of plain values; a single text stands for a list of one."""
        given = dict(values)
        for key in _LISTS & given.keys():
            value = given[key]
            given[key] = tuple(value) if not isinstance(value, str) else (value,) if value else ()
        return cls(**given)

    def problems(self) -> Iterator[str]:
        """Each contradiction, beginning with the key that it is about."""
        yield from _problems_of_parts(self)
        yield from _problems_of_times(self)
        yield from super().problems()
        if len(self.delimiter) != 1 or self.delimiter in '"\r\n':
            yield f"delimiter: {self.delimiter!r} is not one character that may stand between cells"
        if self.format == "csv" and self.delimiter == self.decimal:
            yield f"decimal: {self.decimal!r} is the delimiter too"
        if self.format != "csv" and (self.delimiter, self.decimal) != (",", "."):
            yield f"delimiter, decimal: they are of CSV, but format is {self.format}"
        if self.duplicates == "version" and not self.version:
            yield "duplicates: version needs the column of the version; give version"
        for word, quality in self.qualities.items():
            if quality not in QUALITIES:
                yield f"qualities.{word}: {quality!r} is none; expected one of {', '.join(QUALITIES)}"
        if self.qualities and not self.quality:
            yield "qualities: words without their column; give quality"


def is_column(origin: str) -> bool:
    """Whether an origin is a column of the record."""
    return bool(origin) and not origin.startswith((CONSTANT, PATH))


def _problems_of_parts(options: RecordsOptions) -> Iterator[str]:
    if bool(options.value) == bool(options.wide):
        yield "value, wide: give one of them: value for one reading per record, wide for one per column"
    if options.wide and options.measurement:
        yield "measurement: the columns' names are it where wide is given"
    if "*" in options.wide and len([name for name in options.wide if not name.endswith(".*")]) > 1:
        yield 'wide: "*" is every column; name no other one beside it'
    for name in ("value", "quality", "version"):
        if getattr(options, name) and not is_column(getattr(options, name)):
            yield f"{name}: {getattr(options, name)!r} is no column"
    origins = {"device": [options.device], "measurement": [options.measurement], "site": [options.site]}
    for name, given in {**origins, "series": list(options.series)}.items():
        for origin in given:
            if origin.startswith(PATH) and (wrong := wrong_pattern(origin.removeprefix(PATH))):
                yield f"{name}: {origin!r}: {wrong}"
    columns = [options.value, options.quality, options.version, *options.time]
    for name in sorted({c for c in columns if c and columns.count(c) > 1}):
        yield f"value, quality, version, time: {name!r} is two of them"
    for name in sorted({c for c in options.wide if c in options.time or c in (options.quality, options.version)}):
        yield f"wide: {name!r} is another part of the record"


def _problems_of_times(options: RecordsOptions) -> Iterator[str]:
    if not 1 <= len(options.time) <= 2:
        yield f"time: {len(options.time)} columns; expected one, or two as [date, time]"
    for name in options.time:
        if not is_column(name):
            yield f"time: {name!r} is no column"
    if options.time_format and "%" not in options.time_format:
        yield f"time_format: {options.time_format!r} holds no directive such as %Y"
    if options.time_format and options.time_unit != "auto":
        yield "time_unit: it is of numbers, time_format of texts; give one of them"
    yield from zone_problems(options.zone, "Europe/Rome")
