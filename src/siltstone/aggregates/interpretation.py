"""How a series is read between its points."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["step", "linear", "next", "counter", "bucketed"]
NO_LIMIT = 1 << 62


@dataclass(frozen=True)
class Interpretation:
    """`max_hold_us`, `max_gap_us`: NO_LIMIT for none; `uncertain`: what uncertain quality counts as."""

    kind: Kind = "step"
    max_hold_us: int = NO_LIMIT
    max_gap_us: int = NO_LIMIT
    uncertain: Literal["bad", "good", "keep"] = "bad"
    sentinels: tuple[float, ...] = ()
    period_us: int = 0
