"""Adds readings that come late to a lake of `aggregate_tables`: forty in an hour of ten series; and writes the truth of
all into it. Runs in the project's environment.

python aggregate_late.py LAKE '{"name": ..., ...}'
"""

import argparse
import json
from pathlib import Path

import numpy as np
from aggregate_readings import HOUR_US, Readings, Spec, made
from aggregate_tables import SITE, commit, rows_of, table_of, written
from aggregate_truth import START_US, counted, save_sums

from siltstone.model.contracts import READINGS

SERIES, EACH, DATE = 10, 40, "2025-11-15"
_FROM_US = START_US + (14 * 24 + 9) * HOUR_US


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("lake", type=Path)
    parser.add_argument("spec", type=lambda text: Spec(**json.loads(text)))
    args = parser.parse_args()
    add_late(args.lake, args.spec)


def add_late(lake: Path, spec: Spec) -> None:
    """Late readings are half a millisecond off the others, so that none is a correction."""
    late_of = np.repeat(np.unique(np.linspace(0, spec.series - 1, SERIES).astype(np.int32)), EACH)
    late_ts = _FROM_US + np.arange(len(late_of)) % EACH * (HOUR_US // EACH) + 500
    late_eighths = np.arange(len(late_of)) % 37 * 8
    late = Readings(spec, late_ts, late_eighths)
    table = table_of(lake, READINGS)
    commit(table, written(table, (DATE, SITE), rows_of(late, late_of, slice(None))))
    old = made(spec)
    series = np.concatenate([np.repeat(np.arange(spec.series, dtype=np.int32), spec.readings), late_of])
    ts, eighths = np.concatenate([old.ts, late_ts]), np.concatenate([old.eighths, late_eighths])
    order = np.lexsort((ts, series))
    starts = np.searchsorted(series[order], np.arange(spec.series + 1))
    save_sums(lake / "truth.parquet", counted(old.series_ids, starts, ts[order], eighths[order], HOUR_US))


if __name__ == "__main__":
    main()
