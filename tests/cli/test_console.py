"""What people read of names that are data: visible, never obeyed by a terminal, never taken for markup."""

import io
import json

import pytest
from rich.table import Table

from siltstone.cli.console import console, notice, print_json, report, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zone Air Temp [degC] ä 温度 👍🏽", "Zone Air Temp [degC] ä 温度 👍🏽"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\rb\nc\td\x00\x7f", r"a\rb\nc\td\x00\x7f"),
        ("\x9b2J", r"\x9b2J"),  # CSI as one character of C1
        ("good\u202egnp.exe\u2066\u200f", r"good\u202egnp.exe\u2066\u200f"),
        ("\udcff", r"\udcff"),  # a byte of a file name that is no UTF-8
    ],
)
def test_what_a_terminal_obeys_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_and_cells_show_brackets_and_escapes_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    report(["temp [degC] \x1b[2J :fire:", "", "two\nlines"], {}, as_json=False)
    assert capsys.readouterr().out == "temp [degC] \\x1b[2J :fire:\ntwo\\nlines\n"

    grid = Table("speed[/]kmh", box=None)
    grid.add_row("\x1b]0;title\x07 [bold]")
    console(as_json=False).print(grid)
    assert capsys.readouterr().out.split() == ["speed[/]kmh", r"\x1b]0;title\x07", "[bold]"]


def test_json_keeps_the_value_as_escapes_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"name": "\x1b[2J\x7f\x9b\u202e"}
    print_json(value)
    printed = capsys.readouterr().out
    assert printed == '{"name": "\\u001b[2J\\u007f\\u009b\\u202e"}\n'
    assert json.loads(printed) == value


def test_a_notice_shows_escapes_and_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    notice("no\x1bthing at\nhttp://me:pass@host/")
    assert capsys.readouterr().err == "siltstone: no\\x1bthing at\nhttp://***@host/\n"


def test_a_terminal_gets_the_styles_of_siltstone_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    console(as_json=False).print("a\x1bb", style="bold")
    assert screen.getvalue() == "\x1b[1ma\\x1bb\x1b[0m\n"
