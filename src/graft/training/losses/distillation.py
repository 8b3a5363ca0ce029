"""Knowledge distillation (Hinton et al. 2015, arXiv:1503.02531): the student also learns the teacher's distribution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from graft.config import Settings, setting
from graft.training.losses.base import Loss

if TYPE_CHECKING:
    import torch

    from graft.models.base import Opened


LogitsOf: TypeAlias = "Callable[[Any, Mapping[str, Any]], tuple[torch.Tensor, torch.Tensor]]"
"""A model and a batch -> logits (N, vocabulary) at the targets, and the labels (N)."""


class DistillationConfig(Settings):
    """Options of ``Distillation``."""

    temperature: float = setting(
        2.0, "divisor of the teacher's and the student's logits; higher values give softer targets", gt=0
    )
    distillation_alpha: float = setting(0.5, "weight of the teacher's term in the loss", ge=0, le=1)


class Distillation(Loss):
    """``alpha * T^2 * KL(teacher || student)`` at the temperature T, and ``1 - alpha`` of cross-entropy.

    ``T^2`` keeps the two parts' gradients alike whatever T is (section 2 of the paper).
    """

    name = "distillation"
    title = "Knowledge distillation"
    help = "cross-entropy plus the KL divergence from a teacher's distribution"
    Config = DistillationConfig
    parameters = {"distillation_alpha": "alpha"}  # noqa: RUF012

    def __init__(self, temperature: float = 2.0, alpha: float = 0.5) -> None:
        if temperature <= 0:
            raise ValueError(f"temperature must be above 0, not {temperature}")
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be from 0 to 1, not {alpha}")
        self.temperature, self.alpha = temperature, alpha
        self._teacher: Callable[[Mapping[str, Any]], torch.Tensor] | None = None

    def learn_from(self, teacher: Any, logits_of: LogitsOf) -> None:
        """Take ``teacher``'s logits for each batch, by the same means as the student's."""
        import torch

        teacher.eval().requires_grad_(False)

        @torch.no_grad()
        def answer(batch: Mapping[str, Any]) -> torch.Tensor:
            """The teacher's logits (N, vocabulary) at the targets of ``batch``."""
            return logits_of(teacher, batch)[0]

        self._teacher = answer  # a closure: the teacher is no part of what is trained or saved

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
        from torch.nn.functional import cross_entropy, kl_div, log_softmax

        assert self._teacher is not None
        taught = self._teacher(batch)
        width = min(logits.shape[-1], taught.shape[-1])  # vocabularies are padded to different multiples
        student = log_softmax(logits[:, :width] / self.temperature, dim=-1)
        teacher = log_softmax(taught[:, :width] / self.temperature, dim=-1)
        divergence = kl_div(student, teacher, reduction="none", log_target=True).sum(-1) * self.temperature**2
        return self.alpha * divergence + (1 - self.alpha) * cross_entropy(logits, labels, reduction="none")


def load_teacher(teacher: Opened) -> Any:
    """The teacher's weights, with its adapter where it has one."""
    from graft.methods.recorded import load_tuned
    from graft.models.base import load_model

    return load_tuned(load_model(teacher.base), teacher)
