"""Writes the inputs of the aggregates: a lake with a table of siltstone's, and the truth of it beside the lake. Runs in
the project's environment, since siltstone's own writer and commits make the table.

python aggregate_tables.py readings FOLDER '{"name": ..., ...}'
"""

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
from aggregate_readings import HOUR_US, Ints, Readings, Spec, made
from aggregate_truth import EIGHTHS, counted, save_sums
from aggregate_wide import SITES, Unit, WideSpec, made_units

from siltstone.config.load import load_config
from siltstone.config.task_settings import group_bytes_of, sizes_of
from siltstone.model.arrow import CODED
from siltstone.model.contracts import DATALOG, READINGS, TIMESTAMP, Contract
from siltstone.model.data_files import NewFile, Partition
from siltstone.model.run_header import RunHeader
from siltstone.model.schema import Schema, base_schema
from siltstone.storage import open_root
from siltstone.table import ledger
from siltstone.table.delta_table import Change, Table
from siltstone.table.ledger import Head
from siltstone.table.open import table_at
from siltstone.table.writer import PartitionWriter, WriterSettings

SITE = "plant"
_DAY_US = 24 * HOUR_US


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=("readings", "wide"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("spec", type=json.loads)
    args = parser.parse_args()
    if args.kind == "readings":
        write_readings(args.folder, Spec(**args.spec))
    else:
        write_wide(args.folder, WideSpec(**args.spec))


def write_readings(folder: Path, spec: Spec) -> None:
    """`folder/input/readings`, and the truth in `folder`."""
    readings = made(spec)
    table = table_of(folder / "input", READINGS)
    commit(table, [output for part in partitions(readings) for output in written(table, *part)])
    _save(folder, readings.series_ids, readings.starts, readings.ts, readings.eighths)


def _save(folder: Path, names: list[str], starts: Ints, ts: Ints, eighths: Ints) -> None:
    """The truth of hours, and that of days."""
    save_sums(folder / "truth.parquet", counted(names, starts, ts, eighths, HOUR_US))
    save_sums(folder / "truth_of_days.parquet", counted(names, starts, ts, eighths, _DAY_US))


def write_wide(folder: Path, spec: WideSpec) -> None:
    """`folder/input/datalog`, and the truth in `folder`: a series for each unit and column."""
    units = made_units(spec)
    table = table_of(folder / "input", DATALOG)
    schema = base_schema(DATALOG).extended([(name, "double") for name in spec.names])
    snapshot = table.snapshot()
    assert snapshot is not None
    table.add_columns([schema.by_name[name] for name in spec.names], snapshot)
    commit(table, [o for part in _wide_partitions(units, spec) for o in written(table, *part, schema=schema)])
    cells = [(unit, column) for unit in units for column in range(spec.columns)]
    ts = [unit.ts[unit.there[:, column]] for unit, column in cells]
    eighths = [unit.eighths[unit.there[:, column], column] for unit, column in cells]
    starts = np.append(0, np.cumsum([len(part) for part in ts]))
    names = [f"{unit.name}/{spec.names[column]}" for unit, column in cells]
    _save(folder, names, starts, np.concatenate(ts), np.concatenate(eighths))


def _wide_partitions(units: list[Unit], spec: WideSpec) -> Iterator[tuple[Partition, pa.Table]]:
    dates = sorted({_date(us) for unit in units for us in (unit.ts[0], unit.ts[-1])})
    for date, site in product(dates, SITES):
        parts = [_wide_rows(unit, spec, date) for unit in units if unit.site == site]
        yield (date, site), pa.concat_tables(parts)


def _wide_rows(unit: Unit, spec: WideSpec, date: str) -> pa.Table:
    own = unit.ts // _DAY_US == int(datetime.fromisoformat(f"{date}T00:00:00+00:00").timestamp()) // 86_400
    ts, there = unit.ts[own], unit.there[own]
    text = {name: pa.repeat(pa.scalar(value, pa.large_string()), len(ts)) for name, value in _texts(unit).items()}
    values = {name: pa.array(unit.eighths[own, n] / EIGHTHS, mask=~there[:, n]) for n, name in enumerate(spec.names)}
    times = {"ts": pa.array(ts).cast(TIMESTAMP), "heartbeat": pa.array(ts // 1_000_000)}
    return pa.table({**times, **text, **values})


def _texts(unit: Unit) -> dict[str, str]:
    return {"unitno": unit.name, "deviceid": f"box-{unit.name}", "source_file": "made"}


def table_of(lake: Path, contract: Contract) -> Table:
    """The lake's table of a contract, created if it is not there; its name is the contract's."""
    lake.mkdir(parents=True, exist_ok=True)
    table = table_at(open_root(str(lake), load_config().storage).child(contract.table), contract)
    if table.snapshot() is None:
        table.create()
    return table


def partitions(readings: Readings) -> Iterator[tuple[Partition, pa.Table]]:
    """Rows in order of series and time, by the date of their day or month."""
    series = np.repeat(np.arange(readings.spec.series, dtype=np.int32), readings.spec.readings)
    if readings.spec.grain == "month":
        yield (f"{_date(readings.ts[0])[:7]}-01", SITE), rows_of(readings, series, slice(None))
        return
    day = (readings.ts // _DAY_US).astype(np.int32)
    order = np.argsort(day, kind="stable")
    edges = np.flatnonzero(np.diff(day[order])) + 1
    for places in np.split(order, edges):
        yield (_date(readings.ts[places[0]]), SITE), rows_of(readings, series, places)


def _date(us: int) -> str:
    return datetime.fromtimestamp(int(us) / 1e6, UTC).date().isoformat()


def rows_of(readings: Readings, series: np.ndarray, places: Ints | slice) -> pa.Table:
    """The rows at some places, as a data file of readings has them; `series`: of each place its number."""
    of, about = series[places], readings.about
    devices, measurements = sorted({d for d, _ in about}), sorted({m for _, m in about})
    number_of_device = np.searchsorted(devices, [d for d, _ in about]).astype(np.int32)
    number_of_measurement = np.searchsorted(measurements, [m for _, m in about]).astype(np.int32)
    rows = len(of)
    columns = {
        "ts": pa.array(readings.ts[places]).cast(TIMESTAMP),
        "series_id": _coded(of, readings.series_ids),
        "source": _same(rows, "plant"),
        "source_file": _same(rows, "made"),
        "_rescued": pa.nulls(rows, CODED),
        "device_id": _coded(number_of_device[of], devices),
        "measurement": _coded(number_of_measurement[of], measurements),
        "ts_nanos": pa.array(np.zeros(rows, np.int32)),
        "value": pa.array(readings.eighths[places] / EIGHTHS),
        "kind": _same(rows, "double"),
        "quality": _same(rows, "good"),
    }
    return pa.table(columns)


def _coded(codes: np.ndarray, texts: list[str]) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(texts, pa.large_string()))


def _same(rows: int, text: str) -> pa.DictionaryArray:
    return _coded(np.zeros(rows, np.int32), [text])


def written(table: Table, partition: Partition, rows: pa.Table, schema: Schema | None = None) -> list[NewFile]:
    """The data files of a partition, of the sizes that siltstone gives them by default."""
    config, known = load_config(), schema or base_schema(table.contract)
    writing = WriterSettings(table.storage, sizes_of(config), group_bytes_of(config))
    writer = PartitionWriter(writing, table.contract, partition, schema=lambda: known)
    writer.write(rows, breaks=False)
    writer.close()
    return writer.outputs


def commit(table: Table, outputs: list[NewFile]) -> None:
    """Add data files, with a manifest, as a run of compact does."""
    snapshot = table.snapshot()
    assert snapshot is not None
    head, before = Head.after(snapshot.head), ledger.load(table.storage, snapshot.head)
    header = {"kind": "compact", "source": "made", "outputs": [o.as_dict() for o in outputs], "removed": []}
    ledger.write_manifest(table.storage, head, before, RunHeader.from_dict(header), [], dataset="made")
    table.commit(Change(head, outputs, {"run": head.name}), snapshot)


if __name__ == "__main__":
    main()
