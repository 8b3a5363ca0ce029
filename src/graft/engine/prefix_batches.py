"""Which prompts to score together: those that begin alike, so that their shared prefix is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from graft.engine.packing import common_prefix

Ids = Sequence[int]
MOST_LOST = 256
"""A prompt that begins otherwise opens a new batch if the prompts before it would lose more shared tokens than this."""


def prefix_batches(
    prompts: Sequence[Ids], answers: Sequence[int], most_tokens: int, most_targets: int
) -> Iterator[list[int]]:
    """Yield indices of prompts, batch by batch; neighbors in the order of their tokens share the longest prefixes.

    Args:
        prompts: Token ids, at least one each.
        answers: The tokens of each prompt's completions together.
        most_tokens: The most tokens in a batch, where the prefix that all share counts once. One prompt may have more.
        most_targets: The most tokens of completions in a batch.
    """
    batch: list[int] = []
    shared = total = targets = 0
    for index in sorted(range(len(prompts)), key=lambda i: (tuple(prompts[i]), i)):
        prompt, more = prompts[index], answers[index]
        if batch:
            still = common_prefix([prompts[batch[0]][:shared], prompt], len(prompt) - 1)
            lost = (shared - still) * (len(batch) if len(batch) > 1 else 0)
            size = total + len(prompt) + more - len(batch) * still
            if lost > MOST_LOST or size > most_tokens or targets + more > most_targets:
                yield batch
                batch = []
        if batch:
            shared = still
        else:
            shared, total, targets = len(prompt) - 1, 0, 0
        batch.append(index)
        total, targets = total + len(prompt) + more, targets + more
    if batch:
        yield batch
