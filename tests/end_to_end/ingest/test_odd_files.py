"""One odd file never stops a run: what can be kept of it is, the files beside it are taken, and where siltstone itself
fails at it, it is quarantined as a defect until another version comes."""

import io
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siltstone.errors import SiltstoneError, StorageError
from siltstone.ingest import defects, former_defects
from siltstone.ingest.survey import survey_input
from siltstone.mapping.dataset import Dataset
from siltstone.sources.datalog import Datalog
from siltstone.sources.haltian import Entity
from siltstone.sources.records import RecordsDataset
from siltstone.version import __version__
from support.commands import command
from support.fleet import MIDNIGHT, NOON, World, ndjson, record
from support.haltian import file_of, path_of
from support.plant import Plant

GOOD, ODD, OTHER = "BRCB/A/2025121012", "BRCB/B/2025121012", "BRCB/C/2025121012"
PANIC = pl.exceptions.PanicException("secret")
MARK = b"odd one"


@pytest.fixture
def plant(tmp_path: Any) -> Plant:
    return Plant(tmp_path)


def _fails_at(
    patch: pytest.MonkeyPatch, kind: type[Dataset], step: str, error: BaseException, sight: Callable[[Any], bool]
) -> None:
    """Let a step of reading end in an error where it is given something that has the odd sight."""
    real = getattr(kind, step)

    def step_(self: Any, given: Any, *more: Any) -> Any:
        if any(map(sight, given if isinstance(given, Sequence) else [given])):
            raise error
        return real(self, given, *more)

    patch.setattr(kind, step, step_)


def _is_marked(given: Any) -> bool:
    """Of a document or an item, whether its text has the mark."""
    data: bytes = given.data
    return MARK in data


def _three(world: World, odd: int | None = NOON + 1) -> None:
    """A file with the mark between two others."""
    world.deliver({GOOD: [record(s=1)], OTHER: [record(NOON + 2, s=2)]})
    world.deliver({ODD: ndjson([record(odd, note=MARK.decode())])})


def _parquet(column: pa.Array) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"t": [1_765_332_618], "v": [1.5], "odd": column}), buffer)
    return buffer.getvalue()


ODD_COLUMNS: dict[str, tuple[pa.Array, str]] = {
    "date": (pa.array([(1 << 31) - 1], pa.int32()).cast(pa.date32()), "2147483647"),
    "timestamp": (pa.array([-(1 << 63)], pa.timestamp("us")), str(-(1 << 63))),
    "offset": (pa.array([1_765_332_618_000_000], pa.timestamp("us", "+05:30")), "2025-12-10T02:10:18.000000+00:00"),
    "zone Z": (pa.array([1_765_332_618_000_000], pa.timestamp("us", "Z")), "2025-12-10T02:10:18.000000+00:00"),
    "duration": (pa.array([1_500_000], pa.duration("us")), "PT1.5S"),
    "decimal256": (pa.array([Decimal("1.25")], pa.decimal256(60, 5)), "1.25000"),
}


def test_odd_columns_of_parquet_are_kept(plant: Plant) -> None:
    plant.deliver("records", {f"{case}.parquet": _parquet(column) for case, (column, _) in ODD_COLUMNS.items()})
    block = "sources.records.p={format: parquet, time: [t], wide: [v], duplicates: all}"
    summary = plant.compact("records.p", block)
    assert (summary["files_ingested"], summary["rows_out"]) == (len(ODD_COLUMNS), len(ODD_COLUMNS))
    kept = plant.frame().select(pl.col("source_file").str.extract(r"([^/]+)\.parquet$"), "_rescued").rows()
    assert dict(kept) == {case: f'{{"odd":"{text}"}}' for case, (_, text) in ODD_COLUMNS.items()}


def test_a_pipe_is_quarantined_and_a_name_that_is_not_utf_8_is_no_hindrance(world: World) -> None:
    _three(world)
    os.mkfifo(world.path(GOOD).with_name("pipe.txt.gz"))
    world.path(ODD).rename(world.path(ODD).with_name(os.fsdecode(b"caf\xe9.txt.gz")))
    summary = world.compact()
    assert (summary["files_ingested"], summary["files_quarantined"], summary["files_deferred"]) == (3, 1, 0)
    assert [row[3] for row in world.quarantine()] == ["it is a named pipe, no file"]
    assert world.rows("note") == [(None,), (None,), ("odd one",)]
    assert world.compact()["files_skipped"] == 4


def test_a_time_of_any_exponent_stops_nothing(plant: Plant) -> None:
    line = b'{"t":%s,"v":1}\n'
    plant.deliver("records", {"a": line % b"1765332618", "b": line % b"1e-99999999999999" + line % b"1e99999999999999"})
    summary = plant.compact("records.t", "sources.records.t={format: ndjson, time: [t], value: v, measurement: '=v'}")
    assert (summary["rows_out"], summary["records_quarantined"]) == (1, 2)


@pytest.mark.parametrize(("step", "error"), [("open", ValueError("secret")), ("rows", PANIC)])
def test_a_file_that_siltstone_fails_at_is_quarantined_as_a_defect(
    world: World, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    _three(world)
    _fails_at(monkeypatch, Datalog, step, error, _is_marked)
    summary = world.compact()
    assert world.rows("s") == [(1.0,), (2.0,)]
    assert (summary["files_ingested"], summary["files_quarantined"], summary["files_defect"]) == (2, 1, 1)
    [(place, line, _, reason, raw)] = world.quarantine()
    assert (place, line, raw) == (ODD, None, world.path(ODD).read_bytes())
    assert reason.startswith(f"defect: {type(error).__name__} at ")
    assert reason.endswith(f" (siltstone {__version__})")
    assert "secret" not in reason
    assert summary["defects"] == [f"{world.path(ODD)}: {reason}"]
    assert world.compact()["files_skipped"] == 3
    assert world.verify()["problems"] == []


def test_another_version_reads_such_files_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _three(world)
    with monkeypatch.context() as patch:
        _fails_at(patch, Datalog, "rows", PANIC, _is_marked)
        world.compact()
        for module in (defects, former_defects):
            patch.setattr(module, "__version__", "0.1.1")
        summary = world.compact()
        assert (summary["files_quarantined"], summary["files_skipped"]) == (1, 2)
        assert summary["defects"][0].endswith("(siltstone 0.1.1)")
        assert not world.compact()["run"]
    summary = world.compact()
    assert (summary["files_ingested"], summary["files_skipped"], summary["defects"]) == (1, 2, [])
    assert world.rows("note") == [(None,), (None,), ("odd one",)]
    assert "defects" not in world.headers()[0]["learned"]["datalog"]
    assert not world.compact()["run"]


def test_where_siltstone_fails_at_all_files_nothing_is_committed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver({GOOD: [record(s=1)]})
    world.compact()
    _three(world)
    before = world.version()
    _fails_at(monkeypatch, Datalog, "rows", PANIC, lambda _: True)
    with pytest.raises(SiltstoneError, match=r"failed at all 2 files .*, and nothing was committed") as said:
        world.compact()
    assert said.value.exit_code == 1
    assert world.version() == before
    assert world.rows("s") == [(1.0,)]


@pytest.mark.parametrize(
    "error", [StorageError("away"), MemoryError(), KeyboardInterrupt(), SystemExit(3)], ids=lambda e: type(e).__name__
)
def test_storage_memory_and_interrupts_pass_the_net(
    world: World, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    _three(world)
    _fails_at(monkeypatch, Datalog, "rows", error, _is_marked)
    with pytest.raises(type(error)):
        world.compact("survey.files=1")


def test_a_file_that_fails_in_the_second_pass_only_is_left_for_the_next_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _three(world)
    world.deliver({ODD: [record(NOON + 1, note=MARK.decode()), record(MIDNIGHT, note="late")]})
    passes = []

    def is_late(document: Any) -> bool:
        passes.extend([document] if MARK in document.data else [])
        return MARK in document.data and len(passes) > 2  # the survey's, the first pass's, then the second's

    _fails_at(monkeypatch, Datalog, "rows", PANIC, is_late)
    summary = world.compact()
    assert (summary["files_ingested"], summary["files_deferred"], summary["rows_out"]) == (2, 1, 2)
    assert "defect: PanicException" in summary["deferred_files"][0]
    monkeypatch.undo()
    assert world.compact()["rows_out"] == 2
    assert world.rows("note") == [(None,), (None,), ("late",), ("odd one",)]


def test_keyed_files_beside_one_that_siltstone_fails_at_are_taken(
    plant: Plant, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = {f"{n}.ndjson": b'{"t":%d,"v":%d}\n' % (NOON + n, n) for n in range(7)}
    plant.deliver("records", {**lines, "3.ndjson": b'{"t":%d,"v":"odd one"}\n' % NOON})
    block = "sources.records.t={format: ndjson, time: [t], value: v, measurement: '=v'}"
    _fails_at(monkeypatch, RecordsDataset, "rows", PANIC, _is_marked)
    summary = plant.compact("records.t", block)
    assert (summary["files_ingested"], summary["files_defect"]) == (6, 1)
    assert [value for (value,) in plant.rows("value")] == [0, 1, 2, 4, 5, 6]
    assert plant.problems("readings", block) == []


def test_snapshots_that_siltstone_fails_at_change_no_history(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(hour: int, *names: str) -> dict[str, bytes]:
        at = datetime(2025, 11, 28, hour, tzinfo=UTC)
        rows = [{"id": name, "name": name, "organizationId": "o"} for name in names]
        return {path_of("device", at): file_of("device", rows)}

    plant.deliver("haltian", snapshot(1, "a") | snapshot(2, "a", "b") | snapshot(3, "a", "b") | snapshot(4, "a"))
    with monkeypatch.context() as patch:
        _fails_at(patch, Entity, "rows", PANIC, lambda document: document.table.num_rows == 2)
        summary = plant.compact("haltian")["device"]
        assert (summary["files_ingested"], summary["files_defect"]) == (2, 2)
        assert plant.rows("name", table="device") == [("a",)]
    plant.compact("haltian", retry_quarantined=True)
    assert plant.rows("name", table="device") == [("a",), ("b",)]
    assert plant.problems("device") == []


def test_a_survey_goes_on_and_tells(world: World, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    _three(world)
    os.mkfifo(world.path(GOOD).with_name("pipe.txt.gz"))
    _fails_at(monkeypatch, Datalog, "rows", PANIC, _is_marked)
    survey: Any = survey_input("datalog", str(world.input), world.config(), None)
    assert (survey.files, survey.unreadable, survey.records) == (4, 2, 2)
    [(reason, count)] = survey.defects.items()
    assert count == 1
    assert reason.startswith("defect: PanicException at ")


def test_a_survey_of_keyed_files_goes_on_and_tells(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant.deliver("records", {"a": b'{"t":%d,"v":1}\n' % NOON, "b": b'{"t":%d,"v":"odd one"}\n' % NOON})
    os.mkfifo(plant.input("records") / "pipe")
    block = "sources.records.t={format: ndjson, time: [t], value: v, measurement: '=v'}"
    _fails_at(monkeypatch, RecordsDataset, "rows", PANIC, _is_marked)
    found: Any = survey_input("records.t", str(plant.input("records")), plant.config(block), None)
    survey = found[0][0]
    assert (survey.files, survey.unreadable, survey.records) == (3, 2, 1)
    assert sorted(reason.partition(" at ")[0] for reason in survey.reasons) == [
        "defect: PanicException",
        "it is a named pipe, no file",
    ]


def test_the_summary_tells_of_defects_first(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _three(world)
    _fails_at(monkeypatch, Datalog, "rows", PANIC, _is_marked)
    assert command(["compact", "datalog", world.input, world.lake]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "defects      1 files are quarantined since siltstone failed at them: please report it"
    assert said[1].startswith(f"  {world.path(ODD)}: defect: PanicException at ")
    assert command(["survey", "datalog", world.input]) == 0
    assert capsys.readouterr().out.startswith("siltstone failed at 1 files, please report it: defect: PanicException")


def test_equal_records_are_one_row_whatever_stands_beside_them(plant: Plant) -> None:
    one, other = (b'{"t":%d,"v":1,%s}\n' % (NOON, more) for more in (b'"a":1,"b":2', b'"b":2,"a":1'))
    plant.deliver("records", {"1": one + other, "2": other})
    block = "sources.records.t={format: ndjson, time: [t], value: v, measurement: '=v', duplicates: distinct}"
    summary = plant.compact("records.t", block)
    assert (summary["rows_out"], summary["duplicates_dropped"]) == (2, 1)
    assert plant.rows("_rescued") == [('{"a":"1","b":"2"}',), ('{"b":"2","a":"1"}',)]
