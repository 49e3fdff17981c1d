"""How each peer's case is run, and what comes of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from siltstone.errors import UsageError
from siltstone.timeseries.conventions import Window, evaluate, flux
from siltstone.timeseries.interpretation import Interpretation
from support.peers.cases import micros, points_of
from support.peers.default_binding import DefaultCase, default_results

STEP, LINEAR = Interpretation("step"), Interpretation("linear")


@dataclass(frozen=True)
class Outcome:
    """`at`: which number of the case."""

    at: str
    expect: Any
    got: Any
    tolerance: float | None = None


def run(file: dict[str, Any], case: dict[str, Any]) -> list[Outcome]:
    return list(_RUNNERS[file["name"]](file, case))


def _flux_integral(file: dict[str, Any], case: dict[str, Any]) -> Iterator[Outcome]:
    window = Window(*map(micros, case["range"]))
    options = {"interpolate": case["interpolate"], "unit_s": case["unit_s"]}
    try:
        got = evaluate("flux", points_of(case["points"]), [window], [case["op"]], LINEAR, **options)[case["op"]][0]
    except UsageError as error:
        got = str(error).split(":")[0]
    yield Outcome("value", case.get("expect", case.get("expect_error")), got)


def _flux_state_events(file: dict[str, Any], case: dict[str, Any]) -> Iterator[Outcome]:
    points = points_of(case["points"])
    above = (
        points.value > float(case["predicate"].removeprefix("value > ")) if "predicate" in case else points.value > 0
    )
    got = {
        "state_duration": lambda: flux.state_durations(points.ts, above, case["unit_s"]),
        "state_count": lambda: flux.state_counts(above),
        "elapsed": lambda: flux.elapsed(points.ts, case["unit_s"]),
        "event_duration_until_next_or_stop": lambda: flux.event_durations(points.ts, micros(case["range"][1])),
    }[case["op"]]()
    yield Outcome("rows", len(case["expect"]), len(got))
    for (at, _, expect), value in zip(case["expect"], got, strict=False):
        yield Outcome(at, expect, value)


def _netstandard(file: dict[str, Any], case: dict[str, Any]) -> Iterator[Outcome]:
    points = points_of(case["raw"] if "raw" in case else file["series"][case["series"]])
    windows = _windows(case)
    how = Interpretation("linear", uncertain="bad" if case.get("treat_uncertain_as_bad") else "good")
    rounded = case.get("value_type") == "int32"
    columns = evaluate("opcua", points, windows, [case["aggregate"]], how, round_integers=rounded)
    got = columns[case["aggregate"]]
    yield Outcome("windows", len(case["expect"]), len(got))
    for window, expect, value in zip(windows, case["expect"], got, strict=False):
        yield Outcome(f"{window.start_us / 1e6:g}", expect, value, case.get("tolerance"))
    if "expect_status" in case:
        yield Outcome("status", case["expect_status"], columns[f"{case['aggregate']}_status"][0])


def _node_aggregates(file: dict[str, Any], case: dict[str, Any]) -> Iterator[Outcome]:
    historian = file["historians"][case["historian"]]
    points = points_of(historian["raw"])
    how = Interpretation(
        "step" if historian["stepped"] else "linear", uncertain="bad" if historian["treat_uncertain_as_bad"] else "keep"
    )
    windows = _windows(case)
    columns = evaluate(
        "opcua",
        points,
        windows,
        [case["aggregate"]],
        how,
        percent_data_good=historian["percent_data_good"],
        percent_data_bad=historian["percent_data_bad"],
        data_end_us=int(points.ts[-1]) + 1000,  # the peer's data ends 1 ms after the last sample
    )
    by_start = {window.start_us: place for place, window in enumerate(windows)}
    for at, expect, status, _ in case["expect"]:
        place = by_start[micros(at)]
        yield Outcome(f"{at} value", expect, columns[case["aggregate"]][place], 0.0005)
        yield Outcome(f"{at} status", status, columns[f"{case['aggregate']}_status"][place])


def _node_value_at(file: dict[str, Any], case: dict[str, Any]) -> Iterator[Outcome]:
    at = micros(case["at"])
    columns = evaluate(
        "opcua",
        points_of(file["raw"]),
        [Window(at, at + 1)],
        ["Interpolative"],
        Interpretation("step" if case["stepped"] else "linear", uncertain="keep"),
        sloped_extrapolation=case.get("sloped_extrapolation", False),
    )
    yield Outcome("value", case["expect"], columns["Interpolative"][0])
    yield Outcome("status", case["expect_status"], columns["Interpolative_status"][0])


def _traces(file: dict[str, Any], case: dict[str, Any]) -> Iterator[Outcome]:
    """Under `default`: each part of the mask is a window of its own, and the windows are added up."""
    start, end = micros(case["start"]), micros(case["end"])
    spans = [(micros(a), micros(b)) for a, b in case.get("mask", [[case["start"], case["end"]]])]
    windows = [Window(max(a, start), min(b, end)) for a, b in spans]
    linear = case["op"] == "time_weighted_mean_linear"
    measures = ["covered_s", "integral", "time_in_state"]
    got = default_results(DefaultCase(points_of(case["points"]), windows, measures, LINEAR if linear else STEP))
    covered, asked = sum(got["covered_s"]), sum(window.seconds for window in windows)
    if linear:
        yield Outcome("value", case["expect"], sum(got["integral"]) / covered)
        return
    held = {"null": asked - covered} if covered < asked else {}
    for part in got["time_in_state"]:
        held |= {f"{state:g}": held.get(f"{state:g}", 0.0) + seconds for state, seconds in part.items()}
    unit = asked if case["op"] == "time_in_state_fraction" else 1.0
    yield Outcome("states", sorted(case["expect"]), sorted(held))
    for state, expect in case["expect"].items():
        yield Outcome(state, expect, held.get(state, 0.0) / unit)


def _iotdb(file: dict[str, Any], case: dict[str, Any]) -> Iterator[Outcome]:
    """First to last point, lines: Flux's integral, the Toolkit's average; where it is not, `default`."""
    points = points_of(case.get("points", file["points"]))
    window, op = Window(micros(1), micros(11)), case["op"]
    if op == "integral":
        got = evaluate("flux", points, [window], [op], LINEAR, unit_s=case["unit_s"])[op][0]
    elif len(points.ts) > 1:
        got = evaluate("toolkit", points, [window], [op], LINEAR)[op][0]
    else:
        got = default_results(DefaultCase(points, [window], [op], LINEAR))[op][0]
    yield Outcome("value", case["expect"], got, case.get("tolerance"))


def _windows(case: dict[str, Any]) -> list[Window]:
    """Intervals from the start; the last is cut at the end."""
    start, end, step = micros(case["start"]), micros(case["end"]), micros(case["interval_s"])
    return [Window(at, min(at + step, end)) for at in range(start, end, step)]


def agree(outcome: Outcome) -> bool:
    """Texts, lists and nulls exactly; numbers within the case's tolerance, or 1e-9 of each other."""
    expect, got = outcome.expect, outcome.got
    if isinstance(expect, str | list) or isinstance(got, str):
        return bool(expect == got)
    if expect is None or got is None:
        return expect is None and (got is None or bool(np.isnan(got)))
    if outcome.tolerance is not None:
        return bool(abs(got - expect) <= outcome.tolerance)
    return bool(abs(got - expect) <= 1e-9 * max(abs(expect), abs(got)))


_RUNNERS = {
    "flux-integral": _flux_integral,
    "flux-state-events": _flux_state_events,
    "opcua-netstandard": _netstandard,
    "opcua-node-opcua-aggregates": _node_aggregates,
    "opcua-node-opcua-interpolated-value": _node_value_at,
    "traces-step-functions": _traces,
    "iotdb-integral": _iotdb,
}
FILES = tuple(_RUNNERS)
