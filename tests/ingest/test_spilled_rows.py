"""Rows that wait on the disk: all come back in order, those of a key together, equal ones as one with their number."""

from functools import partial
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from siltstone.ingest import keyed_groups, keyed_task, spilled_rows
from siltstone.ingest.keyed_frames import in_order
from siltstone.ingest.spilled_rows import COPIES, SpilledRows
from siltstone.model.contracts import READINGS, Policy
from support.plant import Plant


def rows(*given: tuple[str, int, float], document: int = 0) -> pl.DataFrame:
    """Rows of (series, instant, value), each a line of its own."""
    series, instants, values = zip(*given, strict=True)
    frame = {"series_id": series, "source": "s", "ts_nanos": 0, "value": values, "ts": instants, "document": document}
    return pl.DataFrame(frame).with_columns(line=pl.int_range(pl.len()))


def back(policy: Policy, most_bytes: int, *frames: pl.DataFrame) -> list[pl.DataFrame]:
    files = [f"{name}.csv" for name in "dcba"]
    spilled = SpilledRows(READINGS, policy, partial(in_order, contract=READINGS), most_bytes, files)
    for frame in frames:
        spilled.add(frame)
    return list(spilled.ranges())


def test_all_rows_come_back_in_ascending_ranges_with_no_key_in_two() -> None:
    frames = [rows(*((f"s{n % 3}", (n * 7 + k) % 50, 1.0 * n) for n in range(60))) for k in range(4)]
    found = back("last", 500, *frames)
    keys = [set(frame.select("series_id", "ts").rows()) for frame in found]
    assert len(found) > 3
    assert all(max(a) < min(b) for a, b in pairwise(keys))
    columns = ["series_id", "ts", "value", "line"]
    given = pl.concat(frames).select(columns).sort(columns)
    assert pl.concat([f.select(columns) for f in found]).sort(columns).equals(given)


@pytest.mark.parametrize(("policy", "line"), [("distinct", 0), ("first", 0), ("last", 4), ("version", 4)])
def test_equal_rows_of_a_document_are_one_with_their_number(policy: Policy, line: int) -> None:
    same = [("s", 1, 5.0)] * 5
    (found,) = back(policy, 1 << 20, rows(*same, document=0), rows(*same, document=1))
    assert sorted(found.select("document", "line", COPIES).rows()) == [(0, line, 5), (1, line, 5)]


@pytest.mark.parametrize("policy", ["distinct", "all"])
def test_an_instant_with_too_many_different_rows_comes_in_parts(policy: Policy) -> None:
    found = back(policy, 2_000, rows(*(("s", 1, float(n)) for n in range(300))), rows(("s", 1, 7.0), ("s", 1, -0.0)))
    assert len(found) > 5
    part_of = [set(frame["value"].to_list()) for frame in found]
    assert sum(len(values) for values in part_of) == 300  # 7.0 and -0.0 lie with their equals
    assert sum(frame.height for frame in found) == 302


def test_of_too_many_rows_of_a_key_one_stands_for_those_that_can_not_stay() -> None:
    """The last of all is line 149 of document 0, d.csv: of the others that equals it in value one document has one."""
    many = [("s", 1, float(n % 100)) for n in range(150)]
    (found,) = back("last", 2_000, rows(*many), rows(*many, document=3))
    told = found.select("document", "line", "value", pl.col(COPIES).fill_null(1)).sort("document", "value").rows()
    others = [(d, copies) for d, _, value, copies in told if value != 49.0]
    assert [(d, line, copies) for d, line, value, copies in told if value == 49.0] == [(0, 149, 2), (3, 149, 2)]
    assert sum(copies for d, copies in others if d == 0) == sum(copies for d, copies in others if d == 3) == 148
    assert len(others) < 20


def test_rows_that_are_all_kept_stay_as_they_are() -> None:
    (found,) = back("all", 1 << 20, rows(*[("s", 1, 5.0)] * 5))
    assert found.height == 5


def test_what_waited_is_gone_afterwards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert [frame.height for frame in back("last", 1 << 20, rows(("s", 1, 1.0)))] == [1]
    assert list(tmp_path.iterdir()) == []


CONF = """
sources:
  records:
    b: {format: csv, time: [t], device: 'path:/(.)/.[.]csv', measurement: m, value: v, version: n, duplicates: %s}
"""


def _files(seconds: int) -> dict[str, bytes]:
    """Three devices, the second with most rows; equal lines, equal keys and both in one file and in several; a third of
    all rows has one key."""
    files = {}
    for device, count, number in (("a", 20, 0), ("b", 900, 0), ("b", 900, 1), ("c", 20, 0)):
        at_once = [f"1765332000,m0,{n % 400},{n % 9}" for n in range(count)]
        lines = [f"{1_765_332_618 + n % seconds},m{n % 2},{n % 5},{(n + number) % 3}" for n in range(count)]
        files[f"{device}/{number}.csv"] = ("t,m,v,n\n" + "\n".join([*lines, *lines[:40], *at_once]) + "\n").encode()
    return files


@pytest.mark.parametrize(
    "policy",
    ["version", *(pytest.param(p, marks=pytest.mark.slow("laws")) for p in ("all", "distinct", "first", "last"))],
)
def test_little_memory_gives_the_same_table_and_the_same_accounts(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = tmp_path / "c.yaml"
    conf.write_text(CONF % policy)
    settings = ("optimize.after_compact=false",)
    found = []
    for name in ("much", "little"):
        if name == "little":  # 20 kB: a hundred rows, about
            monkeypatch.setattr(keyed_groups, "_SHARE_OF_MEMORY", 26_000)
            monkeypatch.setattr(spilled_rows, "_BLOCK_ROWS", 64)
            monkeypatch.setattr(keyed_task, "_ROW_BYTES", 1 << 30)
        plant = Plant(tmp_path / name)
        told = []
        for seconds, later in ((300, ""), (250, "later/")):  # then rows of the table have some of the keys
            plant.deliver("records", {later + path: data for path, data in _files(seconds).items()})
            told.append(plant.compact("records.b", *settings, conf=[str(conf)]))
        frame = plant.frame().with_columns(pl.col("source_file").str.extract("/in/records/(.*)")).sort(pl.all())
        counts = [{k: v for k, v in t.items() if k.startswith(_COUNTS)} for t in told]
        found.append((counts, frame.rows()))
        assert plant.problems(conf=[str(conf)]) == []
    assert found[0] == found[1]


_COUNTS = ("records", "rows", "duplicates", "keys", "cells")
