"""The training objective of a model with a head: its batches, its outputs, and a loss of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from graft.data.tokenize import TokenizedExample
from graft.engine.losses import IGNORED
from graft.training.losses.signature import Kind

Batch = dict[str, Any]
WINDOW = 50
"""Batches within which rows are sorted by length."""


@dataclass(frozen=True)
class Objective:
    """``collate``: rows and the padding token -> a batch with ``labels``, -100 where nothing is trained.

    ``outputs``: a model and a batch -> what the loss is called with: logits (N, classes) and labels (N), or two
    embeddings (B, d) and a label (B) that is 1 where they differ. ``names`` are the classes.
    """

    collate: Callable[[Sequence[TokenizedExample], int], Batch]
    outputs: Callable[[Any, Mapping[str, Any]], tuple[torch.Tensor, ...]]
    loss: str = "cross-entropy"
    kind: Kind = "targets"
    names: tuple[str, ...] = ()
    losses: Mapping[str, str] = field(default_factory=dict)
    """Losses that mean something of its own here: name -> ``module:attribute``."""

    def over_outputs(self, loss: Callable[..., torch.Tensor]) -> Callable[[Any, Any, Any], torch.Tensor]:
        """``loss`` averaged over all labels of a step: ``(model, batch, labels in the step) -> loss``."""

        def total(model: Any, batch: Mapping[str, Any], num_items: torch.Tensor | int | None = None) -> torch.Tensor:
            """The loss of ``batch``, a scalar; ``num_items`` are the step's labels, by default the batch's."""
            given = self.outputs(model, batch)
            found = loss(*given) if self.kind == "pairs" else loss(*given, {**batch, "target_rows": _rows(batch)})
            count = given[-1].numel()
            return found.mean() * count / (count if num_items is None else num_items)

        return total


def _rows(batch: Mapping[str, Any]) -> torch.Tensor:
    """Which row of the batch each target is of; with several labels a row, (N * classes)."""
    labels: torch.Tensor = batch["labels"]
    return (labels.reshape(len(labels), -1) != IGNORED).nonzero()[:, 0]


def batches_by_length(rows: Sequence[TokenizedExample], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Every row once, ``ceil(rows / batch_size)`` batches; rows of similar length share a batch, to save padding.

    As transformers' ``group_by_length``: rows are shuffled, sorted within windows of many batches, and the batches
    shuffled.
    """
    chance = random.Random(f"{seed}/{epoch}")
    order = list(range(len(rows)))
    chance.shuffle(order)
    window = WINDOW * batch_size
    batches: list[list[int]] = []
    for start in range(0, len(order), window):
        part = sorted(order[start : start + window], key=lambda index: len(rows[index].input_ids))
        batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
    chance.shuffle(batches)
    return batches
