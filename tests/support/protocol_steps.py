"""The steps of the commit protocol in the model: what a run, a vacuum or a reader does next, given the world as it is.

A step that writes to the store is one that a process can die or sleep before, and after: a kill point of the code.
"""

from collections.abc import Callable, Iterator

from support.protocol_model import (
    CLOSED,
    UNKNOWN,
    Actor,
    Data,
    Entry,
    Event,
    Manifest,
    Names,
    Reader,
    Row,
    Rows,
    Rules,
    Run,
    Vacuum,
    World,
    table_of,
)

Step = tuple[str, World]
_ATTEMPTS = 3


# Runs


def run_steps(world: World, number: int, run: Run, rules: Rules) -> Iterator[Step]:
    """What a run may do next."""
    if run.at == "the listing":
        yield run.at, world.with_actor(number, run._replace(at="the plan", listing=world.inputs))
    elif run.at == "the plan":
        yield run.at, world.with_actor(number, with_plan(world, run, rules))
    elif run.at == "the tasks":
        yield run.at, (merged if run.job == "merge" else brought_in)(world, number, run)
    elif run.at == "the rewrite":
        yield run.at, rewritten(world, number, run)
    elif run.at == "the manifest":
        yield run.at, with_manifest(world, number, run)
    elif run.at == "the commit":
        yield from commit_steps(world, number, run, rules)
    elif run.at == "the look-up":
        yield run.at, world.with_actor(number, looked_up(world, run, rules))


def with_plan(world: World, run: Run, rules: Rules) -> Run:
    """The run with what it is to do at the newest version."""
    table = world.table
    if table.chain is None:
        return ended(run, "stopped: a manifest is gone")
    if run.attempts == _ATTEMPTS:
        return ended(run, "lost the race")
    run = run._replace(
        at="the tasks",
        planned=world.newest,
        parent=table.head,
        written=still_valid(world, run, rules),
        fences=len(horizons(world)),
        attempts=run.attempts + 1,
        added=frozenset(),
        removed=frozenset(),
        accounts=frozenset(),
    )
    is_foreign = rules.notices_others and table.is_foreign
    if is_foreign and not table.is_accounted:
        return adopting(world, run) if run.kind == "adopt" else ended(run, "refused: rows were changed")
    if run.kind == "adopt":
        return ended(run, "done")
    if run.kind == "compact" and not is_foreign:
        return with_todo(world, run)
    return run._replace(job="merge") if is_foreign or len(table.files) > 1 else ended(run, "done")


def horizons(world: World) -> list[int]:
    return [entry.horizon for entry in world.log if entry.horizon >= 0]


def still_valid(world: World, run: Run, rules: Rules) -> frozenset[tuple[str, str]]:
    """The files of earlier attempts that the run may commit."""
    if not rules.horizon:
        return run.written
    came = horizons(world)
    horizon = max(came) if len(came) > run.fences else 0
    there = {made.name for made in world.objects if made.era >= horizon}
    return frozenset((what, name) for what, name in run.written if name in there)


def with_todo(world: World, run: Run) -> Run:
    """The run with what is new of its listing: files that are not known, or with other content, now too."""
    known = {name: content for name, content in world.table.ledger.items() if content != UNKNOWN}
    now = dict(world.inputs)

    def is_new(row: Row) -> bool:
        name, listed = row
        return name not in known or known[name] not in (listed, CLOSED, now[name])

    todo = frozenset(filter(is_new, run.listing))
    return run._replace(job="rows", todo=todo) if todo else ended(run, "done")


def adopting(world: World, run: Run) -> Run:
    """The run with accounts for the source files of which another engine has changed rows: closed, or after a RESTORE
    as they were, or unknown again."""
    table, there = world.table, dict(world.table.rows or ())
    changed = [name for name, content in table.ledger.items() if content >= 0 and there.get(name) != content]
    is_restored = next(entry.operation for entry in reversed(world.log) if entry.operation) == "RESTORE"
    accounts = {name: there.get(name, UNKNOWN) if is_restored else CLOSED for name in changed}
    return run._replace(at="the manifest", job="adopt", accounts=frozenset(accounts.items()))


def brought_in(world: World, number: int, run: Run) -> World:
    """A data file of the new rows is written; source files that have changed since the listing are left out."""
    rows = run.todo & world.inputs
    if not rows:
        return world.with_actor(number, ended(run, "done"))
    former = frozenset(row for row in world.table.ledger.items() if row[0] in dict(rows) and row[1] >= 0)
    run = run._replace(accounts=rows, former=former)
    return wrote(world, number, run, f"rows {sorted(rows)}", rows, "the rewrite" if former else "the manifest")


def merged(world: World, number: int, run: Run) -> World:
    """One data file with the rows of all is written."""
    table = world.table
    if world.newest != run.planned or table.rows is None:
        return world.with_actor(number, without_file(world, run))
    run = run._replace(removed=table.files)
    return wrote(world, number, run, f"merge {sorted(table.files)}", frozenset(table.rows), "the manifest")


def rewritten(world: World, number: int, run: Run) -> World:
    """The data files with former rows are written anew, as one, without them."""
    table = world.table
    if world.newest != run.planned or table.rows is None:
        return world.with_actor(number, without_file(world, run))
    data = [d for d in world.objects if isinstance(d, Data) and d.name in table.files and d.rows & run.former]
    kept = frozenset(row for d in data for row in d.rows - run.former)
    run = run._replace(removed=frozenset(d.name for d in data))
    what = f"rewrite {sorted(run.removed)} without {sorted(run.former)}"
    return wrote(world, number, run, what, kept, "the manifest")


def wrote(world: World, number: int, run: Run, what: str, rows: Rows, then: str) -> World:
    """A data file is written, if there are rows and the run has not written it for this already."""
    name = dict(run.written).get(what) or f"{run.who}.{run.names}"
    if not rows:
        return world.with_actor(number, run._replace(at=then))
    is_new = (what, name) not in run.written
    run = run._replace(at=then, added=run.added | {name}, written=run.written | {(what, name)})
    if not is_new:
        return world.with_actor(number, run)
    return world.with_object(Data(name, world.era, rows)).with_actor(number, run._replace(names=run.names + 1))


def with_manifest(world: World, number: int, run: Run) -> World:
    """The files are checked, a last time, and the manifest is written."""
    if not run.added <= {made.name for made in world.objects}:
        return world.with_actor(number, run._replace(at="the plan"))
    name = f"{run.who}.{run.names}"
    files = (world.table.files - run.removed) | run.added
    made = Manifest(name, world.era, run.parent, run.accounts, files)
    run = run._replace(at="the commit", manifest=name, names=run.names + 1)
    return world.with_object(made).with_actor(number, run)


def without_file(world: World, run: Run) -> Run:
    """The run without a data file that it was to read: no damage where the table has moved on."""
    return run._replace(at="the plan") if world.newest != run.planned else ended(run, "stopped: a data file is gone")


def commit_steps(world: World, number: int, run: Run, rules: Rules) -> Iterator[Step]:
    """The entry of the next version is there already; or it is created, with or without an answer; or it is on its
    way."""
    if world.newest > run.planned:
        # An entry that was cleaned up can be created anew, where nobody looks for it.
        is_believed = run.planned + 1 < world.cleaned and not rules.knows_cleaning
        yield "the commit, refused", world.with_actor(number, done(run) if is_believed else again(run))
        return
    entry, waiting = Entry(world.era, run.added, run.removed, run.manifest), run._replace(at="the look-up")
    yield "the commit", world.with_entry(entry).with_actor(number, done(run))
    yield "the commit, no answer", world.with_entry(entry).with_actor(number, waiting)
    late = world._replace(late=(*world.late, (run.planned, entry)))
    yield "the commit, late", late.with_actor(number, waiting)


def looked_up(world: World, run: Run, rules: Rules) -> Run:
    """The run after it has looked for its commit behind the version that it planned at."""
    if not rules.looks_up:
        return ended(run, f"nothing: {run.manifest}")
    found = {entry.manifest for entry in world.log[max(run.planned + 1, world.cleaned) :]}
    if rules.knows_cleaning:
        found |= {manifest.name for manifest in world.table.chain or ()}
    if run.manifest in found:
        return done(run)
    return again(run) if world.newest > run.planned else ended(run, "not seen")


def again(run: Run) -> Run:
    return run._replace(at="the plan")


def done(run: Run) -> Run:
    """The run after its commit; one of compact that only took over what another engine did goes on."""
    if run.kind == "compact" and run.job == "merge":
        return again(run)._replace(attempts=0)
    return ended(run, f"done: {run.manifest}")


def ended(run: Run, how: str) -> Run:
    """The run at its end; what it remembered makes no difference any more."""
    return Run(run.kind, run.who, "", how)


# Vacuum, readers, events


def vacuum_steps(world: World, number: int, vacuum: Vacuum, rules: Rules) -> Iterator[Step]:
    """What a vacuum may do next."""
    if vacuum.at == "the listing":
        vacuum = vacuum._replace(at="the plan", listed=world.objects, horizon=world.era + 1 - vacuum.grace)
        yield "the listing", world.with_actor(number, vacuum)
    elif vacuum.at == "the plan":
        spare = spare_of(world, vacuum, rules)
        is_taken_out = spare <= {name for entry in world.log for name in entry.removed}
        then = "the fence" if rules.fence and not is_taken_out else "a deletion"
        chosen = vacuum._replace(at=then, planned=world.newest, spare=spare)
        yield "the plan", world.with_actor(number, chosen if spare else Vacuum(at=""))
    elif vacuum.at == "the fence":
        if world.newest > vacuum.planned:
            yield "the fence, refused", world.with_actor(number, vacuum._replace(at="the plan"))
        else:
            fenced = world.with_entry(Entry(world.era, horizon=vacuum.horizon))
            yield "the fence", fenced.with_actor(number, vacuum._replace(at="a deletion"))
    elif vacuum.at == "a deletion":
        name, *others = sorted(vacuum.spare)
        left = world._replace(objects=frozenset(made for made in world.objects if made.name != name))
        vacuum = vacuum._replace(spare=frozenset(others)) if others else Vacuum(at="")
        yield "a deletion", left.with_actor(number, vacuum)


def spare_of(world: World, vacuum: Vacuum, rules: Rules) -> Names:
    """What is listed, old, and needed by no version within the grace."""
    table = world.table
    recent = [entry for entry in world.log if entry.era >= vacuum.horizon]
    kept = {name for entry in recent for name in entry.removed} if rules.keeps_replaced else set()
    needed = table.files | {manifest.name for manifest in table.chain or ()} | kept
    return frozenset(made.name for made in vacuum.listed if made.era < vacuum.horizon and made.name not in needed)


def reader_steps(world: World, number: int, reader: Reader, rules: Rules) -> Iterator[Step]:
    """What a reader may do next."""
    if reader.at == "the opening":
        opened = reader._replace(at="the reading", files=world.table.files, era=world.era)
        yield reader.at, world.with_actor(number, opened)
    elif reader.at == "the reading":
        is_there = reader.files <= {made.name for made in world.objects} or world.era > reader.era
        end = "" if is_there else "stopped: a file is gone"
        yield reader.at, world.with_actor(number, Reader(at="", end=end))


def event_steps(world: World, number: int, event: Event, rules: Rules) -> Iterator[Step]:
    """The event, where it can happen."""
    if event.at and (changed := EVENTS[event.who](world)):
        yield event.at, changed.with_actor(number, Event(event.who, at=""))


def with_foreign(world: World, operation: str, rows: Rows) -> World:
    """Another engine has written all rows to one new file."""
    data = Data(operation, world.era, rows)
    entry = Entry(world.era, frozenset({operation}), world.table.files, operation=operation)
    return world.with_object(data).with_entry(entry)


def restored(world: World) -> World | None:
    """The files are those before the newest commit, which was made within the grace."""
    entry, files = world.log[-1], table_of(world.log[:-1], world.objects).files
    if entry.era < world.era or not entry.added or not files <= {made.name for made in world.objects}:
        return None
    return world.with_entry(Entry(world.era, files - world.table.files, world.table.files - files, operation="RESTORE"))


EVENTS: dict[str, Callable[[World], World | None]] = {
    "a grace passes": lambda world: world._replace(era=world.era + 1),
    "the log is cleaned up": lambda world: world._replace(cleaned=len(world.log)),
    "A changes": lambda world: world._replace(inputs=world.inputs - {("A", 1)} | {("A", 2)}),
    "OPTIMIZE": lambda world: with_foreign(world, "OPTIMIZE", frozenset(world.table.rows or ())),
    "DELETE": lambda world: with_foreign(world, "DELETE", frozenset(r for r in world.table.rows or () if r[0] != "B")),
    "RESTORE": restored,
}
STEPS: dict[type[Actor], Callable[..., Iterator[Step]]] = {
    Run: run_steps,
    Vacuum: vacuum_steps,
    Reader: reader_steps,
    Event: event_steps,
}
