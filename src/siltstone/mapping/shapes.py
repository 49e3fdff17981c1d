"""The records of a sheet to readings, by a block of the configuration: one per record (long) or per column (wide)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from siltstone.mapping.cells import own_texts, same_as
from siltstone.mapping.path_patterns import first_group
from siltstone.mapping.readings import quality_of
from siltstone.mapping.record_times import record_times
from siltstone.mapping.records_options import CONSTANT, PATH, RecordsOptions, is_column
from siltstone.mapping.rescues import RESCUES, rescue_texts
from siltstone.mapping.sheets import OWN, Sheet

_NO_TEXT = pl.lit(None, pl.String())


def columns_of(options: RecordsOptions) -> list[str]:
    """The columns of a record that the block names as parts, without the columns of the wide form."""
    origins = [options.device, options.measurement, options.site, *options.series]
    columns = [*options.time, options.value, options.quality, options.version]
    return list(dict.fromkeys([c for c in columns if c] + [o for o in origins if is_column(o)]))


def of_path(origin: str, path: str) -> str | None:
    """What a path or constant origin says of a file; None for other origins, and where a path does not match."""
    if origin.startswith(CONSTANT):
        return origin.removeprefix(CONSTANT)
    if not origin.startswith(PATH):
        return None
    return first_group(origin.removeprefix(PATH), path)


def readings(sheet: Sheet, source: str, options: RecordsOptions, paths: Mapping[int, str]) -> pl.DataFrame:
    """The readings of a sheet as `keyed_readings` takes them; `paths` has the path of each document.

    A record without any content gives none. One with content beside its parts, but without a value in the wide form,
    gives a row with the `reason` why it can't be taken.
    """
    wide = _wide_columns(sheet.names, options)
    others = sheet.others({*columns_of(options), *wide})
    cells = _cells(sheet, options, wide, others)
    rows = _Rows(cells["record"], len(sheet.line))
    parts = _Parts(sheet, paths)
    times = record_times([sheet.column(name) for name in options.time], options)
    frame = pl.DataFrame(
        {
            "document": rows.of(pl.Series(sheet.document)),
            "line": rows.of(pl.Series(sheet.line)),
            "ts": rows.of(times.us),
            "ts_nanos": rows.of(times.nanos),
            "measurement": rows.of(parts.origin(options.measurement)) if options.measurement else cells["key"],
            "quality": rows.of(parts.quality(options)),
            "reason": cells["reason"].zip_with(cells["reason"].is_not_null(), rows.of(times.reason)),
            **({"device_id": rows.of(parts.origin(options.device))} if options.device else {}),
            **({"site": rows.of(parts.origin(options.site))} if options.site else {}),
        }
    ).hstack(cells.select("value", "text", "kind"))
    prefix = rows.of(parts.join_origins(options.series)) if options.series else None
    frame = frame.with_columns(_series(frame, prefix, options), pl.lit(source).alias("source"))
    rescues = [_misfits(cells), rows.rescues(others)]
    if times.cut.any():
        rescues.append(rows.rescues(parts.cells(options.time[-1], times.cut)))
    if options.version:
        version, is_lost = parts.version(options.version)
        frame = frame.with_columns(rows.of(version).alias("version"))
        rescues.append(rows.rescues(parts.cells(options.version, is_lost)))
    if options.sentinels and (is_missing := same_as(cells, options.sentinels)).any():
        rescues.append(_rescue(cells["own"], cells["key"], is_missing & cells["misfit"].is_null()))
        if options.quality:
            own = rows.of(sheet.value(options.quality)["own"])
            said = pl.repeat(options.quality, len(own), dtype=pl.String(), eager=True)
            rescues.append(_rescue(own, said, is_missing & own.is_not_null()))
        frame = _without_values(frame, is_missing)
    return frame.with_columns(_rescued=rescue_texts(pl.concat(rescues), frame.height))


def _wide_columns(names: Sequence[str], options: RecordsOptions) -> list[str]:
    """The columns of the wide form, as the files have them in order."""
    parts = set(columns_of(options))
    given, objects = set(options.wide), tuple(w.removesuffix("*") for w in options.wide if w.endswith(".*"))
    return [
        name
        for name in names
        if name not in parts and ("*" in given or name in given or (objects and name.startswith(objects)))
    ]


def _cells(sheet: Sheet, options: RecordsOptions, wide: Sequence[str], others: pl.DataFrame) -> pl.DataFrame:
    """One cell for each reading, by record; a cell with a `reason` stands for a record that can't be taken."""
    if options.value:
        cells = sheet.value(options.value)
        is_empty = cells["kind"].is_null()
        if is_empty.any() and (without := sheet.is_empty()).any():
            cells = cells.filter(~without)
        return cells.with_columns(_NO_TEXT.alias("reason"))
    cells = sheet.cells(wide)
    if cells["kind"].null_count():
        cells = cells.filter(pl.col("kind").is_not_null() if options.skip_empty else ~_within(cells, sheet.is_empty()))
    cells = cells.with_columns(_NO_TEXT.alias("reason"))
    valueless = others.select("record").unique().join(cells.select("record"), on="record", how="anti")
    if not valueless.height:
        return cells
    reason = pl.lit("none of its columns with content is a reading or a part of one").alias("reason")
    return pl.concat([cells, valueless.with_columns(reason)], how="diagonal").sort("record", maintain_order=True)


def _within(cells: pl.DataFrame, is_so: pl.Series) -> pl.Series:
    return is_so.gather(cells["record"])


class _Rows:
    """The readings' rows: `record` has the record of each, ascending."""

    def __init__(self, record: pl.Series, records: int) -> None:
        self._record = record
        self._is_each = len(record) == records and bool((record == pl.int_range(records, eager=True)).all())

    def of(self, column: pl.Series) -> pl.Series:
        """A column of records as one of readings."""
        return column if self._is_each else column.gather(self._record)

    def rescues(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Cells (`record`, `key`, `own`), kept by the first reading of their record; records without one are none."""
        if not cells.height or not len(self._record):
            return RESCUES.to_frame()
        first = self._record.search_sorted(cells["record"]).cast(pl.Int64())
        rescues = cells.select(first.alias("row"), "key", "own", "record")
        has_row = self._record.gather(first.clip(0, len(self._record) - 1)) == cells["record"]
        return rescues.filter(has_row).select(RESCUES.names())


@dataclass(frozen=True)
class _Parts:
    """The parts of records, each as a column of them."""

    sheet: Sheet
    paths: Mapping[int, str]

    def origin(self, origin: str) -> pl.Series:
        """The text of an origin."""
        if is_column(origin):
            return own_texts(self.sheet.column(origin))
        texts = {index: of_path(origin, path) for index, path in self.paths.items()}
        document = pl.Series(self.sheet.document)
        return document.replace_strict(texts, return_dtype=pl.String(), default=None)

    def join_origins(self, origins: Sequence[str]) -> pl.Series:
        """Several origins joined by a slash; null where one is."""
        parts = [self.origin(origin) for origin in origins]
        return parts[0] if len(parts) == 1 else pl.select(pl.concat_str(parts, separator="/")).to_series()

    def quality(self, options: RecordsOptions) -> pl.Series:
        """The quality in the contract's words where they are known."""
        if not options.quality:
            return pl.repeat("good", len(self.sheet.line), dtype=pl.String(), eager=True)
        word = own_texts(self.sheet.column(options.quality)).alias("word")
        named = quality_of("word")
        if options.qualities:
            named = pl.col("word").replace_strict(dict(options.qualities), default=named, return_dtype=pl.String())
        return word.to_frame().select(named).to_series()

    def version(self, name: str) -> tuple[pl.Series, pl.Series]:
        """The whole numbers of a column, and which of its cells have other content."""
        given = own_texts(self.sheet.column(name))
        version = given.cast(pl.Int64(), strict=False)
        return version, version.is_null() & given.is_not_null()

    def cells(self, name: str, is_rescued: pl.Series) -> pl.DataFrame:
        """The wanted cells of a column with their own text."""
        if not is_rescued.any():
            return OWN.to_frame()
        return self.sheet.value(name).filter(is_rescued).select(OWN.names())


def _series(frame: pl.DataFrame, prefix: pl.Series | None, options: RecordsOptions) -> pl.Expr:
    if prefix is not None:
        series_id = pl.concat_str(prefix, "measurement", separator="/") if options.wide else pl.lit(prefix)
    elif options.device:
        series_id = pl.concat_str("device_id", "measurement", separator="/")
    else:
        series_id = pl.col("measurement")
    return series_id.alias("series_id")


def _misfits(cells: pl.DataFrame) -> pl.DataFrame:
    return _rescue(cells["misfit"], cells["key"], cells["misfit"].is_not_null())


def _rescue(own: pl.Series, key: pl.Series, is_rescued: pl.Series) -> pl.DataFrame:
    """Cells that each stay with their own reading."""
    if not is_rescued.any():
        return RESCUES.to_frame()
    row = is_rescued.arg_true().cast(pl.Int64())
    return pl.DataFrame({"row": row, "key": key.gather(row), "own": own.gather(row)})


def _without_values(frame: pl.DataFrame, is_missing: pl.Series) -> pl.DataFrame:
    """The readings; where `is_missing` is true they have no value and bad quality."""
    return frame.with_columns(
        pl.when(~is_missing).then("value").alias("value"),
        pl.when(~is_missing).then("text").alias("text"),
        pl.when(is_missing).then(pl.lit("bad")).otherwise("quality").alias("quality"),
    )
