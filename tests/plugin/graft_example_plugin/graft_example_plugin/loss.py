"""A loss with an option of its own."""

from graft.config import Settings, setting
from graft.training.losses.base import Loss


class WeightedConfig(Settings):
    """Options of ``Weighted``."""

    target_weight: float = setting(1.0, "factor of each target's loss", gt=0)


class Weighted(Loss):
    """Cross-entropy times a factor."""

    name = "weighted"
    title = "Weighted cross-entropy"
    help = "cross-entropy times a factor"
    Config = WeightedConfig

    def __init__(self, target_weight=1.0):
        self.weight = target_weight

    def __call__(self, logits, labels):
        from torch.nn.functional import cross_entropy

        return self.weight * cross_entropy(logits, labels, reduction="none")
