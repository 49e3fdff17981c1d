"""A case for every reader: files drawn by chance, the dataset that reads them, and its rules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from siltstone import sources
from siltstone.formats import csv
from siltstone.formats.avro import lanes as avro_lanes
from siltstone.formats.documents import Document, Item, ParseRules
from siltstone.formats.ndjson import members
from siltstone.formats.ndjson.careful import parse_careful
from siltstone.formats.ndjson.members_fast import MEMBERS, Block
from siltstone.mapping import snapshots
from siltstone.mapping.dataset import Dataset
from siltstone.mapping.rules import Rules
from siltstone.model.contracts import Column
from siltstone.model.schema import Schema
from siltstone.sources import datalog as datalogs
from siltstone.sources import records
from support.fuzzing import parquet_files
from support.fuzzing.avro_files import avro_file
from support.fuzzing.damages import damaged, several, wrapped
from support.fuzzing.texts import T0, csv_lines, json_lines, value
from support.haltian import at, path_of, table_of

NEW_TABLE = Schema(())
UPLOADED_US = 1_767_225_600_000_000  # 2026-01-01
_STREAM = "a0dd74ce-05ee-5fee-8335-2d9856bd52be"


@dataclass(frozen=True)
class Case:
    """Files, by what they are read, and what the table knows before."""

    dataset: Dataset
    items: Sequence[Item]
    rules: Rules
    schema: Schema = NEW_TABLE


def _case(dataset: Dataset, files: Sequence[tuple[str, bytes]], rules: Rules, schema: Schema = NEW_TABLE) -> Case:
    items = [Item(number, path, UPLOADED_US, data) for number, (path, data) in enumerate(files)]
    return Case(dataset, items, rules, schema)


def _text_file(chance: Random, text: bytes) -> bytes:
    return wrapped(chance, damaged(chance, text) if chance.random() < 0.5 else text)


def _datalog(chance: Random) -> Case:
    numbers = several(chance)
    known = [("unitno", "string"), ("deviceid", "string"), ("heartbeat", "bigint")]
    if chance.random() < 0.5:
        known += [("gpsspeed", "double"), ("VehicleSpeed", "double"), ("nest", "json")]
        known += [("gpsnumsat", chance.choice(("double", "bigint", "string"))), ("flag", "boolean")]
    members_ = [("heartbeat", str(T0)), ("unitno", '"LD783"'), ("gpsspeed", "0.5")]
    files = [
        (f"BRCB/S{number}/2025121002/2025121002.txt.gz", _text_file(chance, json_lines(chance, members_)))
        for number in numbers
    ]
    schema = Schema(
        tuple(Column(key, kind, key) for key, kind in known),  # type: ignore[arg-type]
        ("ts", "hiveperiod", "dstrct_code", "source_file", "_rescued"),
    )
    limits = {"max_columns": chance.choice((5000, 8)), "salvage": chance.choice(("truncated", "all"))}
    rules = Rules(hints=datalogs.HINTS, zone="Asia/Makassar", earliest_us=1_420_070_400_000_000, **limits)
    return _case(sources.dataset("datalog", {}), files, rules, schema)


def _block(**options: Any) -> Dataset:
    return sources.dataset("records.fuzz", options)


_NDJSON: list[dict[str, Any]] = [
    {"value": "v", "measurement": "name"},
    {"value": "v", "measurement": "name", "skip_empty": False, "version": "x"},
    {"value": "v", "measurement": "=m", "sentinels": ["-9999", "GPS"], "quality": "flag"},
    {"value": "o.p", "measurement": "name", "device": "unitno"},
    {"wide": ["*"]},
    {"wide": ["o.*", "v"], "skip_empty": False},
    {"wide": ["v", "x"]},
]


def _records_ndjson(chance: Random) -> Case:
    files = []
    for number in several(chance):
        time = chance.choice((str(T0), f"{T0}.5", f"{T0}000", f'"{T0}"', '"2025-12-10T02:00:00Z"', "1e-99999999999999"))
        own = [("t", time), ("name", chance.choice(('"speed"', '"é"'))), ("v", value(chance)), ("o", '{"p":1,"q":"x"}')]
        files.append((f"p/{number}", _text_file(chance, json_lines(chance, own[: chance.choice((3, 4))]))))
    return _case(_block(format="ndjson", time=["t"], **chance.choice(_NDJSON)), files, Rules())


_CSV: list[dict[str, Any]] = [
    {"measurement": "name", "value": "v"},
    {"wide": ["*"]},
    {"wide": ["*"], "skip_empty": False},
    {"wide": ["v", "x"], "delimiter": ";", "decimal": ","},
]
_TIMES = (*[str(T0)] * 8, "2025-12-10T02:00:00Z", "2025-12-10 02:00", "", "x", "1e-1000000000", "+262142-12-31T00:00")


def _records_csv(chance: Random) -> Case:
    options = chance.choice(_CSV)
    files = []
    for number in several(chance):
        header = ["t", "name", "v", "x", chance.choice(("y", "", "v", "*", "^v$"))][: chance.choice((3, 4, 5, 5))]
        text = csv_lines(chance, header, [chance.choice(_TIMES), "speed"], options.get("delimiter", ","))
        files.append((f"p/{number}", _text_file(chance, text)))
    rules = Rules(max_line_bytes=chance.choice((1 << 20, 200)), max_keys=chance.choice((10_000, 6)))
    return _case(_block(format="csv", time=["t"], **options), files, rules)


def _mortar(chance: Random) -> Case:
    files = []
    for number in several(chance):
        time = chance.choice((*["2021-07-08T12:00:00Z"] * 4, "2021-07-08 12:00", "2021-03-14 02:30", "", "x"))
        if chance.random() < 0.5:
            header = ["time", "id", "value", "type", "label", "site", chance.choice(("more", "*", "^.*$"))][
                : chance.choice((6, 6, 7))
            ]
            text = csv_lines(chance, header, [time, "urn:x"])
            files.append((f"site/{number}.csv", _text_file(chance, text)))
        else:
            header = ["datetime", chance.choice((f"label {number}", "*")), "more", "time"][
                : chance.choice((2, 2, 3, 4))
            ]
            files.append((f"site/{_STREAM[:-1]}{number}.csv", _text_file(chance, csv_lines(chance, header, [time]))))
    zone = chance.choice(("UTC", "America/Los_Angeles"))
    return _case(sources.dataset("mortar", {"zone": zone}), files, Rules())


def _avro_files(chance: Random, *, is_aggregate: bool = False) -> list[tuple[str, bytes]]:
    files = []
    for number in several(chance, (1, 1, 2, 4)):
        data = avro_file(chance, is_aggregate=is_aggregate)
        data = damaged(chance, data) if chance.random() < 0.3 else data
        files.append((f"{number}.avro", wrapped(chance, data) if chance.random() < 0.05 else data))
    return files


def _records_avro(chance: Random) -> Case:
    form: dict[str, Any] = chance.choice(
        (
            {"time": ["timeInSeconds"], "wide": ["*"]},
            {"time": ["timeInSeconds"], "wide": ["doubleValue", "integerValue"], "skip_empty": False},
            {"time": ["timeInSeconds"], "value": "doubleValue"},
            {"time": ["zz"], "wide": ["*"]},
        )
    )
    rules = Rules(salvage=chance.choice(("truncated", "all", "none")))
    return _case(_block(format="avro", device="seriesId", **form), _avro_files(chance), rules)


def _sitewise(chance: Random) -> Case:
    name = chance.choice(("sitewise.raw", "sitewise.raw", "sitewise.agg"))
    rules = Rules(salvage=chance.choice(("truncated", "all", "none")))
    return _case(sources.dataset(name, {}), _avro_files(chance, is_aggregate=name == "sitewise.agg"), rules)


def _sitewise_assets(chance: Random) -> Case:
    name, keys = chance.choice(
        (
            ("assets", ("assetId", "assetPropertyId", "timeSeriesId", "assetCreationDate")),
            ("hierarchy", ("sourceAssetId", "targetAssetId", "hierarchyId")),
        )
    )
    files = []
    for number in several(chance):
        own = [(key, str(T0) if key.endswith("Date") else '"x"') for key in keys]
        path = (
            f"asset_metadata/asset_{number}.ndjson"
            if name == "assets"
            else f"asset_hierarchy_metadata/{number}_h.ndjson"
        )
        files.append((path, _text_file(chance, json_lines(chance, own))))
    return _case(sources.dataset(f"sitewise.{name}", {}), files, Rules())


_PARQUET: list[dict[str, Any]] = [
    {"measurement": "name", "value": "v"},
    {"wide": ["*"]},
    {"wide": ["v", "odd", "o.*"], "skip_empty": False},
]


def _records_parquet(chance: Random) -> Case:
    files = []
    for number in several(chance, (1, 1, 1, 2)):
        rows = chance.choice((0, 1, 5, 50))
        columns = {
            "t": pa.array([T0 + n for n in range(rows)], pa.int64()),
            "name": pa.array(["speed"] * rows, pa.string()),
            "v": pa.array([chance.choice((None, 1.5, float("nan"), -0.0)) for _ in range(rows)], pa.float64()),
            "x": pa.array([chance.choice((None, "a", "é", "\0")) for _ in range(rows)], pa.string()),
        }
        files.append((f"{number}.parquet", parquet_files.table(chance, columns)))
    time = chance.choice((["t"], ["t"], ["t"], ["odd"], ["t", "odd"]))
    form = chance.choice(_PARQUET if time == ["t"] else _PARQUET[:2])
    return _case(_block(format="parquet", time=time, **form), files, Rules())


_HOUR = at("2025-11-28T14:00:00")
_DEVICE = {"name": "door", "model": "m", "installationStatus": "new", "createdTs": _HOUR, "wirepasNodeId": 7}


def _haltian(chance: Random) -> Case:
    entity = chance.choice(("measurementOccupancyStatus", "measurementAmbientTemperature", "device"))
    files = []
    for number in several(chance):
        count = chance.choice((0, 1, 5, 50))
        value_name = "status" if "Status" in entity else "ambientTemperature"
        rows: list[Mapping[str, Any]] = [
            {"id": f"d{n}", **_DEVICE}
            if entity == "device"
            else {"deviceId": f"d{n % 3}", "ts": _HOUR + timedelta(minutes=n // 2), value_name: n % 2}
            for n in range(count)
        ]
        table = table_of(entity, rows)
        data = parquet_files.table(chance, dict(zip(table.column_names, table.columns, strict=True)))
        files.append((path_of(entity, _HOUR + timedelta(hours=number)), data))
    name = "haltian.device" if entity == "device" else "haltian.measurements"
    return _case(sources.dataset(name, {}), files, Rules())


READERS: dict[str, Callable[[Random], Case]] = {
    "datalog": _datalog,
    "records of NDJSON": _records_ndjson,
    "records of CSV": _records_csv,
    "records of Avro": _records_avro,
    "records of Parquet": _records_parquet,
    "SiteWise": _sitewise,
    "SiteWise's assets": _sitewise_assets,
    "Haltian": _haltian,
    "Mortar": _mortar,
}


@contextmanager
def only_careful_lanes() -> Iterator[None]:
    """Let every reader read record by record."""

    def parse(documents: Sequence[Document], schema: Schema, rules: ParseRules) -> tuple[list[Any], Schema]:
        parts = []
        for document in documents:
            part, schema = parse_careful(document, schema, rules)
            parts.append(part)
        return parts, schema

    def all_odd(cls: type[Block], text: bytes, rules: ParseRules, objects: Any) -> Block:
        lines = text.count(b"\n")
        return cls(MEMBERS.to_frame(), lines, np.empty(0, np.int64), np.arange(lines))

    with ExitStack() as stack:
        for owner, name, slow in (
            (datalogs, "parse", parse),
            (snapshots, "parse", parse),
            (records, "read_shapes", lambda documents, rules: (None, list(documents))),
            (members.Block, "of", classmethod(all_odd)),
            (csv, "_read_plain", lambda documents: [csv._read_carefully(d) for d in documents]),
            (avro_lanes, "read_fast", lambda documents: (None, list(documents))),
        ):
            stack.enter_context(patch.object(owner, name, slow))
        yield
