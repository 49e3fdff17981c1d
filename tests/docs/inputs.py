"""What a page finds in its folder: INPUT, a little of its source's real samples, and where it says so a LAKE."""

import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.docs.pages import ROOT

from support.fleet import NOON, gz, ndjson, record
from support.haltian import at, file_of, path_of
from support.old_lakes import OldLake

SAMPLES = ROOT / "tests/samples"
_ASSET, _HIERARCHY = "e9687d2a-0dbe-4f65-9ed6-6f443cba41f7", "bbed9f59-0412-4585-a61d-6044db526aee"


def datalogs(folder: Path) -> None:
    """A truck's hours of 2025-12-10 at 12 and 13 o'clock local time, a record a second for a minute."""
    for hour in (4, 5):
        start = NOON + (hour - 4) * 3600
        rows = [record(start + s, gpsspeed=float(s % 40), VehicleSpeed=float(s % 40)) for s in range(60)]
        file = folder / f"BRCB/SLS30I623/202512100{hour}/202512100{hour}.txt.gz"
        file.parent.mkdir(parents=True)
        file.write_bytes(gz(ndjson(rows)))


def building(folder: Path) -> None:
    """The sensors of one room of the sample building, a CSV each."""
    with zipfile.ZipFile(SAMPLES / "mortar/bldg1.zip") as archive:
        for name in archive.namelist():
            if name.endswith(".csv") and b"RM337B_LAB" in (text := archive.read(name)):
                file = folder / "bldg1" / name.rpartition("/")[2]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text)


def streams(folder: Path) -> None:
    """Two streams of Mortar, as CSVs named by UUID."""
    shutil.copytree(SAMPLES / "mortar-parquet-support", folder, ignore=lambda _, names: _but(names, ".csv"))


def cold_tier(folder: Path) -> None:
    """SiteWise: a series of five rows, assets and their hierarchy, as AWS documents them."""
    shutil.copytree(SAMPLES / "sitewise/encoded-by-us", folder)
    for examples, name in (
        ("docs_asset_metadata", f"asset_metadata/asset_{_ASSET}"),
        ("docs_asset_hierarchy", f"asset_hierarchy_metadata/{_ASSET}_{_HIERARCHY}"),
    ):
        (folder / name).parent.mkdir()
        shutil.copy(SAMPLES / f"sitewise/{examples}_examples.ndjson", folder / f"{name}.ndjson")


def offices(folder: Path) -> None:
    """Haltian: two hours of a room's temperature, its device and its space."""
    first, second = at("2026-01-28 14:00"), at("2026-01-28 15:00")
    ids = {"organizationId": "o1", "createdTs": first}
    device = {"id": "d1", "name": "Sensor 1", "model": "TSAR", "installationStatus": "INSTALLED", **ids}
    space = {"id": "s1", "name": "Room 1", "type": "room", **ids}
    event = {"deviceId": "d1", "organizationId": "o1"}
    files = [
        (first, "measurementAmbientTemperature", [{**event, "ts": first, "ambientTemperature": 21.5}]),
        (second, "measurementAmbientTemperature", [{**event, "ts": second, "ambientTemperature": 22.0}]),
        (first, "device", [device]),
        (first, "space", [space]),
    ]
    for hour, entity, rows in files:
        file = folder / path_of(entity, hour)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(file_of(entity, rows))


def car(folder: Path) -> None:
    """A car's trace of 250 messages."""
    folder.mkdir()
    shutil.copy(SAMPLES / "openxc/openxc-python-trace.json", folder)


def air(folder: Path) -> None:
    """A year of air quality in one CSV."""
    folder.mkdir()
    shutil.copy(SAMPLES / "air-quality-uci/AirQualityUCI.csv", folder)


def old_lake(folder: Path) -> None:
    """A lake of 555e899 with a table of each kind."""
    shutil.copytree(OldLake.below(folder.parent).root / "lake", folder)


def _but(names: list[str], ending: str) -> set[str]:
    return {name for name in names if not name.endswith(ending)}


OF_PAGE: Mapping[str, Mapping[str, Callable[[Path], None]]] = {
    "README.md": {"INPUT": datalogs, "BUILDING": building},
    "docs/sources/datalog.md": {"INPUT": datalogs},
    "docs/sources/sitewise.md": {"INPUT": cold_tier},
    "docs/sources/haltian.md": {"INPUT": offices},
    "docs/sources/mortar.md": {"INPUT": streams},
    "docs/sources/records.md": {"INPUT": car, "AIR": air},
    "docs/aggregates.md": {"INPUT": building, "FLEET": datalogs},
    "docs/python.md": {"INPUT": datalogs, "BUILDING": building},
    "docs/running.md": {"INPUT": datalogs},
    "docs/operations.md": {"INPUT": datalogs},
    "docs/guarantees.md": {"INPUT": datalogs},
    "docs/upgrading.md": {"LAKE": old_lake},
}
"""By page: the folders that it finds, and what is in them."""
