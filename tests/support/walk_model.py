"""What a random walk over a table knows: the rows that must be there, what was seen, and what was wrong."""

import math
import os
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from siltstone.config.load import load_config
from siltstone.maintenance.describe import open_table
from siltstone.storage import local
from siltstone.table import ledger as ledgers
from siltstone.table import parquet_table
from siltstone.table.delta_table import Snapshot, Table
from siltstone.table.ledger import EDITED
from support.aggregates import Aggregates, assert_same
from support.failing import End, in_child
from support.fleet import World
from support.operations import Operations, watch
from support.stories import rows_in

Rows = dict[str, tuple[float, ...]]

_MEASURES = ["count", "min", "max", "first", "last"]


@dataclass(frozen=True)
class Seen:
    """A table as a reader finds it, by the place of the rows; and what its ledger says."""

    rows: Rows = field(default_factory=dict)
    edited: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()
    version: int = -1
    head: str = ""


@dataclass
class Known:
    """Of a walk below `root`. `now` is the table as it was seen last, `own` as siltstone's newest run left it, `states`
    those that could be put back, by version. `input` has the records at the input, None for a file that can't be read.
    Others have surely changed rows where `is_touched`, and may have put an older version back where `is_restored`."""

    root: Path
    seed: int
    format: str
    table_name: ClassVar[str] = "datalog"
    column: ClassVar[str] = "n"
    now: Seen = field(default_factory=Seen)
    own: Seen = field(default_factory=Seen)
    states: dict[int, Seen] = field(default_factory=lambda: {0: Seen()})
    back_to: int | None = None
    is_touched: bool = False
    is_restored: bool = False
    input: dict[str, Any] = field(default_factory=dict)
    ever: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    ever_edited: set[str] = field(default_factory=set)
    number: int = 0
    said: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    is_over: bool = False

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed)
        self.world = World(self.root)
        self.operations = Operations()
        watch(self.operations)
        local.reach_disk = lambda _: None  # a process that dies loses nothing that the disk has not got yet
        self.settings = ("compaction.format=parquet",) if self.format == "parquet" else ()
        if self.seed % 3:  # ledger snapshots, folds and checkpoints come after few runs
            ledgers.SNAPSHOT_EVERY = 4
            parquet_table._CHECKPOINT_EVERY = 6

    # ---- what is seen

    @property
    def table_root(self) -> Path:
        return self.root / "lake" / self.table_name

    def opened(self) -> Table:
        return open_table(str(self.root / "lake"), self.table_name, load_config([], []).storage)

    def newest(self) -> Snapshot:
        snapshot = self.opened().snapshot()
        assert snapshot is not None
        return snapshot

    def look(self) -> Seen:
        """The table as it is now, which is `now` from then on; the one of before."""
        before, self.now = self.now, self.value_of(self._seen)
        for place, values in self.now.rows.items():
            self.ever.setdefault(place, []).append(values)
        return before

    def value_of(self, work: Callable[[], Any]) -> Any:
        end = in_child(work, self.operations)
        assert end.kind == "done", end.value
        return end.value

    def _seen(self) -> Seen:
        if not self.table_root.exists():
            return Seen()
        table = self.opened()
        table.recover()
        snapshot = table.snapshot()
        if snapshot is None:  # a run sleeps between the folder and the table in it
            return Seen()
        frame = rows_in(self.table_root)
        entries = ledgers.load(table.storage, snapshot.head).entries
        edited, known = (map(self.place_of, e["path"]) for e in (entries.filter(state=EDITED), entries))
        rows = self.rows_of(frame) if self.column in frame.columns and frame.height else {}
        head = snapshot.head.name if snapshot.head else ""
        return Seen(rows, frozenset(edited), frozenset(known), snapshot.version, head)

    def place_of(self, path: str) -> str:
        """How the walk calls a source file."""
        return path.removeprefix(f"{os.path.realpath(self.world.input)}/").rpartition("/")[0]

    def rows_of(self, frame: pl.DataFrame) -> Rows:
        """The column n of the rows of each source file."""
        found: Rows = {}
        for path, values in frame.select("source_file", "n").group_by("source_file").all().iter_rows():
            found[self.place_of(path or "")] = tuple(sorted(math.nan if n is None else n for n in values))
        return found

    def say(self, what: str, end: End | None = None) -> None:
        told = "" if end is None else f": {end.kind} {'' if end.value is None or end.kind == 'done' else end.value}"
        self.said.append(f"{what}{told}"[:600])

    def fail(self, what: str) -> None:
        self.wrong.append(f"after {self.said[-1]}: {what}")

    # ---- what must be

    def judge(self, name: str, end: End, *, is_disturbed: bool = False) -> None:
        """Hold the table against what a command may have made of it, and against what it said."""
        before = self.look()
        now, other_rows = self.now, self.is_touched or self.is_restored
        after = self.compacted(before) if name == "compact" else before.rows
        if end.kind == "foreign":
            self.fail(f"foreign error {end.value}")
        if end.kind == "refused":
            self._judge_refusal(end.value, is_disturbed=is_disturbed)
        if end.kind == "done" and name == "compact" and self.is_touched and not is_disturbed:
            self.fail("went on over changed rows")
        if now.rows not in ([after] if end.kind == "done" else [before.rows, after]):
            self.fail(f"rows are not those of before or after: {difference(after, now.rows)}")
        if now.head != before.head:
            if name == "adopt":
                self.ever_edited |= now.edited
                if end.kind == "done" and self.is_touched and not is_disturbed:
                    self.judge_adopted(end.value)
            elif not other_rows and now.edited != before.edited:
                self.fail(f"edited were {set(before.edited)}, are {set(now.edited)}")
            if more := now.edited - self.ever_edited:
                self.fail(f"edited by nobody: {more}")
            self.own, self.is_touched, self.is_restored = now, False, False
        if now.version != before.version and not self.is_touched and not self.is_restored:
            self.states[now.version] = now

    def _judge_refusal(self, said: str, *, is_disturbed: bool) -> None:
        is_for_others = said.startswith("OtherWriterError")
        if is_for_others and not (self.is_touched or self.is_restored):
            self.fail("refused for nothing")
        if not (is_for_others or is_disturbed or "has no column n" in said):  # of a version before there were rows
            self.fail("an undisturbed command fails")

    def compacted(self, before: Seen) -> Rows:
        """The rows once all of the input is part of the table."""
        read = {p: tuple(vs) for p, vs in self.input.items() if vs is not None and p not in self.now.edited}
        return before.rows | read

    def judge_adopted(self, said: Mapping[str, Any]) -> None:
        """Whether adopt has named the source files of which the rows are others than siltstone's own run left them:
        where data files of before are gone, at least those with another number."""
        was, now = self.own.rows, self.now.rows
        differ = {p for p in {*was, *now} if was.get(p) != now.get(p)}
        by_count = {p for p in differ if len(was.get(p, ())) != len(now.get(p, ()))}
        named = {self.place_of(source["path"]) for source in said["sources"]}
        if not (by_count if said["files_missing"] else differ) <= named <= differ or not named <= self.now.edited:
            self.fail(f"adopt named {named}, changed are {differ}, edited {set(self.now.edited)}")

    def problems(self) -> Sequence[str]:
        return list(self.world.verify()["problems"])

    def verify(self) -> None:
        if self.now.head:
            end = in_child(self.problems, self.operations)
            self.look()
            self.say(f"verify {end.value}")
            if end.kind != "done" or (end.value and not (self.is_touched or self.is_restored)):
                self.fail("verify finds problems")
            if self.is_touched and not end.value:
                self.fail("verify finds nothing")

    def compare(self) -> None:
        """What is derived step by step against what is derived of all at once."""
        if any(self.now.rows.values()):
            end = in_child(self.compare_derived, self.operations)
            self.look()
            self.say("compare", end)
            if end.kind != "done":
                self.fail(f"what is derived differs: {end.value}")

    def compare_derived(self) -> None:
        mine = Aggregates(self.root / "hourly", self.table_root)
        whole = mine.twin("whole")
        for output in (mine, whole):
            self.aggregate(output)
        assert_same(mine.frame(), whole.frame())
        shutil.rmtree(whole.root)

    def deriving(self) -> Callable[[], Any]:
        """Make what is derived of the table up to date."""
        return lambda: self.aggregate(Aggregates(self.root / "hourly", self.table_root))

    def aggregate(self, output: Aggregates) -> Any:
        return output.run("1h", _MEASURES, columns=("n",))


def difference(wanted: Rows, found: Rows) -> str:
    """Where rows are others."""
    places = sorted(p for p in {*wanted, *found} if wanted.get(p) != found.get(p))
    return "; ".join(f"{p}: {wanted.get(p)} wanted, {found.get(p)} found" for p in places)[:1000]
