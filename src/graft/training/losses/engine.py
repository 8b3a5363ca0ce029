"""A loss of logits and labels as the engine's batches need it: a sum over tokens, divided by a step's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from graft.engine.losses import IGNORED, packed_logits
from graft.training.losses.distillation import LogitsOf

EngineLoss = Callable[[Any, Any, Any], torch.Tensor]


def packed_targets(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N, vocabulary) in float32 and labels (N) of a packed batch."""
    logits = packed_logits(model, dict(batch)).logits[0].float()
    return logits, batch["labels"].to(logits.device)


def plain_targets(model: Any, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of a padded batch, in the same order."""
    output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False)
    labels = batch["labels"][:, 1:]
    trained = labels != IGNORED
    return output.logits[:, :-1][trained].float(), labels[trained]


def over_tokens(loss: Callable[..., torch.Tensor], logits_of: LogitsOf) -> EngineLoss:
    """``loss`` averaged over the tokens of a whole step: a batch's mean counts by the batch's tokens."""

    def total(model: Any, batch: Mapping[str, Any], num_items: torch.Tensor | int | None = None) -> torch.Tensor:
        """The loss of ``batch``, a scalar; ``num_items`` are the step's tokens, by default the batch's."""
        logits, labels = logits_of(model, batch)
        found = loss(logits, labels, batch)
        summed = found.sum() if found.ndim else found * len(labels)
        return summed / (len(labels) if num_items is None else num_items)

    return total
