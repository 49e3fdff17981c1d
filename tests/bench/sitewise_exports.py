"""A plant's cold tier as AWS IoT SiteWise exports it every six hours: one Avro file per series, window and quality.

1,200 series x 8 windows of 100 points, and 400 files of corrections: each repeats 50 points of one window and 50 of the
next with another record version, as a rule a higher one. Real layout and schema; made values, the same everywhere.
"""

import io
import json
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha1
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pyarrow as pa
from readings_truth import Reading, ReadingsTruth, counted, series_of

START = 1_764_547_200
"""2025-12-01 00:00 UTC."""
WINDOW_S = 6 * 3_600
SCHEMA = Path(__file__).parents[1] / "samples" / "sitewise" / "avro_schema.json"

_SYNC = b"siltstone's rig."
_STATES = ("RUNNING", "IDLE", "STOPPED", "FAULT: over-temperature")
_QUALITY = {"GOOD": "good", "UNCERTAIN": "uncertain", "BAD": "bad"}

Point = dict[str, Any]


@dataclass(frozen=True)
class Exports:
    """How much there is: `windows` of six hours, `points` in each; one correction for each of the first series."""

    series: int = 1_200
    windows: int = 8
    points: int = 100
    corrections: int = 400

    @property
    def files(self) -> int:
        return self.series * self.windows + self.corrections

    @property
    def records(self) -> int:
        return self.files * self.points


def write_exports(root: Path, exports: Exports) -> ReadingsTruth:
    """Write `raw/startYear=/startMonth=/startDay=/seriesBucket=/raw_{id}_{start}_{quality}.avro` below `root`.

    A start is exclusive: the last point of a window is at the next one's start.
    """
    random = np.random.default_rng(20251201)
    schema = fastavro.parse_schema(json.loads(SCHEMA.read_text()))
    found, kept = [], []
    for number in range(exports.series):
        name, points = series_id(random, number), list(_points(random, number, exports))
        size = exports.points
        for window in range(exports.windows):
            _write(root, name, window, schema, points[window * size : (window + 1) * size])
        newest = {(p["timeInSeconds"], p["offsetInNanos"]): p for p in points}
        if number < exports.corrections:
            window = int(random.integers(exports.windows - 1))
            corrected = list(_corrections(number, points[window * size : (window + 2) * size : 2]))
            _write(root, name, window, schema, corrected)
            for point in corrected:
                key = point["timeInSeconds"], point["offsetInNanos"]
                newest[key] = max(newest[key], point, key=lambda p: p["recordVersion"] or 0)
        found.append(series_of(_reading(point) for point in newest.values()))
        kept += newest.values()
    qualities = counted(_QUALITY[point["quality"]] for point in kept)
    return ReadingsTruth(found, {"quality": qualities, "kind": counted(k for p in kept if (k := _kind(p)))})


def series_id(random: np.random.Generator, number: int) -> str:
    """Asset and property joined by `_`; every sixth series is a data stream without an asset."""
    ids = [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(2)]
    return ids[0] if number % 6 == 5 else "_".join(ids)


def folder(name: str, start: int) -> str:
    day = datetime.fromtimestamp(start, UTC)
    bucket = sha1(name.encode()).hexdigest()[-2:]
    return f"raw/startYear={day.year}/startMonth={day.month}/startDay={day.day}/seriesBucket={bucket}"


def _points(random: np.random.Generator, number: int, exports: Exports) -> Iterator[Point]:
    """The points of one series in order of time. Of twenty series one has texts, one booleans, two integers; every
    fourth gives its times to the nanosecond, but for those at a window's end, and every fourth has versions at once."""
    count, step = exports.windows * exports.points, WINDOW_S // exports.points
    walk = 5_000 + np.cumsum(random.integers(-40, 41, count))
    nanos = random.integers(0, 10**9, count) if number % 4 == 1 else np.zeros(count, np.int64)
    nanos[exports.points - 1 :: exports.points] = 0
    for place, (at, nano) in enumerate(zip(walk.tolist(), nanos.tolist(), strict=True), 1):
        time = {"timeInSeconds": START + place * step, "offsetInNanos": nano}
        version = 5 if number % 4 == 0 else None
        yield time | {"quality": "GOOD", "recordVersion": version} | _value(number, at)


def _value(number: int, at: int) -> Point:
    if number % 20 == 0:
        return {"stringValue": _STATES[at % len(_STATES)]}
    if number % 20 == 1:
        return {"booleanValue": at % 2 == 0}
    if number % 20 in (2, 3):
        return {"integerValue": at}
    return {"doubleValue": at / 100}


def _corrections(number: int, points: list[Point]) -> Iterator[Point]:
    """Later words on some points: version 3 is older than the 5 of every fourth series, 7 is newer. One file of eight
    says that the values were bad and gives none."""
    quality = "BAD" if number % 8 == 6 else "UNCERTAIN"
    keys = ("timeInSeconds", "offsetInNanos")
    for place, point in enumerate(points):
        value = {} if quality == "BAD" else _value(number, 9_000 + place)
        version = 3 if number % 8 == 0 else 7
        yield {key: point[key] for key in keys} | {"quality": quality, "recordVersion": version} | value


def _write(root: Path, name: str, window: int, schema: Any, points: list[Point]) -> None:
    start = START + window * WINDOW_S
    path = root / folder(name, start) / f"raw_{name}_{start}_{points[0]['quality']}.avro"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(avro_file(schema, [{"seriesId": name} | point for point in points]))


def avro_file(schema: Any, records: list[Point]) -> bytes:
    """An Avro file of one snappy block. pyarrow compresses it: fastavro's own way needs a package more."""
    block = io.BytesIO()
    for record in records:
        fastavro.schemaless_writer(block, schema, record)
    data = pa.Codec("snappy").compress(block.getvalue(), asbytes=True) + struct.pack(">I", zlib.crc32(block.getvalue()))
    meta = {"avro.schema": _schema_text(), "avro.codec": b"snappy"}
    entries = b"".join(_bytes(key.encode()) + _bytes(value) for key, value in meta.items())
    header = b"Obj\x01" + _long(len(meta)) + entries + _long(0) + _SYNC
    return header + _long(len(records)) + _long(len(data)) + data + _SYNC


@cache
def _schema_text() -> bytes:
    return json.dumps(json.loads(SCHEMA.read_text()), separators=(",", ":")).encode()


def _bytes(data: bytes) -> bytes:
    return _long(len(data)) + data


def _long(number: int) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    return out.getvalue()


def _kind(point: Point) -> str | None:
    kinds = ("doubleValue", "integerValue", "booleanValue", "stringValue")
    return next((kind.removesuffix("Value") for kind in kinds if kind in point), None)


def _reading(point: Point) -> Reading:
    us, nanos = divmod(point["timeInSeconds"] * 10**9 + point["offsetInNanos"], 1_000)
    numbers = [point[key] for key in ("doubleValue", "integerValue", "booleanValue") if key in point]
    value = float(numbers[0]) if numbers else None
    return Reading(us, nanos, value, point.get("stringValue"), point["recordVersion"])
