"""The tasks that make rows of states: each takes a range of series through all of its files."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from siltstone.aggregates.finishing import finished
from siltstone.aggregation.output import arrow_of, contract_of, table_of
from siltstone.aggregation.state_files import read_states, unfolded
from siltstone.aggregation.state_tasks import ways_of  # noqa: F401
from siltstone.aggregation.terms import Terms
from siltstone.conform import base_schema
from siltstone.planning import Sizes
from siltstone.storage import Storage
from siltstone.writing import Output, PartitionWriter


@dataclass(frozen=True)
class FinishTask:
    """Series whose names (site, NUL, series) lie in [low, high) ("": no bound), of the files of states in `folder`; rows
    of buckets that start within the window go to `table`."""

    table: Storage
    folder: Storage
    states: tuple[str, ...]
    low: str
    high: str
    terms: Terms
    window: tuple[int, int]
    watermark_us: int
    sizes: Sizes
    group_bytes: int
    is_staged: bool

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "terms": self.terms.as_dict()}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> "FinishTask":
        places = {name: Storage.from_dict(row[name]) for name in ("table", "folder")}
        lists = {name: tuple(row[name]) for name in ("states", "window")}
        return cls(**{**row, **places, **lists, "terms": Terms.from_dict(row["terms"]), "sizes": Sizes(**row["sizes"])})

    def run(self) -> "Written":
        return _written(self)

    def result(self, row: Mapping[str, Any]) -> "Written":
        return Written(**{**row, "outputs": [Output.from_dict(o) for o in row["outputs"]]})


@dataclass(frozen=True)
class Written:
    """The new data files; usable points, rows and series in them, and how many rows are provisional."""

    outputs: list[Output]
    points: int
    series: int
    provisional: int

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "outputs": [o.as_dict() for o in self.outputs]}


def _written(task: FinishTask) -> Written:
    terms = task.terms
    rows, texts = read_states(task.folder, task.states, task.low, task.high)
    about = rows.select("site", "series_id", "source", "device_id", "measurement").unique(["site", "series_id"], keep="first", maintain_order=True)
    names = about.sort("site", "series_id")
    numbers = names.select("site", "series_id").with_row_index("series").cast({"series": pl.Int64})
    rows = rows.drop("series").join(numbers, on=["site", "series_id"], how="left")
    interpretations = [terms.interpretations.of(source, device, name, series) for _, series, source, device, name in names.rows()]
    found = finished(
        unfolded(rows),
        interpretations,
        terms.buckets,
        task.watermark_us,
        empty=terms.empty,  # type: ignore[arg-type]
        min_pct_good=terms.min_pct_good,
        wanted_quantiles=terms.quantiles,
        within=task.window,
    )
    table = table_of(found, names, texts, terms)
    contract = contract_of(terms)
    schema = base_schema(contract)
    outputs: list[Output] = []
    for (day,), part in table.partition_by("date", as_dict=True, maintain_order=True).items():
        writer = PartitionWriter(
            task.table,
            contract,
            (str(day),),
            None,
            sizes=task.sizes,
            group_bytes=task.group_bytes,
            schema=lambda: schema,
            expected=lambda: 0.0,
            is_staged=task.is_staged,
        )
        writer.write(arrow_of(part.sort("series_id", "site", "bucket_start"), terms), breaks=False)
        writer.close()
        outputs += writer.outputs
    series = int(np.unique(found.rows["series"].to_numpy()).size)
    return Written(outputs, int(found.rows["n"].sum()), series, int(found.rows["provisional"].sum()))
