"""The rig's fleet is the same everywhere, and its check sees what is lost. Nothing here is timed."""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parent / "bench"))

from check import problems
from fleet import Fleet, write_fleet
from telemetry import MIDNIGHT, Device, columns
from truth import Field, count_tree, fields_of, load_truth, rows_by_partition, save_truth

SMALL = Fleet(devices=6, hours=2, start=MIDNIGHT - 3_600, rows=20)


def test_a_device_has_179_fields_and_drifts_by_rule() -> None:
    def width(number: int, start: int) -> int:
        return len(columns(Device(number), start, rows=1))

    assert width(0, MIDNIGHT) == 179  # 11 known by name + 14 x 6 sensors + 24 counters + 24 codes + 28 flags + 8 texts
    assert width(3, MIDNIGHT) == 179 - 6  # old firmware: no tyre 6
    assert width(5, MIDNIGHT - 3_600) == 179 + 3  # a prototype
    assert width(5, MIDNIGHT) == 179 + 3 + 1  # and, from midnight on, the new firmware
    assert len(columns(Device(5), MIDNIGHT, rows=1, narrow=True)) == 24


def test_values_are_those_of_integer_arithmetic() -> None:
    found = columns(Device(1), MIDNIGHT, rows=3)
    assert found["heartbeat"].tokens() == ["1765382400", "1765382401", "1765382402"]
    assert found["deviceid"].tokens() == ['"SLS30I001"'] * 3
    # 1,765,382,400 + 97 is 997 s into a round of 1,500 s, of which the truck stands the first 600: it drives.
    # 1,765,382,400 mod 25,000 = 7,400: -2.18 - 7e-6 x 7,400 = -2.2318 and 115.43 + 11e-6 x 7,400 = 115.5114
    assert found["gpslat"].tokens() == ["-2.2318", "-2.231807", "-2.231814"]
    assert found["gpslong"].tokens() == ["115.5114", "115.511411", "115.511422"]
    seconds = [int(token) for token in found["engine_seconds"].tokens()]
    assert [s - seconds[0] for s in seconds] == [0, 1, 2]
    assert found["fuel_density"].count_and_sum()[0] == 3


def test_the_same_fleet_has_the_same_bytes_everywhere(tmp_path: Path) -> None:
    write_fleet(tmp_path / "a", SMALL, processes=1)
    files = sorted((tmp_path / "a").rglob("*.gz"))
    assert len(files) == 12
    assert files[0].relative_to(tmp_path / "a").as_posix() == "BRCB/SLS30I000/2025121015/2025121015.txt.gz"
    text = b"".join(gzip.decompress(path.read_bytes()) for path in files)
    assert hashlib.sha256(text).hexdigest()[:16] == "a10fdd7426712395"


def test_the_truth_is_what_the_files_hold(tmp_path: Path) -> None:
    truth = write_fleet(tmp_path / "a", SMALL, processes=1)
    assert rows_by_partition(truth) == {
        ("2025-12-10", "BRCB"): 80,  # devices 0 2 4 5, 20 rows each
        ("2025-12-10", "BRCG"): 40,  # devices 1 3
        ("2025-12-11", "BRCB"): 80,
        ("2025-12-11", "BRCG"): 40,
    }
    fields, counted = fields_of(truth), fields_of(count_tree(tmp_path / "a"))
    assert fields["fuel_density"].count == 40  # devices 1 and 5, in the second hour
    assert fields["tyre_6_load"].count <= 200  # not of device 3
    assert {name: (f.count, f.sum and f.scaled(9)) for name, f in fields.items()} == {
        name: (f.count, f.sum and f.scaled(9)) for name, f in counted.items()
    }
    save_truth(tmp_path / "truth.json", truth)
    assert load_truth(tmp_path / "truth.json") == truth


def test_records_are_counted_exactly(tmp_path: Path) -> None:
    folder = tmp_path / "S" / "D" / "2025121016"
    folder.mkdir(parents=True)
    records = [{"heartbeat": MIDNIGHT, "unitno": "U", "v": 0.1}, {"heartbeat": MIDNIGHT, "unitno": "U", "v": None}]
    records.append({"heartbeat": MIDNIGHT - 1, "unitno": "U", "v": 25, "on": True})
    (folder / "2025121016.txt.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    truth = count_tree(tmp_path)
    assert truth["S", "U", "2025-12-11"]["v"] == Field("double", 1, 1, 1)
    assert truth["S", "U", "2025-12-10"]["v"] == Field("bigint", 0, 1, 25)
    assert fields_of(truth)["v"] == Field("double", 1, 2, 251)  # 0.1 + 25 in tenths
    assert fields_of(truth)["on"] == Field("boolean", 0, 1, 1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.5, None, 2.0], []),
        ([1.5, None, None], ["v a: 1 values instead of 2"]),
        ([1.5, None, 2.5], ["v a: sum 4.000000 instead of 3.500000"]),
        ([1.5, 2.0], ["2 rows instead of 3", "2025-12-11/S: 2 rows instead of 3", "heartbeat: 2 values instead of 3"]),
    ],
)
def test_the_check_names_what_is_wrong(tmp_path: Path, values: list[float | None], expected: list[str]) -> None:
    beats = {"heartbeat": Field("bigint", 0, 3, 3 * MIDNIGHT), "v a": Field("double", 1, 2, 35)}
    folder = tmp_path / "hiveperiod=2025-12-11" / "dstrct_code=S"
    folder.mkdir(parents=True)
    rows = pl.DataFrame({"heartbeat": [float(MIDNIGHT)] * len(values), "v_a": values})
    rows.write_parquet(folder / "part.parquet")
    assert problems([folder / "part.parquet"], {("S", "U", "2025-12-11"): beats}) == expected
