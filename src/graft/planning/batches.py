"""The batches that a training will compute: how many tokens they have once prefixes are shared, or padding is added."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graft.data.tokenize import TokenizedExample
from graft.engine.prefix_tree import prefix_tree
from graft.planning.plan import RunPlan
from graft.training.arguments import passed
from graft.training.sampling import batch_plan

ROWS_READ, BATCHES_READ = 20_000, 48
"""Of larger data so many rows are divided into batches, and so many batches are counted."""

Rows = Sequence[TokenizedExample]


@dataclass(frozen=True)
class BatchSize:
    """Of a batch, or the mean of several.

    Attributes:
        tokens: Those that are computed, padding included, what rows share once.
        targets: Those that the loss is on.
        rows: Its rows.
    """

    tokens: float
    targets: float
    rows: float


@dataclass(frozen=True)
class Batches:
    """The batches of an epoch or an evaluation.

    Attributes:
        largest: The rows of the batch with the most tokens.
        usual: The rows of the batch nearest the mean.
        mean: The mean over the batches.
        count: How many there are, also of those that were not read.
    """

    largest: list[TokenizedExample]
    usual: list[TokenizedExample]
    mean: BatchSize
    count: int


def training_batches(plan: RunPlan, packed: bool, batch_size: int | None = None) -> Batches:
    """The batches of the first epoch."""
    rows = plan.rows[:ROWS_READ]
    given, size = passed(plan.settings), batch_size or plan.training.batch_size
    divide = batch_plan(given.get("train_sampling_strategy"), plan.objective is not None, False)
    divided = divide(rows, size, plan.settings.seed, 0)
    chosen = [[rows[index] for index in batch] for batch in _spread(divided)]
    return _counted(chosen, packed, math.ceil(len(plan.rows) / size))


def held_out_batches(plan: RunPlan, packed: bool) -> Batches:
    """The batches of an evaluation, sorted by length as the Trainer has them."""
    rows = sorted(plan.monitored, key=lambda row: len(row.input_ids))
    size = plan.training.eval_batch_size
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    return _counted(batches, packed, len(batches))


def _spread(batches: list[list[int]]) -> list[list[int]]:
    step = max(1, len(batches) // BATCHES_READ)
    return batches[::step]


def _counted(batches: list[list[TokenizedExample]], packed: bool, number: int) -> Batches:
    sizes = [size_of(batch, packed) for batch in batches]
    count = len(sizes)
    mean = BatchSize(*(sum(values) / count for values in zip(*map(_values, sizes), strict=True)))
    order = sorted(range(count), key=lambda index: sizes[index].tokens)
    usual = min(order, key=lambda index: abs(sizes[index].tokens - mean.tokens))
    return Batches(batches[order[-1]], batches[usual], mean, number)


def size_of(rows: Rows, packed: bool) -> BatchSize:
    """How many tokens a batch of ``rows`` computes: packed ones are a tree of what they share, others are padded."""
    firsts = [max(1, row.prompt_length) for row in rows]
    targets = sum(len(row.input_ids) - first for row, first in zip(rows, firsts, strict=True))
    if packed:
        tree = prefix_tree([row.input_ids[:-1] for row in rows], [first - 1 for first in firsts])
        tokens = sum(len(node.tokens) for level in tree.levels for node in level)
    else:
        tokens = len(rows) * max(len(row.input_ids) for row in rows)
    return BatchSize(tokens, targets, len(rows))


def _values(size: BatchSize) -> tuple[float, float, float]:
    return size.tokens, size.targets, size.rows
