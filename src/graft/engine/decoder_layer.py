"""Decoder layers whose seven linear layers have LoRA, by the kernels in one call for each direction."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from graft.engine import lora_kernels as joint
from graft.engine.autograd import Turns
from graft.engine.kernels import Kernels
from graft.engine.linear import Linear, flat_of, layers_of
from graft.engine.matmul import LANES
from graft.engine.packing import Layout

Norm = tuple[torch.Tensor, float]


@dataclass(frozen=True)
class Decoder:
    """y = x + o(attention(norm(x))), z = y + down(silu(gate(n)) · up(n)) of n = norm_after(y).

    ``linears``: q, k, v, o, gate, up, down. ``norm`` and ``norm_after``: weights (width) and epsilons; ``head_norms``:
    those (d) of q's and k's heads before they are rotated, or none. ``window`` is how many positions a token looks
    back, itself counted; 0 is all. ``dropouts``: of what the adapters of q, k and v read; of o; gate and up; down.
    """

    linears: Sequence[Linear]
    norm: Norm
    norm_after: Norm
    head_norms: Sequence[Norm]
    dropouts: Sequence[float]
    d: int
    scale: float
    window: int

    def kernels_for(self, x: torch.Tensor) -> Kernels | None:
        """The kernels, where they take this layer of x (T, width) whole."""
        inner = [self.linears[place].weight.shape[1] for place in (3, 6)]
        if any(width % LANES for width in inner) or not x.is_contiguous():
            return None
        return joint.kernels_for(x, self.linears)


class _Given(ctypes.Structure):
    """``Decoder`` of kernels/decoder_layer.cpp."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("compute", "tokens", "width", "inner", "heads", "keys", "d", "window")),
        *((name, ctypes.c_double) for name in ("scale", "eps", "eps_after", "eps_q", "eps_k")),
        *((name, ctypes.c_void_p) for name in ("norm", "norm_after", "norm_q", "norm_k", "cos", "sin")),
        *((name, ctypes.c_int32) for name in ("nodes", "shared")),
        *((name, ctypes.c_void_p) for name in ("spans", "positions", "attention", "after", "gate", "up")),
        ("layers", joint.Layer * 7),
        ("drops", joint.Drop * 4),
    )


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        made: Kernels,
        decoder: Decoder,
        layout: Layout,
        turns: Turns | None,
        *flat: torch.Tensor | None,
    ) -> torch.Tensor:
        kept, z = _room(decoder, x), torch.empty_like(x)
        described = joint.described(decoder.linears)
        ctx.drops = joint.drops(decoder.dropouts)
        made("decoder_forward", None, _given(decoder, x, layout, turns, kept, described, ctx.drops), x, z)
        ctx.save_for_backward(x, *kept, *(turns or (None, None)), *flat)
        ctx.made, ctx.decoder, ctx.layout = made, decoder, layout
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, *rest = ctx.saved_tensors
        kept, (cos, sin), flat = rest[:4], rest[4:6], rest[6:]
        linears = layers_of(flat, ctx.decoder.linears)
        pairs, described = joint.room_for_gradients(linears)
        grad, grad_x = grads[0].contiguous(), torch.empty_like(x) if ctx.needs_input_grad[0] else None
        turns = None if cos is None else (cos, sin)
        given = _given(ctx.decoder, x, ctx.layout, turns, kept, described, ctx.drops)
        ctx.made("decoder_backward", None, given, x, grad, grad_x)
        return grad_x, None, None, None, None, *(part for pair in pairs for part in (None, None, *pair))


_whole: Callable[..., torch.Tensor] = _Whole.apply


def decoder_layer(
    made: Kernels, decoder: Decoder, x: torch.Tensor, layout: Layout, turns: Turns | None
) -> torch.Tensor:
    """z of x (T, width); with ``turns`` q and k are rotated."""
    dense = None if turns is None else (turns[0].contiguous(), turns[1].contiguous())
    return _whole(x, made, decoder, layout, dense, *flat_of(decoder.linears))


def _room(decoder: Decoder, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What decoder_layer.cpp keeps for the backward pass, in four tensors: pieces that are too large leave the heap."""
    q, k, _, o, gate, _, _ = decoder.linears
    heads, keys = (len(linear.weight) for linear in (q, k))
    ranks = [joint.ranks([one]) for one in decoder.linears]
    normed = (heads + keys) // decoder.d if decoder.head_norms else 0
    attention = 2 * heads + 2 * keys + heads // decoder.d + 1 + normed + sum(ranks[:4])
    after = len(o.weight) + 1 + sum(ranks[4:])
    inner = len(gate.weight)
    return tuple(x.new_empty(len(x), numbers) for numbers in (attention, after, inner, inner))


def _given(
    decoder: Decoder,
    x: torch.Tensor,
    layout: Layout,
    turns: Turns | None,
    kept: Sequence[torch.Tensor],
    described: ctypes.Array[Any],
    drops: ctypes.Array[joint.Drop],
) -> ctypes.Array[_Given]:
    given = (_Given * 1)()
    one = given[0]
    q, k, _, _, gate, _, _ = decoder.linears
    one.compute, one.tokens, one.width = joint.compute(decoder.linears), *x.shape
    one.inner, one.d, one.window = len(gate.weight), decoder.d, decoder.window
    one.heads, one.keys = len(q.weight) // decoder.d, len(k.weight) // decoder.d
    (norm, one.eps), (norm_after, one.eps_after), one.scale = decoder.norm, decoder.norm_after, decoder.scale
    one.norm, one.norm_after = norm.data_ptr(), norm_after.data_ptr()
    if decoder.head_norms:
        (norm_q, one.eps_q), (norm_k, one.eps_k) = decoder.head_norms
        one.norm_q, one.norm_k = norm_q.data_ptr(), norm_k.data_ptr()
    if turns is not None:
        one.cos, one.sin = (part.data_ptr() for part in turns)
    one.nodes, one.shared = len(layout.spans), layout.shared
    one.spans, one.positions = layout.spans.data_ptr(), layout.positions.data_ptr()
    one.attention, one.after, one.gate, one.up = (part.data_ptr() for part in kept)
    one.layers, one.drops = described, drops
    return given
