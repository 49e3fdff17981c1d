"""The commands as a user types them: what they print, their JSON, their exit codes."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from siltstone import __main__
from siltstone.cli.main import main
from support.fleet import NOON, World, gz, record

Run = Callable[..., tuple[int, str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; gives its exit code, its stdout, and with --json the object on the last line."""

    def run(*words: object) -> tuple[int, str, Any]:
        code = main([str(word) for word in words])
        text = capsys.readouterr().out
        return code, text, json.loads(text.splitlines()[-1]) if "--json" in words else None

    return run


@pytest.fixture
def fleet(world: World) -> World:
    """Two sites; one record of three is no record, one file is empty."""
    world.deliver(
        {
            "BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5), "no record", record(NOON + 1, gpsspeed="NaN")],
            "BRCG/SLS30I010/2025121004": gz(b""),
            "BRCG/SLS30I011/2025121004": b"",
        }
    )
    return world


def test_compact_tells_all_that_was_asked_for(run: Run, fleet: World) -> None:
    code, text, summary = run("compact", "datalog", fleet.input, fleet.lake, "--engine", "local", "--json")
    assert code == 0
    expected = {
        "engine": "local",
        "files_listed": 3,
        "files_ingested": 2,
        "files_skipped": 0,
        "files_quarantined": 1,
        "records_in": 3,
        "rows_out": 2,
        "records_quarantined": 1,
        "duplicates_dropped": 0,
        "values_rescued": 1,
        "columns_added": ["gpsspeed"],
        "files_written": 1,
    }
    assert {key: summary[key] for key in expected} == expected
    assert {"run", "table", "bytes_in", "bytes_written", "seconds"} <= summary.keys()
    assert "records      3 in = 2 rows + 1 quarantined + 0 duplicates" in text
    assert f"refused input: siltstone quarantine {fleet.lake} datalog" in text

    code, text, summary = run("compact", "datalog", fleet.input, fleet.lake, "--strict", "--json")
    assert (code, summary["files_skipped"], summary["run"]) == (0, 3, "")
    assert "nothing to do: 3 of 3 files are known" in text


def test_strict_is_exit_code_3_and_commits_the_rest(run: Run, fleet: World) -> None:
    assert run("compact", "datalog", fleet.input, fleet.lake, "--strict")[0] == 3
    assert len(fleet.rows("ts")) == 2


def test_show_describes_the_table(run: Run, fleet: World) -> None:
    fleet.compact()
    code, text, lake = run("show", fleet.lake, "--json")
    (table,) = lake["tables"]
    assert code == 0
    assert (table["table"], table["rows"], table["files"]) == ("datalog", 2, 1)
    assert table["partitions"].keys() == {"hiveperiod=2025-12-10/dstrct_code=BRCB"}
    assert table["size_histogram_mb"] == {"0-1": 1}
    assert [d["column"] for d in table["drift"]] == ["gpsspeed"]
    assert (table["files_quarantined"], table["records_quarantined"], table["values_rescued"]) == (1, 1, 1)
    assert "2 rows in 1 files" in text
    assert "new in 00000001-" in text


def test_quarantine_lists_each_refusal_safely(run: Run, fleet: World) -> None:
    fleet.deliver({"BRCB/SLS30I009/2025121005": [record(NOON + 3600), "\x1b[31mred"]})
    fleet.compact()
    code, text, quarantine = run("quarantine", fleet.lake, "datalog", "--json")
    assert (code, quarantine["count"]) == (0, 3)
    assert "\x1b" not in text
    assert "(line 2, byte 70): not a JSON object: begins with '\\x1b[31mred'" in text
    assert "empty file: 0 bytes" in text
    raws = {entry["line"]: entry["raw"] for entry in quarantine["entries"] if "2025121004" in entry["source_file"]}
    assert raws == {None: "", 2: "bm8gcmVjb3Jk"}  # base64 of "no record"


def test_survey_names_conflicts_and_hints(run: Run, world: World) -> None:
    rows = [record(NOON, serial=9007199254740993, cam=1), record(NOON + 1, cam="on", Cam=2)]
    world.deliver({"BRCB/SLS30I009/2025121004": rows})
    code, text, survey = run("survey", "datalog", world.input, "--all", "--json")
    found = {f["key"]: f for f in survey["fields"]}
    assert (code, survey["records"], survey["shift_hours"]) == (0, 2, 8)
    assert (found["heartbeat"]["kind"], found["serial"]["kind"]) == ("bigint", "bigint")
    assert found["cam"]["remarks"] == ["values of several kinds", "also spelled Cam"]
    assert survey["hints"] == {"serial": "bigint", "cam": "double"}
    assert "1 integers beyond 2^53" in text


def test_doctor_says_what_is_missing_and_how_to_mend_it(run: Run, world: World) -> None:
    assert run("doctor", world.lake)[0] == 0
    (world.root / "file").write_text("")
    code, text, told = run("doctor", world.root / "file" / "lake", "--json")
    assert code == 2
    (missing,) = [f for f in told["findings"] if not f["good"] and f["needed_for"] == "all"]
    assert (missing["what"], missing["fix"]) == ("write access", f"chown or chmod {world.root}/file")
    assert "MISSING  write access" in text


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("compact", "datlog", "IN", "LAKE"), 2, "no source named 'datlog'. Known sources: datalog"),
        (("compact", "datalog", "/nowhere", "LAKE"), 2, "there is no input at /nowhere. Give an existing folder."),
        (("show", "/nowhere"), 2, "no tables in /nowhere"),
        (("quarantine", "/nowhere", "datalog"), 2, "no table 'datalog' in /nowhere"),
        (("doctor", "--set", "engine.worker=1"), 2, "engine.worker: unknown key; did you mean workers?"),
    ],
)
def test_a_mistake_is_a_sentence_with_the_next_move(
    words: tuple[str, ...], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == code
    told = capsys.readouterr().err
    assert message in told
    assert "Traceback" not in told


def test_a_surprise_is_one_line_and_a_trace_only_on_demand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def surprise(*_: object) -> None:
        raise ZeroDivisionError("of a kind")

    monkeypatch.setattr("siltstone.maintenance.describe.describe_lake", surprise)
    assert main(["show", "LAKE"]) == 1
    assert capsys.readouterr().err == (
        "siltstone: unexpected ZeroDivisionError: of a kind. --debug shows the trace; please report it.\n"
    )
    with pytest.raises(ZeroDivisionError):
        main(["show", "LAKE", "--debug"])


def test_ctrl_c_during_the_imports_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("siltstone.cli.main.main", interrupted)
    assert __main__.main() == 130
    assert capsys.readouterr().err == "siltstone: stopped.\n"
