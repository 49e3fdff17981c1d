"""A fleet's folder: one gzipped NDJSON file per device and hour, and the numbers that a right result must have."""

import gzip
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from telemetry import MIDNIGHT, Column, Device, columns
from truth import Field, Truth, add, local_date

ROWS = 3_600


@dataclass(frozen=True)
class Fleet:
    """How large a fleet's folder is: devices x hours files of 3,600 rows, from the epoch second `start` on."""

    devices: int
    hours: int
    start: int
    narrow: bool = False
    rows: int = ROWS

    @property
    def name(self) -> str:
        kind = "narrow" if self.narrow else "fleet"
        return f"{kind}-{self.devices}x{self.hours}-{self.start}"

    @property
    def files(self) -> int:
        return self.devices * self.hours


def around_midnight(devices: int, hours: int) -> Fleet:
    """A fleet whose hours lie around local midnight, so that its rows belong to two dates at two sites."""
    return Fleet(devices, hours, MIDNIGHT - hours // 2 * 3_600)


def write_fleet(root: Path, fleet: Fleet, *, processes: int = 2) -> Truth:
    """Write `{site}/{device}/{YYYYMMDDHH}/{YYYYMMDDHH}.txt.gz` below `root`; the same bytes for the same fleet and
    zlib. Returns the truth, counted from the values before they became text."""
    truth: Truth = {}
    write = partial(_write_device, root, fleet)
    if processes == 1:
        for number in range(fleet.devices):
            add(truth, write(number))
        return truth
    with ProcessPoolExecutor(processes) as pool:
        for part in pool.map(write, range(fleet.devices)):
            add(truth, part)
    return truth


def _write_device(root: Path, fleet: Fleet, number: int) -> Truth:
    device, truth = Device(number), {}
    for hour in range(fleet.hours):
        start = fleet.start + hour * 3_600
        found = columns(device, start, fleet.rows, narrow=fleet.narrow)
        stamp = datetime.fromtimestamp(start, UTC).strftime("%Y%m%d%H")
        folder = root / device.site / device.id / stamp
        folder.mkdir(parents=True)
        text = "\n".join(lines(found)) + "\n"
        (folder / f"{stamp}.txt.gz").write_bytes(gzip.compress(text.encode(), 6, mtime=0))
        add(truth, {(device.site, device.unit, local_date(start)): _fields(found)})
    return truth


def lines(found: dict[str, Column]) -> Iterator[str]:
    """One JSON object per record."""
    template = "{" + ",".join(f'"{name}":%s' for name in found) + "}"
    for row in zip(*(column.tokens() for column in found.values()), strict=True):
        yield template % row


def _fields(found: dict[str, Column]) -> dict[str, Field]:
    return {name: Field(column.kind, column.decimals, *column.count_and_sum()) for name, column in found.items()}
