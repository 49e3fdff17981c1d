"""AWS IoT SiteWise's cold tier: measurements and metrics in Avro, one small file per series; metadata in NDJSON.

`raw/startYear=/startMonth=/startDay=/seriesBucket=/raw_{timeSeriesId}_{start}_{quality}.avro` -> `readings`, the same
under `agg` -> `aggregates`, `asset_metadata/asset_{assetId}.ndjson` -> `assets`,
`asset_hierarchy_metadata/{parentAssetId}_{hierarchyId}.ndjson` -> `asset_hierarchy`.

What a path says is a hint only: a file's start is exclusive, so its rows may be of the next day, and the series and
quality come from the rows. The schema comes from the file; it contradicts the documentation in some places.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

import orjson
import polars as pl

from siltstone.errors import Unreadable
from siltstone.formats.avro.lanes import open_avro, read_avro
from siltstone.formats.documents import Document, Item, Opened, ParseRules, Records
from siltstone.formats.exact_columns import column_named
from siltstone.mapping.dataset import Dataset, Keyed, Place
from siltstone.mapping.epochs import instants
from siltstone.mapping.misfits import as_double, as_flag, as_integer, as_text, join_rescued, nothing, rescue_columns
from siltstone.mapping.readings import keyed_readings, quality_of
from siltstone.mapping.rules import Rules
from siltstone.mapping.snapshots import Form, Shape, open_snapshot, snapshot_rows
from siltstone.mapping.source_options import SourceOptions, folder_problems
from siltstone.model.contracts import (
    BY_DATE_AND_SITE,
    READINGS,
    RESCUED,
    SOURCE_FILE,
    TIMESTAMP,
    Column,
    Contract,
    Field,
    history_contract,
)
from siltstone.model.kinds import Kind
from siltstone.model.schema import Schema

_METRICS = ("count", "average", "min", "max", "sum")

AGGREGATES = Contract(
    table="aggregates",
    partition_by=BY_DATE_AND_SITE,
    time=Field("ts", TIMESTAMP, "end of the bucket, which belongs to it, UTC, cut to microseconds"),
    leading=(Column("series_id", "string", "series_id"), Column("source", "string", "source")),
    added=(SOURCE_FILE, RESCUED),
    # resolution: length of the bucket as an ISO 8601 duration (PT1M). average: the plain mean of count points.
    record=(
        Column("ts_nanos", "int", "ts_nanos"),
        Column("resolution", "string", "resolution"),
        *(Column(name, "double", name) for name in _METRICS),
        Column("quality", "string", "quality"),
        Column("version", "bigint", "version"),
    ),
    sort_by=("series_id", "ts"),
    key=("series_id", "resolution", "ts", "ts_nanos"),
)

_ASSET_WORDS = """
    timeSeriesId timeSeriesBucket assetId assetName assetModelId assetModelName assetPropertyId assetPropertyName
    assetPropertyDataType assetPropertyUnit assetPropertyAlias assetArn assetCompositeModelDescription
    assetCompositeModelName assetCompositeModelType assetStatusErrorCode assetStatusErrorMessage assetStatusState
"""
_ASSET_KEYS: dict[str, Kind] = {
    **dict.fromkeys(_ASSET_WORDS.split(), "string"),
    "assetCreationDate": "timestamp",
    "assetLastUpdateDate": "timestamp",
}
_HIERARCHY_KEYS: dict[str, Kind] = dict.fromkeys(
    ("sourceAssetId", "targetAssetId", "hierarchyId", "associationType"), "string"
)


def _snake(key: str) -> str:
    return re.sub(r"(?=[A-Z])", "_", key).lower()


ASSETS = history_contract("assets", ("time_series_id",), **{_snake(key): kind for key, kind in _ASSET_KEYS.items()})
HIERARCHY = history_contract(
    "asset_hierarchy",
    ("source_asset_id", "target_asset_id", "hierarchy_id"),
    **{_snake(key): kind for key, kind in _HIERARCHY_KEYS.items()},
    file_parent_asset_id="string",
    file_hierarchy_id="string",
)
CONTRACTS = (READINGS, AGGREGATES, ASSETS, HIERARCHY)

_UUID = "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_TWO_UUIDS = f"^({_UUID})_({_UUID})$"
_FOLDERS = r"startYear=(?P<year>\d{1,4})/startMonth=(?P<month>\d{1,2})/startDay=(?P<day>\d{1,2})"
_SERIES_FILE = re.compile(
    rf"(?:^|/){_FOLDERS}/seriesBucket=[^/]*/(?P<prefix>[a-z]+)_(?P<id>[^/]+)_(?P<start>\d{{1,19}})_[^/_]*\.avro$"
)
_DATED = re.compile(r"(?:^|/)startYear=(\d{1,4})(?:/startMonth=(\d{1,2})(?:/startDay=(\d{1,2})(?:/[^/]+)?)?)?/?$")
_TEXT_FILE = r"\.ndjson(?:\.gz|\.zst)?$"
_HIERARCHY_NAME = rf"(?P<id>[^/]+)_(?P<hierarchy>[^/_]+?){_TEXT_FILE}"
_FILES = {
    ASSETS.table: re.compile(rf"(?:^|(?:^|/)asset_metadata/)asset_(?P<id>[^/]+?){_TEXT_FILE}"),
    HIERARCHY.table: re.compile(rf"(?:^|(?:^|/)asset_hierarchy_metadata/){_HIERARCHY_NAME}"),
}

_CALENDAR_S = 253_402_300_800  # the year 10000: no later date can be shown


@dataclass(frozen=True)
class Options(SourceOptions):
    """- `site`: of all rows, such as the plant's name; "": none."""

    site: str = ""

    def problems(self) -> Iterator[str]:
        """Each contradiction, beginning with the key that it is about."""
        yield from super().problems()
        yield from folder_problems("site", self.site)


def datasets(options: Options) -> tuple["Series | Metadata", ...]:
    """The four datasets."""
    site = options.site
    return (
        Series("sitewise.raw", READINGS, "raw", site, ("seriesId", "timeInSeconds")),
        Series("sitewise.agg", AGGREGATES, "agg", site, ("seriesId", "timeInSeconds", "resolution")),
        Metadata("sitewise.assets", ASSETS, "asset_metadata/asset_{assetId}.ndjson"),
        Metadata("sitewise.hierarchy", HIERARCHY, "asset_hierarchy_metadata/{parentAssetId}_{hierarchyId}.ndjson"),
    )


class Series(Dataset):
    """Avro files of one series each. `prefix` begins their names; `needed` are fields that a schema must have."""

    policy = "version"
    is_by_hour = True

    def __init__(self, name: str, contract: Contract, prefix: str, site: str, needed: tuple[str, ...]) -> None:
        self.name, self.contract = name, contract
        self.prefix, self.site, self.needed = prefix, site, needed
        folders = "startYear={Y}/startMonth={M}/startDay={D}/seriesBucket={XX}"
        self.layout = f"{prefix}/{folders}/{prefix}_{{timeSeriesId}}_{{start}}_{{quality}}.avro"

    def locate(self, path: str) -> Place | None:
        """The series, and the hour of the start in the name; of the folder, should the two contradict each other."""
        if not path.endswith(".avro") or f"/{self.prefix}_" not in f"/{path}":
            return None
        return _place(path, self.prefix, self.site)

    def is_before(self, folder: str, since: datetime) -> bool:
        match = _DATED.search(folder)
        end = _end_of(*match.groups()) if match else None
        return end is not None and end <= since

    def open(self, item: Item, rules: ParseRules) -> Opened:
        opened = open_avro(item, rules)
        fields = _fields(opened.document.writer)
        missing = [name for name in self.needed if name not in fields]
        if missing:
            raise Unreadable(f"its schema has no {', no '.join(missing)}; it has {', '.join(fields) or 'no field'}")
        return opened

    def rows(self, documents: Sequence[Any], schema: Schema, rules: Rules) -> tuple[Sequence[Keyed], Schema]:
        shape = _readings if self.contract is READINGS else _aggregates
        shared = {"source": pl.lit(self.source), "site": pl.lit(self.site)}
        return [
            keyed_readings(shape(records).with_columns(**shared), records, documents, rules)
            for records in read_avro(documents)
        ], schema


class Metadata(Dataset):
    """NDJSON files that each show the present rows of one asset, or of one parent in one hierarchy."""

    def __init__(self, name: str, contract: Contract, layout: str) -> None:
        self.name, self.contract, self.layout = name, contract, layout

    def locate(self, path: str) -> Place | None:
        match = _FILES[self.contract.table].search(path) if not path.endswith(".avro") else None
        return match and Place("", match["id"])

    def open(self, item: Item, rules: ParseRules) -> Opened:
        return open_snapshot(item, _FORMS[self.contract.table], rules)

    def rows(self, documents: Sequence[Any], schema: Schema, rules: Rules) -> tuple[Sequence[Keyed], Schema]:
        return snapshot_rows(documents, _FORMS[self.contract.table], rules), schema


def _readings(records: Records) -> pl.DataFrame:
    """The rows of raw files under the names of READINGS, `ts` as microseconds, `reason` where it can't be read."""
    frame = records.frame
    lost: dict[str, pl.Expr] = {}
    value, text, kind = nothing(pl.Float64()), nothing(pl.String()), nothing(pl.String())
    earlier = pl.lit(value=False)
    for name, (word, number_of) in _VALUES.items():
        if not _has_any(frame, name):
            continue
        is_set = pl.col(name).is_not_null()
        is_value = is_set & ~earlier
        kind = pl.when(is_value).then(pl.lit(word)).otherwise(kind)
        lost[name] = is_set & earlier
        if number_of is None:
            text = pl.when(is_value).then(as_text(frame, name)).otherwise(text)
        else:
            number = number_of(frame, name)
            value = pl.when(is_value).then(number).otherwise(value)
            lost[name] = lost[name] | (is_value & number.is_null())
        earlier = earlier | is_set
    ids, run = _series_runs(frame)
    two = pl.col("series_id").str.extract_groups(_TWO_UUIDS)
    ids = ids.with_columns(device_id=pl.coalesce(two.struct.field("1"), "series_id"), measurement=two.struct.field("2"))
    values = frame.select(value=value, text=text, kind=kind)
    return _with_shared(frame, [ids[run], values], lost, tuple(_VALUES))


_VALUES: Mapping[str, tuple[str, Callable[[pl.DataFrame, str], pl.Expr] | None]] = {
    "doubleValue": ("double", as_double),
    "integerValue": ("integer", as_double),
    "booleanValue": ("boolean", as_flag),
    "stringValue": ("string", None),
    "jsonValue": ("json", None),
}


def _aggregates(records: Records) -> pl.DataFrame:
    """The rows of metric files under the names of AGGREGATES, `ts` and `reason` as in readings."""
    frame = records.frame
    numbers = {name: as_double(frame, name) for name in _METRICS if name in frame.columns}
    lost = {name: pl.col(name).is_not_null() & number.is_null() for name, number in numbers.items()}
    ids, run = _series_runs(frame)
    values = frame.select(as_text(frame, "resolution").alias("resolution"), **numbers)
    rows = _with_shared(frame, [ids[run], values], lost, ("resolution", *_METRICS))
    if values["resolution"].null_count():
        missing = pl.when(pl.col("resolution").is_null()).then(pl.lit("its resolution is missing"))
        rows = rows.with_columns(reason=pl.coalesce("reason", missing))
    return rows


def _series_runs(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """`series_id` and `quality` of each run of rows where both stay, and the run of each row.

    A file has one series and mostly one quality, so their texts are handled once per file.
    """
    words = frame.select(
        as_text(frame, "seriesId").alias("series_id"),
        (as_text(frame, "quality") if "quality" in frame.columns else pl.lit(None, pl.String())).alias("quality"),
    )
    starts = words.select(
        pl.any_horizontal(pl.all().ne_missing(pl.all().shift())) | (pl.int_range(pl.len()) == 0)
    ).to_series()
    run = starts.cast(pl.UInt32()).cum_sum() - 1
    return words.filter(starts).with_columns(quality=quality_of("quality")), run


def _with_shared(
    frame: pl.DataFrame, parts: list[pl.DataFrame], lost: dict[str, pl.Expr], own: Sequence[str]
) -> pl.DataFrame:
    """The parts side by side with instants, version and `_rescued`.

    `lost` says in which rows the file's `own` columns have no other place; nor has any column that nobody knows.
    """
    others = [name for name in frame.columns if name not in (*_SHARED, *own)]
    lost |= {name: column_named(name).is_not_null() for name in others}
    if "recordVersion" in frame.columns:
        version = as_integer(frame, "recordVersion")
        lost["recordVersion"] = pl.col("recordVersion").is_not_null() & version.is_null()
        parts.append(frame.select(version=version))
    texts = rescue_columns(frame, lost)
    if texts is not None:
        parts.append(texts.alias("_rescued").to_frame())
    return pl.concat([*parts, instants(frame, "timeInSeconds", "offsetInNanos")], how="horizontal")


_SHARED = ("seriesId", "timeInSeconds", "offsetInNanos", "quality", "recordVersion")


def _assets(frame: pl.DataFrame, documents: Sequence[Document]) -> pl.DataFrame:
    """Asset rows with instants as such. The snapshot is of the file's upload: rows of one file may have several dates
    of their last update, or none, and an old one may come back."""
    dates = ["asset_creation_date", "asset_last_update_date"]
    is_date = {name: pl.col(name).is_between(0, _CALENDAR_S, closed="left") for name in dates}
    texts = rescue_columns(frame, {name: pl.col(name).is_not_null() & ~is_date[name] for name in dates})
    if texts is not None:
        frame = (
            frame.with_columns(texts.alias("_odd")).with_columns(_rescued=join_rescued("_rescued", "_odd")).drop("_odd")
        )
    dated = {
        name: pl.when(is_date[name]).then((pl.col(name) * 1e6).round().cast(pl.Int64(), strict=False)) for name in dates
    }
    own_id = pl.col("asset_id") + "_" + pl.col("asset_property_id")
    return frame.with_columns(
        *(instant.cast(pl.Datetime("us", "UTC")).alias(name) for name, instant in dated.items()),
        time_series_id=pl.coalesce("time_series_id", own_id),  # of a property without a series
    )


def _hierarchy(frame: pl.DataFrame, documents: Sequence[Document]) -> pl.DataFrame:
    """Hierarchy rows with what the names of their files say."""
    names = {document.index: _FILES[HIERARCHY.table].search(document.path) for document in documents}
    return frame.with_columns(
        pl.col("document")
        .replace_strict({i: match and match[part] for i, match in names.items()}, return_dtype=pl.String())
        .alias(column)
        for part, column in (("id", "file_parent_asset_id"), ("hierarchy", "file_hierarchy_id"))
    )


def _form(contract: Contract, keys: Mapping[str, Kind], shape: Shape) -> Form:
    columns = (Column(_snake(k), "double" if kind == "timestamp" else kind, k) for k, kind in keys.items())
    return Form(Schema(tuple(columns)), shape, contract.key)


_FORMS = {
    ASSETS.table: _form(ASSETS, _ASSET_KEYS, _assets),
    HIERARCHY.table: _form(HIERARCHY, _HIERARCHY_KEYS, _hierarchy),
}


def _has_any(frame: pl.DataFrame, name: str) -> bool:
    return name in frame.columns and frame[name].null_count() < frame.height


@lru_cache(maxsize=256)
def _fields(writer: bytes) -> tuple[str, ...]:
    """The names of a schema's fields."""
    return tuple(field["name"] for field in orjson.loads(writer)["fields"])


@lru_cache(maxsize=65_536)  # a run asks several times for each file
def _place(path: str, prefix: str, site: str) -> Place | None:
    match = _SERIES_FILE.search(path)
    if match is None or match["prefix"] != prefix:
        return None
    return Place(site, match["id"], _hour(match["year"], match["month"], match["day"], match["start"]))


def _hour(year: str, month: str, day: str, start: str) -> datetime | None:
    """The hour of a start in epoch seconds; where that is not of the folder's day, the folder's first."""
    midnight = _midnight(year, month, day)
    try:
        hour = _EPOCH + timedelta(hours=int(start) // 3_600)
    except OverflowError:
        return midnight
    return hour if midnight is None or hour.date() == midnight.date() else midnight


_EPOCH = datetime(1970, 1, 1)


@lru_cache(maxsize=4_096)
def _midnight(year: str, month: str, day: str) -> datetime | None:
    try:
        return datetime(int(year), int(month), int(day))
    except ValueError:
        return None


def _end_of(year: str, month: str | None, day: str | None) -> datetime | None:
    """The end of a folder's year, month or day; None if no calendar has it."""
    begin = _midnight(year, month or "1", day or "1")
    if begin is None:
        return None
    try:
        if day:
            return begin + timedelta(days=1)
        return begin.replace(year=begin.year + 1) if not month else (begin + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        return None
