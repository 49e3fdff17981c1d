"""One device's telemetry of one hour as columns: 179 fields that behave like a truck's, the same on every machine.

Values come from integer arithmetic alone, so no library's random stream can change them: sensors swing slowly and hold
their value, counters climb, flags and texts stay for minutes, a missing reading is -9999 or null.
"""

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

SENTINEL = -9999
MIDNIGHT = 1_765_382_400
"""2025-12-10 16:00 UTC, 2025-12-11 00:00 at the mine. From then on every fourth device sends `fuel_density` too."""

_PARTS = (
    *("engine", "transmission", "hydraulic", "cab", "radiator", "turbo", "brake_front", "brake_rear"),
    *("tyre_1", "tyre_2", "tyre_3", "tyre_4", "tyre_5", "tyre_6"),
)
_QUANTITIES = {  # decimals, usual value, swing (both in units of the last decimal), period of the swing in s, hold in s
    "temperature": (1, 780, 150, 2_700, 20),
    "pressure": (2, 41_300, 2_600, 1_100, 7),
    "voltage": (2, 2_740, 60, 5_400, 30),
    "level": (1, 640, 90, 14_400, 60),
    "flow": (3, 12_500, 4_000, 900, 5),
    "load": (0, 55, 40, 600, 3),
}
_SYSTEMS = ("engine", "fuel", "dump", "brake", "gear", "payload", "belt", "pump")
_WORDS = ("idle", "queue", "loading", "hauling", "dumping", "returning", "fuelling", "stopped")
_EXTRA = ("prototype_strain", "prototype_angle", "prototype_noise")
_NARROW = 24


@dataclass(frozen=True)
class Column:
    """One field of one device and hour: integers that stand for what the JSON shows, and where it shows null.

    `double`: value x 10^decimals; `bigint`: the value; `boolean`: 0 or 1; `string`: index into `words`.
    """

    kind: str
    values: np.ndarray
    decimals: int = 0
    words: tuple[str, ...] = ()
    null: np.ndarray | None = None

    def tokens(self) -> list[str]:
        """The JSON text of each value."""
        distinct, which = np.unique(self.values, return_inverse=True)
        texts = np.array([self._token(int(v)) for v in distinct], dtype=object)[which]
        if self.null is not None:
            texts[self.null] = "null"
        return texts.tolist()

    def _token(self, value: int) -> str:
        if self.kind == "string":
            return json.dumps(self.words[value])
        if self.kind == "boolean":
            return "true" if value else "false"
        if self.kind == "bigint" or value == SENTINEL * 10**self.decimals:
            return str(value // 10**self.decimals)
        return repr(value / 10**self.decimals)

    def count_and_sum(self) -> tuple[int, int | None]:
        """How many values are not null, and their sum in units of the last decimal (None for text)."""
        kept = self.values if self.null is None else self.values[~self.null]
        return len(kept), None if self.kind == "string" else int(kept.sum())


@dataclass(frozen=True)
class Device:
    """A box in a truck. Two of five stand at the second site; some send more or fewer fields than the others."""

    number: int

    @property
    def site(self) -> str:
        return "BRCG" if self.number % 5 in (1, 3) else "BRCB"

    @property
    def id(self) -> str:
        return f"SLS30I{self.number:03d}"

    @property
    def unit(self) -> str:
        return f"LD{700 + self.number:03d}"

    @property
    def has_prototype(self) -> bool:
        return self.number % 12 == 5

    @property
    def has_old_firmware(self) -> bool:
        return self.number % 10 == 3


def columns(device: Device, start: int, rows: int, *, narrow: bool = False) -> dict[str, Column]:
    """The fields of `rows` records, one per second from the epoch second `start` on, in the order of the JSON.

    `narrow` keeps the first 24 of the 179 fields.
    """
    t = start + np.arange(rows, dtype=np.int64)
    found = _driving(device, t) | _sensors(device, t) | _counters(device, t) | _states(device, t)
    if narrow:
        return dict(list(found.items())[:_NARROW])
    if device.has_old_firmware:
        found = {name: column for name, column in found.items() if not name.startswith("tyre_6")}
    if device.has_prototype:
        found |= {name: Column("double", _held(device, name, t, 2, 400), 2) for name in _EXTRA}
    if device.number % 4 == 1 and start >= MIDNIGHT:
        found["fuel_density"] = Column("double", 8_320 + _held(device, "fuel_density", t, 300, 25), 1)
    return found


def _driving(device: Device, t: np.ndarray) -> dict[str, Column]:
    """What is known by name: position, speed and cameras. A truck stands for two fifths of its 25 minute round."""
    moves = (t + device.number * 97) % 1_500 >= 600
    no_fix, can_lost = _held(device, "fix", t, 45, 40) == 0, _held(device, "can", t, 60, 25) == 0
    speed = np.where(
        moves, 3_000_000 + _held(device, "gpsspeed", t, 2, 9_000_000), _held(device, "drift", t, 4, 90_000)
    )
    way = np.where(moves, t % 25_000, t // 60 * 60 % 25_000)
    return {
        "heartbeat": Column("bigint", t),
        "unitno": Column("string", np.zeros_like(t), words=(device.unit,)),
        "deviceid": Column("string", np.zeros_like(t), words=(device.id,)),
        "gpsspeed": Column("double", np.where(no_fix, SENTINEL * 10**6, speed), 6),
        "gpsnumsat": Column("bigint", np.where(no_fix, SENTINEL, 6 + _held(device, "sat", t, 40, 7))),
        "VehicleSpeed": Column("bigint", np.where(can_lost, SENTINEL, speed * 36 // 10_000_000)),
        "speedsource": Column("string", can_lost.astype(np.int64), words=("CANBus", "GPS")),
        "gpslat": Column("double", np.where(no_fix, SENTINEL * 10**6, -2_180_000 - 7 * way), 6),
        "gpslong": Column("double", np.where(no_fix, SENTINEL * 10**6, 115_430_000 + 11 * way), 6),
        "camcabinstatus": Column("string", _held(device, "cabin", t, 900, 3), words=("OK", "BLOCKED", "OFF")),
        "camfrontstatus": Column("string", _held(device, "front", t, 1_200, 2), words=("OK", "OFF")),
    }


def _sensors(device: Device, t: np.ndarray) -> dict[str, Column]:
    """84 analog sensors: a triangular swing that holds for some seconds; one in eight flickers each second, one in
    fourteen is not fitted (null or -9999), and each drops out now and then."""
    found = {}
    for part in _PARTS:
        for quantity, (decimals, usual, swing, period, hold) in _QUANTITIES.items():
            name = f"{part}_{quantity}"
            trait = _trait(device, name)
            flickers, fitted = trait % 8 == 0, trait % 14 != 1
            held = t if flickers else t // hold * hold
            phase = (held + trait % period) % period
            values = usual + trait % 97 + swing * np.abs(2 * phase - period) // period
            if flickers:
                values = values + _held(device, f"{name}.flicker", t, 1, max(2, swing // 8))
            lost = _held(device, f"{name}.lost", t, 120, 160) == 0 if fitted else np.ones_like(t, dtype=bool)
            if trait % 3:
                found[name] = Column("double", values, decimals, null=lost)
            else:
                found[name] = Column("double", np.where(lost, SENTINEL * 10**decimals, values), decimals)
    return found


def _counters(device: Device, t: np.ndarray) -> dict[str, Column]:
    """24 counters that never fall: seconds run, events and litres."""
    found = {}
    for place, system in enumerate(_SYSTEMS):
        begun = t - 1_700_000_000 + _trait(device, system) % 1_000_000
        found[f"{system}_seconds"] = Column("bigint", begun)
        found[f"{system}_events"] = Column("bigint", begun // (40 + 30 * place))
        found[f"{system}_total"] = Column("double", begun * (3 + place) // 20, 1)
    return found


def _states(device: Device, t: np.ndarray) -> dict[str, Column]:
    """24 status codes, 28 flags and 8 texts, each of which stays for minutes."""
    found = {}
    for n in range(24):
        found[f"status_{n:02d}"] = Column("bigint", _held(device, f"status_{n}", t, 30 + 20 * n, 2 + n % 9))
    for n in range(28):
        found[f"flag_{n:02d}"] = Column("boolean", _held(device, f"flag_{n}", t, 90 + 45 * n, 5) // 4)
    for n in range(8):
        found[f"text_{n}"] = Column("string", _held(device, f"text_{n}", t, 120 + 60 * n, len(_WORDS)), words=_WORDS)
    return found


def _held(device: Device, name: str, t: np.ndarray, hold: int, choices: int) -> np.ndarray:
    """Integers of [0, choices) that change every `hold` seconds as if drawn at random."""
    return (_mixed((t // hold).astype(np.uint64) + np.uint64(_trait(device, name))) % np.uint64(choices)).astype(
        np.int64
    )


@lru_cache(maxsize=4096)
def _trait(device: Device, name: str) -> int:
    """A number below 2^40 that is this device's and field's own."""
    number = device.number + 1
    for letter in name.encode():
        number = (number * 1_000_003 ^ letter) & (1 << 40) - 1
    return int(_mixed(np.array([number], dtype=np.uint64))[0] >> np.uint64(24))


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Each uint64 scrambled by splitmix64's finalizer (Steele, Lea, Flood 2014)."""
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
