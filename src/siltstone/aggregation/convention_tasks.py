"""Tasks that make aggregates as another system defines them: each reads all points of some series."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.aggregation.finish_tasks import FinishedFiles
from siltstone.aggregation.series_points import ReadingPoints, WidePoints
from siltstone.aggregation.spec import AggregateSpec
from siltstone.aggregation.state_tasks import tables_of
from siltstone.model.contracts import TIMESTAMP, Column, Contract, Field
from siltstone.model.data_files import DataFile, LoggedFile, NewFile, Partition, is_own_name
from siltstone.model.periods import EARLIEST_US, LATEST_US
from siltstone.model.schema import Schema, base_schema
from siltstone.storage import Storage
from siltstone.table.reader import opened
from siltstone.table.writer import PartitionWriter, WriterSettings
from siltstone.timeseries.conventions import Window, evaluate, stamps_us
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import GOOD, Ints, Points

_TRIED = 64  # rows of each part that are sampled to find where it ends
_ABOUT = ("site", "source", "device_id", "measurement")


def contract_of_convention(terms: AggregateSpec) -> Contract:
    """The contract of a table made by a convention. Its column `stamp` is the time that the convention gives a
    window."""
    texts = Column("series_id", "string", "series_id")
    columns = [
        *(Column(name, "string", name) for name in _ABOUT),
        *(Column(name, "timestamp", name) for name in ("bucket_end", "stamp")),
        *(Column(name, "double", name) for name in terms.measures),
        *(
            Column(f"{name}_status", "string", f"{name}_status")
            for name in terms.measures
            if terms.convention == "opcua"
        ),
        Column("n", "bigint", "n"),
    ]
    return Contract(
        table="aggregates of time",
        partition_by=(Field("date", pa.date32(), "UTC date of bucket_start"),),
        time=Field("bucket_start", TIMESTAMP, "start of the window"),
        leading=(texts,),
        added=(),
        record=tuple(columns),
        sort_by=("series_id", "bucket_start"),
    )


@dataclass(frozen=True)
class ConventionTask:
    """Evaluates the series in data files of one site, in the windows that start in `window`, and writes the rows to
    `out`. What is known ends at the watermark.

    `partitions` lists the data files of each partition. Only units in [low, high) are read; "" is no bound, and rows
    without a unit come before all units.
    """

    table: Storage
    writing: WriterSettings
    partitions: tuple[tuple[LoggedFile, ...], ...]
    site: str
    unit: str
    time: str
    source: str
    terms: AggregateSpec
    window: tuple[int, int]
    watermark_us: int
    low: str = ""
    high: str = ""

    def run(self) -> FinishedFiles:
        return _evaluate(self)


def _evaluate(task: ConventionTask) -> FinishedFiles:
    frames = [frame for about, points in _series(task) if (frame := _rows(task, about, points)) is not None]
    if not frames:
        return FinishedFiles([], 0, 0, 0)
    table = pl.concat(frames, how="diagonal_relaxed").sort("series_id", "site", "bucket_start")
    contract = contract_of_convention(task.terms)
    outputs: list[NewFile] = []
    for (day,), part in table.partition_by("date", as_dict=True, maintain_order=True).items():
        outputs += _files(task, contract, (str(day),), part)
    return FinishedFiles(outputs, int(table["n"].sum()), len(frames), 0)


def _series(task: ConventionTask) -> Iterator[tuple[tuple[str | None, ...], Points]]:
    """For every series what is known of it (values of ABOUT), and all of its points."""
    terms, all_time = task.terms, (EARLIEST_US, LATEST_US)
    points_of: dict[tuple[str | None, ...], list[Points]] = {}
    for files in task.partitions:
        reader: ReadingPoints | WidePoints = ReadingPoints(terms, task.site, all_time)
        if terms.columns:
            reader = WidePoints(terms, task.site, all_time, task.unit, task.time, task.source)
        with ExitStack() as open_files:
            for read in reader.of(_tables(task, files, open_files)):
                for place, (start, end) in enumerate(zip(read.points.starts[:-1], read.points.starts[1:], strict=True)):
                    own = slice(int(start), int(end))
                    part = read.points
                    about = reader.names.about[read.first + place]
                    points = Points(np.array([0, end - start]), part.ts[own], part.value[own], part.quality[own])
                    points_of.setdefault(about, []).append(points)
    for about, parts in points_of.items():
        yield about, _concatenated(parts)


def _tables(task: ConventionTask, files: Sequence[LoggedFile], open_files: ExitStack) -> Iterator[pa.Table]:
    """The rows of the task's units in the data files of one partition."""
    if not task.low and not task.high:
        yield from tables_of(task, files, (), open_files)
        return
    groups = _groups(task, files[0]) if len(files) == 1 and is_own_name(files[0].path) else None
    if groups == ():
        return
    for table in tables_of(task, files, groups or (), open_files):
        unit = pl.DataFrame(table.select([task.unit])).to_series().cast(pl.String()).fill_null("")
        inside = unit >= task.low
        if task.high:
            inside &= unit < task.high
        yield table.filter(inside.to_arrow())


def _groups(task: ConventionTask, data: LoggedFile) -> tuple[int, ...]:
    """The row groups of a data file in which rows of the task's units may be, by their statistics."""
    with opened(task.table, data.path, rows=data.rows) as file:
        footer = file.metadata
    place = footer.schema.names.index(task.unit)
    groups = []
    for group in range(footer.num_row_groups):
        statistics = footer.row_group(group).column(place).statistics
        is_apart = (
            (statistics is not None and statistics.has_min_max and statistics.has_null_count)
            and (not statistics.null_count or bool(task.low))
            and (statistics.max < task.low or (bool(task.high) and statistics.min >= task.high))
        )
        if not is_apart:
            groups.append(group)
    return tuple(groups)


def _concatenated(parts: Sequence[Points]) -> Points:
    """The points of one series in order of time; no two parts overlap."""
    ordered = sorted((p for p in parts if len(p.ts)), key=lambda p: int(p.ts[0]))
    columns = [np.concatenate([getattr(p, name) for p in ordered]) for name in ("ts", "value", "quality")]
    return Points(np.array([0, len(columns[0])]), *columns)


def _rows(task: ConventionTask, about: tuple[str | None, ...], points: Points) -> pl.DataFrame | None:
    _, series, source, device, measurement = about
    terms = task.terms
    numbers = _numbers(task, points.ts)
    if not len(numbers):
        return None
    starts, ends = terms.buckets.bounds(numbers)
    windows = [Window(int(s), int(e)) for s, e in zip(starts, ends, strict=True)]
    how: Interpretation = terms.interpretations.of(source, device, measurement, series)
    usable = ~np.isin(points.value, how.sentinels)
    kept = Points(points.starts, points.ts, points.value, np.where(usable, points.quality, 0).astype(np.int8))
    measures = evaluate(terms.convention, kept, windows, terms.measures, how)
    places = np.searchsorted(points.ts[points.quality == GOOD], np.concatenate((starts, ends)))
    counts = places[len(starts) :] - places[: len(starts)]
    texts = dict(zip(("site", "series_id", "source", "device_id", "measurement"), about, strict=True))
    return pl.DataFrame(
        {
            **{name: pl.Series([text] * len(starts), dtype=pl.String()) for name, text in texts.items()},
            "bucket_start": starts,
            "bucket_end": ends,
            "stamp": np.array(stamps_us(terms.convention, windows), np.int64),
            "n": counts.astype(np.int64),
            **{name: _column(values) for name, values in measures.items()},
        }
    ).with_columns(pl.from_epoch(pl.col("bucket_start"), time_unit="us").dt.date().alias("date"))


def _numbers(task: ConventionTask, ts: Ints) -> Ints:
    """The numbers of the windows from the first point of a series to its last one, or to the watermark."""
    buckets = task.terms.buckets
    first, last = buckets.number(np.array([ts[0], max(int(ts[-1]), task.watermark_us - 1)])).tolist()
    numbers = np.arange(first, last + 1)
    starts, _ = buckets.bounds(numbers)
    return numbers[(starts >= task.window[0]) & (starts < task.window[1])]


def _column(values: Any) -> pl.Series:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        return pl.Series(values.astype(np.float64)).fill_nan(None)
    return pl.Series([None if v is None else str(v) for v in values], dtype=pl.String())


def _files(task: ConventionTask, contract: Contract, partition: Partition, rows: pl.DataFrame) -> list[NewFile]:
    schema: Schema = base_schema(contract)
    writer = PartitionWriter(task.writing, contract, partition, schema=lambda: schema)
    instants = {"bucket_start", "bucket_end", "stamp"}
    columns: dict[str, Any] = {}
    for name in (contract.time.name, *(c.name for c in (*contract.leading, *contract.record))):
        column = rows[name].to_arrow()
        columns[name] = column.cast(TIMESTAMP) if name in instants else column
    writer.write(pa.table(columns), breaks=False)
    writer.close()
    return writer.outputs


def partitions_of(stored: Sequence[DataFile]) -> dict[str, list[list[DataFile]]]:
    """Site -> the data files of each of its partitions."""
    partitions: dict[str, list[list[DataFile]]] = {}
    for partition, members in groupby(sorted(stored, key=lambda s: (s.partition, s.path)), key=lambda s: s.partition):
        partitions.setdefault(partition[-1] if partition else "", []).append(list(members))
    return partitions


def units_between(table: Storage, stored: Sequence[DataFile], unit: str, parts: int) -> list[str]:
    """Units that cut the rows of the largest file into `parts` parts of about the same size, or fewer; sorted."""
    largest = max(stored, key=lambda s: s.rows)
    step = max(1, largest.rows // (_TRIED * parts))
    samples: list[str] = []
    with opened(table, largest.path, rows=largest.rows, coded=[unit]) as file:
        for batch in file.batches([unit]):
            samples += batch.column(0).take(pa.array(range(0, batch.num_rows, step))).to_pylist()
    units = [text or "" for text in samples]
    return sorted({units[len(units) * n // parts] for n in range(1, parts)} - {""})
