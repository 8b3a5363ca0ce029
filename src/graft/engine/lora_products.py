"""LoRA's narrow products, each in one pass over the wide matrix that it reads, which may quantize that matrix, too."""

from __future__ import annotations

from typing import NamedTuple

import torch

from graft.engine.kernels import Kernels, kernels_for
from graft.engine.matmul import LANES
from graft.engine.quantized_rows import QuantizedRows
from graft.engine.quantized_weights import QuantizedWeight


class WithQuantized(NamedTuple):
    """A product, and the wide matrix that it read as the quantized weight takes it; None without such a weight."""

    product: torch.Tensor
    quantized: QuantizedRows | None


def lora_down(x: torch.Tensor, a: torch.Tensor, weight: QuantizedWeight | None = None) -> WithQuantized:
    """x aᵀ.

    Args:
        x: (T, n).
        a: (R, n).
        weight: When given, x is quantized for it on the way.

    Returns:
        (T, R), and the quantized x.
    """
    library = _kernels_for(x, a)
    if library is None:
        return WithQuantized(torch.mm(x, a.t()), weight.quantize(x) if weight else None)
    quantized, h = weight.empty_rows(x) if weight else None, x.new_empty(len(x), len(a))
    library("lora_down", x.dtype, len(x), x.shape[1], len(a), x, a.contiguous(), h, *_arguments(quantized))
    return WithQuantized(h, weight.quantize(x) if weight and quantized is None else quantized)


def lora_backward_b(
    grad: torch.Tensor,
    b: torch.Tensor,
    h: torch.Tensor,
    scale: float,
    g: torch.Tensor,
    weight: QuantizedWeight | None = None,
) -> WithQuantized:
    """The gradients of B and of h = x Aᵀ, for y = scale · h Bᵀ.

    Args:
        grad: Of y (T, n).
        b: B (n, R).
        h: (T, R); it may be columns of a wider matrix.
        scale: The adapter's factor.
        g: (T, R), which becomes the gradient of h, scale · grad b; it may be columns of a wider matrix.
        weight: When given, grad is quantized for it on the way.

    Returns:
        The gradient of B (n, R), and the quantized grad.
    """
    library = _kernels_for(grad, b.t())
    if library is None:
        g.copy_(torch.mm(grad, b)).mul_(scale)
        return WithQuantized(torch.mm(grad.t(), h).mul_(scale), weight.quantize(grad) if weight else None)
    quantized, b = weight.empty_rows(grad) if weight else None, b.contiguous()
    grad_b = torch.empty_like(b)
    columns = h, h.stride(0), scale, g, g.stride(0)
    sizes = len(grad), grad.shape[1], b.shape[1]
    library("lora_backward_b", grad.dtype, *sizes, grad, b, *columns, grad_b, *_arguments(quantized))
    return WithQuantized(grad_b, weight.quantize(grad) if weight and quantized is None else quantized)


def lora_grad_a(g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The gradient of A: gᵀ x of g (T, R), the gradient of x Aᵀ, and x (T, n) -> (R, n)."""
    library = _kernels_for(x, g.t())
    if library is None:
        return torch.mm(g.t(), x)
    grad_a = x.new_empty(g.shape[1], x.shape[1])
    library("lora_grad_a", x.dtype, len(x), x.shape[1], g.shape[1], g.contiguous(), x, grad_a)
    return grad_a


def _kernels_for(rows: torch.Tensor, narrow: torch.Tensor) -> Kernels | None:
    """The kernels for rows (T, n) and a narrow (R, n), if they take these sizes."""
    fits = rows.is_contiguous() and not rows.shape[1] % LANES and not narrow.shape[0] % LANES
    return kernels_for(rows, narrow) if fits else None


class _QuantizedArguments(NamedTuple):
    """The last arguments of a kernel that also quantizes what it reads; null pointers for one that does not."""

    values: torch.Tensor | None = None
    scales: torch.Tensor | None = None
    zero_point: int = 0


def _arguments(quantized: QuantizedRows | None) -> _QuantizedArguments:
    if quantized is None:
        return _QuantizedArguments()
    return _QuantizedArguments(quantized.values, quantized.scales, quantized.zero_point)
