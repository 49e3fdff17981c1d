"""The nouns of a small model of the commit protocol: what is in the store, and who is at work.

A source file is a name and a content, and gives one row. Time goes by in graces: what was written in an earlier one is
old. `protocol_steps` says what actors do, `protocol_search` tries every order of it.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

Row = tuple[str, int]  # a source file and its content
Rows = frozenset[Row]
Names = frozenset[str]
CLOSED, UNKNOWN = -1, -2  # contents in accounts: not to be read again by itself; to be read as if it were new


class Rules(NamedTuple):
    """What the protocol relies on."""

    fence: bool = True  # vacuum refuses the runs under way before it deletes what one of them may commit
    horizon: bool = True  # a refused run commits no file again that is gone, or older than a fence since it wrote it
    keeps_replaced: bool = True  # vacuum leaves what a commit took out within the grace
    dates_by_log: bool = True  # when a commit was made is told by its entry, not by its run
    looks_up: bool = True  # a run without an answer looks for its commit in the log
    knows_cleaning: bool = True  # a commit below a checkpoint is none, and one that was made is in the history
    notices_others: bool = True  # a plan compares the files with those that the newest manifest names


class Data(NamedTuple):
    """A data file."""

    name: str
    era: int
    rows: Rows


class Manifest(NamedTuple):
    """What a run says: its parent, what it did with which source file, and the data files after it."""

    name: str
    era: int
    parent: str
    accounts: Rows
    files: Names


class Entry(NamedTuple):
    """A commit. Those of other engines, and fences, name no manifest; a fence has a horizon."""

    era: int
    added: Names = frozenset()
    removed: Names = frozenset()
    manifest: str = ""
    horizon: int = -1
    operation: str = ""


class Run(NamedTuple):
    """A run of `compact`, `optimize` or `adopt`; `who` names what it writes."""

    kind: str
    who: str = "run"
    at: str = "the listing"
    end: str = ""
    listing: Rows = frozenset()
    planned: int = -1
    parent: str = ""
    fences: int = 0  # as many had come when it planned
    job: str = ""  # what the attempt does: bring in rows, merge files, adopt
    todo: Rows = frozenset()
    former: Rows = frozenset()  # rows that are replaced
    written: frozenset[tuple[str, str]] = frozenset()  # for what a file was written, and its name
    added: Names = frozenset()
    removed: Names = frozenset()
    accounts: Rows = frozenset()
    manifest: str = ""
    names: int = 0
    attempts: int = 0


class Vacuum(NamedTuple):
    """A vacuum that leaves alone what was written within so many graces: 1 as usual, 0 by force."""

    grace: int = 1
    who: str = "vacuum"
    at: str = "the listing"
    end: str = ""
    listed: frozenset[Data | Manifest] = frozenset()
    horizon: int = 0
    planned: int = -1
    spare: Names = frozenset()


class Reader(NamedTuple):
    """Somebody who opens a version and reads it within the grace."""

    who: str = "reader"
    at: str = "the opening"
    end: str = ""
    files: Names = frozenset()
    era: int = 0


class Event(NamedTuple):
    """What happens once, at any time; `who` says what."""

    who: str
    at: str = "the event"
    end: str = ""


Actor = Run | Vacuum | Reader | Event


class World(NamedTuple):
    """The input, the store, and who is at work. `cleaned`: entries before this version are in a checkpoint alone.
    `late`: commits on their way, each with the version that it was planned at."""

    actors: tuple[Actor, ...] = ()
    inputs: Rows = frozenset({("A", 1), ("B", 1)})
    log: tuple[Entry, ...] = (Entry(0),)
    objects: frozenset[Data | Manifest] = frozenset()
    era: int = 0
    cleaned: int = 0
    late: tuple[tuple[int, Entry], ...] = ()

    @property
    def newest(self) -> int:
        return len(self.log) - 1

    @property
    def table(self) -> "Table":
        return table_of(self.log, self.objects)

    def with_actor(self, number: int, actor: Actor) -> "World":
        return self._replace(actors=(*self.actors[:number], actor, *self.actors[number + 1 :]))

    def with_entry(self, entry: Entry) -> "World":
        return self._replace(log=(*self.log, entry))

    def with_object(self, made: Data | Manifest) -> "World":
        return self._replace(objects=self.objects | {made})


def world_of(*actors: Actor, warm: bool = False) -> World:
    """A table at which these are at work: empty, or `warm` with a data file of each source file."""
    if not warm:
        return World(actors)
    files = [Data(f"data of {source}", 0, frozenset({(source, 1)})) for source in "AB"]
    first = Manifest("run A", 0, "", files[0].rows, frozenset({files[0].name}))
    second = Manifest("run B", 0, "run A", files[1].rows, first.files | {files[1].name})
    entries = (Entry(0, first.files, manifest="run A"), Entry(0, frozenset({files[1].name}), manifest="run B"))
    return World(actors, log=(Entry(0), *entries), objects=frozenset({*files, first, second}))


class Table(NamedTuple):
    """The newest version: its data files (`rows` is None where one is gone), the manifests of all runs, newest first
    (None where one is gone), and what these know of each source file."""

    files: Names
    rows: tuple[Row, ...] | None
    chain: tuple[Manifest, ...] | None
    ledger: Mapping[str, int]

    @property
    def head(self) -> str:
        return self.chain[0].name if self.chain else ""

    @property
    def is_foreign(self) -> bool:
        """Whether another engine has changed the files since the newest run."""
        return self.files != (self.chain[0].files if self.chain else frozenset())

    @property
    def is_accounted(self) -> bool:
        """Whether the rows are those that runs know of."""
        return self.rows == tuple(sorted(row for row in self.ledger.items() if row[1] >= 0))


@lru_cache(maxsize=1 << 16)
def table_of(log: tuple[Entry, ...], objects: frozenset[Data | Manifest]) -> Table:
    """The table as its log and the store have it."""
    named = {made.name: made for made in objects}
    files: Names = frozenset()
    for entry in log:
        files = (files - entry.removed) | entry.added
    data = [named.get(name) for name in files]
    rows = None if None in data else tuple(sorted(row for d in data if isinstance(d, Data) for row in d.rows))
    chain: list[Manifest] = []
    name = next((entry.manifest for entry in reversed(log) if entry.manifest), "")
    while name and isinstance(manifest := named.get(name), Manifest):
        chain.append(manifest)
        name = manifest.parent
    ledger = {source: content for m in reversed(chain) for source, content in sorted(m.accounts)}
    return Table(files, rows, None if name else tuple(chain), ledger)
