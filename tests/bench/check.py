"""Compares a result with the truth; prints one JSON object. Runs in the project's environment, in its own process.

Reads each Parquet file on its own, so that files of different columns or types are counted as they are.
"""

import argparse
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import polars as pl
from deltalake import DeltaTable
from truth import Field, Truth, add, fields_of, load_truth, rows_by_partition, rows_of

_REFUSED_BY_DELTA = re.compile(r"[ ,;{}()\n\t=]")
_PARTITION = re.compile(r"hiveperiod=([^/]+)/dstrct_code=([^/]+)/")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("truth", type=Path, nargs="+")
    args = parser.parse_args()
    truth: Truth = {}
    for path in args.truth:
        add(truth, load_truth(path))
    files = live_files(args.out)
    result = {"files": len(files), "bytes": sum(f.stat().st_size for f in files)}
    print(json.dumps(result | {"problems": problems(files, truth)}))


def live_files(out: Path) -> list[Path]:
    """The files of a Delta table's newest version, else all Parquet files below the folder."""
    if (out / "_delta_log").exists():
        return [Path(unquote(uri.removeprefix("file://"))) for uri in DeltaTable(str(out)).file_uris()]
    return sorted(out.rglob("*.parquet"))


def problems(files: list[Path], truth: Truth) -> list[str]:
    """One sentence for each number that is not the truth's: rows, rows by partition, values and sums by field."""
    rows: Counter[tuple[str, str]] = Counter()
    counts: Counter[str] = Counter()
    sums: dict[str, float] = {}
    for path in files:
        found, date_and_site = pl.read_parquet(path, hive_partitioning=False), _PARTITION.search(path.as_posix())
        rows[date_and_site.groups() if date_and_site else ("", "")] += found.height
        for column in found:
            counts[column.name] += column.len() - column.null_count()
            sums[column.name] = sums.get(column.name, 0.0) + _sum(column)
    found_wrong = []
    if rows.total() != rows_of(truth):
        found_wrong.append(f"{rows.total():,} rows instead of {rows_of(truth):,}")
    for partition, expected in rows_by_partition(truth).items():
        if rows[partition] != expected:
            found_wrong.append(f"{'/'.join(partition)}: {rows[partition]:,} rows instead of {expected:,}")
    names = {_REFUSED_BY_DELTA.sub("_", name): name for name in counts}
    for key, field in fields_of(truth).items():
        name = names.get(_REFUSED_BY_DELTA.sub("_", key), key)
        found_wrong += _field_problems(key, field, counts[name], sums.get(name, 0.0))
    return found_wrong


def _field_problems(key: str, field: Field, count: int, total: float) -> list[str]:
    if count != field.count:
        return [f"{key}: {count:,} values instead of {field.count:,}"]
    if field.sum is None or math.isclose(total, field.sum / 10**field.decimals, rel_tol=1e-9, abs_tol=1e-6):
        return []
    return [f"{key}: sum {total:.6f} instead of {field.sum / 10**field.decimals:.6f}"]


def _sum(column: pl.Series) -> Any:
    """The sum of a column's numbers, 0 if it holds none."""
    if column.dtype.is_float():
        return float(column.sum() or 0.0)
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return int(column.sum() or 0)
    return 0


if __name__ == "__main__":
    main()
