"""How the series of the known sources are read: the rules that apply if no rule of the user fits.

conf/measurements.yaml is the same list with its reasons; a test keeps the two equal.
"""

from typing import Any

from siltstone.timeseries.interpretation import Interpretation, Kind, Match, Rule

_HALTIAN: tuple[tuple[str, Kind], ...] = (
    ("OccupancyStatus", "step"),
    ("OccupantsCount", "step"),
    ("AmbientTemperature", "linear"),
    ("CO2", "linear"),
    ("TVOC", "linear"),
    ("BatteryPercentage", "step"),
    ("BatteryVoltage", "step"),
    ("BootCount.bootCount", "counter"),
    ("BootCount.bootReason", "step"),
    ("DirectionalMovement.*", "bucketed"),
    ("Distance", "step"),
    ("OccupancySeconds", "bucketed"),
    ("Position.*", "step"),
    ("PositionZone", "step"),
)
_BUILDING: tuple[tuple[str, Kind], ...] = (
    ("*Setpoint*", "step"),
    ("*Command*", "step"),
    ("*Status*", "step"),
    ("*Alarm*", "step"),
    ("*Start*Stop*", "step"),
    ("*Valve*", "step"),
    ("*Damper*", "step"),
    ("*Temp", "linear"),
    ("*Temp[ _]Virtual", "linear"),
    ("*Temperature*", "linear"),
    ("*Pressure*", "linear"),
    ("*Humidity*", "linear"),
    ("*CO2*", "linear"),
    ("*Flow", "linear"),
    ("*Flow_Sensor", "linear"),
)
_MINUTE_US = 60_000_000
_NO_FIX = (-9999.0,)


def _rule(measurement: str, kind: Kind, source: str = "*", **limits: Any) -> Rule:
    return Rule(Match(source=source, measurement=measurement, ignores_case=True), Interpretation(kind, **limits))


KNOWN_RULES: tuple[Rule, ...] = (
    *(_rule(measurement, kind, "haltian") for measurement, kind in _HALTIAN),
    *(
        _rule(measurement, "linear", sentinels=_NO_FIX, max_gap_us=_MINUTE_US, max_hold_us=_MINUTE_US)
        for measurement in ("gpsspeed", "VehicleSpeed")
    ),
    *(
        _rule(measurement, "step", sentinels=_NO_FIX, max_hold_us=_MINUTE_US)
        for measurement in ("gpsnumsat", "gpslat", "gpslong", "speedsource")
    ),
    *(_rule(measurement, kind) for measurement, kind in _BUILDING),
)
