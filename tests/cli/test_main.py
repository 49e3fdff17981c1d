"""The commands as a user types them: what they print, their JSON, their exit codes."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from siltstone import __main__
from siltstone.cli.commands import COMMANDS
from siltstone.cli.main import main
from support.fleet import NOON, World, gz, record

Run = Callable[..., tuple[int, str, Any]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command; gives its exit code, what people read, and with --json the object, which is alone on stdout."""

    def run(*words: object) -> tuple[int, str, Any]:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return (code, said.err, json.loads(said.out)) if "--json" in words else (code, said.out, None)

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
    assert f"refused input: siltstone quarantine {fleet.lake}/datalog" in text

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
    code, text, quarantine = run("quarantine", f"{fleet.lake}/datalog", "--json")
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


def test_names_in_the_data_reach_a_terminal_as_text(run: Run, world: World) -> None:
    hostile = {"speed[/]kmh": 1.5, "temp [degC]": 2.5, "\x1b]0;mine\x07": 3.5, "a\u202eb": 4.5, "[bold]": 5.5}
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, **hostile), "\x1b[2J"]})
    (world.input / "BRCB/SLS30I009/2025121004/\x1b[2J\r.txt.gz").write_bytes(b"")
    commands = [("survey", "datalog", world.input, "--all"), ("compact", "datalog", world.input, world.lake)]
    commands += [("show", world.lake), ("quarantine", world.lake / "datalog")]
    told = [run(*words)[:2] for words in commands]
    assert [code for code, _ in told] == [0, 0, 0, 0]
    text = "".join(text for _, text in told)
    assert not set("\x1b\x07\r\u202e").intersection(text)
    for shown in ("speed[/]kmh", "temp [degC]", "]0;mine", r"a\u202eb", r"\x1b[2J\r.txt.gz"):
        assert shown in text


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
        (
            ("compact", "datlog", "IN", "LAKE"),
            2,
            "no source named 'datlog'. Did you mean datalog? Known sources: datalog",
        ),
        (("compact", "datalog", "/nowhere", "LAKE"), 2, "there is no input at /nowhere. Give an existing folder."),
        (("show", "/nowhere"), 2, "no tables in /nowhere"),
        (("quarantine", "/nowhere", "datalog"), 2, "no table 'datalog' in /nowhere"),
        (("quarantine", "/nowhere/datalog"), 2, "no table 'datalog' in /nowhere. It has no tables; siltstone compact"),
        (("comapct",), 2, "no command 'comapct'. Did you mean compact? siltstone help tells what each does."),
        (("xyz",), 2, "no command 'xyz'. There are survey, compact, show,"),
        (("help", "optimise"), 2, "no help on 'optimise'. Did you mean optimize?"),
        (("verify", "L/t", "--jsn"), 2, "verify: unknown option --jsn. Did you mean --json? siltstone help verify"),
        (("verify", "L", "t", "u"), 2, "verify: 'u' is one argument too many. siltstone help verify shows"),
        (("aggregate", "L/t"), 2, "aggregate: the following arguments are required: OUTPUT. siltstone help aggregate"),
        (("--verison", "show"), 2, "siltstone: unknown option --verison. Did you mean --version?"),
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
    assert main(["show", "LAKE", "--debug"]) == 1
    trace = capsys.readouterr().err
    assert trace.startswith("Traceback (most recent call last):")
    assert trace.endswith("\nsiltstone: unexpected ZeroDivisionError: of a kind. Please report it with the trace.\n")


def test_debug_keeps_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["vacuum", f"{tmp_path}/none", "--debug"]) == main(["vacuum", f"{tmp_path}/none"]) == 2
    told = capsys.readouterr().err
    sentence = told.splitlines()[-1]
    assert (told.count("Traceback"), told.count(sentence)) == (1, 2)


def test_a_malformed_endpoint_is_told_without_its_password(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["doctor", "s3://bucket/lake", "--set", "storage.endpoint=http://me:pa55word@minio:9000", "--debug"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "storage.endpoint: 'http://***@minio:9000' is no endpoint" in told
    assert "pa55word" not in told


def test_ctrl_c_during_the_imports_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("siltstone.cli.main.main", interrupted)
    assert __main__.main() == 130
    assert capsys.readouterr().err == "siltstone: stopped.\n"


def test_help_is_the_same_by_both_ways(capsys: pytest.CaptureFixture[str]) -> None:
    for asked, flag in ((["help"], ["--help"]), (["help", "vacuum"], ["vacuum", "--help"])):
        assert main(asked) == 0
        by_command = capsys.readouterr().out
        with pytest.raises(SystemExit, match="0"):
            main(flag)
        assert by_command == capsys.readouterr().out


def test_nothing_asked_for_is_help_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert (said.out, "siltstone help COMMAND" in said.err) == ("", True)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_help_has_an_example_of_its_command_and_points_to_the_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["help", name]) == 0
    shown = capsys.readouterr().out
    example, _, rest = shown.partition("example:\n")[2].partition("\n\n")
    assert example.strip().removeprefix('eval "$(').startswith(f"siltstone {name}")
    assert rest == "exit codes: siltstone help exit-codes\n"


def test_help_tells_every_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "exit-codes"]) == 0
    codes = re.findall(r"^ +(\d+)  ", capsys.readouterr().out, re.MULTILINE)
    assert [int(code) for code in codes] == [0, 1, 2, 3, 4, 5, 6, 7, 9, 130, 143]


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_shell_completes_commands_and_options_but_no_old_names(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in (*COMMANDS, "--left-measurement", "--dry-run", "--rules"))
    assert "settle" not in script
    assert "--measurements" not in script


COMPLETE = """
eval "$0"
words=$(complete -p siltstone)
COMP_WORDS=(siltstone "$@") COMP_CWORD=$#
function=${words##*-F }; ${function% *}
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["show", "lake/read"], ["lake/readings"]),
        (["compact", "datalog", "in"], ["inbox", "inbox.txt.gz"]),
        (["compact", "datalog", "inbox", "la"], ["lake"]),
        (["aggregate", "lake/readings", "lake/h"], ["lake/hourly"]),
        (["verify", "lake/readings", "--conf", "pl"], ["plant.yaml"]),
        (["plot", "lake/hourly", "--out", "pl"], ["plant.yaml"]),
        (["publish", "mortar", "la"], ["lake"]),
        (["help", "opt"], ["optimize"]),
        (["help", "ex"], ["exit-codes"]),
        (["rol"], ["rollup"]),
    ],
)
def test_bash_completes_paths_and_the_topics_of_help(
    words: list[str], offered: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("lake/readings", "lake/hourly", "inbox"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("inbox.txt.gz", "plant.yaml", "lakes.txt"):
        (tmp_path / file).touch()
    main(["completion", "bash"])
    bash = ["bash", "-c", COMPLETE, capsys.readouterr().out, *words]
    found = subprocess.run(bash, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert (sorted(found.stdout.split()), found.stderr) == (offered, "")


def test_without_shtab_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 2
    assert "pip install 'shtab>=1.7'" in capsys.readouterr().err


def test_a_table_is_named_by_one_path_or_as_before_by_two_words(run: Run, fleet: World) -> None:
    fleet.compact()
    table = f"{fleet.lake}/datalog"
    for words in (("show", table), ("show", fleet.lake, "datalog"), ("show", fleet.lake, "--json", "datalog")):
        _, _, found = run(*dict.fromkeys((*words, "--json")))
        assert [t["table"] for t in found["tables"]] == ["datalog"]
    for command in ("verify", "vacuum", "quarantine", "optimize"):
        assert run(command, table)[0] == run(command, fleet.lake, "datalog")[0] == 0


@pytest.mark.parametrize("command", ["verify", "vacuum", "quarantine", "optimize", "aggregate", "rollup", "plot"])
def test_a_lake_in_the_place_of_a_table_is_told_and_its_tables(
    command: str, fleet: World, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.compact()
    more = {"aggregate": ["out", "--every", "1h"], "rollup": ["out", "--every", "1h"], "plot": ["--out", "a.html"]}
    assert main([command, str(fleet.lake), *more.get(command, [])]) == 2
    is_of_aggregates = command in ("rollup", "plot")
    move = (
        "None of them is of the kind that is needed."
        if is_of_aggregates
        else f"Give one, such as {fleet.lake}/datalog."
    )
    expected = f"{fleet.lake} is a lake, not a table. Its tables: datalog. {move}"
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("made", ["_delta_log", "_siltstone"])
def test_a_table_in_the_place_of_a_lake_is_told_and_stays_as_it_is(
    made: str, fleet: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (fleet.lake / "datalog" / made).mkdir(parents=True)
    assert main(["compact", "datalog", str(fleet.input), f"{fleet.lake}/datalog", "--engine", "local"]) == 2
    expected = f"{fleet.lake}/datalog is a table, not a lake. Give the folder in which it lies."
    assert expected in capsys.readouterr().err
    assert not (fleet.lake / "datalog" / "datalog").exists()
    assert main(["compact", "datalog", str(fleet.input), str(fleet.lake / "other"), "--engine", "local"]) == 0


def test_a_table_that_is_not_there_is_told_and_those_that_are(fleet: World, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.compact()
    for command in ("show", "verify", "optimize"):
        for name, guess in (("datalogs", f"Did you mean {fleet.lake}/datalog? "), ("hourly", "")):
            assert main([command, f"{fleet.lake}/{name}"]) == 2
            expected = f"no table '{name}' in {fleet.lake}. {guess}Tables there: datalog."
            assert expected in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["setle", "LAKE"], "no command 'setle'. Did you mean optimize? siltstone help tells"),
        (["help", "settle"], "no help on 'settle'. Did you mean optimize? "),
        (["--hepl"], "unknown option --hepl. Did you mean --help? siltstone help shows the commands."),
        (["--versoin=1"], "unknown option --versoin. Did you mean --version? "),
        (["--xyz"], "unknown option --xyz. siltstone help shows the commands."),
        (["show", "LAKE", "--set", "setle.open_files=3"], "--set: setle: unknown key; did you mean optimize?"),
        (["show", "LAKE", "--set", "optimise.open_files=3"], "--set: optimise: unknown key; did you mean optimize?"),
    ],
)
def test_what_was_mistyped_is_answered_with_what_was_meant(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert said in capsys.readouterr().err


def test_settle_is_the_old_name_of_optimize(fleet: World, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.compact()
    words = [str(fleet.lake), "datalog", "--dry-run", "--json", "--set", "settle.open_files=3"]
    assert main(["settle", *words]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["dry_run"]
    assert said.err.splitlines()[:2] == [
        "siltstone: settle is now called optimize; the old name goes after one release",
        "siltstone: settle in the configuration is now called optimize; the old name goes after one release",
    ]
