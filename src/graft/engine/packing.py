"""Rows as one sequence: no padding, and shared prefixes are kept once.

The tokens of a batch form a forest: a node is a run of tokens that follows its parent's. A token attends to its node's
ancestors and, causally, to its own node. Nodes of one depth are a level; levels follow each other in the sequence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import torch

SHORTEST_PREFIX = 4
"""A shorter common prefix is not worth a level of its own."""


@dataclass(frozen=True)
class Level:
    """Nodes of one depth.

    Attributes:
        start: The level's first token in the sequence.
        stop: One past its last.
        nodes: Their number.
        longest: The tokens of the longest.
        padded: (nodes · longest) the token that each place of the padded form holds; 0 where it is padding.
        valid: (nodes · longest) whether a place holds a token.
        unpadded: (tokens) the place of each token in the padded form.
        parents: (nodes) indices in the level before; None where all have the same parent, or none.
        mask: (nodes or 1, 1, longest, context + longest) which tokens see which; None is causal.
        firsts: (nodes) the positions of the nodes' first tokens.
    """

    start: int
    stop: int
    nodes: int
    longest: int
    padded: torch.Tensor
    valid: torch.Tensor
    unpadded: torch.Tensor
    parents: torch.Tensor | None
    mask: torch.Tensor | None
    firsts: torch.Tensor

    @property
    def positions(self) -> torch.Tensor:
        """(nodes, longest), continued over the padding."""
        import torch

        return self.firsts[:, None] + torch.arange(self.longest, device=self.firsts.device)

    def to(self, device: torch.device) -> Level:
        """A copy with its tensors on ``device``."""
        return replace(self, **_moved(self, device))


@dataclass(frozen=True)
class Layout:
    """The same forest twice: by levels for batched products, and flat for the kernels.

    Attributes:
        levels: From the roots down.
        spans: int32 (nodes, 3): a node's first token, one past its last, the index of its parent or -1.
        positions: int32 (tokens).
        shared: How many tokens, the first ones, belong to levels above the last.
    """

    levels: tuple[Level, ...]
    spans: torch.Tensor
    positions: torch.Tensor
    shared: int

    def to(self, device: torch.device) -> Layout:
        """A copy with its tensors on ``device``; itself where they are there already."""
        if self.spans.device == device:
            return self
        levels = tuple(level.to(device) for level in self.levels)
        return replace(self, levels=levels, **_moved(self, device))


def _moved(level: Any, device: torch.device) -> dict[str, Any]:
    """Its tensors by field, on ``device``."""
    import torch

    parts = {field.name: getattr(level, field.name) for field in fields(level)}
    return {name: part.to(device) for name, part in parts.items() if isinstance(part, torch.Tensor)}


@dataclass(frozen=True)
class Node:
    """A run of tokens; ``parent`` is the index of its parent in the level before."""

    tokens: Sequence[int]
    parent: int = 0


class PackedTokens(NamedTuple):
    """A forest as one sequence: the tokens, their positions in their rows, and the layout."""

    tokens: list[int]
    positions: list[int]
    layout: Layout


def common_prefix(rows: Sequence[Sequence[int]], limit: int) -> int:
    """The number of leading tokens all rows share, at most ``limit``."""
    first = rows[0]
    for index in range(min(limit, *(len(row) for row in rows))):
        token = first[index]
        if any(row[index] != token for row in rows):
            return index
    return max(0, min(limit, *(len(row) for row in rows)))


def lay_out(levels: Sequence[Sequence[Node]]) -> PackedTokens:
    """Lay out a forest. Each level but the first has its parents in the one before."""
    import torch

    tokens: list[int] = []
    positions: list[int] = []
    ends: list[int] = []
    spans: list[list[int]] = []
    made: list[Level] = []
    context_valid: torch.Tensor | None = None
    for depth, nodes in enumerate(levels):
        start, before = len(tokens), len(spans)
        starts = [ends[node.parent] if depth else 0 for node in nodes]
        for node, first in zip(nodes, starts, strict=True):
            above = before - len(levels[depth - 1]) + node.parent if depth else -1
            spans.append([len(tokens), len(tokens) + len(node.tokens), above])
            tokens.extend(node.tokens)
            positions.extend(range(first, first + len(node.tokens)))
        ends = [first + len(node.tokens) for node, first in zip(nodes, starts, strict=True)]
        lengths = torch.tensor([len(node.tokens) for node in nodes])
        parents = torch.tensor([node.parent for node in nodes])
        level, context_valid = _level(start, len(tokens), lengths, parents, torch.tensor(starts), context_valid)
        made.append(level)
    flat = torch.tensor(spans, dtype=torch.int32), torch.tensor(positions, dtype=torch.int32)
    return PackedTokens(tokens, positions, Layout(tuple(made), *flat, made[-1].start))


def _level(
    start: int,
    stop: int,
    lengths: torch.Tensor,
    parents: torch.Tensor,
    firsts: torch.Tensor,
    context: torch.Tensor | None,
) -> tuple[Level, torch.Tensor]:
    import torch

    nodes, longest = len(lengths), int(lengths.max())
    places = torch.arange(longest)
    valid = places[None, :] < lengths[:, None]
    begins = lengths.cumsum(0) - lengths
    padded = torch.where(valid, begins[:, None] + places[None, :], 0).reshape(-1)
    unpadded = valid.reshape(-1).nonzero().squeeze(1)
    one_parent = context is None or context.shape[0] == 1
    seen = None if context is None else context.expand(nodes, -1) if one_parent else context[parents]
    mask = None
    if seen is not None:
        # Padding is at the end of a node, so causality hides it from every token.
        causal = (places[:, None] >= places[None, :])[None, None]
        ahead = seen if not bool(seen.all()) else seen[:1]
        count = ahead.shape[0]
        mask = torch.cat([ahead[:, None, None, :].expand(-1, 1, longest, -1), causal.expand(count, 1, -1, -1)], dim=-1)
    whole = valid if seen is None else torch.cat([seen, valid], dim=1)
    above = None if one_parent else parents
    level = Level(start, stop, nodes, longest, padded, valid.reshape(-1), unpadded, above, mask, firsts)
    return level, whole
