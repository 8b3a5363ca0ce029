"""Which rows form a batch: determined by the seed and the epoch alone."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from graft.data.tokenize import TokenizedExample

KEY_TOKENS = 12


def plan_batches(rows: Sequence[TokenizedExample], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Divide rows into batches; rows that begin alike go together, since what they share is computed once.

    Args:
        rows: The rows.
        batch_size: Rows per batch.
        seed: The run's seed.
        epoch: Which pass over the rows.

    Returns:
        Indices of rows by batch: each row once, in ceil(rows / batch_size) batches.
    """
    chance = random.Random(f"{seed}/{epoch}")
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[tuple(row.input_ids[:KEY_TOKENS])].append(index)
    batches: list[list[int]] = []
    rest: list[int] = []
    for key in sorted(groups):
        group = groups[key]
        chance.shuffle(group)
        whole = len(group) // batch_size * batch_size
        batches += [group[i : i + batch_size] for i in range(0, whole, batch_size)]
        rest += group[whole:]
    chance.shuffle(rest)
    batches += [rest[i : i + batch_size] for i in range(0, len(rest), batch_size)]
    chance.shuffle(batches)
    return batches
