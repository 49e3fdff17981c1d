"""Where siltstone deliberately differs from a peer's own case: what it says instead, and why.

Keys: file, case, which number of it. A row that no longer differs fails the tests."""

from typing import Any

_HELD_GOOD = "the peer forgets that the sample before the interval was Good; by its own definition its time counts"
_NO_SUBCODE = "a point carries Good, Uncertain or Bad, not which of the Uncertain statuses"

DIFFERENT: dict[tuple[str, str, str], tuple[Any, str]] = {
    ("flux-integral", "go_float_with_null_timestamps", "value"): (
        0.0,
        "a row without a time is put aside where it is read and never becomes a point; the rest is worth an answer",
    ),
    ("opcua-node-opcua-aggregates", "PercentGood_H1", "32 value"): (50.0, _HELD_GOOD),
    ("opcua-node-opcua-aggregates", "PercentGood_H1", "32 status"): ("Good", _HELD_GOOD),
    ("opcua-node-opcua-aggregates", "PercentGood_H1", "64 value"): (37.5, _HELD_GOOD),
    ("opcua-node-opcua-aggregates", "DurationGood_H1", "32 value"): (8000.0, _HELD_GOOD),
    ("opcua-node-opcua-aggregates", "DurationGood_H1", "64 value"): (6000.0, _HELD_GOOD),
    ("opcua-node-opcua-interpolated-value", "linear_at_35", "status"): ("Uncertain", _NO_SUBCODE),
    ("opcua-node-opcua-interpolated-value", "stepped_at_35", "status"): ("Uncertain", _NO_SUBCODE),
    ("opcua-node-opcua-interpolated-value", "stepped_at_55", "status"): (
        "UncertainDataSubNormal",
        "a Bad sample stands at that very time and is passed over: the peer's other tests call that sub-normal",
    ),
}
