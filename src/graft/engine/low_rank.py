"""LoRA's narrow products, each in one pass over the wide matrix that it reads, which makes int8's codes as well."""

from __future__ import annotations

import torch

from graft.engine.autograd import Codes, native
from graft.engine.kernels import Kernels, wide
from graft.engine.matmul import LANES
from graft.engine.quantized_weights import Lowered


def down(x: torch.Tensor, a: torch.Tensor, lowered: Lowered | None = None) -> tuple[torch.Tensor, Codes | None]:
    """x (T, n) times a (R, n) transposed -> (T, R), and what ``lowered`` takes in the place of x."""
    made = _passes(x, a)
    if made is None:
        return torch.mm(x, a.t()), lowered.prepare(x) if lowered else None
    codes, h = lowered.room(x) if lowered else None, x.new_empty(len(x), len(a))
    made("low_rank_down", x.dtype, wide(len(x)), x.shape[1], len(a), x, a.contiguous(), h, *_passed(codes))
    return h, lowered.prepare(x) if lowered and codes is None else codes


def gradients(
    grad: torch.Tensor, b: torch.Tensor, h: torch.Tensor, scale: float, g: torch.Tensor, lowered: Lowered | None = None
) -> tuple[torch.Tensor, Codes | None]:
    """g (T, R) becomes scale · grad (T, n) b (n, R). Gives scale · gradᵀ h (T, R) -> (n, R), and what ``lowered`` takes
    in the place of grad. h and g may be columns of wider ones.
    """
    made = _passes(grad, b.t())
    if made is None:
        g.copy_(torch.mm(grad, b)).mul_(scale)
        return torch.mm(grad.t(), h).mul_(scale), lowered.prepare(grad) if lowered else None
    codes, b = lowered.room(grad) if lowered else None, b.contiguous()
    grad_b = torch.empty_like(b)
    sizes = wide(len(grad)), grad.shape[1], b.shape[1]
    columns = h, wide(h.stride(0)), scale, g, wide(g.stride(0))
    made("low_rank_gradients", grad.dtype, *sizes, grad, b, *columns, grad_b, *_passed(codes))
    return grad_b, lowered.prepare(grad) if lowered and codes is None else codes


def outer(g: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """gᵀ x of g (T, R) and x (T, n) -> (R, n)."""
    made = _passes(x, g.t())
    if made is None:
        return torch.mm(g.t(), x)
    found = x.new_empty(g.shape[1], x.shape[1])
    made("low_rank_outer", x.dtype, wide(len(x)), x.shape[1], g.shape[1], g, x, found)
    return found


def _passes(rows: torch.Tensor, narrow: torch.Tensor) -> Kernels | None:
    """The kernels for rows (T, n) and a narrow (R, n), where they take such sizes."""
    fits = rows.is_contiguous() and not rows.shape[1] % LANES and not narrow.shape[0] % LANES
    return native(rows, narrow) if fits else None


def _passed(codes: Codes | None) -> tuple[torch.Tensor | None, torch.Tensor | None, int]:
    return (None, None, 0) if codes is None else (codes.numbers, codes.scales, codes.more)
