"""Cross-entropy with part of the weight spread over all classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.config import Settings, setting
from graft.training.losses.base import Loss

if TYPE_CHECKING:
    import torch


class LabelSmoothingConfig(Settings):
    """Options of ``LabelSmoothing``."""

    smoothing: float = setting(0.1, "share of the target probability that is spread over all classes", ge=0, lt=1)


class LabelSmoothing(Loss):
    """Cross-entropy with ``smoothing`` of the weight spread over all classes (Szegedy et al. 2016, section 7)."""

    name = "label-smoothing"
    title = "Label smoothing"
    help = "cross-entropy with smoothed targets"
    Config = LabelSmoothingConfig

    def __init__(self, smoothing: float = 0.1) -> None:
        if not 0 <= smoothing < 1:
            raise ValueError(f"smoothing must be at least 0 and below 1, not {smoothing}")
        self.smoothing = smoothing

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
