"""Runs a story again and again with a little more room each time, until its job fits.

`python -m support.full_disk STORY FOLDER LIMIT STEP`

Prints JSON: how often the job was refused, and what was wrong in any case.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from support.failing import End, Trial, in_child
from support.new_python import printed_by
from support.stories import put_back

Limit = Literal["disk", "file size"]
_MOST = 4 << 20
_OWN_MOUNTS = ("unshare", "--map-root-user", "--mount")  # whatever is mounted is gone with the process
_SAID = {
    "disk": ("No space left on device", "ake room: ", " bytes are free in "),
    "file size": ("File too large", "ulimit -f"),
}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Inside, this process writes no file beyond a size, as where a quota is used up."""
    before, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, most))


@contextmanager
def _room(folder: Path, size: int) -> Iterator[None]:
    """Inside, that many bytes are free on the disk of a folder."""
    ballast, state = folder / "ballast", os.statvfs(folder)
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, state.f_bavail * state.f_frsize - size)
    try:
        yield
    finally:
        ballast.unlink()


def main(story: str, folder: Path, limit: Limit, step: int) -> dict[str, Any]:
    """The job with each size of room up to the one that is enough."""
    if limit == "disk":
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_MOST}", "tmpfs", folder], check=True)
    trial = Trial(story, folder)
    trial.undisturbed()
    wrong: dict[str, list[str]] = {}
    for refused in count():
        end = _with(trial, folder, limit, refused * step)
        found = trial.of_end(end)
        if end.kind == "refused":
            words = (*_SAID[limit], str(trial.root))
            found += [f"does not say {word!r}: {end.value}" for word in words if word not in end.value]
        if found:
            wrong[f"{refused * step} bytes"] = found
        if end.kind == "done":
            return {"refused": refused, "wrong": wrong}
    raise AssertionError


def _with(trial: Trial, folder: Path, limit: Limit, size: int) -> End:
    """How the job ended with so much room."""
    put_back(trial.base, trial.root)
    job = partial(trial.story.job, trial.root)
    if limit == "disk":
        with _room(folder, size):
            return in_child(lambda: bool(job()), trial.operations)

    def limited() -> None:
        with largest_file(size):
            job()

    return in_child(limited, trial.operations)


def full_disk(story: str, folder: Path, limit: Limit, step: int) -> dict[str, Any]:
    """The same in a new Python, which mounts a small disk where it may; elsewhere the size of files is limited."""
    may_mount = shutil.which("unshare") and subprocess.run([*_OWN_MOUNTS, "true"], capture_output=True).returncode == 0
    chosen = limit if may_mount else "file size"
    words = story, str(folder), chosen, str(step)
    behind = _OWN_MOUNTS if chosen == "disk" else ()
    found: dict[str, Any] = printed_by("support.full_disk", *words, seconds=600, behind=behind)
    return found


if __name__ == "__main__":
    pa.array(np.zeros(1))  # here pyarrow looks for pandas, 0.4 s that no fork has to wait for again
    _, named, at, kind, every = sys.argv
    print(json.dumps(main(named, Path(at), kind, int(every))))  # type: ignore[arg-type]
