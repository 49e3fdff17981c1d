"""A real car's OpenXC trace as datalogs: each message is a record with one field named after its signal."""

import gzip
import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "samples" / "openxc" / "austator-driving.json"


def write_trace(out: Path, *, sample: Path = SAMPLE, site: str = "OXC", unit: str = "AUSTATOR") -> int:
    """Write `{site}/{unit}/{YYYYMMDDHH}/{YYYYMMDDHH}.txt.gz` in UTC hours and return the number of files."""
    by_hour: defaultdict[str, list[str]] = defaultdict(list)
    for line in sample.read_text().splitlines():
        if line.strip():
            message = json.loads(line)
            micros = round(message["timestamp"] * 1_000_000)
            record = {"heartbeat": micros, "unitno": unit, "deviceid": unit, message["name"]: message["value"]}
            if "event" in message:
                record["event"] = message["event"]
            hour = datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y%m%d%H")
            by_hour[hour].append(json.dumps(record, separators=(",", ":")))
    for hour, lines in by_hour.items():
        folder = out / site / unit / hour
        folder.mkdir(parents=True)
        (folder / f"{hour}.txt.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode(), 6, mtime=0))
    return len(by_hour)
