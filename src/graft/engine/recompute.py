"""Recipes to recompute an activation from tensors that are kept anyway, so that it need not be kept itself."""

from __future__ import annotations

from collections.abc import Callable

import torch

from graft.engine.kernels.structs import RowKind


class Recompute:
    """How to compute a tensor again.

    Args:
        function: What computed it from ``inputs``.
        inputs: The tensors that are kept.
        kind: How the kernels compute its rows.
        eps: The norm's, for ``RowKind.RMS_NORM``.
    """

    def __init__(
        self, function: Callable[..., torch.Tensor], *inputs: torch.Tensor, kind: RowKind, eps: float = 0.0
    ) -> None:
        self.function, self.inputs, self.kind, self.eps = function, inputs, kind, eps

    def with_inputs(self, *inputs: torch.Tensor) -> Recompute:
        """The same recipe for other tensors; without any it holds none."""
        return Recompute(self.function, *inputs, kind=self.kind, eps=self.eps)

    def __call__(self) -> torch.Tensor:
        """The tensor, computed again."""
        return self.function(*self.inputs)


def recompute_of(tensor: torch.Tensor) -> Recompute | None:
    """The recipe that ``rms_norm`` or ``swiglu`` attached to its result."""
    return getattr(tensor, "_graft_recompute", None)


def with_recompute(tensor: torch.Tensor, recipe: Recompute) -> torch.Tensor:
    """``tensor`` with the recipe attached."""
    tensor._graft_recompute = recipe  # type: ignore[attr-defined]
    return tensor
