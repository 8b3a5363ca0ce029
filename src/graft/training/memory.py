"""Batches that do not fit in memory are computed in parts: the gradients of a step are sums over its rows."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from graft.data.tokenize import TokenizedExample

Batch = dict[str, Any]
Collate = Callable[[Sequence[TokenizedExample]], Batch]


@dataclass(frozen=True)
class Examples:
    """The rows of a batch. Nothing that moves batches to a device or into pinned memory looks into it."""

    rows: Sequence[TokenizedExample]


@dataclass(frozen=True)
class KeepingRows:
    """Makes batches with their rows under ``examples``, so that they can be divided."""

    collate: Collate

    def __call__(self, rows: Sequence[TokenizedExample]) -> Batch:
        return {**self.collate(rows), "examples": Examples(rows)}


class Parts:
    """How many rows are computed at once.

    Args:
        batch_size: The rows of a batch.
        at_once: The rows to begin with.
        collate: Rows -> a batch.
        reduced: Is told each smaller number, before it is used.
    """

    def __init__(self, batch_size: int, at_once: int, collate: Collate, reduced: Callable[[int], None]) -> None:
        self.batch_size, self.at_once, self.collate, self.reduced = batch_size, at_once, collate, reduced

    def of(self, batch: Batch) -> list[Batch]:
        """The batches to compute in place of ``batch``, which is not divided if it is small enough."""
        rows = batch["examples"].rows
        if len(rows) <= self.at_once:
            return [batch]
        return [self.collate(rows[start : start + self.at_once]) for start in range(0, len(rows), self.at_once)]

    def reduce(self) -> bool:
        """Halve the rows, or take the next smaller divisor of the batch size; False where it is one row already."""
        if self.at_once == 1:
            return False
        self.at_once = next(n for n in range(self.at_once // 2, 0, -1) if self.batch_size % n == 0)
        self.reduced(self.at_once)
        return True


def parts_note(batch_size: int, at_once: int) -> str:
    """The note that a batch is computed in parts."""
    parts = math.ceil(batch_size / at_once)
    return (
        f"{batch_size} rows do not fit in memory at once: each batch is computed in {parts} parts, "
        "as with gradient accumulation"
    )


@dataclass(frozen=True)
class RandomState:
    """The state of PyTorch's random numbers, from which dropout comes."""

    cpu: torch.Tensor
    cuda: list[torch.Tensor]

    @classmethod
    def now(cls) -> RandomState:
        """The current state."""
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state_all() if _uses_cuda() else [])

    def restore(self) -> None:
        """Go back to this state."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)


def free_memory() -> None:
    """Free the memory of a computation that failed."""
    gc.collect()
    if _uses_cuda():
        torch.cuda.empty_cache()


def _uses_cuda() -> bool:
    return bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
