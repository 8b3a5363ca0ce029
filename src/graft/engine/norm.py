"""RMS normalization (Zhang and Sennrich 2019, arXiv:1910.07467) in few passes over memory, by PyTorch's operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.function import once_differentiable


class _RMSNorm(torch.autograd.Function):
    """Keeps the input, which the residual stream holds anyway, and one number per row."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """x (..., d) and weight (d) -> (..., d); keeps x and the inverse root mean square of each row."""
        size = x.shape[-1]
        norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        inverse = (norm.square_().div_(size).add_(eps)).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        y: torch.Tensor = (x * inverse).mul_(weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x (..., d) alone: the weight is frozen."""
        x, weight, inverse = ctx.saved_tensors
        scaled = grads[0] * weight
        projection = (scaled * x).sum(-1, keepdim=True).mul_(inverse**3).div_(x.shape[-1])
        return scaled.mul_(inverse).addcmul_(x, projection, value=-1), None, None


_rms_norm: Callable[..., torch.Tensor] = _RMSNorm.apply


def rms_norm_reference(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x (..., d) / sqrt(mean(x²) + eps) · weight (d); the weight is frozen and gets no gradient."""
    return _rms_norm(x, weight, eps)
