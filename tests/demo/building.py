"""A real building as a tree of 19,536 tiny datalogs: one gzipped NDJSON file per device and hour.

Each CSV of the zip is one sensor, labelled `DEVICE.FIELD`. The sensors of a device become the fields of its records,
one record per instant; the devices are split over two sites by a hash of their name.
"""

import csv
import gzip
import hashlib
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "samples" / "mortar" / "bldg1.zip"

Records = dict[int, dict[str, float]]


def write_building(out: Path, *, sample: Path = SAMPLE, hours: int | None = None) -> int:
    """Write the tree `{SITA|SITB}/{device}/{YYYYMMDDHH}/{YYYYMMDDHH}.txt.gz` and return its number of files."""
    devices = _devices(sample)
    first = min(min(records) for records in devices.values()) // 3600
    count = 0
    for device, records in devices.items():
        site = "SITB" if hashlib.sha256(device.encode()).digest()[-1] & 1 else "SITA"
        for hour, text in _files(device, records):
            if hours is None or hour < first + hours:
                stamp = datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y%m%d%H")
                folder = out / site / device / stamp
                folder.mkdir(parents=True)
                (folder / f"{stamp}.txt.gz").write_bytes(gzip.compress(text, 6, mtime=0))
                count += 1
    return count


def _devices(sample: Path) -> dict[str, Records]:
    devices: defaultdict[str, Records] = defaultdict(lambda: defaultdict(dict))
    with zipfile.ZipFile(sample) as archive:
        for name in archive.namelist():
            if name.endswith(".csv"):
                for row in csv.DictReader(io.TextIOWrapper(archive.open(name), "utf-8")):
                    device, _, sensor = row["label"].rpartition(".")
                    instant = int(datetime.fromisoformat(row["time"]).timestamp())
                    devices[device][instant][sensor] = float(row["value"])
    return devices


def _files(device: str, records: Records) -> Iterator[tuple[int, bytes]]:
    by_hour: defaultdict[int, list[str]] = defaultdict(list)
    for instant in sorted(records):
        record = {"heartbeat": instant, "unitno": device, "deviceid": device, **dict(sorted(records[instant].items()))}
        by_hour[instant // 3600].append(json.dumps(record, ensure_ascii=False, separators=(",", ":")))
    for hour, lines in by_hour.items():
        yield hour, ("\n".join(lines) + "\n").encode()
