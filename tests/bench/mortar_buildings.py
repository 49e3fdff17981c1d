"""Buildings of Mortar's: the 1,284 CSVs of the real building of tests/samples/mortar, and copies of it under names of
their own. Values and times are the real ones in all of them."""

import csv
import zipfile
from datetime import datetime
from pathlib import Path

from readings_truth import Reading, ReadingsTruth, series_of

ARCHIVE = Path(__file__).parents[1] / "samples" / "mortar" / "bldg1.zip"
BUILDINGS = 10


def write_buildings(root: Path, *, buildings: int = BUILDINGS, sensors: int | None = None) -> ReadingsTruth:
    """Write `bldg{n}/*.csv` below `root`: in the n-th, `BLDG1` and `bldg1` read `BLDGn` and `bldgn` in id, label, site
    and the file's name. `sensors` takes the first ones only."""
    series, sites = [], dict.fromkeys((f"bldg{number}" for number in range(1, buildings + 1)), 0)
    with zipfile.ZipFile(ARCHIVE) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".csv"))[:sensors]
        for name in names:
            text = archive.read(name).decode()
            one = series_of(_readings(text))
            for number, site in enumerate(sites, 1):
                path = root / _renamed(name, number)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(_renamed(text, number).encode())
                series.append(one)
                sites[site] += one.rows
    return ReadingsTruth(series, {"site": sites})


def _renamed(text: str, number: int) -> str:
    return (
        text.replace("BLDG1.", f"BLDG{number}.").replace("BLDG1#", f"BLDG{number}#").replace("bldg1", f"bldg{number}")
    )


def _readings(text: str) -> list[Reading]:
    rows = csv.DictReader(text.splitlines())
    return [
        Reading(int(datetime.fromisoformat(row["time"]).timestamp()) * 10**6, value=float(row["value"])) for row in rows
    ]
