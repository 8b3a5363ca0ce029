"""What the rows of a batch have in common, as a tree of up to three levels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence

from graft.engine.packing import SHORTEST_PREFIX, Node, common_prefix

WORTH = 0.05
"""A level of groups is made where it saves this share of the tokens: it costs a pass of attention in each layer."""

Ids = Sequence[int]


def grow(rows: Sequence[Ids], limits: Sequence[int]) -> tuple[list[list[Node]], list[int], list[int]]:
    """Levels of nodes for ``lay_out``, whose last holds one node a row; the rows in its order; and how many of each
    one's tokens stand above it.

    The first ``limits[i]`` tokens of row i may be shared, which leaves at least one for the row itself. Rows of one
    template or conversation share what is theirs, below what all rows share.
    """
    root = common_prefix(rows, min(limits)) if len(rows) > 1 else 0
    groups = _groups(rows, limits, root)
    if groups is None:
        root = root if root >= SHORTEST_PREFIX else 0
    levels: list[list[Node]] = [[Node(rows[0][:root])]] if root else []
    if groups is None:
        return [*levels, [Node(row[root:]) for row in rows]], list(range(len(rows))), [root] * len(rows)
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
    return [*levels, middle, leaves], order, above


def _groups(rows: Sequence[Ids], limits: Sequence[int], root: int) -> list[list[int]] | None:
    """Rows that share more than all do: by the next token, or by the whole prompt; None where it isn't worth it."""
    if len(rows) < 3 or min(limits) < root + 1:
        return None
    keys: tuple[Callable[[int], Hashable], ...] = (lambda i: rows[i][root], lambda i: tuple(rows[i][: limits[i]]))
    best, saved = None, WORTH * sum(len(row) - root for row in rows)
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
    """How many tokens the members share from the start; a row that stands alone has its prompt above its leaf."""
    return common_prefix([rows[i] for i in members], min(limits[i] for i in members))
