"""`make bench`: runs the contenders of the chosen cases in turn, prints tables, writes JSON and a picture.

python tests/bench/run.py [CASE ...] [--rounds N] [--contenders NAME ...] [--size DEVICESxHOURS] [--scale SHARE]
    [--cores N]
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from cases import CASES, OLD_NAMES, STANDARD, Case, Size
from lineup import Entry, Rig
from machine import describe_machine
from meter import measure
from picture import draw
from report import print_report
from results import SETUP, Run, rows_of_runs, save
from rich.console import Console

REPOSITORY = Path(__file__).parents[2]
LIMIT_S = 900


def main() -> int:
    args = _arguments()
    cache = args.cache.absolute()
    cache.mkdir(exist_ok=True)
    rig = Rig(sys.executable, str(Path(args.python).absolute()), cache, args.cores)
    size = replace(args.size, scale=args.scale)
    console = Console(width=None if sys.stdout.isatty() else 150)
    machine = describe_machine(rig.project_python)
    cases = [case for case in CASES if case.name in args.cases or (not args.cases and case.by_default)]
    runs: list[Run] = []
    for case in cases:
        runs += _run_case(console, rig, case, size, args.rounds, args.contenders)
    rows = rows_of_runs(runs)
    titles = {case.name: case.title(size) for case in cases}
    print_report(console, titles, rows, machine, size)
    settings = {
        "rounds": args.rounds,
        "devices": args.size.devices,
        "hours": args.size.hours,
        "scale": args.scale,
        "cores": args.cores,
    }
    save(cache / "results.json", machine, settings, runs)
    picture = draw(cache / "results.png", titles, rows, machine)
    console.print(
        f"written: {cache / 'results.json'}" + (f", {picture}" if picture else ""), highlight=False, soft_wrap=True
    )
    return int(any(row.problems for row in rows.values() if row.label.startswith("siltstone")))


def _run_case(
    console: Console, rig: Rig, case: Case, size: Size, rounds: int, contenders: list[str] | None
) -> list[Run]:
    entries = [e for e in case.entries(rig, size) if not contenders or e.name in (*contenders, SETUP)]
    runs = []
    for number in range(1, rounds + 1):
        for entry in entries if number % 2 else reversed(entries):  # so that no one always follows the same
            if number <= entry.at_most_rounds:
                runs.append(run := _run_entry(rig, case.name, entry, number))
                wrong = f"  WRONG: {run.problems[0]}" if run.problems else ""
                told = f"{run.seconds:8.2f} s, CPU {run.cpu_seconds:7.1f} s, peak {run.peak_bytes / 2**30:5.2f} GiB"
                console.print(
                    f"{case.name} {number}/{rounds}  {entry.label:36} {told}{wrong}", highlight=False, markup=False
                )
    return runs


def _run_entry(rig: Rig, case: str, entry: Entry, number: int) -> Run:
    """Prepare, measure, check. The result stays until the next run of its name."""
    for folder in (entry.out, rig.scratch):
        shutil.rmtree(folder, ignore_errors=True)
    entry.out.parent.mkdir(parents=True, exist_ok=True)
    rig.scratch.mkdir()
    environment = {**os.environ, "SPARK_LOCAL_DIRS": str(rig.scratch), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("POLARS_MAX_THREADS", None)
    for command in entry.prepare:
        subprocess.run(command, env=environment, cwd=rig.scratch, check=True, capture_output=True)
    measured = measure(entry.command, env=environment, cores=entry.cores, folder=rig.scratch, limit_s=LIMIT_S)
    run = Run(
        case=case,
        name=entry.name,
        label=entry.label,
        round=number,
        seconds=measured.seconds,
        process_seconds=measured.process_seconds,
        cpu_seconds=measured.cpu_seconds,
        peak_bytes=measured.peak_bytes,
    )
    if measured.exit_code:
        last = (measured.output.strip().splitlines() or ["no output"])[-1]
        return replace(run, problems=[f"ended with exit code {measured.exit_code}: {last[:300]}"])
    found = asdict(entry.check(measured))
    return replace(run, **{name: value for name, value in found.items() if value is not None})


def _arguments() -> argparse.Namespace:
    names = [case.name for case in CASES]
    default = [case.name for case in CASES if case.by_default]
    parser = argparse.ArgumentParser(description="Measure siltstone beside other ways to do its work.")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(names)}, or all; default: {default}")
    parser.add_argument("--rounds", type=int, default=3, help="each contender runs this often, in turn (default 3)")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help="only these, such as local duckdb")
    parser.add_argument("--size", type=_size, default=STANDARD, metavar="DxH", help="devices x hours (default 60x4)")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the aggregates' inputs (default 1)")
    parser.add_argument("--cores", type=int, default=2, help="cores that each contender is pinned to (default 2)")
    parser.add_argument("--python", default=REPOSITORY / ".venv/bin/python", help="the Python that has siltstone")
    parser.add_argument("--cache", type=Path, default=REPOSITORY / ".bench", help="where inputs and results are kept")
    args = parser.parse_args()
    args.cases = [OLD_NAMES.get(name, name) for name in args.cases]
    if "all" in args.cases:
        args.cases = names
    if unknown := set(args.cases) - set(names):
        parser.error(f"no case is named {', '.join(sorted(unknown))}; cases: {', '.join(names)}, all")
    return args


def _size(text: str) -> Size:
    devices, _, hours = text.partition("x")
    return Size(int(devices), int(hours))


if __name__ == "__main__":
    sys.exit(main())
