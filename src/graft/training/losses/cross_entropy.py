"""Cross-entropy, the default: the negative log-likelihood of each target, in nats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.training.losses.base import Loss

if TYPE_CHECKING:
    import torch


class CrossEntropy(Loss):
    """``logits`` (N, classes) float32 and ``labels`` (N) -> one loss a target (N)."""

    name = "cross-entropy"
    title = "Cross-entropy"
    help = "the negative log-likelihood of the answer"

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, labels, reduction="none")
