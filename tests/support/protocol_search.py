"""Tries every order of the steps of some actors, and says what can go wrong.

A crash needs no step of its own: it is an actor that makes no more steps. So in every state that can be reached the
table must be whole, and a clean run must give the truth.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from support.protocol_model import CLOSED, Rules, Run, World
from support.protocol_steps import STEPS, Step


class Explored(NamedTuple):
    """How many states there are, which steps were made, and the shortest way to each kind of violation."""

    states: int
    steps: frozenset[str]
    violations: Mapping[str, Sequence[str]]


def explore(world: World, rules: Rules = Rules()) -> Explored:  # noqa: B008 - it is a constant
    """Every state that can be reached."""
    came_from: dict[World, tuple[World, str] | None] = {world: None}
    waiting = deque([world])
    names: set[str] = set()
    violations: dict[str, Sequence[str]] = {}
    crashed: dict[World, list[str]] = {}
    while waiting:
        state = waiting.popleft()
        survived = state._replace(actors=(), late=())
        if survived not in crashed:
            crashed[survived] = [*broken(survived), *untrue(survived, rules)]
        for violation in (*crashed[survived], *claimed(state)):
            if violation not in violations:
                violations[violation] = way_to(state, came_from)
        for label, then in (*next_steps(state, rules), *landings(state, rules)):
            names.add(label.partition(": ")[2])
            if then not in came_from:
                came_from[then] = (state, label)
                waiting.append(then)
    return Explored(len(came_from), frozenset(names), violations)


def next_steps(world: World, rules: Rules) -> Iterator[Step]:
    for number, actor in enumerate(world.actors):
        for step, then in STEPS[type(actor)](world, number, actor, rules):
            yield f"{actor.who}: {step}", then


def landings(world: World, rules: Rules) -> Iterator[Step]:
    """Commits that were on their way arrive."""
    for number, (planned, entry) in enumerate(world.late):
        arrived = world._replace(late=world.late[:number] + world.late[number + 1 :])
        entry = entry._replace(era=world.era) if rules.dates_by_log else entry
        yield "the store: a late commit arrives", arrived.with_entry(entry) if world.newest == planned else arrived


def way_to(state: World, came_from: Mapping[World, tuple[World, str] | None]) -> list[str]:
    labels: list[str] = []
    while (before := came_from[state]) is not None:
        state = before[0]
        labels.append(before[1])
    return labels[::-1]


def broken(world: World) -> Iterator[str]:
    """What is wrong with a table, whoever is at work."""
    table = world.table
    if table.rows is None:
        yield "the newest version names a data file that is gone"
    elif len(dict(table.rows)) < len(table.rows):
        yield "rows are doubled"
    if table.chain is None:
        yield "a manifest that the log names is gone"
    elif table.rows is not None and not table.is_foreign and not table.is_accounted:
        yield "the accounts are not those of the rows"


def claimed(world: World) -> Iterator[str]:
    """What is wrong with what actors say at their end."""
    committed = {manifest.name for manifest in world.table.chain or ()}
    for actor in world.actors:
        how, _, what = actor.end.partition(": ")
        if how == "done" and what and world.table.chain is not None and what not in committed:
            yield "a run said that it committed, and it did not"
        if how == "nothing" and what in committed:
            yield "a run said that it committed nothing, and it did"
        if how == "stopped":
            yield f"{actor.who}: {what}"


def untrue(world: World, rules: Rules) -> Iterator[str]:
    """What is wrong after a clean run, and where that asks for it after `adopt` and another one."""
    kinds, end = ["compact"], ""
    while kinds:
        kind = kinds.pop()
        world = world._replace(actors=(Run(kind, f"next {kind} {len(kinds)}"),))
        while step := next(next_steps(world, rules), None):
            world = step[1]
        end = world.actors[0].end
        if end == "refused: rows were changed":
            kinds = ["compact", "adopt"]
    expected, there = (
        sorted(row for row in rows if world.table.ledger.get(row[0]) != CLOSED)
        for rows in (world.inputs, world.table.rows or ())
    )
    if not end.startswith("done"):
        yield f"the next clean run ends with {end}"
    elif world.table.rows is None or there != expected:
        yield "the next clean run does not give the truth"
