"""Shared prefixes of a batch, as a tree of up to three levels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from graft.engine.packing import SHORTEST_PREFIX, Node, common_prefix

MINIMUM_SAVING = 0.05
"""A level of groups must save this share of the tokens: it costs a pass of attention in each layer."""

Ids = Sequence[int]


class PrefixTree(NamedTuple):
    """Rows as a tree.

    Attributes:
        levels: Nodes for ``lay_out``; the last level holds one per row, the leaves.
        order: The rows' indices in the order of the leaves.
        shared: By leaf, how many of the row's tokens are above it.
    """

    levels: list[list[Node]]
    order: list[int]
    shared: list[int]


def prefix_tree(rows: Sequence[Ids], limits: Sequence[int]) -> PrefixTree:
    """Find what rows share: all of them, and groups of one template or conversation below that.

    Args:
        rows: Token ids.
        limits: How many leading tokens of each row may be shared; at least one is left for the row itself.
    """
    root = common_prefix(rows, min(limits)) if len(rows) > 1 else 0
    groups = _groups(rows, limits, root)
    if groups is None:
        root = root if root >= SHORTEST_PREFIX else 0
    levels: list[list[Node]] = [[Node(rows[0][:root])]] if root else []
    if groups is None:
        return PrefixTree([*levels, [Node(row[root:]) for row in rows]], list(range(len(rows))), [root] * len(rows))
    middle: list[Node] = []
    leaves: list[Node] = []
    order: list[int] = []
    above: list[int] = []
    for place, members in enumerate(groups):
        shared = _shared(rows, limits, members)
        middle.append(Node(rows[members[0]][root:shared]))
        leaves += [Node(rows[index][shared:], place) for index in members]
        order += members
        above += [shared] * len(members)
    return PrefixTree([*levels, middle, leaves], order, above)


def _groups(rows: Sequence[Ids], limits: Sequence[int], root: int) -> list[list[int]] | None:
    """Rows that share more than all do, by the next token or by the whole prompt; None where that saves too little."""
    if len(rows) < 3 or min(limits) < root + 1:
        return None
    keys: tuple[Callable[[int], Hashable], ...] = (lambda i: rows[i][root], lambda i: tuple(rows[i][: limits[i]]))
    best, saved = None, MINIMUM_SAVING * sum(len(row) - root for row in rows)
    for key in keys:
        found: dict[Hashable, list[int]] = defaultdict(list)
        for index in range(len(rows)):
            found[key(index)].append(index)
        groups = list(found.values())
        saving = sum((len(g) - 1) * (_shared(rows, limits, g) - root) for g in groups)
        if len(groups) > 1 and saving > saved:
            best, saved = groups, saving
    return best


def _shared(rows: Sequence[Ids], limits: Sequence[int], members: Sequence[int]) -> int:
    """How many leading tokens the members share; a row by itself has its whole limit above its leaf."""
    return common_prefix([rows[i] for i in members], min(limits[i] for i in members))
