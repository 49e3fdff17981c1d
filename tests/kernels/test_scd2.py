"""Histories of entities: worked examples, and the law that the order of arrival does not matter."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.kernels.scd2 import MergedHistory, merged
from support.rounds import examples

Row = tuple[str | None, str | None, float | None]
KNOWN = {"ts": pl.Int64(), "source_file": pl.String(), "scope": pl.String()}
ROWS = {**KNOWN, "line": pl.Int64(), "id": pl.String(), "name": pl.String(), "angle": pl.Float32()}
HISTORY = ["id", "name", "angle", "valid_from", "valid_to", "source_file"]


@dataclass(frozen=True)
class Snapshot:
    """One file's rows at one instant."""

    ts: int
    file: str
    rows: tuple[Row, ...] = ()
    scope: str = ""


class Table:
    """A history that is merged run by run, with what its ledger knows."""

    def __init__(self) -> None:
        self.history, self.known = pl.DataFrame(), pl.DataFrame(schema=KNOWN)

    def add(self, *snapshots: Snapshot, replaced: Sequence[str] = ()) -> MergedHistory:
        new = pl.DataFrame([(s.ts, s.file, s.scope) for s in snapshots], schema=KNOWN, orient="row")
        rows = [(s.ts, s.file, s.scope, line, *row) for s in snapshots for line, row in enumerate(s.rows)]
        frame = pl.DataFrame(rows, schema=ROWS, orient="row")
        found = merged(self.history, new, frame, known=self.known, key=["id"], replaced=replaced)
        self.history = found.history
        self.known = pl.concat([self.known.filter(~pl.col("source_file").is_in(list(replaced))), new]).unique()
        return found

    @property
    def rows(self) -> list[tuple[object, ...]]:
        return self.history.select(HISTORY).rows()


def row(key: str | None, name: str | None = "n", angle: float | None = None) -> Row:
    return key, name, angle


def test_a_row_lasts_from_its_first_snapshot_to_the_first_that_shows_it_otherwise_or_not_at_all() -> None:
    table = Table()
    table.add(
        Snapshot(10, "f10", (row("a", "x"), row("b"))),
        Snapshot(20, "f20", (row("a", "x"), row("b"))),
        Snapshot(30, "f30", (row("a", "y"),)),
        Snapshot(40, "f40", (row("a", "y"), row("b"))),
    )
    assert table.rows == [
        ("a", "x", None, 10, 30, "f10"),
        ("a", "y", None, 30, None, "f30"),
        ("b", "n", None, 10, 30, "f10"),  # deleted at 30
        ("b", "n", None, 40, None, "f40"),  # and there again at 40: a row of its own
    ]


def test_an_empty_snapshot_ends_everything_in_its_scope_alone() -> None:
    table = Table()
    table.add(Snapshot(10, "f", (row("a"),), "f"), Snapshot(10, "g", (row("b"),), "g"))
    table.add(Snapshot(20, "f", (), "f"))
    assert table.rows == [("a", "n", None, 10, 20, "f"), ("b", "n", None, 10, None, "g")]


def test_snapshots_without_rows_alone_give_a_history_without_rows() -> None:
    new = pl.DataFrame([(10, "f10", "")], schema=KNOWN, orient="row")
    bare = pl.DataFrame(schema={**KNOWN, "line": pl.Int64()})
    found = merged(pl.DataFrame(), new, bare, known=new.clear(), key=["id"])
    assert found.history.schema == {
        "id": pl.String(),
        "valid_from": pl.Int64(),
        "valid_to": pl.Int64(),
        "source_file": pl.String(),
    }
    assert found.files.rows() == [("f10", 0, 0)]


def test_a_late_snapshot_between_two_splits_moves_and_joins() -> None:
    table = Table()
    table.add(Snapshot(10, "f10", (row("a"), row("b", "x"))), Snapshot(30, "f30", (row("a"), row("b", "y"))))
    found = table.add(Snapshot(20, "f20", (row("b", "y"), row("c"))))
    assert table.rows == [
        ("a", "n", None, 10, 20, "f10"),  # not there at 20
        ("a", "n", None, 30, None, "f30"),
        ("b", "x", None, 10, 20, "f10"),
        ("b", "y", None, 20, None, "f20"),  # so already at 20
        ("c", "n", None, 20, 30, "f20"),
    ]
    assert found.files.rows() == [("f10", 2, 0), ("f20", 2, 0), ("f30", 1, 0)]


def test_of_equal_keys_in_a_snapshot_the_last_line_stays_and_the_others_are_counted() -> None:
    table = Table()
    found = table.add(Snapshot(10, "f", (row("a", "x"), row(None), row("a", "y"), row(None))))
    assert table.rows == [(None, "n", None, 10, None, "f"), ("a", "y", None, 10, None, "f")]
    assert found.files.rows() == [("f", 2, 2)]


def test_of_two_snapshots_of_one_instant_the_later_file_counts() -> None:
    for order in (("p", "q"), ("q", "p")):
        table = Table()
        for file in order:
            table.add(Snapshot(10, file, (row(file),)))
        assert table.rows == [("q", "n", None, 10, None, "q")]


def test_a_replaced_file_is_as_if_it_had_never_been() -> None:
    table = Table()
    table.add(*(Snapshot(ts, f"f{ts}", (row("a", "x" if ts != 20 else "odd"),)) for ts in (10, 20, 30)))
    assert len(table.rows) == 3
    table.add(Snapshot(20, "f20", (row("a", "x"),)), replaced=["f20"])
    assert table.rows == [("a", "x", None, 10, None, "f10")]
    table.add(replaced=["f10"])
    assert table.rows == [("a", "x", None, 20, None, "f20")]
    table.add(Snapshot(40, "f40"), replaced=["f20", "f30"])
    assert table.rows == []


def test_a_column_that_a_newer_schema_brings_changes_only_rows_that_have_a_value_in_it() -> None:
    known = pl.DataFrame(schema=KNOWN)
    first = pl.DataFrame([(10, "f10", "")], schema=KNOWN, orient="row")
    old = pl.DataFrame({"ts": 10, "source_file": "f10", "scope": "", "line": [0, 1], "id": ["a", "b"]})
    second = pl.DataFrame([(20, "f20", "")], schema=KNOWN, orient="row")
    new = pl.DataFrame(
        {"ts": 20, "source_file": "f20", "scope": "", "line": [0, 1], "id": ["a", "b"], "floor": [None, "2"]}
    )
    before = merged(pl.DataFrame(), first, old, known=known, key=["id"]).history
    after = merged(before, second, new, known=first, key=["id"]).history
    assert after.select("id", "floor", "valid_from", "valid_to").rows() == [
        ("a", None, 10, None),
        ("b", None, 10, 20),
        ("b", "2", 20, None),
    ]


def test_minus_zero_is_not_zero_and_nan_is_nan() -> None:
    table = Table()
    angles = [(10, 0.0), (20, -0.0), (30, float("nan")), (40, float("nan"))]
    table.add(*(Snapshot(ts, f"f{ts}", (row("a", "x", angle),)) for ts, angle in angles))
    assert [r[3:5] for r in table.rows] == [(10, 20), (20, 30), (30, None)]


def test_the_history_tells_of_snapshots_that_the_ledger_forgot() -> None:
    table = Table()
    table.add(Snapshot(10, "f", (row("a"),), "f"))
    table.add(Snapshot(20, "f", (), "f"))
    table.known = table.known.filter(pl.col("ts") == 20)  # a ledger knows a path's newest version only
    table.add(Snapshot(30, "f", (row("a"),), "f"))
    assert [r[3:5] for r in table.rows] == [(10, 20), (30, None)]


def test_a_file_that_is_not_known_is_told() -> None:
    table = Table()
    table.add(Snapshot(10, "f", (row("a"),)))
    table.known = table.known.clear()
    with pytest.raises(ValueError, match="a file that is not known: f"):
        table.add(Snapshot(20, "g"))


def by_hand(snapshots: Iterable[Snapshot]) -> list[tuple[object, ...]]:
    """The history as its definition says: one pass over all snapshots of each scope, one key at a time."""
    winners: dict[tuple[str, int], Snapshot] = {}
    for snapshot in sorted(snapshots, key=lambda s: (s.scope, s.ts, s.file)):
        winners[snapshot.scope, snapshot.ts] = snapshot
    rows: list[tuple[object, ...]] = []
    for scope in {s for s, _ in winners}:
        timeline = sorted((s for s in winners.values() if s.scope == scope), key=lambda s: s.ts)
        for key in {r[0] for s in timeline for r in s.rows}:
            state: tuple[Row, int, str] | None = None
            for snapshot in timeline:
                shown = next((r for r in reversed(snapshot.rows) if r[0] == key), None)
                if state is not None and repr(state[0]) != repr(shown):
                    rows.append((*state[0], state[1], snapshot.ts, state[2]))
                    state = None
                if state is None and shown is not None:
                    state = shown, snapshot.ts, snapshot.file
            if state is not None:
                rows.append((*state[0], state[1], None, state[2]))
    return sorted(rows, key=lambda r: (r[0] is not None, r[0] or "", r[3], r[5]))


ROW = st.tuples(
    st.sampled_from([None, "a", "b"]), st.sampled_from([None, "x", "y"]), st.sampled_from([None, 0.0, -0.0])
)


@st.composite
def runs(draw: st.DrawFn) -> list[list[Snapshot]]:
    """Snapshots of whole tables (two a scope and instant at times) or of files, in any order, cut into runs."""
    whole = draw(st.booleans())
    names = st.sampled_from(["p", "q"])
    places = draw(st.lists(st.tuples(st.integers(1, 7), names, names), unique=True, max_size=9))
    content = st.lists(ROW, max_size=3).map(tuple)
    snapshots = [
        Snapshot(ts, f"{scope}{ts}{file}" if whole else scope, draw(content), scope)
        for ts, scope, file in places
        if whole or file == "p"
    ]
    cuts = draw(st.lists(st.integers(0, len(snapshots)), max_size=3).map(sorted))
    return [snapshots[a:b] for a, b in zip([0, *cuts], [*cuts, len(snapshots)], strict=True)]


@settings(max_examples=examples(25), deadline=None)
@given(runs())
def test_any_order_of_arrival_gives_the_history_of_one_pass(parts: list[list[Snapshot]]) -> None:
    table, all_at_once = Table(), Table()
    for part in parts:
        found = table.add(*part)
        assert dict(found.files.select("source_file", "rows").rows()) == {
            file: sum(r[5] == file for r in table.rows) for file in table.known["source_file"].unique()
        }
    snapshots = [s for part in parts for s in part]
    all_at_once.add(*snapshots)
    expected = by_hand(snapshots)
    assert repr(table.rows) == repr(expected)
    assert repr(all_at_once.rows) == repr(expected)


@settings(max_examples=examples(25), deadline=None)
@given(st.data())
def test_files_that_are_replaced_leave_nothing(data: st.DataObject) -> None:
    content = st.lists(ROW, max_size=3).map(tuple)
    table, newest = Table(), dict[int, Snapshot]()
    for _ in range(3):
        instants = data.draw(st.sets(st.integers(1, 5), max_size=4))
        gone = data.draw(st.sets(st.sampled_from(sorted(newest)), max_size=1) if newest else st.just(set[int]()))
        replaced = [newest.pop(ts).file for ts in (instants | gone) & set(newest)]
        new = {ts: Snapshot(ts, f"f{ts}", data.draw(content)) for ts in instants}
        table.add(*new.values(), replaced=replaced)
        newest |= new
        assert repr(table.rows) == repr(by_hand(newest.values()))
