"""The order of the rows: which of them form a batch, by the seed and the epoch alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from graft.data.tokenize import TokenizedExample
from graft.engine import plan_batches
from graft.training.objective import batches_by_length

BatchPlan = Callable[[Sequence[TokenizedExample], int, int, int], list[list[int]]]
"""Rows, batch size, seed and epoch -> the indices of each batch."""


def random_batches(rows: Sequence[TokenizedExample], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Every row once, in random order, whatever the rows are like."""
    order = list(range(len(rows)))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return _cut(order, batch_size)


def sequential_batches(rows: Sequence[TokenizedExample], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Every row once, in the order of the rows."""
    return _cut(list(range(len(rows))), batch_size)


def _cut(order: list[int], batch_size: int) -> list[list[int]]:
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


STRATEGIES: Mapping[str, BatchPlan] = {
    "random": random_batches,
    "sequential": sequential_batches,
    "group_by_length": batches_by_length,
}


def batch_plan(strategy: str | None, has_head: bool, drop_last: bool) -> BatchPlan:
    """How rows become batches.

    Args:
        strategy: A name of ``STRATEGIES``; None groups rows that begin alike, or with a head those of similar length.
        has_head: Whether a task with a head is trained, whose batches are padded.
        drop_last: Whether to omit a batch with fewer rows.
    """
    plan = STRATEGIES[strategy] if strategy else batches_by_length if has_head else plan_batches
    if not drop_last:
        return plan

    def whole(rows: Sequence[TokenizedExample], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """The whole batches of ``plan``."""
        return [batch for batch in plan(rows, batch_size, seed, epoch) if len(batch) == batch_size]

    return whole
