"""What this machine has, what a run needs, and the line that fixes each difference."""

import argparse
import os
import platform
import sys
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from siltstone.cli.arguments import config_of, setting_arguments
from siltstone.cli.console import report
from siltstone.engine.session import DELTA_OF_SPARK, JAVA_OF_SPARK, java_version
from siltstone.errors import SiltstoneError, StorageError, UsageError
from siltstone.model.access import Access
from siltstone.storage import Storage, open_root

EXAMPLE = "siltstone doctor s3://BUCKET/LAKE"
_GIB = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at; `needed_for` is all (also the local engine) or spark."""

    what: str
    found: str
    needed: str
    good: bool
    fix: str = ""
    needed_for: str = "all"


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of doctor."""
    where = "where tables will be written (default: this folder)"
    parser.add_argument("lake", nargs="?", default=".", metavar="LAKE", help=where)
    setting_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print what was found; 2 if something is missing that every engine needs, else 0."""
    return print_findings(examine(args.lake, config_of(args).storage), as_json=args.json)


def examine(lake: str, access: Access) -> list[Finding]:
    """Look at Python, memory, write access at `lake`, Java, and the Spark/Delta pair."""
    storage = open_root(lake, access)
    writing = _write_access(storage) if storage.is_local else _bucket_access(storage)
    return [_python(), _memory(), writing, _java(), _spark(), _delta()]


def print_findings(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print them; 2 if something is missing that every engine needs, else 0."""
    lines = []
    for f in findings:
        mark = "ok     " if f.good else "MISSING" if f.needed_for == "all" else "no Spark"
        lines.append(f"{mark:9}{f.what:25} {f.found} (needed: {f.needed})")
        lines.append("" if f.good else f"{'':9}{'':25} fix: {f.fix}")
    report(lines, {"findings": [asdict(f) for f in findings]}, as_json=as_json)
    return 2 if any(not f.good and f.needed_for == "all" for f in findings) else 0


def _python() -> Finding:
    good = sys.version_info >= (3, 11)
    return Finding("Python", platform.python_version(), "3.11 or newer", good, "install Python 3.11, then: make setup")


def _memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    cores = len(os.sched_getaffinity(0))
    needed = cores * _GIB
    fix = f"--set engine.workers={max(1, total // _GIB)}"
    return Finding("memory", f"{total / _GIB:.1f} GiB, {cores} cores", "1 GiB for each worker", total >= needed, fix)


def _write_access(storage: Storage) -> Finding:
    there = Path(storage.root)
    while not there.exists():
        there = there.parent
    probe = f".siltstone-{uuid.uuid4().hex}"
    try:
        storage.refuse_unsafe()
    except UsageError as error:
        what, _, fix = str(error).partition(". ")
        return Finding("write access", what, f"a folder for tables at {storage.root}", False, fix)
    try:
        store = open_root(str(there))
        store.put(probe, b"")
        store.delete(probe)
    except StorageError as error:
        reason = str(error).splitlines()[0]
        return Finding(
            "write access", reason, f"a folder to write to at {storage.root}", False, f"chown or chmod {there}"
        )
    return Finding("write access", str(there), storage.root, True)


def _bucket_access(storage: Storage) -> Finding:
    needed = f"list, read, create once and delete at {storage.root}"
    try:
        storage.delta_options()
        storage.exists()
        storage.make()
    except SiltstoneError as error:
        what, _, fix = str(error).rpartition(". ")
        return Finding("write access", what, needed, False, fix)
    return Finding("write access", storage.access.endpoint or "Amazon S3", needed, True)


def _java() -> Finding:
    found = java_version()
    line = _line()
    needed = JAVA_OF_SPARK.get(line, (17, 21))
    text = "none" if found is None else str(found)
    fix = "sudo apt-get install openjdk-17-jre-headless"
    return Finding("Java", text, " or ".join(map(str, needed)), found in needed, fix, "spark")


def _spark() -> Finding:
    found = _version("pyspark")
    fix = "pip install 'siltstone[spark]'"
    return Finding(
        "Spark", found or "none", ", ".join(f"{v}.x" for v in JAVA_OF_SPARK), _line() in JAVA_OF_SPARK, fix, "spark"
    )


def _delta() -> Finding:
    found, needed = _version("delta-spark"), DELTA_OF_SPARK.get(_line(), DELTA_OF_SPARK["4.1"])
    fix = f"pip install delta-spark=={needed}"
    return Finding("Delta for Spark's readers", found or "none", needed, found == needed, fix, "spark")


def _line() -> str:
    return ".".join((_version("pyspark") or "").split(".")[:2])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
