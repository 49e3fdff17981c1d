"""A random walk of commands, faults and other writers over a fleet's table, against an exact model of its rows.

Each step is done in a fork of this process. Commands may fail at any storage operation, die after it, or sleep there
while others are done. After each step the rows of every source file are held against what they must be; a walk ends
with the first thing that is wrong, or with all settled, verified and aggregated.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from siltstone.config.load import load_config
from siltstone.maintenance.adopt import adopt
from siltstone.maintenance.repair import repair
from support.failing import Child, End, in_child
from support.fleet import NOON, InProcess, quiet, record
from support.operations import How
from support.other_writers import clean_up_log
from support.stories import ALL_CLOSED, NOT_YET, vacuum_all
from support.walk_model import Known, Seen, difference

Step = Callable[[], None]

_DEVICES = ("SLS30I009", "SLS30I010")
_HOWS: tuple[How, ...] = ("before", "after", "kill")
_MOST_OPERATIONS = 180
SAME_ROWS = ("OPTIMIZE", "ZORDER", "properties", "log")
OTHER_ROWS = ("DELETE", "UPDATE")


class Walk(Known):
    """A walk: its steps."""

    def go(self, steps: int) -> None:
        """So many steps, or as many as there are until something is wrong; then the end of the story."""
        for _ in range(steps):
            made, weights = zip(*self.steps(), strict=True)
            self.draw.choices(made, weights)[0]()
            if self.wrong or self.is_over:
                return
        self.settle()

    def steps(self) -> list[tuple[Step, int]]:
        """What may come next, and how often."""
        by_others = {"OPTIMIZE": 2, "ZORDER": 1, "DELETE": 1, "UPDATE": 1, "properties": 1, "RESTORE": 2, "log": 1}
        commands = {"compact": 8, "optimize": 3, "vacuum": 4, "derive": 2, "adopt": 2}
        own = [(lambda name=name: self.command(name), often) for name, often in commands.items()]
        others = [(lambda what=what: self.other(what), often) for what, often in by_others.items()]
        changes = [(self.deliver, 5), (self.change, 3), (self.spoil, 1), (self.take_away, 1), (self.damage, 1)]
        checks = [(self.verify, 2), (self.compare, 2)]
        return [*own, *changes, *checks, *(others if self.format == "delta" else ())]

    # ---- the input

    def values(self) -> list[float]:
        """Values that no record had before."""
        first, self.number = self.number, self.number + self.draw.choice([1, 1, 2, 3])
        return [float(n) for n in range(first, self.number)]

    def deliver(self) -> None:
        day, hour = self.draw.choice((10, 11, 12)), self.draw.randrange(24)
        place = f"BRCB/{self.draw.choice(_DEVICES)}/202512{day}{hour:02d}"
        if place not in self.input:
            self.put(place)

    def change(self) -> None:
        if self.input:
            self.put(self.draw.choice(sorted(self.input)))

    def put(self, place: str) -> None:
        values, device, day = self.values(), place.split("/")[1], int(place[-4:-2]) - 10
        more = {f"c{self.draw.randrange(4)}": 1.5} if self.draw.random() < 0.3 else {}
        at = NOON + day * 86_400
        self.world.deliver({place: [record(at + int(n), "U1", device, n=n, **more) for n in values]})
        self.input[place] = values
        self.say(f"deliver {place} {values}")

    def spoil(self) -> None:
        """A file comes again and can't be read."""
        if self.input:
            place = self.draw.choice(sorted(self.input))
            self.world.deliver({place: f"no gzip {self.values()}".encode()})
            self.input[place] = None
            self.say(f"spoil {place}")

    def take_away(self) -> None:
        if self.input and self.draw.random() < 0.5:
            place = self.draw.choice(sorted(self.input))
            self.world.path(place).unlink()
            del self.input[place]
            self.say(f"take away {place}")

    # ---- commands

    def job(self, name: str) -> Callable[[], Any]:
        """What a command does, with settings by chance."""
        merging, retries = NOT_YET if self.draw.random() < 0.6 else ALL_CLOSED, self.draw.random() < 0.2
        config = load_config([], [])
        jobs: Mapping[str, Callable[[], Any]] = {
            "compact": lambda: self.world.compact(*merging, *self.settings, retry=retries),
            "optimize": lambda: self.world.settle(*ALL_CLOSED),
            "vacuum": lambda: vacuum_all(self.root, self.table_name),
            "adopt": lambda: adopt(self.opened(), config, InProcess(), quiet, does=True),
            "repair": lambda: repair(self.opened(), config, InProcess(), quiet, does=True),
            "derive": self.deriving(),
        }
        return jobs[name]

    def armed(self, name: str, target: int = 0, how: How = "before", *, sleeps: bool = False) -> Callable[[], Any]:
        """A command of which an operation goes wrong."""
        job = self.job(name)

        def run() -> Any:
            operations = self.operations
            operations.target, operations.how, operations.sleeps = target, how, sleeps
            operations.done.clear()
            operations.is_armed = True
            try:
                result = job()
            finally:
                operations.is_armed = False
            return {k: getattr(result, k) for k in ("sources", "files_missing")} if name == "adopt" else None

        return run

    def can(self, name: str) -> bool:
        return bool(self.now.head or (name == "compact" and self.input))

    def command(self, name: str) -> None:
        """A command, in the third part of all cases with a fault."""
        if not self.can(name):
            return
        chance, how = self.draw.random(), self.draw.choice(_HOWS)
        target = int(math.exp(self.draw.uniform(0, math.log(_MOST_OPERATIONS))))
        if chance < 0.6:
            self.undisturbed(name)
        elif chance < 0.85:
            end = in_child(self.armed(name, target, how), self.operations)
            self.say(f"{name} ({how} {target})", end)
            self.judge(name, end, is_disturbed=True)
        else:
            self.asleep(name, target, how)

    def undisturbed(self, name: str) -> None:
        end = in_child(self.armed(name), self.operations)
        self.say(name, end)
        self.judge(name, end)

    def asleep(self, name: str, target: int, how: How) -> None:
        """A command sleeps while others are done."""
        process = Child(self.armed(name, target, how, sleeps=True), self.operations)
        if process.sleeps():
            self.say(f"{name} sleeps ({how} {target})")
            self.judge(name, End("killed"), is_disturbed=True)
            others = ["compact", "optimize", "vacuum", "vacuum", "derive"]
            others += ["adopt", "OPTIMIZE", "DELETE", "RESTORE", "UPDATE"] if self.format == "delta" else []
            for other in self.draw.choices(others, k=self.draw.choice([1, 1, 2])):
                if other.isupper():
                    self.other(other)
                elif self.can(other):
                    self.undisturbed(other)
            process.wake()
        end = process.end()
        self.say(f"{name} slept", end)
        self.judge(name, end, is_disturbed=True)

    # ---- what others do

    def other(self, what: str) -> None:
        """Another engine does something to the table."""
        if not self.now.head:
            return
        values = sorted({ns[0] for ns in self.now.rows.values()})
        some = ", ".join(map(str, self.draw.sample(values, min(len(values), self.draw.choice([1, 1, 3]))))) or "-1"
        versions = sorted(v for v in self.states if v < self.now.version)
        back_to = self.draw.choice([versions[0], *versions[-8:]]) if versions else None
        end = in_child(self._by_another(what, some, back_to, self.draw.choice([1, 2, 5])), self.operations)
        before = self.look()
        self.say(f"{what} by another ({back_to if what == 'RESTORE' else some})", end)
        if end.kind != "done":
            self.fail("another engine fails")
        elif what in SAME_ROWS and self.now.rows != before.rows:
            self.fail(f"the rows are others: {difference(before.rows, self.now.rows)}")
        elif what in OTHER_ROWS and self.now.version != before.version:
            self.is_touched = True
        elif what == "RESTORE" and self.now.version != before.version:
            self.is_touched, self.is_restored, self.back_to = False, True, back_to

    def _by_another(self, what: str, some: str, back_to: int | None, kept: int) -> Callable[[], Any]:
        path, column = str(self.table_root), self.column

        def run() -> None:
            table = DeltaTable(path)
            if what == "OPTIMIZE":
                table.optimize.compact()
            elif what == "ZORDER":
                table.optimize.z_order(["ts"])
            elif what == "properties":
                table.alter.set_table_properties({"delta.logRetentionDuration": "interval 60 days"})
            elif what == "log":
                clean_up_log(self.table_root, kept)
            elif what == "RESTORE":
                self._put_back(table, back_to)
            elif column not in {f.name for f in table.schema().fields}:
                pass
            elif what == "DELETE":
                table.delete(f"{column} in ({some})")
            else:
                table.update({column: f"{column} + 0.25"}, predicate=f"{column} in ({some})")

        return run

    @staticmethod
    def _put_back(table: DeltaTable, back_to: int | None) -> None:
        try:
            if back_to is not None:
                table.restore(back_to)
        except (DeltaError, OSError):
            pass  # its files or its log are gone

    # ---- what is gone

    def damage(self) -> None:
        """Data files or the newest manifest are gone; after a repair each source file has rows that it once had."""
        if not self.now.head or self.is_touched or self.is_restored:
            return
        files: list[str] = self.value_of(lambda: self.opened().paths(self.newest()))
        gone = self.draw.sample(files, min(len(files), self.draw.choice([0, 1, 1, 2])))
        if not gone or self.draw.random() < 0.2:
            gone.append(f"_siltstone/runs/{self.now.head}.manifest")
        for path in gone:
            (self.table_root / path).unlink(missing_ok=True)
        self.say(f"gone: {gone} of {files}")
        for _ in range(self.draw.choice([0, 0, 1, 2])):
            name, how = self.draw.choice(["compact", "vacuum", "optimize", "repair"]), self.draw.choice(_HOWS)
            target = self.draw.randrange(1, _MOST_OPERATIONS)
            self.say(f"{name} ({how} {target})", in_child(self.armed(name, target, how), self.operations))
        end = in_child(self.armed("repair"), self.operations)
        self.say("repair", end)
        self.is_over = end.kind == "refused" and end.value.startswith("UsageError")  # it can't be told what was before
        if self.is_over:
            return
        if end.kind != "done":
            self.fail("repair fails")
            return
        self.look()
        for place, values in self.now.rows.items():
            once = [*self.ever[place][:-1], self.input.get(place) or ()]
            if not any(set(values) <= set(former) for former in once):
                self.fail(f"{place} has {values}, which it never had")
        self.own = self.now
        self.states = {0: Seen()}

    def settle(self) -> None:
        """Everything done: then the rows must be those of the input."""
        for name in ("adopt", "compact", "optimize", "vacuum") if self.now.head else ():
            self.undisturbed(name)
        self.verify()
        self.compare()
