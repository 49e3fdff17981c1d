"""Runs that meet: every record is in the table once, whoever commits first, and an error never lies about a commit."""

from collections.abc import Callable
from typing import Any

import pytest
from deltalake import DeltaTable
from deltalake.table import TableAlterer

from siltstone.cli import main as cli
from siltstone.errors import StorageError
from siltstone.model.contracts import DATALOG
from siltstone.storage import Storage
from siltstone.table.delta_table import Table
from support.commands import run_tasks_here
from support.fleet import NOON, World, record
from support.races import ERRORS, MOMENTS, Once, between, raising, together
from support.rounds import rounds

ONE, TWO, THREE = (f"BRCB/DEV{n}/2025121012" for n in (1, 2, 3))


@pytest.fixture(params=MOMENTS)
def at_moment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Once]:
    """Arranges that an act happens once at the moment."""
    owner, name, after = MOMENTS[request.param]

    def arrange(act: Callable[[], Any]) -> Once:
        once = Once(act)
        between(monkeypatch, owner, name, once, after=after)
        return once

    return arrange


def test_a_run_that_finds_its_work_done_by_another_writes_nothing(
    world: World, at_moment: Callable[[Callable[[], Any]], Once]
) -> None:
    world.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, b=2), record(NOON + 1)]})
    others: list[dict[str, Any]] = []
    once = at_moment(lambda: others.append(world.compact()))
    summary = world.compact()
    assert once.left == 0
    assert (others[0]["rows_out"], others[0]["files_ingested"]) == (3, 2)
    assert (summary["rows_out"], summary["files_written"], summary["files_skipped"], summary["run"]) == (0, 0, 2, "")
    assert world.rows("heartbeat", "a", "b") == [(NOON, None, 2.0), (NOON, 1.0, None), (NOON + 1, None, None)]
    assert len(world.headers()) == 1


def test_a_run_does_only_what_another_has_left(world: World, at_moment: Callable[[Callable[[], Any]], Once]) -> None:
    # ONE and TWO are one task; the other run sees TWO and a later file of its device, so the task runs again without
    # TWO.
    later = "BRCB/DEV2/2025121013"
    world.deliver(
        {ONE: [record(NOON, a=1), record(NOON + 86_400, a=2)], TWO: [record(NOON, b=3), record(NOON + 86_400, b=4)]}
    )
    others: list[dict[str, Any]] = []

    def act() -> None:
        world.deliver({later: [record(NOON + 3600, c=5)]})
        others.append(world.compact(source=world.input / "BRCB/DEV2"))

    at_moment(act)
    summary = world.compact()
    assert (others[0]["files_ingested"], others[0]["rows_out"]) == (2, 3)
    assert (summary["files_ingested"], summary["files_skipped"], summary["rows_out"]) == (1, 1, 2)
    assert world.rows("hiveperiod", "a", "b", "c") == [
        ("2025-12-10", None, None, 5.0),
        ("2025-12-10", None, 3.0, None),
        ("2025-12-10", 1.0, None, None),
        ("2025-12-11", None, 4.0, None),
        ("2025-12-11", 2.0, None, None),
    ]


def test_whose_columns_come_first_decides_their_kinds_and_names(
    world: World, at_moment: Callable[[Callable[[], Any]], Once], request: pytest.FixtureRequest
) -> None:
    is_first = request.node.callspec.params["at_moment"] in (
        "after the columns",
        "before the commit",
        "inside the commit",
    )
    world.deliver({ONE: [record(NOON, x=1, Speed=2, mine=3)]})

    def act() -> None:
        world.deliver({TWO: [record(NOON + 1, x="one", speed=4, yours=5)]})
        world.compact(source=world.input / "BRCB/DEV2")

    at_moment(act)
    world.compact()
    if is_first:
        assert world.frame().columns[8:] == ["x", "Speed", "mine", "yours"]
        assert world.rows("heartbeat", "x", "Speed", "mine", "yours", "_rescued") == [
            (NOON, 1.0, 2.0, 3.0, None, None),
            (NOON + 1, None, 4.0, None, 5.0, '{"x":"\\"one\\""}'),
        ]
    else:
        assert world.frame().columns[8:] == ["x", "speed", "yours", "mine"]
        assert world.rows("heartbeat", "x", "speed", "yours", "mine", "_rescued") == [
            (NOON, None, 2.0, None, 3.0, '{"x":"1"}'),
            (NOON + 1, "one", 4.0, 5.0, None, None),
        ]


@pytest.mark.part("races")
@pytest.mark.parametrize("round_number", rounds(2))
def test_runs_over_the_same_input_at_once_take_every_record_once(world: World, round_number: int) -> None:
    world.deliver({ONE: [record(NOON, a=1)], TWO: [record(NOON, b=2)], THREE: [record(NOON + 86_400, c=3)]})
    if round_number % 2:
        Table(Storage(str(world.table.resolve())), DATALOG).create()
    summaries = together(*[world.compact] * 3)
    assert sorted(s["rows_out"] for s in summaries) == [0, 0, 3]
    assert world.rows("a", "b", "c") == [(None, None, 3.0), (None, 2.0, None), (1.0, None, None)]
    assert len(world.headers()) == 1


@pytest.mark.part("races")
@pytest.mark.parametrize("round_number", rounds(2))
def test_runs_over_overlapping_inputs_at_once_take_every_record_once(world: World, round_number: int) -> None:
    devices = [f"DEV{n}" for n in range(4)]
    for n, device in enumerate(devices):
        world.deliver({f"BRCB/{device}/2025121012": [record(NOON, n=n), record(NOON + 86_400, **{f"only{n}": 1})]})
    narrow = [world.input / "BRCB" / device for device in (devices[0], devices[1 + round_number % 3])]
    summaries = together(world.compact, *(lambda source=source: world.compact(source=source) for source in narrow))
    assert sum(s["rows_out"] for s in summaries) == 8
    assert world.rows("n", "only0", "only1", "only2", "only3") == [
        (None, None, None, None, 1.0),
        (None, None, None, 1.0, None),
        (None, None, 1.0, None, None),
        (None, 1.0, None, None, None),
        *((float(n), None, None, None, None) for n in range(4)),
    ]
    assert world.compact()["files_skipped"] == 4


@pytest.mark.part("races")
@pytest.mark.parametrize("round_number", rounds(2))
def test_runs_with_conflicting_columns_at_once_lose_no_value(world: World, round_number: int) -> None:
    values: list[Any] = [round_number + 2, "text", True]
    texts = [f'{{"x":"{round_number + 2}"}}', '{"x":"\\"text\\""}', '{"x":"true"}']
    for n, value in enumerate(values):
        world.deliver({f"BRCB/DEV{n}/2025121012": [record(NOON + n, x=value, **{("Y", "y", "Z")[n]: n})]})
    sources = [world.input / "BRCB" / f"DEV{n}" for n in range(3)]
    summaries = together(*(lambda source=source: world.compact(source=source) for source in sources))
    assert [s["rows_out"] for s in summaries] == [1, 1, 1]
    assert sum(s["values_rescued"] for s in summaries) == 2
    rescued = {row[0] for row in world.rows("_rescued") if row[0] is not None}
    kept = [row[0] for row in world.rows("x") if row[0] is not None]
    assert len(kept) == 1
    assert rescued == {text for value, text in zip(values, texts, strict=True) if value not in kept}
    y = "Y" if "Y" in world.frame().columns else "y"
    assert world.rows("heartbeat", y, "Z") == [(NOON, 0.0, None), (NOON + 1, 1.0, None), (NOON + 2, None, 2.0)]


@pytest.mark.parametrize("error", ERRORS)
def test_a_commit_whose_answer_is_lost_counts_as_done(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    between(monkeypatch, DeltaTable, "create_write_transaction", raising(error), after=True)
    world.deliver({ONE: [record(NOON)]})
    assert world.compact()["rows_out"] == 1
    assert world.rows("heartbeat") == [(NOON,)]
    assert len(world.headers()) == 1


@pytest.mark.parametrize(("owner", "name"), [(TableAlterer, "add_columns"), (DeltaTable, "create")])
def test_an_answer_lost_before_the_data_is_looked_up_again(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    between(monkeypatch, owner, name, raising(ERRORS[0]), after=True)
    world.deliver({ONE: [record(NOON, a=1)]})
    assert world.compact()["rows_out"] == 1
    assert world.rows("heartbeat", "a") == [(NOON, 1.0)]


@pytest.mark.parametrize("error", ERRORS)
def test_a_commit_that_fails_for_good_commits_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    world.deliver({ONE: [record(NOON)]})
    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", raising(error))
        run_tasks_here(patch)
        assert cli.main(["compact", "datalog", str(world.input), str(world.lake), "--engine", "local"]) == 6
        told = capsys.readouterr().err
        assert f"can't commit to {world.table.resolve()}: {error}" in told
        assert "This commit did not happen; run again." in told
        with pytest.raises(StorageError, match="This commit did not happen"):
            world.compact()
    assert world.headers() == []
    assert world.rows("heartbeat") == []
    assert world.compact()["rows_out"] == 1


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_without_an_answer_and_without_a_log_is_unknown(
    world: World, monkeypatch: pytest.MonkeyPatch, is_committed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    real_read = Storage.read

    def unreadable(storage: Storage, path: str) -> Any:
        if path.startswith("_delta_log/"):
            raise StorageError(f"can't read {storage.uri(path)}: connection reset")
        return real_read(storage, path)

    world.deliver({ONE: [record(NOON)]})
    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", raising(ERRORS[0]), after=is_committed)
        patch.setattr(Storage, "read", unreadable)
        run_tasks_here(patch)
        assert cli.main(["compact", "datalog", str(world.input), str(world.lake), "--engine", "local"]) == 5
        told = capsys.readouterr().err
        assert "failed and the log can't be read" in told
        assert "Run the same command again" in told
    assert world.compact()["rows_out"] == (0 if is_committed else 1)
    assert world.rows("heartbeat") == [(NOON,)]


def test_six_refusals_end_the_run_and_nothing_is_committed(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    seen: list[int] = []

    def act() -> None:
        seen.append(len(seen))
        world.deliver({f"BRCB/DEV9/20251210{12 + len(seen):02d}": [record(NOON + len(seen), a=0)]})
        world.compact(source=world.input / "BRCB/DEV9")

    with monkeypatch.context() as patch:
        between(patch, DeltaTable, "create_write_transaction", Once(act, times=6))
        run_tasks_here(patch)
        assert (
            cli.main(["compact", "datalog", str(world.input / "BRCB/DEV1"), str(world.lake), "--engine", "local"]) == 4
        )
    told = capsys.readouterr().err
    assert (
        f"6 times another run committed to {world.table.resolve()} first; what this one had ready is not part of it"
        in told
    )
    assert world.rows("heartbeat", "a") == [(NOON + n, 0.0) for n in range(1, 7)]
    assert world.compact()["rows_out"] == 1
    assert world.rows("heartbeat", "a")[0] == (NOON, 1.0)


def test_five_refusals_are_worked_through_without_reading_a_file_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver({ONE: [record(NOON, a=1)]})
    seen: list[int] = []

    def act() -> None:
        seen.append(len(seen))
        world.deliver({f"BRCB/DEV9/20251210{12 + len(seen):02d}": [record(NOON + len(seen), a=0)]})
        world.compact(source=world.input / "BRCB/DEV9")

    between(monkeypatch, DeltaTable, "create_write_transaction", Once(act, times=5))
    reads: list[str] = []
    real_read = Storage.read

    def noted(storage: Storage, path: str) -> Any:
        reads.append(storage.uri(path))
        return real_read(storage, path)

    monkeypatch.setattr(Storage, "read", noted)
    assert world.compact(source=world.input / "BRCB/DEV1")["rows_out"] == 1
    assert reads.count(str(world.path(ONE).resolve())) == 2  # once by the survey, once by the task
    assert world.rows("heartbeat", "a") == [(NOON, 1.0), *((NOON + n, 0.0) for n in range(1, 6))]
