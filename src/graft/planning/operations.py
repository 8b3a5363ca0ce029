"""The arithmetic of a batch: what a measurement on a small model and the estimate of a large one have in common."""

from __future__ import annotations

from dataclasses import dataclass

from graft.models.shape import ModelShape
from graft.planning.batches import BatchSize


@dataclass(frozen=True)
class Path:
    """What a step computes.

    Attributes:
        trains_base: Whether the weights of the layers get gradients.
        packed: Whether batches are packed, so that the head computes targets alone.
        targets_last: Whether the last layer computes what follows attention for targets alone.
        head: Whether there is a head over the vocabulary.
    """

    trains_base: bool
    packed: bool
    targets_last: bool
    head: bool


def operations(shape: ModelShape, size: BatchSize, path: Path, training: bool = True) -> float:
    """Multiplications and additions of a batch: 2 a weight and token forward, 2 for the gradient of the input, 2 for
    that of a trained weight (Kaplan et al. 2020, arXiv:2001.08361, section 2.1); attention and the head besides.
    """
    factor = 2 + (2 + 2 * path.trains_base) * training
    before = shape.hidden * (shape.queries + 2 * shape.keys)
    last = size.targets if path.targets_last else size.tokens
    weights = (shape.layers - 1) * shape.layer * size.tokens + before * size.tokens + (shape.layer - before) * last
    seen = size.tokens / max(size.rows, 1) / 2
    attention = shape.layers * (14 if training else 4) * size.tokens * seen * shape.queries
    scored = (size.targets if path.packed else size.tokens) * path.head
    return factor * (weights + scored * shape.hidden * shape.vocabulary) + attention
