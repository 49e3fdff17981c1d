"""The commit protocol, as a model: whatever the order of the steps, nothing is lost, doubled or said wrongly."""

import re

import pytest

from support.killed import POINTS
from support.protocol_model import Event, Reader, Rules, Run, Vacuum, World, world_of
from support.protocol_search import explore
from support.rounds import IS_SOAK

ONE, TWO = Run("compact", "one"), Run("compact", "two")
OPTIMIZE = Run("optimize", "optimize", "the plan")
VACUUM, BY_FORCE = Vacuum(), Vacuum(0, "vacuum by force")
GRACE, CHANGE, CLEAN_UP = Event("a grace passes"), Event("A changes"), Event("the log is cleaned up")
FOREIGN = {name: Event(name) for name in ("OPTIMIZE", "DELETE", "RESTORE")}

WORLDS: dict[str, World] = {
    "two runs": world_of(ONE, TWO),
    "a run that sleeps": world_of(ONE, VACUUM, GRACE),
    "an optimize that sleeps": world_of(OPTIMIZE, VACUUM, GRACE, warm=True),
    "a run that sleeps and replaces": world_of(ONE, VACUUM, GRACE, CHANGE, warm=True),
    "a vacuum without grace": world_of(ONE, BY_FORCE),
    "a clean-up": world_of(ONE, TWO, CLEAN_UP),
    "a reader": world_of(OPTIMIZE, VACUUM, Reader(), GRACE, warm=True),
    **{f"{name} of another engine": world_of(ONE, event, CHANGE, warm=True) for name, event in FOREIGN.items()},
}
LARGER: dict[str, World] = {
    "two runs of other listings": world_of(ONE, TWO, CHANGE),
    "two runs and a vacuum": world_of(ONE, TWO, VACUUM, GRACE),
    "two runs and a vacuum without grace": world_of(ONE, TWO, BY_FORCE),
    "a run, two vacuums": world_of(ONE, VACUUM, BY_FORCE, GRACE),
    "a run, an optimize, a clean-up": world_of(ONE, OPTIMIZE, CHANGE, CLEAN_UP, warm=True),
    "two commits of others": world_of(ONE, VACUUM, GRACE, CHANGE, FOREIGN["RESTORE"], FOREIGN["DELETE"], warm=True),
    "OPTIMIZE beside a vacuum": world_of(ONE, VACUUM, GRACE, CHANGE, FOREIGN["OPTIMIZE"], warm=True),
    "a reader and a run that replaces": world_of(ONE, VACUUM, Reader(), GRACE, CHANGE, warm=True),
}
if IS_SOAK:  # 320,000 states
    LARGER["a run, an optimize, a vacuum"] = world_of(ONE, OPTIMIZE, VACUUM, GRACE, CHANGE, warm=True)
NEEDED = {
    "fence": ("a run that sleeps", "the newest version names a data file that is gone"),
    "horizon": ("a run that sleeps", "the newest version names a data file that is gone"),
    "keeps_replaced": ("a reader", "reader: a file is gone"),
    "dates_by_log": ("a reader", "reader: a file is gone"),
    "looks_up": ("two runs", "a run said that it committed nothing, and it did"),
    "knows_cleaning": ("a clean-up", "a run said that it committed, and it did not"),
    "notices_others": ("DELETE of another engine", "the next clean run does not give the truth"),
}
"""For each rule a world in which it is missed, and what goes wrong there."""

NO_STEPS = {"the look-up", "the opening", "the reading", "the event", "a late commit arrives"}
"""What a process that dies leaves nothing of, and what no run of siltstone does."""
WITHIN_STEPS = {
    "the creation", "the survey", "the columns",  # of a new table, or of new columns: commits of their own
    "a file is closed", "rows are written", "a quarantine file", "the states", "the passes",  # within the tasks
}  # fmt: skip
"""Kill points of what the model takes as one step, or leaves out."""


@pytest.mark.parametrize("name", WORLDS)
def test_no_order_of_the_steps_loses_anything(name: str) -> None:
    assert explore(WORLDS[name]).violations == {}


@pytest.mark.slow("laws")
@pytest.mark.parametrize("name", LARGER)
def test_no_order_of_more_steps_loses_anything(name: str) -> None:
    found = explore(LARGER[name])
    assert found.violations == {}
    assert found.states > 1_000


def test_each_rule_is_needed() -> None:
    assert set(NEEDED) == set(Rules._fields)
    for rule, (name, expected) in NEEDED.items():
        assert expected in explore(WORLDS[name], Rules(**{rule: False})).violations, rule


def test_the_shortest_way_to_lose_a_table() -> None:
    found = explore(WORLDS["a run that sleeps"], Rules(fence=False)).violations
    assert found["the newest version names a data file that is gone"] == [
        "one: the listing",
        "one: the plan",
        "one: the tasks",
        "one: the manifest",
        "a grace passes: the event",
        "vacuum: the listing",
        "vacuum: the plan",
        "one: the commit",
        "vacuum: a deletion",
    ]


def test_the_steps_are_the_kill_points_of_the_code() -> None:
    made = {step.partition(",")[0] for world in WORLDS.values() for step in explore(world).steps}
    points = {re.sub("^(before|after|inside|between) ", "", point).partition(",")[0] for point in POINTS}
    assert points >= WITHIN_STEPS
    assert made - NO_STEPS == points - WITHIN_STEPS
