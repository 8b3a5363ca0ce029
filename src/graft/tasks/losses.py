"""Losses of heads: weighted classes, several labels a row, and pairs of embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cosine_similarity, cross_entropy, pairwise_distance

from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.training.losses.class_weighted import balanced_weights


def binary_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return a loss for each row and label, (N, C), in nats."""
    return binary_cross_entropy_with_logits(logits, labels, reduction="none")


class ClassWeighted(nn.Module):
    """Cross-entropy with a weight for each class.

    Args:
        weights: ``"balanced"``, which is rows / (classes * rows of the class) as in scikit-learn (King & Zeng 2001), or
            a weight for each class by name. A class that is not named has weight 1.
    """

    def __init__(self, weights: str | Mapping[str, float] = "balanced") -> None:
        super().__init__()
        if isinstance(weights, str) and weights != "balanced":
            raise ValueError(f'weights must be "balanced" or {{class: weight}}, not {weights!r}')
        self.weights = weights
        self.by_class: torch.Tensor | None
        self.register_buffer("by_class", None)

    def prepare(self, rows: Sequence[TokenizedExample], names: Sequence[str]) -> None:
        """Compute the weights from the training rows' targets.

        Args:
            rows: The training rows.
            names: The labels, in the order of the head's outputs.

        Raises:
            InputError: If a weight is given for a class that is not among ``names``.
        """
        if isinstance(self.weights, str):
            self.by_class = self._balanced(rows, len(names))
            return
        unknown = sorted(set(self.weights) - set(names))
        if unknown:
            said = f"unknown classes: {', '.join(unknown)}"
            raise InputError(said, where="loss_arguments", remedy=f"the classes are: {', '.join(names)}")
        self.by_class = torch.tensor([float(self.weights.get(name, 1.0)) for name in names])

    def _balanced(self, rows: Sequence[TokenizedExample], classes: int) -> torch.Tensor:
        targets = [target for row in rows for target in _targets(row.target)]
        counts = {index: targets.count(index) for index in set(targets)}
        weights = balanced_weights(counts)
        return torch.tensor([weights.get(index, 1.0) for index in range(classes)])

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return a loss for each target (N), in nats, of logits (N, C) and labels (N)."""
        loss = cross_entropy(logits, labels, reduction="none")
        return loss if self.by_class is None else loss * self.by_class[labels]


class LabelWeighted(ClassWeighted):
    """Binary cross-entropy in which the rows with a label weigh as much as the rows without it."""

    def _balanced(self, rows: Sequence[TokenizedExample], classes: int) -> torch.Tensor:
        held = torch.tensor([row.target for row in rows]).sum(0)
        return (len(rows) - held) / held.clamp(min=1)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        """Return a loss for each row and label (N, C), in nats, of logits and labels of that shape."""
        return binary_cross_entropy_with_logits(logits, labels, reduction="none", pos_weight=self.by_class)


def _targets(target: Any) -> list[int]:
    return [value for value in target if value >= 0] if isinstance(target, list) else [target]


class Contrastive(nn.Module):
    """``(1 - y) d^2 + y max(0, margin - d)^2``, where d is the Euclidean distance, and y is 1 where the two differ.

    Hadsell, Chopra & LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping", equation 4, without its
    factor of one half.

    Args:
        margin: The distance beyond which different pairs have no loss.
    """

    def __init__(self, margin: float = 1.0) -> None:
        super().__init__()
        if margin <= 0:
            raise ValueError(f"margin must be above zero, not {margin}")
        self.margin = margin

    def forward(self, output1: torch.Tensor, output2: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return a loss for each pair (B), of embeddings (B, d) and labels (B) that are 1 where the two differ."""
        distance = pairwise_distance(output1, output2)
        return (1 - label) * distance**2 + label * (self.margin - distance).clamp(min=0) ** 2


class Cosine(nn.Module):
    """The squared error of the cosine against ``1 - label`` (Reimers & Gurevych 2019, section 3, regression)."""

    def forward(self, output1: torch.Tensor, output2: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """Return a loss for each pair (B), of embeddings (B, d) and labels (B) that are 1 where the two differ."""
        return (cosine_similarity(output1, output2) - (1 - label)) ** 2
