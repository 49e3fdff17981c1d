"""Random walks over tables of each kind.

`python -m support.walks KIND FORMAT FOLDER SEED STEPS`

Prints JSON: the steps of the walk, and what was wrong.
"""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pyarrow as pa

from siltstone.config.load import load_config
from siltstone.publishing.job import publish
from support.aggregates import Aggregates, assert_same
from support.fleet import NOON, quiet, record
from support.new_python import printed_by
from support.plant import NOON as PLANT_NOON
from support.plant import SERIES, Plant, raw, raw_path
from support.stories import ALL_CLOSED, NOT_YET, metadata_problems, vacuum_all
from support.walk import Walk
from support.walk_model import Rows, Seen

_OTHER_SERIES = f"b{SERIES[1:]}"


class RepeatingWalk(Walk):
    """A fleet's files that repeat the records of others. Its rows are held by device and day, each once: one of files
    that different runs read may be there more than once, and verify holds the numbers against the accounts."""

    def values(self) -> list[float]:
        return sorted(float(n) for n in self.draw.sample(range(7), self.draw.choice([1, 2, 3, 4])))

    def put(self, place: str) -> None:
        values, device, day = self.values(), place.split("/")[1], int(place[-4:-2]) - 10
        self.world.deliver({place: [record(NOON + day * 86_400 + int(n), "U1", device, n=n) for n in values]})
        self.input[place] = values
        self.say(f"deliver {place} {values}")

    def spoil(self) -> None:
        """Nothing: a file that can't be read keeps those waiting that share its rows."""

    take_away = spoil

    def other(self, what: str) -> None:
        super().other("RESTORE" if what in ("DELETE", "UPDATE") else what)

    def rows_of(self, frame: pl.DataFrame) -> Rows:
        day = (pl.col("ts").dt.epoch("s") - NOON) // 86_400 + 10
        by_place = frame.select(pl.concat_str("deviceid", pl.lit("/"), day).alias("place"), "n").unique()
        return {place: tuple(sorted(ns)) for place, ns in by_place.group_by("place").all().iter_rows()}

    def compacted(self, before: Seen) -> Rows:
        if self.now.edited:  # what others changed is not read again, nor what repeats it
            return self.now.rows
        found: dict[str, set[float]] = {}
        for place, values in self.input.items():
            found.setdefault(f"{place.split('/')[1]}/{place[-4:-2]}", set()).update(values)
        return {place: tuple(sorted(values)) for place, values in found.items()}

    def damage(self) -> None:
        for place, values in self.compacted(self.now).items():
            former = self.ever.setdefault(place, [])
            former.append(tuple(sorted({*values, *(n for once in former for n in once)})))
        super().damage()


class ReadingsWalk(Walk):
    """Readings with keys: a row for each series and instant, the one with the highest version. Aggregates, a rollup of
    these and a published folder are made of them. A place is a key; rows are value and version."""

    table_name: ClassVar[str] = "readings"
    column: ClassVar[str] = "value"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.plant = Plant(self.root)

    def rows_of(self, frame: pl.DataFrame) -> Rows:
        second = pl.col("ts").dt.epoch("us") / 1e6 - PLANT_NOON
        rows: Rows = {}
        for series, at, value, version in frame.select("series_id", second, "value", "version").iter_rows():
            rows[f"{series[0]}{at}"] = (*rows.get(f"{series[0]}{at}", ()), value, version)  # a key that is there twice
        return rows

    def place_of(self, path: str) -> str:
        return Path(path).name

    def deliver(self) -> None:
        number, series, day = self.number, self.draw.choice([SERIES, _OTHER_SERIES]), self.draw.choice([7, 8, 9])
        self.number += 1
        version = self.draw.choice([2 * number, 2 * number, max(0, 2 * number - 15)])  # no two are equal
        seconds = sorted(self.draw.sample(range(6), self.draw.choice([1, 2, 3])))
        values = [((day - 8) * 86_400 + 60 * s, number + s / 10, version) for s in seconds]
        path = raw_path(number, series, day)
        self.plant.deliver("sitewise", {path: raw(*values, series=series)})
        self.input[Path(path).name] = [(f"{series[0]}{float(s)}", value, float(v)) for s, value, v in values]
        self.say(f"deliver {path} {values}")

    change = spoil = take_away = deliver

    def damage(self) -> None:
        """Nothing: the fleet's walks have it."""

    def compacted(self, before: Seen) -> Rows:
        is_back = self.is_restored and self.back_to is not None
        known = self.states[self.back_to].known if is_back and self.back_to is not None else before.known
        rows = dict(before.rows)
        for place in sorted(self.input.keys() - known):
            for key, value, version in self.input[place]:
                if key not in rows or rows[key][1] <= version:
                    rows[key] = (value, version)
        return rows

    def job(self, name: str) -> Callable[[], Any]:
        merging = NOT_YET if self.draw.random() < 0.6 else ALL_CLOSED
        mine: Mapping[str, Callable[[], Any]] = {
            "compact": lambda: self.plant.compact("sitewise", *merging, *self.settings),
            "optimize": lambda: self.plant.settle("readings", *ALL_CLOSED),
            "vacuum": self._vacuum,
        }
        return mine[name] if name in mine else super().job(name)

    def _vacuum(self) -> None:
        for name in ("readings", "hourly"):
            if (self.plant.lake / name).exists():
                vacuum_all(self.root, name)

    def deriving(self) -> Callable[[], Any]:
        return self.draw.choice([self._aggregate, self._roll_up, self._publish])

    def _outputs(self) -> tuple[Aggregates, Aggregates]:
        hourly = Aggregates(self.plant.lake / "hourly", self.table_root, self.settings)
        return hourly, Aggregates(self.plant.lake / "daily", hourly.root, self.settings)

    def _aggregate(self) -> None:
        self._outputs()[0].run("1h", empty="carry")

    def _roll_up(self) -> None:
        hourly, daily = self._outputs()
        if hourly.root.exists():
            daily.roll_up("1d")

    def _publish(self) -> None:
        if self.now.rows:
            publish(str(self.plant.lake), str(self.root / "out"), load_config([], []), quiet, source="sitewise")

    def judge_adopted(self, said: Mapping[str, Any]) -> None:
        """Rows say nothing of their source files here."""
        if not {self.place_of(source["path"]) for source in said["sources"]} <= self.now.edited:
            self.fail(f"adopt named {said['sources']}, edited are {set(self.now.edited)}")

    def problems(self) -> Sequence[str]:
        return self.plant.problems()

    def compare_derived(self) -> None:
        self._aggregate()
        self._roll_up()
        hourly, daily = self._outputs()
        whole = Aggregates(self.root / "whole", self.table_root, self.settings)
        whole.run("1h", empty="carry")
        above = Aggregates(self.root / "above", whole.root, self.settings)
        above.roll_up("1d")
        assert_same(hourly.frame(), whole.frame())
        assert_same(daily.frame(), above.frame())
        shutil.rmtree(whole.root)
        shutil.rmtree(above.root)
        self._publish()
        schema = {"collection": pl.String, "uuid": pl.String}
        found = pl.read_parquet(self.root / "out/**/*.parquet", hive_partitioning=True, hive_schema=schema)
        assert sorted(found["value"]) == sorted(row[0] for row in self.now.rows.values())
        assert metadata_problems(self.root / "out") == []


KINDS: Mapping[str, type[Walk]] = {"fleet": Walk, "repeating": RepeatingWalk, "readings": ReadingsWalk}


def walk(kind: str, form: str, folder: Path, seed: int, steps: int) -> dict[str, list[str]]:
    """The steps of a walk and what was wrong, in a new Python: it forks, which a process that has used its threads must
    not."""
    words = kind, form, str(folder), str(seed), str(steps)
    found: dict[str, list[str]] = printed_by("support.walks", *words, threads=1)
    return found


if __name__ == "__main__":
    pa.array(np.zeros(1))  # here pyarrow looks for pandas, 0.4 s that no fork has to wait for again
    made = KINDS[sys.argv[1]](Path(sys.argv[3]), int(sys.argv[4]), sys.argv[2])
    made.go(int(sys.argv[5]))
    print(json.dumps({"steps": made.said, "wrong": made.wrong}))
