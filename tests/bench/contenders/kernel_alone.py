"""siltstone's kernel on arrays in memory, one core: points to hourly states. Prints how many states it found and their
sums, and what plain sums of the arrays say."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from aggregate_readings import Spec, made
from aggregate_truth import EIGHTHS

from siltstone.timeseries import kernel
from siltstone.timeseries.buckets import buckets_of
from siltstone.timeseries.interpretation import Interpretation
from siltstone.timeseries.points import GOOD, Points


def main() -> None:
    series, each = int(sys.argv[1]), int(sys.argv[2])
    readings = made(Spec("kernel", series, each))
    ts, value = readings.ts, readings.eighths / EIGHTHS
    points = Points(readings.starts, ts, value, np.full(len(ts), GOOD, np.int8))
    hours, steps = buckets_of("1h"), [Interpretation()] * series
    kernel.states(Points(np.array([0, 10]), ts[:10], value[:10], points.quality[:10]), steps[:1], hours)
    print("READY", flush=True)
    states = kernel.states(points, steps, hours)
    print("DONE", flush=True)
    hour = ts // 3_600_000_000
    within = (hour[1:] == hour[:-1]) & (np.arange(1, len(ts)) % each != 0)
    found = [len(states), *states.rows.select("n", "covered_us", "area").sum().row(0)]
    width = np.where(within, np.diff(ts), 0)
    right = [len(ts) - int(within.sum()), len(ts), int(width.sum()), float((value[:-1] * width).sum())]
    print(json.dumps({"found": [float(f) for f in found], "right": [float(r) for r in right]}), flush=True)


if __name__ == "__main__":
    main()
