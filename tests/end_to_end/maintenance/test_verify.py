"""`siltstone verify`: a sound table is proven, and each kind of damage is found and named."""

import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from siltstone.cli import main as cli
from siltstone.engine.local import LocalEngine
from siltstone.engine.spark import SparkEngine
from siltstone.maintenance.verify import verify
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage
from siltstone.table.open import table_at
from support.fleet import NOON, World, quiet, record

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ONE, TWO, THREE = (f"BRCB/DEV{n}/2025121012" for n in (1, 2, 3))


@pytest.fixture
def filled(world: World) -> World:
    """Two runs: strays, nulls, misfits, a bad line, a duplicate, a bad file, a cut one, a replaced one."""
    world.deliver(
        {
            ONE: [record(NOON, a=1.5, b=None), record(NOON + 86_400, a="n/a"), "{", record(5)],
            TWO: [record(NOON, c="x"), record(NOON, c="x"), record(NOON + 1, deep={"k": [1, 2]})],
            THREE: b"no gzip",
        }
    )
    world.compact()
    whole = world.path(TWO).read_bytes()
    world.deliver(
        {ONE: [record(NOON, a=2.5), record(NOON + 86_400, a=3, late=True)], "BRCG/DEV4/2025121013": whole[:-9]}
    )
    world.compact()
    return world


def test_a_sound_table_is_proven(filled: World) -> None:
    found = filled.verify()
    assert found["problems"] == []
    # ONE, TWO, THREE and the cut file of DEV4
    assert (found["source_files"], found["sources_proven"], found["sources_gone"]) == (4, 4, 0)
    assert found["rows"] == filled.frame().height


def test_plain_and_settled_tables_are_proven(world: World) -> None:
    for hour in range(3):
        world.deliver({f"BRCB/DEV1/20251210{12 + hour}": [record(NOON + 3600 * hour, a=hour)]})
        world.compact("compaction.format=parquet", f"optimize.after_compact={'true' if hour == 2 else 'false'}")
    found = world.verify()
    assert (found["problems"], found["sources_proven"], found["data_files"], found["rows"]) == ([], 3, 1, 3)


def test_a_new_key_in_a_changed_source_is_nobodys_problem(filled: World) -> None:
    filled.deliver({ONE: [record(NOON, brandnew=1)]})
    found = filled.verify()
    assert (found["problems"], found["sources_changed"]) == ([], 1)


def test_refused_versions_are_no_problem_while_former_rows_stand(filled: World) -> None:
    filled.deliver({ONE: filled.path(ONE).read_bytes()[:-9], TWO: b"no gzip"})
    assert filled.compact()["files_quarantined"] == 2
    assert filled.verify()["problems"] == []


def test_gone_and_changed_sources_are_counted_and_no_problem(filled: World) -> None:
    filled.path(ONE).unlink()
    filled.deliver({TWO: [record(NOON, c="y")]})
    found = filled.verify()
    assert found["problems"] == []
    assert (found["sources_gone"], found["sources_changed"], found["sources_proven"]) == (1, 1, 2)


def rewrite(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[World], None]:
    """Change the rows of the data file that holds TWO's."""

    def act(world: World) -> None:
        live = {a["path"] for a in _log(world, "add")} - {r["path"] for r in _log(world, "remove")}
        (path,) = [
            world.table / p
            for p in live
            if str(world.path(TWO).resolve())
            in pl.read_parquet(world.table / p, columns=["source_file"])["source_file"]
        ]
        schema = pq.read_schema(path)
        pq.write_table(change(pl.read_parquet(path)).to_arrow().cast(schema), path)

    return act


def _log(world: World, action: str) -> list[dict[str, Any]]:
    lines = [line for p in sorted((world.table / "_delta_log").glob("*.json")) for line in p.read_text().splitlines()]
    return [entry[action] for entry in map(json.loads, lines) if action in entry]


def drop_manifest_lines(world: World) -> None:
    """As if the newest manifest had forgotten one row of ONE."""
    (path,) = (world.table / "_siltstone/runs").glob("00000002-*.manifest")
    metadata = pl.read_parquet_metadata(path)
    frame = pl.read_parquet(path).with_columns(
        rows_out=pl.when(pl.col("path").str.contains("DEV1")).then(1).otherwise(pl.col("rows_out"))
    )
    frame.write_parquet(path, metadata={"siltstone": metadata["siltstone"]})


DAMAGE: dict[str, tuple[Callable[[World], None], str]] = {
    "a changed value": (
        rewrite(lambda f: f.with_columns(c=pl.when(pl.col("c") == "x").then(pl.lit("z")).otherwise("c"))),
        "values in the table are not those of the file",
    ),
    "a value that became null": (rewrite(lambda f: f.with_columns(c=pl.lit(None, pl.String))), "cells in the table"),
    "a lost row": (rewrite(lambda f: f.head(f.height - 1)), "rows, the log says"),
    "a doubled row": (rewrite(lambda f: pl.concat([f, f.head(1)])), "rows in the table, its manifest says"),
    "rows of nobody": (
        rewrite(lambda f: f.with_columns(source_file=pl.lit("/nowhere/BRCB/X/2025121012/x"))),
        "no manifest knows it",
    ),
    "a manifest that forgets": (drop_manifest_lines, "2 rows in the table, its manifest says 1"),
    "a data file that is gone": (
        lambda w: [(w.table / p["path"]).unlink(missing_ok=True) for p in _log(w, "add")] and None,
        ".parquet: is gone. Run again. If it is gone then too, restore it from a backup.",
    ),
}


def falsify(change: Callable[[dict[str, Any]], None]) -> Callable[[World], None]:
    """Change the newest add action."""

    def act(world: World) -> None:
        path = sorted((world.table / "_delta_log").glob("*.json"))[-1]
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        for entry in entries:
            if "add" in entry:
                change(entry["add"])
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))

    return act


def narrow(add: dict[str, Any]) -> None:
    statistics = json.loads(add["stats"])
    statistics["minValues"]["unitno"] = statistics["maxValues"]["unitno"] = "AAA"
    add["stats"] = json.dumps(statistics)


DAMAGE |= {
    "statistics that hide rows": (falsify(narrow), "unitno is within"),
    "a partition that is another's": (
        falsify(lambda add: add["partitionValues"].update(dstrct_code="WRONG")),
        "the log says that it is of 2025-12-10/WRONG",
    ),
    "a quarantine that is gone": (
        lambda w: [p.unlink() for p in (w.table / "_siltstone/quarantine").iterdir()] and None,
        "0 refused records are kept, its manifest says 1",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_found(world: World, kind: str) -> None:
    damage, told = DAMAGE[kind]
    world.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, c="x"), record(NOON + 1, c="y")], THREE: ["{"]})
    world.compact()
    world.deliver({ONE: [record(NOON, a=2), record(NOON + 9, a=3)]})
    world.compact()
    assert world.verify()["problems"] == []
    damage(world)
    assert any(told in problem for problem in world.verify()["problems"]), world.verify()["problems"]


def test_any_change_of_a_data_file_is_found_by_its_checksum(filled: World) -> None:
    rewrite(lambda f: f)(filled)
    assert [p for p in filled.verify()["problems"] if "its SHA-256 is" in p]


def test_the_command_exits_with_7_when_something_is_wrong(filled: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(filled.lake), "datalog", "--set", "engine.workers=1"]) == 0
    assert "all accounts hold" in capsys.readouterr().out
    rewrite(lambda f: f.head(1))(filled)
    assert cli.main(["verify", str(filled.lake), "datalog", "--json", "--set", "engine.workers=1"]) == 7
    told = capsys.readouterr().out
    assert json.loads(told.splitlines()[-1])["problems"]


def test_another_zone_than_the_tables_is_refused(filled: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(filled.lake), "datalog", "--set", "sources.datalog.zone=UTC"]) == 2
    assert "was written with zone 'Asia/Makassar'" in capsys.readouterr().err


def test_spark_and_the_pool_find_the_same(filled: World, spark: "SparkSession") -> None:
    rewrite(lambda f: f.head(1))(filled)
    table = table_at(Storage(os.path.realpath(filled.table)), DATALOG)
    engines = LocalEngine(1), SparkEngine(spark)
    found = [dict(verify(table, filled.config(), engine, quiet)) for engine in engines]
    for summary in found:
        del summary["engine"], summary["seconds"]
        assert summary["problems"]
    assert found[0] == found[1]
