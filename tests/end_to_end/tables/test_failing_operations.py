"""Every storage operation of a job fails once, or the process dies after it: then readers find the rows of before or of
after, what the job said is true, and a clean run gives the truth."""

from pathlib import Path

import pytest

from support.failing import failing
from support.rounds import IS_SOAK, SEED
from support.stories import STORIES

_EVERY = 1 if IS_SOAK else 7


@pytest.mark.slow("faults")
@pytest.mark.parametrize("story", STORIES)
def test_any_operation_of_a_job_may_fail(story: str, tmp_path: Path) -> None:
    found = failing(story, tmp_path, SEED, _EVERY)
    assert found["wrong"] == {}
    assert found["cases"] > 0


def test_the_commit_of_a_job_fails(tmp_path: Path) -> None:
    found = failing("optimize", tmp_path, first=0, step=1, only="delta.commit")
    assert (found["wrong"], found["cases"]) == ({}, 3)  # it fails, its answer is lost, or the process dies after it
