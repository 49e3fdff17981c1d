"""Commands with nobody to take their words: in processes of their own, with closed pipes and full disks."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from siltstone.cli.run import guarded
from siltstone.cli.streams import Outlet
from support.commands import command
from support.fleet import NOON, World, record


class Full(io.StringIO):
    """A stream on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


class Gone(io.StringIO):
    """A pipe with nobody at its other end."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_an_outlet_drops_what_its_stream_does_not_take() -> None:
    full, gone = Outlet(Full()), Outlet(Gone())
    for outlet in (full, gone):
        assert [outlet.write("one"), outlet.write("four")] == [3, 4]
        outlet.flush()
        assert not outlet.isatty()
    assert (full.failure, gone.failure) == ("No space left on device", "")


def test_an_outlet_writes_what_its_encoding_has_no_character_for_as_escapes() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    Outlet(stream).write("█ 1\n")
    stream.flush()
    assert stream.buffer.getvalue() == b"\\u2588 1\n"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("stream", "code", "only_tells", "expected"),
    [(Full, 0, False, 0), (Full, 7, False, 7), (Full, 0, True, 6), (Gone, 0, True, 0), (Gone, 3, False, 3)],
)
def test_a_job_keeps_its_code_whatever_becomes_of_its_words(
    stream: Callable[[], io.StringIO],
    code: int,
    only_tells: bool,
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def job() -> int:
        print("done")
        return code

    monkeypatch.setattr("sys.stdout", stream())
    assert guarded(job, debug=False, only_tells=only_tells) == expected
    said = "siltstone: what was to be said can't be written: No space left on device\n"
    assert capsys.readouterr().err == (said if stream is Full else "")


def test_a_broken_pipe_of_the_job_itself_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    def job() -> int:
        raise BrokenPipeError(32, "Broken pipe")

    assert guarded(job, debug=False) == 1
    assert "unexpected BrokenPipeError" in capsys.readouterr().err


@pytest.mark.parametrize("stream", [Full, pytest.param(Gone, marks=pytest.mark.slow("faults"))])
@pytest.mark.parametrize("json", [(), pytest.param(("--json",), marks=pytest.mark.slow("faults"))])
def test_every_command_ends_with_its_code(
    stream: Callable[[], io.StringIO], json: tuple[str, ...], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5)]})
    monkeypatch.setattr("sys.stdout", stream())
    monkeypatch.setattr("sys.stderr", stream())
    table = world.lake / "datalog"
    commands = [("compact", "datalog", world.input, world.lake)]
    commands += [(name, table) for name in ("optimize", "verify", "vacuum", "show", "quarantine")]
    codes = [command([*words, *json]) for words in commands]
    assert codes == [0, 0, 0, 0, *((6, 6) if stream is Full else (0, 0))]
    assert len(world.rows("ts")) == 1


def test_a_process_without_a_reader_does_its_work(world: World) -> None:
    """Its summary goes to a full disk, its progress to a pipe that nobody reads."""
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5)]})
    reading, writing = os.pipe()
    os.close(reading)
    words = [
        sys.executable,
        "-m",
        "siltstone",
        "compact",
        "datalog",
        world.input,
        world.lake,
        "--json",
        "--set",
        "engine.workers=1",
    ]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, stdout=full, stderr=writing, check=False)
    os.close(writing)
    assert (done.returncode, len(world.rows("ts"))) == (0, 1)


@pytest.mark.slow("faults")
def test_a_process_whose_streams_are_closed_does_its_work(world: World) -> None:
    world.deliver({"BRCB/SLS30I009/2025121004": [record(NOON, gpsspeed=1.5)]})
    words = ["-m", "siltstone", "compact", "datalog", str(world.input), str(world.lake), "--set", "engine.workers=1"]
    closed = f'exec "{sys.executable}" "$@" 0<&- 1>&- 2>&-'
    assert subprocess.run(["/bin/sh", "-c", closed, "sh", *words], check=False).returncode == 0
    assert world.rows("ts")
