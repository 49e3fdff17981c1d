"""What the tests say of themselves: parts, rounds and seeds of the slow ones, and skips that are no success."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import slow
from support import rounds

REPORT = "<testsuites><testsuite tests='9' failures='2' errors='1' skipped='1'/></testsuites>"


def test_what_did_not_pass_counts_as_failed() -> None:
    assert slow.counted(REPORT) == (5, 4)


def test_a_result_is_one_line_with_all_that_repeats_it() -> None:
    line = slow.Result("races", passed=120, failed=1, seconds=61.2, seed=7, rounds=5).line()
    assert line == "races       120 passed    1 failed     61 s   SEED=7 ROUNDS=5"


def test_a_part_that_is_not_there_names_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        slow.main(["--only", "laws,rases"])
    assert "no such part: rases; known: races, laws, kills, faults, fuzz, spark" in capsys.readouterr().err


def test_rounds_and_cases_begin_at_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    letters = "abcdefg"
    assert (list(rounds.rounds(2)), rounds.examples(10), rounds.some(letters, 3)) == ([0, 1], 5, ["a", "c", "e"])
    monkeypatch.setattr(rounds, "SEED", 6)
    monkeypatch.setattr(rounds, "TIMES", 2)
    assert (list(rounds.rounds(2)), rounds.examples(10)) == ([6, 7, 8, 9], 20)
    assert rounds.some(letters, 2) == ["a", "c", "e", "g"]  # 6 + 0, 1, 3 and 5, modulo 7
    assert rounds.some(letters, 4) == list(letters)
    monkeypatch.setattr(rounds, "TIMES", 1)
    monkeypatch.setattr(rounds, "IS_SOAK", True)
    assert rounds.some(letters, 3) == list(letters)


SKIPPING = {
    "test_itself": "import pytest\ndef test_itself(): pytest.skip('no time')\n",
    "test_marked": "import pytest\n@pytest.mark.skipif(True, reason='never')\ndef test_marked(): pass\n",
    "test_module": "import pytest\npytest.importorskip('siltstone.no_such_room')\ndef test_module(): pass\n",
    "test_cases": "import pytest\n@pytest.mark.parametrize('case', [])\ndef test_cases(case): pass\n",
    "test_name": "from siltstone.no_such_room import name\ndef test_name(): pass\n",
}


def test_a_skip_without_leave_is_a_failure(tmp_path: Path) -> None:
    """Also of a whole module, and where a list of cases is empty; a wrong module name is an error of its own."""
    for name, text in SKIPPING.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "test_allowed.py").write_text(
        "import pytest\n@pytest.mark.may_skip('no such machine')\ndef test_allowed(): pytest.skip('here')\n"
        "@pytest.mark.xfail\ndef test_expected(): assert False\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "support.no_skips", "--continue-on-collection-errors", "-rA", "."],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line.split(" - ")[0].split("::")[-1] for line in done.stdout.splitlines() if line[:4] in ("FAIL", "ERRO")]
    assert sorted(told) == [
        "ERROR test_module.py", "ERROR test_name.py", "test_cases[NOTSET]", "test_itself", "test_marked",
    ]  # fmt: skip
    assert "skipped (no time): a skip hides what it should test" in done.stdout
    assert done.stdout.splitlines()[-1].strip("= ").startswith("1 failed, 1 skipped, 1 xfailed, 4 errors")
    assert done.returncode == 1
