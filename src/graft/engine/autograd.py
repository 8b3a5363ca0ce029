"""Autograd functions over the compiled kernels; each has its PyTorch twin elsewhere in the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from graft.engine.kernels import Kernels, kernels, wide
from graft.engine.packing import Layout


def native(first: torch.Tensor, *others: torch.Tensor) -> Kernels | None:
    """The kernels, where they compute with such tensors."""
    kind = first.dtype
    if kind not in _KINDS or first.device.type != "cpu":
        return None
    for other in others:
        if other.dtype != kind or other.device.type != "cpu":
            return None
    return kernels()


_KINDS = {torch.float32, torch.float64}
Turns = tuple[torch.Tensor, torch.Tensor]
"""The cosines and sines (T, d) by which queries and keys are rotated (Su et al. 2021, arXiv:2104.09864)."""


class _Attention(torch.autograd.Function):
    """Keeps its inputs and one number for each query: the scores are computed again for the gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        layout: Layout,
        plain: tuple[float, float, int],
        turns: Turns | None,
    ) -> torch.Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        if turns is not None:
            q, k = _rotated(q, turns), _rotated(k, turns)
        out, norms = torch.empty_like(q), q.new_empty(q.shape[:2])
        ctx.forest = _forest(layout, q, k, plain)
        _kernels()("attention_forward", q.dtype, *ctx.forest, q, k, v, out, norms)
        ctx.save_for_backward(q, k, v, norms, *(turns or ()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        q, k, v, norms, *turns = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        _kernels()("attention_backward", q.dtype, *ctx.forest, q, k, v, norms, grads[0].contiguous(), dq, dk, dv)
        if turns:
            dq, dk = _rotated(dq, turns, back=True), _rotated(dk, turns, back=True)
        return dq, dk, dv, None, None, None


def _rotated(x: torch.Tensor, turns: Sequence[torch.Tensor], back: bool = False) -> torch.Tensor:
    """x (T, heads, d): its halves as pairs, rotated; ``back``: the transpose, in place."""
    y = x if back else torch.empty_like(x)
    cos, sin = (part.contiguous() for part in turns)
    _kernels()("rotate", x.dtype, wide(len(x)), *x.shape[1:], x, cos, sin, int(back), y)
    return y


_attention: Callable[..., torch.Tensor] = _Attention.apply


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    layout: Layout,
    scale: float,
    cap: float = 0.0,
    window: int = 0,
    turns: Turns | None = None,
) -> torch.Tensor:
    """q (T, heads, d), k and v (T, kv heads, d) -> (T, heads, d).

    ``cap`` bends the scores, cap · tanh(s / cap) (Gemma 2, arXiv:2408.00118, section 2); ``window`` is how many
    positions a token looks back, itself counted; 0 is none of either. With ``turns`` q and k are rotated first.
    """
    return _attention(q, k, v, layout, (scale, cap, window), turns)


def _forest(layout: Layout, q: torch.Tensor, k: torch.Tensor, plain: tuple[float, float, int]) -> tuple[Any, ...]:
    tokens, heads, d = q.shape
    counts = (tokens, layout.shared, heads, k.shape[1], d)
    return (len(layout.spans), layout.spans, layout.positions, *counts, *plain)


PLAIN, NORMED, GATED = range(3)
"""How the kernels know rows that are made on the way."""


class Again:
    """How to make a tensor once more from what is kept anyway, so that it need not be kept itself."""

    def __init__(self, make: Callable[..., torch.Tensor], *parts: torch.Tensor, kind: int, eps: float = 0.0) -> None:
        self.make, self.parts, self.kind, self.eps = make, parts, kind, eps

    def of(self, *parts: torch.Tensor) -> Again:
        """The same of other parts."""
        return Again(self.make, *parts, kind=self.kind, eps=self.eps)

    @property
    def rows(self) -> tuple[int, torch.Tensor, torch.Tensor, float]:
        """As the kernels take it."""
        one, two = self.parts
        return self.kind, one, two, self.eps


def again(tensor: torch.Tensor) -> Again | None:
    """The recipe that ``rms_norm`` or ``swiglu`` left on its result."""
    return getattr(tensor, "_graft_again", None)


def _with_recipe(tensor: torch.Tensor, recipe: Again) -> torch.Tensor:
    tensor._graft_again = recipe  # type: ignore[attr-defined]
    return tensor


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        y, inverse = _normed(x, weight, eps)
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        grad, made = grads[0].contiguous(), torch.empty_like(x)
        _kernels()("norm_backward", x.dtype, wide(len(inverse)), x.shape[-1], x, weight, inverse, grad, None, made)
        return made, None, None


def _normed(x: torch.Tensor, weight: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    y, inverse = torch.empty_like(x), x.new_empty(x.numel() // x.shape[-1])
    _kernels()("norm_forward", x.dtype, wide(len(inverse)), x.shape[-1], x, weight, eps, y, inverse)
    return y, inverse


_rms_norm: Callable[..., torch.Tensor] = _RMSNorm.apply


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x (..., d) / sqrt(mean(x²) + eps) * weight (d), which is frozen and gets no gradient."""
    x = x.contiguous()
    recipe = Again(lambda x, weight: _normed(x, weight, eps)[0], x, weight, kind=NORMED, eps=eps)
    return _with_recipe(_rms_norm(x, weight, eps), recipe)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        return _gated(gate, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        gate, up = ctx.saved_tensors
        made = torch.empty_like(gate), torch.empty_like(up)
        _kernels()("swiglu_backward", gate.dtype, wide(gate.numel()), gate, up, grads[0].contiguous(), *made)
        return made


def _gated(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(gate)
    _kernels()("swiglu_forward", gate.dtype, wide(gate.numel()), gate, up, y)
    return y


_swiglu: Callable[..., torch.Tensor] = _SwiGLU.apply


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) · up (Shazeer 2020, arXiv:2002.05202), all of one shape."""
    gate, up = gate.contiguous(), up.contiguous()
    return _with_recipe(_swiglu(gate, up), Again(_gated, gate, up, kind=GATED))


@dataclass(frozen=True)
class Codes:
    """Rows in fewer bits: int8 (T, n), or uint8 with 128 added, and scales (T, 1); or a format without scales."""

    numbers: torch.Tensor
    scales: torch.Tensor | None = None

    @property
    def more(self) -> int:
        """What was added to the codes."""
        return 128 if self.numbers.dtype == torch.uint8 else 0


def room(rows: torch.Tensor, kind: torch.dtype = torch.int8) -> Codes:
    """Codes for rows (T, n) that are not filled yet."""
    return Codes(torch.empty(rows.shape, dtype=kind), rows.new_empty(len(rows), 1))


def quantised(rows: torch.Tensor, made: Kernels, kind: torch.dtype = torch.int8) -> Codes:
    """rows (T, n) in float32 as codes."""
    rows, codes = rows.contiguous(), room(rows, kind)
    made("quantise", None, wide(len(rows)), rows.shape[1], rows, codes.numbers, codes.scales, codes.more)
    return codes


def dequantised(
    sums: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, made: Kernels, into: torch.Tensor | None = None
) -> torch.Tensor:
    """sums (n, m) in int32 times the scales of its rows and columns; added to ``into`` where there is one."""
    to = torch.empty(sums.shape, dtype=torch.float32) if into is None else into
    made("dequantise", None, wide(len(sums)), sums.shape[1], sums, rows, columns, to, int(into is not None))
    return to


def _kernels() -> Kernels:
    found = kernels()
    assert found is not None
    return found
