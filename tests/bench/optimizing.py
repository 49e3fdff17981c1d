"""The case `optimize`: eight runs each leave an undersized file in one partition; `siltstone optimize` merges them.

The values are noise, which hardly compresses, so that little input fills such files.
"""

import gzip
import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
from lineup import Checked, Entry, Rig, siltstone_local
from meter import Measured
from telemetry import MIDNIGHT
from trees import Tree
from truth import Field, Truth, add

RUNS, HOURS, DEVICES, SENSORS, ROWS = 8, 3, 24, 25, 3_600
DATE, SITE = "2025-12-10", "BRCB"
ENOUGH = 0.95
"""Of the bytes, in files of 150-250 MB."""

_DECIMALS = 4
_RECORD = '{"heartbeat":%d,"unitno":"%s","deviceid":"%s",' + ",".join(
    f'"s{n:02}":%.{_DECIMALS}f' for n in range(SENSORS)
)


def write_noise(root: Path) -> Truth:
    """`{run}/{site}/{device}/{hour}/*.gz`: a local day, three hours of it for each run."""
    truth: Truth = {}
    random = np.random.default_rng(0)
    for run, hour, device in product(range(RUNS), range(HOURS), range(DEVICES)):
        unit, name, start = f"LD{700 + device}", f"SLS30I{device:03}", MIDNIGHT + (run * HOURS + hour - 24) * 3_600
        values = random.integers(0, 10**10, (ROWS, SENSORS))
        rows = zip(range(start, start + ROWS), (values / 10**_DECIMALS).tolist(), strict=True)
        lines = [_RECORD % (second, unit, name, *row) + "}\n" for second, row in rows]
        stamp = datetime.fromtimestamp(start, UTC).strftime("%Y%m%d%H")
        folder = root / str(run) / SITE / name / stamp
        folder.mkdir(parents=True)
        (folder / f"{stamp}.txt.gz").write_bytes(gzip.compress("".join(lines).encode(), 1, mtime=0))
        fields = {f"s{n:02}": Field("double", _DECIMALS, ROWS, int(values[:, n].sum())) for n in range(SENSORS)}
        fields["heartbeat"] = Field("bigint", 0, ROWS, sum(range(start, start + ROWS)))
        fields |= {key: Field("string", 0, ROWS, None) for key in ("unitno", "deviceid")}
        add(truth, {(SITE, unit, DATE): fields})
    return truth


def entries(rig: Rig, tree: Tree) -> list[Entry]:
    """Optimize what the runs left; that a second run finds nothing to do, and the sizes, are part of the check."""
    compact = siltstone_local(rig, tree, name="optimize", label="siltstone optimize, local")
    siltstone, lake = [rig.project_python, "-m", "siltstone"], str(compact.out)
    runs = [
        [*siltstone, "compact", "datalog", str(tree.root / str(run)), lake, "--set", "optimize.after_compact=false"]
        for run in range(RUNS)
    ]
    check = _and_sizes(compact.check, siltstone, lake)
    return [replace(compact, command=[*siltstone, "optimize", f"{lake}/datalog"], prepare=runs, check=check)]


def _and_sizes(check: Callable[[Measured], Checked], siltstone: list[str], lake: str) -> Callable[[Measured], Checked]:
    def told(*arguments: str) -> dict:
        done = subprocess.run([*siltstone, *arguments, "--json"], capture_output=True, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    def with_sizes(measured: Measured) -> Checked:
        found = check(measured)
        share = told("show", lake, "datalog")["tables"][0]["share_of_bytes_in_size"]
        again = told("optimize", f"{lake}/datalog", "--dry-run")["files_removed"]
        problems = [f"only {share:.1%} of the bytes are in files of the right size"] if share < ENOUGH else []
        problems += [f"a second run would take {again} files"] if again else []
        return replace(found, problems=[*found.problems, *problems])

    return with_sizes
