"""Commands, faults and other writers in any order: each row that must be there is, once, whatever came before."""

from itertools import product
from pathlib import Path

import pytest

from support.rounds import IS_SOAK, rounds
from support.walks import KINDS, walk

_STEPS = 60


@pytest.mark.slow("faults")
@pytest.mark.parametrize("seed", list(rounds(10 if IS_SOAK else 1)))
@pytest.mark.parametrize(("kind", "form"), list(product(KINDS, ("delta", "parquet"))))
def test_no_row_is_lost_doubled_or_bent(kind: str, form: str, seed: int, tmp_path: Path) -> None:
    found = walk(kind, form, tmp_path / "walk", seed, _STEPS)
    assert found["wrong"] == [], found["steps"]
    assert len(found["steps"]) > 0
