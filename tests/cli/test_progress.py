"""What a run tells while it works: names as they are, on a terminal and in a log."""

import io

import pytest

from siltstone.cli.progress import Reporter

NAMED = "listing /in/speed[/]kmh \x1b[2J"


def test_a_name_in_the_bar_is_no_markup_and_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Reporter() as progress:
        progress(NAMED, 1, 2, 1_000_000)
    assert r"listing /in/speed[/]kmh \x1b[2J" in screen.getvalue()


def test_a_line_of_a_log_hides_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter() as progress:
        progress(f"{NAMED} of http://me:pass@host", 0, 0, 0)
        progress("3 of 3 tasks", 1, 2, 1_500_000)
    assert capsys.readouterr().err == (
        "siltstone: listing /in/speed[/]kmh \\x1b[2J of http://***@host\n"
        "siltstone: 3 of 3 tasks, 1 of 2 files, 1.5 MB\n"
    )
