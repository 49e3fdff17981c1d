"""`siltstone aggregate` on the command line: what it says it did, and refusals that say what to give."""

import json
from pathlib import Path

import pytest

from siltstone.cli import main as cli
from siltstone.errors import UsageError
from support.aggregates import Aggregates, assert_same, office_hours
from support.commands import run_tasks_here


@pytest.fixture
def office(tmp_path: Path) -> Aggregates:
    return office_hours(tmp_path)


@pytest.fixture(scope="module")
def integrals(tmp_path_factory: pytest.TempPathFactory) -> Aggregates:
    """An aggregate that nobody changes."""
    output = office_hours(tmp_path_factory.mktemp("integrals"))
    output.run("1h", ["integral"])
    return output


def test_the_command_says_what_it_did(
    office: Aggregates, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tasks_here(monkeypatch)
    words = ["aggregate", str(office.base), str(office.root), "--engine", "local", "--json"]
    assert cli.main([*words, "--every", "1h", "--measure", "time_in_state"]) == 0
    said = capsys.readouterr()
    told = said.err
    assert "read         5 rows: 5 points + 0 repeated + 0 left out" in told
    assert "4 rows of 1h for 2 series, 1 provisional (they end after 2025-12-03T06:30:00+00:00)" in told
    assert json.loads(said.out)["rows_out"] == 4
    assert cli.main([*words, "--every", "1h", "--measure", "time_in_state"]) == 0
    assert "nothing to do: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--every", "15m", "--measure", "integral"], "was made with other terms: --every 1h, now 15m. Give the same"),
        (["--every", "1h", "--measure", "min"], "--measure integral, now min"),
        (["--every", "1h", "--measure", "integral", "--from", "2025-12-02"], "another --from or --to"),
        (["--every", "1h", "--measure", "integral", "--site", "a"], "--site none, now a"),
        (["--every", "1h", "--measure", "avg"], "no measure 'avg'"),
        (["--every", "1x"], "--every 1x: no length of time, expected such as 15m"),
        (["--every", "1d", "--zone", "Mars"], "--zone Mars: no time zone"),
        (["--every", "1d", "--zone", "Mars", "--from", "2025-12-01"], "--zone Mars: no time zone"),
        (["--every", "1h", "--from", "soon"], "--from 'soon' is no time"),
        (
            ["--every", "1h", "--from", "2025-12-02", "--to", "2025-12-01"],
            "--to 2025-12-01 is not after --from 2025-12-02",
        ),
        (["--every", "1h", "--columns", "a"], "readings is a table of readings. Leave --columns out; --measurement"),
        (
            ["--every", "2h", "--min-pct-good", "20"],
            "other terms:\n  --every 1h, now 2h\n  --measure now with time_weighted_average, transitions, first, last,",
        ),
        (["--every", "1h", "--measure", "integral", "--min-pct-good", "20"], "terms: --min-pct-good 0, now 20. Give"),
        (["--every", "1h", "--min-pct-good", "120"], "--min-pct-good 120 is no percentage. Give one from 0 to 100."),
        ([], "no --every"),
    ],
)
def test_a_refusal_says_what_to_give(
    integrals: Aggregates,
    words: list[str],
    told: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_tasks_here(monkeypatch)
    before = integrals.frame()
    assert cli.main(["aggregate", str(integrals.base), str(integrals.root), "--engine", "local", *words]) == 2
    assert told in capsys.readouterr().err
    assert_same(integrals.frame(), before)


def test_what_is_no_table_to_aggregate_is_refused(office: Aggregates, tmp_path: Path) -> None:
    for base, told in (
        (
            tmp_path / "lake",
            r"lake is a lake, not a table\. Its tables: readings\. Give one, such as .*/readings\.",
        ),
        (tmp_path / "nowhere" / "readings", "no table of siltstone at"),
        (tmp_path / "lake" / "device", "no table of siltstone|no table at|no readings to aggregate"),
    ):
        with pytest.raises(UsageError, match=told):
            Aggregates(tmp_path / "out", base).run()
    office.run("1h", ["integral"])
    with pytest.raises(UsageError, match="That is a table of aggregates: siltstone rollup makes coarser ones"):
        Aggregates(tmp_path / "out", office.root).run()
    wrong = Aggregates(office.base, office.base)
    with pytest.raises(UsageError, match="is no table of aggregates"):
        wrong.run()


def test_a_run_that_no_series_fits_says_so(
    office: Aggregates, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_tasks_here(monkeypatch)
    for words in (
        ["aggregate", str(office.base), str(office.root), "--series", "d1*"],
        ["resample", str(office.base), str(tmp_path / "grid"), "--series", "d1*"],
    ):
        assert cli.main([*words, "--engine", "local", "--every", "1h"]) == 0
        told = capsys.readouterr().err
        assert "no row was made of the 5 rows of " in told
        assert f"give another folder than {words[2]}, or delete that one" in told
    assert cli.main(["plot", str(office.root), "--out", str(tmp_path / "a.html")]) == 2
    assert "has no rows. Nothing that it was asked for was there" in capsys.readouterr().err
