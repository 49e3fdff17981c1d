"""Paths in trees, and the flaws that real trees have."""

import polars as pl
import pytest

from siltstone.dimensions.hierarchy import TREE, tree_paths


def tree(*rows: tuple[str | None, str | None, str | None]) -> dict[str, dict[str, object]]:
    """The rows of (id, parent, name) by id."""
    nodes = pl.DataFrame(rows, schema={"id": pl.String, "parent": pl.String, "name": pl.String}, orient="row")
    found = tree_paths(nodes)
    assert found.schema == TREE
    assert found["id"].is_sorted()
    assert found["id"].is_unique().all()
    return {row["id"]: row for row in found.iter_rows(named=True)}


def test_a_path_names_every_node_from_the_root() -> None:
    found = tree(("r", "f", "Room 1"), ("f", "b", "Floor"), ("b", None, "Building"))
    assert found["r"] == {
        "id": "r",
        "path": "Building/Floor/Room 1",
        "path_ids": ["b", "f", "r"],
        "depth": 2,
        "root": "b",
        "paths": ["Building/Floor/Room 1"],
        "problem": None,
    }
    assert (found["b"]["path"], found["b"]["depth"], found["b"]["root"]) == ("Building", 0, "b")


def test_a_slash_in_a_name_does_not_split_the_path() -> None:
    found = tree(("a", None, "N/S"), ("b", "a", "~1"), ("c", "b", None), ("d/e", "c", ""))
    assert found["d/e"]["path"] == "N~1S/~01/c/d~1e"


def test_of_several_parents_the_shallowest_least_path_counts_and_all_are_kept() -> None:
    found = tree(("a", None, "A"), ("b", "a", "B"), ("z", None, "Z"), ("x", "b", "X"), ("x", "z", "X"), ("y", "x", "Y"))
    # A/B/X comes before Z/X in the alphabet, but has one level more
    assert found["x"]["path"] == "Z/X"
    assert found["x"]["paths"] == ["Z/X", "A/B/X"]
    assert found["x"]["problem"] == "several parents"
    assert (found["y"]["path"], found["y"]["depth"], found["y"]["problem"]) == ("Z/X/Y", 2, None)
    assert found["y"]["paths"] == ["Z/X/Y", "A/B/X/Y"]


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = [("x", "q", "X"), ("x", "p", "X"), ("p", None, "Same"), ("q", None, "Same"), ("k", "x", "K")]
    found = tree(*rows)
    assert found == tree(*reversed(rows))
    assert found["x"]["path_ids"] == ["p", "x"]  # equal names: the least ids


def test_a_row_without_parent_or_name_adds_nothing_to_one_that_has_them() -> None:
    found = tree(("x", None, None), ("x", "p", None), ("x", "p", "X"), ("p", None, "P"), (None, "p", "nobody"))
    assert list(found) == ["p", "x"]
    assert (found["x"]["path"], found["x"]["problem"]) == ("P/X", None)


def test_an_orphan_stands_as_a_root_and_says_so() -> None:
    found = tree(("o", "gone", "O"), ("c", "o", "C"), ("m", "gone", "M"), ("m", "o", "M"))
    assert (found["o"]["path"], found["o"]["problem"]) == ("O", "unknown parent gone")
    assert (found["c"]["path"], found["c"]["root"], found["c"]["problem"]) == ("O/C", "o", None)
    assert (found["m"]["path"], found["m"]["problem"]) == ("O/M", "several parents; unknown parent gone")


def test_a_cycle_begins_at_its_least_id_and_keeps_what_hangs_below() -> None:
    found = tree(("c", "b", "C"), ("b", "a", "B"), ("a", "c", "A"), ("leaf", "b", "L"), ("ok", None, "OK"))
    assert {node: row["path"] for node, row in found.items()} == {
        "a": "A",
        "b": "A/B",
        "c": "A/B/C",
        "leaf": "A/B/L",
        "ok": "OK",
    }
    assert {row["problem"] for node, row in found.items() if node in "abc"} == {"cycle: a, b, c"}
    assert found["leaf"]["problem"] is None


def test_a_cycle_that_a_root_leads_to_is_walked_from_there() -> None:
    found = tree(("a", "r", "A"), ("a", "b", "A"), ("b", "a", "B"), ("r", None, "R"))
    assert (found["a"]["paths"], found["b"]["paths"]) == (["R/A"], ["R/A/B"])
    assert found["a"]["problem"] == "several parents; cycle: a, b"
    assert found["b"]["problem"] == "cycle: a, b"


def test_a_cycle_below_a_cycle_hangs_on_it() -> None:
    found = tree(("a", "b", "A"), ("b", "a", "B"), ("c", "b", "C"), ("c", "d", "C"), ("d", "c", "D"))
    assert found["d"]["path"] == "A/B/C/D"
    assert found["d"]["problem"] == "cycle: c, d"


def test_its_own_parent_is_a_cycle_of_one() -> None:
    assert tree(("a", "a", "A"))["a"]["problem"] == "cycle: a"


def test_long_cycles_are_named_in_short() -> None:
    ring = [(f"n{i}", f"n{(i + 1) % 8}", None) for i in range(8)]
    assert tree(*ring)["n3"]["problem"] == "cycle: n0, n1, n2, n3, n4 and 3 more"


@pytest.mark.parametrize("depth", [500])
def test_any_depth(depth: int) -> None:
    rows = [(f"{i:04}", f"{i - 1:04}" if i else None, "n") for i in range(depth)]
    assert tree(*rows)[f"{depth - 1:04}"]["depth"] == depth - 1


def test_paths_beyond_the_first_hundred_are_cut_and_said() -> None:
    # eight levels of two, each a child of both above: 2^8 paths to the last
    rows = [(f"{i}{s}", f"{i - 1}{t}" if i else None, f"{i}{s}") for i in range(9) for s in "ab" for t in "ab"]
    found = tree(*rows)
    assert len(found["6a"]["paths"]) == 64  # type: ignore[arg-type]
    assert found["6a"]["problem"] == "several parents"
    assert len(found["8a"]["paths"]) == 100  # type: ignore[arg-type]
    assert found["8a"]["path"] == "0a/1a/2a/3a/4a/5a/6a/7a/8a"
    assert found["8a"]["problem"] == "several parents; over 100 paths"


def test_no_nodes_give_no_rows() -> None:
    assert tree() == {}
