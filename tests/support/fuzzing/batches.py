"""Cases by the batch, in a process of their own with 2 GB more than it begins with: `python -m support.fuzzing.batches
READER SEED CASES [FIRST]` says what is wrong with which, and no case may take 10 seconds or end the process."""

import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

MEMORY_BYTES = 2 << 30
CASE_S = 10.0
_START_S = 60.0
_TESTS = Path(__file__).parents[2]


def run(reader: str, seed: int, cases: int) -> list[str]:
    """What is wrong with so many cases of a reader; each entry begins with what draws its case again."""
    return watched(["-m", "support.fuzzing.batches", reader, str(seed), str(cases)])


def watched(words: Sequence[str], *, start_s: float = _START_S, case_s: float = CASE_S) -> list[str]:
    """What is wrong with the cases that a program of Python tells of: those it calls wrong, and one that takes too long
    or ends the process."""
    path = os.pathsep.join([str(_TESTS), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "POLARS_MAX_THREADS": "1", "RUST_BACKTRACE": "0"}
    wrong: list[str] = []
    at = ""
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        lines: queue.Queue[str] = queue.Queue()
        reading = threading.Thread(target=_put_all, args=(process, lines))
        reading.start()
        try:
            while line := lines.get(timeout=case_s if at else start_s):
                word, _, rest = line.rstrip("\n").partition(" ")
                at = rest if word == "case" else at
                wrong += [rest] if word == "wrong" else []
        except queue.Empty:
            process.kill()
            wrong.append(f"{at}: it takes more than {case_s:g} s")
        reading.join()
        if process.wait() > 0 or (process.returncode < 0 and not wrong):
            errors.seek(0)
            said = errors.read().decode(errors="replace")[-2000:]
            wrong.append(f"{at}: it ends the process with code {process.returncode}: {said}")
    return wrong


def _put_all(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put("")


def wrong_of(reader: str, seed: int, cases: int, first: int = 0) -> Iterator[tuple[str, str]]:
    """Each case in turn, and what is wrong with it, "" for nothing."""
    from support.fuzzing.checks import Wrong, check
    from support.fuzzing.readers import READERS

    for number in range(first, first + cases):
        name = f"{reader}:{seed}:{number}"
        try:
            check(READERS[reader](Random(name)))
        except Wrong as error:
            yield name, str(error)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            yield name, _told(error)
        else:
            yield name, ""


def _told(error: BaseException) -> str:
    places = " < ".join(
        f"{Path(f.filename).name}:{f.lineno}" for f in reversed(traceback.extract_tb(error.__traceback__))
    )
    return f"{type(error).__name__}: {str(error)[:300]!r} at {places[:600]}"


def limit_memory() -> None:
    """Let this process take so much more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    reader, seed, cases, *first = sys.argv[1:]
    from support.fuzzing import checks

    assert checks.check
    limit_memory()
    start = int(first[0]) if first else 0
    print("case", f"{reader}:{seed}:{start}", flush=True)
    for name, wrong in wrong_of(reader, int(seed), int(cases), start):
        following = int(name.rpartition(":")[2]) + 1
        if wrong:
            print("wrong", f"{name}: {wrong}".replace("\n", " "), flush=True)
        print("case", f"{reader}:{seed}:{following}", flush=True)


if __name__ == "__main__":
    main()
