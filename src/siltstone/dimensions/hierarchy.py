"""Where each thing stands in a tree of parents: assets in plants, rooms on floors in buildings.

Real trees have flaws, and none of them may lose a node or hang: a node under several parents, a parent that nobody
knows, a chain of parents that ends in itself. Each node gets one row with its least path and the problem in words.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

MOST_PATHS = 100  # of one node: a dozen levels with two parents each have 4,096
_MOST_NAMED = 5

TREE = pl.Schema(
    {
        "id": pl.String(),
        "path": pl.String(),
        "path_ids": pl.List(pl.String()),
        "depth": pl.Int32(),
        "root": pl.String(),
        "paths": pl.List(pl.String()),
        "problem": pl.String(),
    }
)


@dataclass(frozen=True)
class _Graph:
    """`parents` has every node with its known parents, `children` the reverse, `unknown` all other parents."""

    names: Mapping[str, str]
    parents: Mapping[str, Sequence[str]]
    children: Mapping[str, Sequence[str]]
    unknown: Mapping[str, Sequence[str]]


_Path = tuple[tuple[str, ...], tuple[str, ...]]
"""Escaped names and ids, from the root to the node."""


def tree_paths(nodes: pl.DataFrame) -> pl.DataFrame:
    """One row per id, ordered by id: id, path, path_ids, depth, root, paths, problem.

    `nodes` has `id`, `parent` (null for none) and `name`, all text; a row for each parent where there are several. A
    row without a parent says nothing if another of the same id has one; of several names the first counts; where
    there is none, the id stands for it. Rows without id are left out.

    `path` are the names from the root to the node, joined by "/"; within a name "~" is written ~0 and "/" ~1 (as in
    JSON pointers, RFC 6901), so splitting at "/" is always right. `path_ids` are the same nodes' ids, `root` the
    first of them, `depth` 0 for a root. A node that several paths lead to has the one of fewest levels, then that of
    the least names and ids; `paths` has all of them in this order, 100 at most.

    `problem`, null for none, several joined by "; ":

    - `several parents`: also where one of them is unknown;
    - `unknown parent X`: no row has that id. A node without any known parent stands as a root;
    - `cycle: A, B`: the node is its own ancestor. A cycle that no root leads to begins at its least id;
    - `over 100 paths`: `paths` is cut.
    """
    graph = _graph(nodes)
    cycles = _cycles(graph)
    roots = [node for node, above in graph.parents.items() if not above]
    found, cut = _walk(graph, [roots, *([start] for start in _cycle_starts(graph, cycles))])
    rows = [_row(node, found[node], _problem(node, graph, cycles, cut)) for node in sorted(graph.parents)]
    return pl.DataFrame(rows, schema=TREE, orient="row")


def _graph(nodes: pl.DataFrame) -> _Graph:
    names: dict[str, str] = {}
    parents: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    rows = nodes.select("id", "parent", "name").drop_nulls("id").unique(maintain_order=True)
    ids = set(rows["id"])
    for node, parent, name in rows.iter_rows():
        if name and node not in names:
            names[node] = name.replace("~", "~0").replace("/", "~1")
        parents.setdefault(node, [])
        if parent is not None:
            above = parents if parent in ids else unknown
            if parent not in above.setdefault(node, []):
                above[node].append(parent)
    children: dict[str, list[str]] = {}
    for node, above_it in parents.items():
        for parent in above_it:
            children.setdefault(parent, []).append(node)
    names = {node: names.get(node) or node.replace("~", "~0").replace("/", "~1") for node in parents}
    return _Graph(names, parents, children, unknown)


def _walk(graph: _Graph, starts: Iterable[Sequence[str]]) -> tuple[dict[str, list[_Path]], set[str]]:
    """The paths of each node that a start leads to, least first, and the nodes that have more than are kept.

    Level by level, no path through a node twice. Starts are taken in groups; one that an earlier group led to is
    passed over.
    """
    found: dict[str, list[_Path]] = {}
    cut: set[str] = set()
    for group in starts:
        level: list[tuple[str, _Path]]
        level = [(start, ((graph.names[start],), (start,))) for start in group if start not in found]
        while level:
            level.sort(key=lambda entry: entry[1])
            entered: list[tuple[str, _Path]] = []
            for node, path in level:
                kept = found.setdefault(node, [])
                if len(kept) == MOST_PATHS:
                    cut.add(node)
                    continue
                kept.append(path)
                entered.append((node, path))
            level = [
                (child, ((*names, graph.names[child]), (*ids, child)))
                for node, (names, ids) in entered
                for child in graph.children.get(node, ())
                if child not in ids
            ]
    return found, cut


def _cycle_starts(graph: _Graph, cycles: Mapping[str, Sequence[str]]) -> list[str]:
    """The least id of each cycle that no other node stands above of, in order."""
    least = {members[0]: members for members in cycles.values()}
    return sorted(
        start
        for start, members in least.items()
        if all(parent in members for member in members for parent in graph.parents[member])
    )


def _cycles(graph: _Graph) -> dict[str, list[str]]:
    """The nodes that are their own ancestors, each with all nodes of its cycle in order (Tarjan's components)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_nodes: list[str] = []
    is_open: set[str] = set()
    found: dict[str, list[str]] = {}
    for start in graph.parents:
        if start in number:
            continue
        trail = [(start, iter(graph.children.get(start, ())))]
        number[start] = low[start] = len(number)
        open_nodes.append(start)
        is_open.add(start)
        while trail:
            node, below = trail[-1]
            child = next(below, None)
            if child is not None:
                if child not in number:
                    number[child] = low[child] = len(number)
                    open_nodes.append(child)
                    is_open.add(child)
                    trail.append((child, iter(graph.children.get(child, ()))))
                elif child in is_open:
                    low[node] = min(low[node], number[child])
                continue
            trail.pop()
            if trail:
                low[trail[-1][0]] = min(low[trail[-1][0]], low[node])
            if low[node] == number[node]:
                members = [open_nodes.pop()]
                while members[-1] != node:
                    members.append(open_nodes.pop())
                is_open.difference_update(members)
                members.sort()
                if len(members) > 1 or node in graph.parents[node]:
                    found.update(dict.fromkeys(members, members))
    return found


def _problem(node: str, graph: _Graph, cycles: Mapping[str, Sequence[str]], cut: set[str]) -> str | None:
    unknown = graph.unknown.get(node, ())
    problems = []
    if len(graph.parents[node]) + len(unknown) > 1:
        problems.append("several parents")
    problems += [f"unknown parent {parent}" for parent in sorted(unknown)]
    if node in cycles:
        members = cycles[node]
        more = f" and {len(members) - _MOST_NAMED:,} more" if len(members) > _MOST_NAMED else ""
        problems.append(f"cycle: {', '.join(members[:_MOST_NAMED])}{more}")
    if node in cut:
        problems.append(f"over {MOST_PATHS} paths")
    return "; ".join(problems) or None


def _row(node: str, paths: Sequence[_Path], problem: str | None) -> tuple[object, ...]:
    names, ids = paths[0]
    return node, "/".join(names), ids, len(ids) - 1, ids[0], ["/".join(names) for names, _ in paths], problem
