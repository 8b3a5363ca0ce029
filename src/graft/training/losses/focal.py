"""Focal loss: targets that the model already gets right count less."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graft.config import Settings, setting
from graft.training.losses.base import Loss

if TYPE_CHECKING:
    import torch


class FocalConfig(Settings):
    """Options of ``Focal``."""

    gamma: float = setting(
        2.0,
        "focusing parameter: higher values reduce the weight of targets that the model already predicts; 0 disables it",
        ge=0,
    )


class Focal(Loss):
    """``(1 - p)^gamma`` times cross-entropy, ``p`` being the target's probability (Lin et al. 2017, equation 4)."""

    name = "focal"
    title = "Focal loss"
    help = "cross-entropy that gives easy targets less weight"
    Config = FocalConfig

    def __init__(self, gamma: float = 2.0) -> None:
        if gamma < 0:
            raise ValueError(f"gamma must be at least 0, not {gamma}")
        self.gamma = gamma

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        import torch
        from torch.nn.functional import cross_entropy

        loss = cross_entropy(logits, labels, reduction="none")
        return (-torch.expm1(-loss)).clamp(min=0) ** self.gamma * loss
