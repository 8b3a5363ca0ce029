"""Autograd functions over the compiled kernels; the engine has each in PyTorch's operations, too."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from graft.engine.kernels import Kernels, kernels
from graft.engine.kernels.structs import AttentionParams, RowKind
from graft.engine.packing import Layout
from graft.engine.recompute import Recompute, with_recompute


class CosSin(NamedTuple):
    """The cosines and sines (T, d) of RoPE (Su et al. 2021, arXiv:2104.09864)."""

    cos: torch.Tensor
    sin: torch.Tensor


class AttentionScores(NamedTuple):
    """How scores are computed from queries and keys.

    Attributes:
        scale: The factor of q kᵀ.
        cap: Scores become cap · tanh(score / cap) (Gemma 2, arXiv:2408.00118, section 2); 0 leaves them.
        window: How many positions a token looks back, itself included; 0 is all.
    """

    scale: float
    cap: float = 0.0
    window: int = 0


def attention_params(layout: Layout, heads: int, kv_heads: int, d: int, scores: AttentionScores) -> AttentionParams:
    """The structure for the kernels; ``layout`` must outlive it."""
    return AttentionParams(
        nodes=len(layout.spans),
        tokens=len(layout.positions),
        shared=layout.shared,
        heads=heads,
        kv_heads=kv_heads,
        d=d,
        window=scores.window,
        spans=layout.spans.data_ptr(),
        positions=layout.positions.data_ptr(),
        scale=scores.scale,
        cap=scores.cap,
    )


class _Attention(torch.autograd.Function):
    """Keeps its inputs and one number per query: scores are recomputed for the gradients (Dao et al. 2022)."""

    @staticmethod
    def forward(
        ctx: Any,
        q: torch.Tensor,
        k: torch.Tensor,
        v: torch.Tensor,
        layout: Layout,
        scores: AttentionScores,
        rope: CosSin | None,
    ) -> torch.Tensor:
        """q (T, heads, d), k and v (T, kv heads, d) -> (T, heads, d); with ``rope`` q and k are rotated first."""
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        if rope is not None:
            q, k = _rotate(q, rope), _rotate(k, rope)
        out, norms = torch.empty_like(q), q.new_empty(q.shape[:2])
        params = attention_params(layout, q.shape[1], k.shape[1], q.shape[2], scores)
        _kernels()("attention_forward", q.dtype, ctypes.byref(params), q, k, v, out, norms)
        ctx.save_for_backward(q, k, v, norms, *(rope or ()))
        ctx.params, ctx.layout = params, layout
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of q, k and v; those of rotated q and k are rotated back."""
        q, k, v, norms, *rope = ctx.saved_tensors
        grad, dq, dk, dv = grads[0].contiguous(), torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
        _kernels()("attention_backward", q.dtype, ctypes.byref(ctx.params), q, k, v, norms, grad, dq, dk, dv)
        if rope:
            dq, dk = _rotate(dq, rope, transposed=True), _rotate(dk, rope, transposed=True)
        return dq, dk, dv, None, None, None


def _rotate(x: torch.Tensor, rope: Sequence[torch.Tensor], transposed: bool = False) -> torch.Tensor:
    """x (T, heads, d) rotated; ``transposed``: rotated back, in place."""
    y = x if transposed else torch.empty_like(x)
    cos, sin = (part.contiguous() for part in rope)
    _kernels()("rope", x.dtype, len(x), *x.shape[1:], x, cos, sin, int(transposed), y)
    return y


_attention: Callable[..., torch.Tensor] = _Attention.apply


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    layout: Layout,
    scores: AttentionScores,
    rope: CosSin | None = None,
) -> torch.Tensor:
    """Attention over a packed batch.

    Args:
        q: Queries (T, heads, d).
        k: Keys (T, kv heads, d).
        v: Values (T, kv heads, d).
        layout: Which tokens see which.
        scores: Scale, cap and window.
        rope: When given, q and k are rotated first.

    Returns:
        (T, heads, d).
    """
    return _attention(q, k, v, layout, scores, rope)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """x (..., d) and weight (d) -> (..., d); keeps x and the inverse root mean square of each row."""
        y, inverse = _rms_norm_forward(x, weight, eps)
        ctx.save_for_backward(x, weight, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x (..., d) alone: the weight is frozen."""
        x, weight, inverse = ctx.saved_tensors
        grad, grad_x = grads[0].contiguous(), torch.empty_like(x)
        _kernels()("rms_norm_backward", x.dtype, len(inverse), x.shape[-1], x, weight, inverse, grad, None, grad_x)
        return grad_x, None, None


def _rms_norm_forward(x: torch.Tensor, weight: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    weight, y, inverse = weight.contiguous(), torch.empty_like(x), x.new_empty(x.numel() // x.shape[-1])
    _kernels()("rms_norm_forward", x.dtype, len(inverse), x.shape[-1], x, weight, eps, y, inverse)
    return y, inverse


_rms_norm: Callable[..., torch.Tensor] = _RMSNorm.apply


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    """x (..., d) / sqrt(mean(x²) + eps) · weight (d); the weight is frozen and gets no gradient."""
    x = x.contiguous()
    recipe = Recompute(lambda x, w: _rms_norm_forward(x, w, eps)[0], x, weight, kind=RowKind.RMS_NORM, eps=eps)
    return with_recompute(_rms_norm(x, weight, eps), recipe)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """gate and up, of one shape -> silu(gate) · up; keeps the two inputs alone."""
        ctx.save_for_backward(gate, up)
        return _swiglu_forward(gate, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of gate and up, for which silu(gate) is computed again."""
        gate, up = ctx.saved_tensors
        grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
        _kernels()("swiglu_backward", gate.dtype, gate.numel(), gate, up, grads[0].contiguous(), grad_gate, grad_up)
        return grad_gate, grad_up


def _swiglu_forward(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    y = torch.empty_like(gate)
    _kernels()("swiglu_forward", gate.dtype, gate.numel(), gate, up, y)
    return y


_swiglu: Callable[..., torch.Tensor] = _SwiGLU.apply


def swiglu(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    """silu(gate) · up (Shazeer 2020, arXiv:2002.05202); all of one shape."""
    gate, up = gate.contiguous(), up.contiguous()
    return with_recompute(_swiglu(gate, up), Recompute(_swiglu_forward, gate, up, kind=RowKind.SWIGLU))


def _kernels() -> Kernels:
    found = kernels()
    assert found is not None
    return found
