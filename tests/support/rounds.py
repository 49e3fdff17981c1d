"""How often tests repeat what chance decides, and from which seed.

`make test` takes little, the same each time. SILTSTONE_ROUNDS=5 makes it five times as many rounds of a race, examples
of a law and cases of a long list; SILTSTONE_SEED=7 lets them begin at another place; SILTSTONE_SOAK=1 takes every case
of every list.
"""

import os
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

TIMES = int(os.environ.get("SILTSTONE_ROUNDS") or 1)
SEED = int(os.environ.get("SILTSTONE_SEED") or 0)
IS_SOAK = os.environ.get("SILTSTONE_SOAK") == "1"


def rounds(usual: int) -> range:
    """The numbers of a race's rounds, which are the seeds of what it draws."""
    return range(SEED, SEED + usual * TIMES)


def examples(usual: int) -> int:
    """How many examples hypothesis tries of a law; half of the usual number in `make test`, which draws the same ones
    each time."""
    return usual * TIMES if TIMES > 1 or SEED or IS_SOAK else usual // 2


def some(cases: Sequence[T], usual: int) -> list[T]:
    """So many of the cases (times the rounds), evenly spread, in their order; all in a soak. The seed says which.

    Of a product take a number that leaves each value of its last list among them: look at what is collected."""
    count = len(cases) if IS_SOAK else min(len(cases), usual * TIMES)
    taken = sorted((SEED + n * len(cases) // count) % len(cases) for n in range(count))
    return [cases[n] for n in taken]
