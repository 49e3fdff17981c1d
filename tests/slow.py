"""Runs the long tests part by part: `python tests/slow.py [--only PART,PART] [--seed N] [--rounds N] [--soak]`.

The last lines say, for the commit: each part's items, seconds, seed and rounds. The exit code is 1 if an item failed.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.parts import PARTS

HOME = Path(__file__).parents[1]
_NO_TESTS = 5  # pytest's exit code where nothing was selected


@dataclass(frozen=True)
class Result:
    """How a part ended."""

    part: str
    passed: int
    failed: int
    seconds: float
    seed: int
    rounds: int

    def line(self) -> str:
        counts = f"{self.passed:>6} passed {self.failed:>4} failed {self.seconds:>6.0f} s"
        return f"{self.part:<8} {counts}   SEED={self.seed} ROUNDS={self.rounds}"


def run_part(part: str, seed: int, rounds: int, workers: int, *, is_soak: bool) -> Result:
    """Run one part and count its items; an error outside of items counts as one that failed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "--part", part, f"--hypothesis-seed={seed}", f"--junitxml={report}"),
                *("--numprocesses", str(workers), "--dist", "worksteal"),
            ],
            cwd=HOME,
            env=os.environ
            | {"SILTSTONE_ROUNDS": str(rounds), "SILTSTONE_SEED": str(seed), "SILTSTONE_SOAK": str(int(is_soak))},
            check=False,
        ).returncode
        passed, failed = counted(report.read_text()) if report.exists() else (0, 0)
    if (code != 0 and not failed) or code == _NO_TESTS:
        failed += 1
    return Result(part, passed, failed, time.monotonic() - started, seed, rounds)


def counted(report: str) -> tuple[int, int]:
    """How many items of a JUnit report passed, and how many did not."""
    suites = list(ET.fromstring(report).iter("testsuite"))
    items, *other = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    return items - sum(other), sum(other)


def commit() -> str:
    """The commit that is checked out, and whether files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=HOME, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "an unknown commit"


def parts_of(text: str) -> list[str]:
    """The parts named in a list with commas, each once."""
    parts = list(dict.fromkeys(text.split(",")))
    if unknown := [part for part in parts if part not in PARTS]:
        raise argparse.ArgumentTypeError(f"no such part: {', '.join(unknown)}; known: {', '.join(PARTS)}")
    return parts


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=parts_of, default=list(PARTS), help=f"parts, with commas: {', '.join(PARTS)}")
    parser.add_argument("--seed", type=positive, default=random.randrange(1, 1_000_000), help="as a former run said it")
    parser.add_argument("--rounds", type=positive, help="how many times as often as `make test`; each part has its own")
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--soak", action="store_true", help="every case of every list, and the rounds of a soak")
    given = parser.parse_args(words)
    head, results = commit(), []
    for part in given.only:
        rounds = given.rounds or PARTS[part][given.soak]
        print(f"=== {part}: SEED={given.seed} ROUNDS={rounds}", flush=True)
        results.append(run_part(part, given.seed, rounds, given.workers, is_soak=given.soak))
    print(f"\n{'soak' if given.soak else 'slow tests'} of {head}, {given.workers} workers")
    for result in results:
        print(result.line())
    failed = [result for result in results if result.failed]
    for result in failed:
        print(f"again: make test-slow ONLY={result.part} SEED={result.seed} ROUNDS={result.rounds}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
