"""Decoder layers whose seven linear layers may have LoRA, by the kernels: one call for each direction."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.autograd.function import once_differentiable

from graft.engine import lora_kernels
from graft.engine.autograd import AttentionScores, CosSin, attention_params
from graft.engine.kernels import Kernels, structs
from graft.engine.linear import Linear, flatten, unflatten
from graft.engine.matmul import LANES
from graft.engine.packing import Layout


class Norm(NamedTuple):
    """An RMS norm: its weight (width), frozen, and its epsilon."""

    weight: torch.Tensor
    eps: float


@dataclass(frozen=True)
class DecoderLayer:
    """y = x + o(attention(norm(x))), z = y + down(silu(gate(n)) · up(n)) of n = norm_mlp(y).

    Attributes:
        linears: q, k, v, o, gate, up, down.
        norm_attention: The norm before attention.
        norm_mlp: The norm before the MLP.
        head_norms: Those of q's and k's heads (d) before RoPE, or none.
        dropouts: Rates of what the adapters read: of q, k and v; of o; of gate and up; of down.
        d: Numbers per head.
        scores: Scale and window of attention.
    """

    linears: Sequence[Linear]
    norm_attention: Norm
    norm_mlp: Norm
    head_norms: Sequence[Norm]
    dropouts: Sequence[float]
    d: int
    scores: AttentionScores

    def kernels_for(self, x: torch.Tensor) -> Kernels | None:
        """The kernels, if they compute this layer of x (T, width) in one call; otherwise None."""
        inner = [self.linears[index].weight.shape[1] for index in (3, 6)]
        if any(width % LANES for width in inner) or not x.is_contiguous():
            return None
        return lora_kernels.group_kernels(x, self.linears)


class _Kept(NamedTuple):
    """What decoder_layer.cpp keeps for the backward pass: of attention, of what follows it, gate and up, each (T, n).

    Four tensors and not one: a single large piece would not come from the heap, and its pages would be new each time.
    """

    attention: torch.Tensor
    mlp: torch.Tensor
    gate: torch.Tensor
    up: torch.Tensor


class _DecoderLayer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        library: Kernels,
        layer: DecoderLayer,
        layout: Layout,
        rope: CosSin | None,
        *flat: torch.Tensor | None,
    ) -> torch.Tensor:
        """x (T, width) -> z (T, width); ``flat`` holds the linear layers' tensors, as ``flatten`` gives them."""
        kept, z = _empty_kept(layer, x), torch.empty_like(x)
        ctx.dropouts = lora_kernels.dropouts(layer.dropouts)
        struct = _struct(layer, x, layout, rope, kept)
        struct.layers, struct.dropouts = lora_kernels.layer_structs(layer.linears), ctx.dropouts
        library("decoder_layer_forward", None, ctypes.byref(struct), x, z)
        ctx.save_for_backward(x, *kept, *(rope or (None, None)), *flat)
        ctx.library, ctx.layer, ctx.layout = library, layer, layout
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of x (T, width) and of each adapter's A and B; the rest is frozen."""
        x, *rest = ctx.saved_tensors
        kept, (cos, sin), flat = _Kept(*rest[:4]), rest[4:6], rest[6:]
        adapters, layers = lora_kernels.with_gradients(unflatten(flat, ctx.layer.linears))
        grad, grad_x = grads[0].contiguous(), torch.empty_like(x) if ctx.needs_input_grad[0] else None
        struct = _struct(ctx.layer, x, ctx.layout, None if cos is None else CosSin(cos, sin), kept)
        struct.layers, struct.dropouts = layers, ctx.dropouts
        ctx.library("decoder_layer_backward", None, ctypes.byref(struct), x, grad, grad_x)
        return grad_x, None, None, None, None, *(part for pair in adapters for part in (None, None, *pair))


_decoder_layer: Callable[..., torch.Tensor] = _DecoderLayer.apply


def decoder_layer(
    library: Kernels, layer: DecoderLayer, x: torch.Tensor, layout: Layout, rope: CosSin | None
) -> torch.Tensor:
    """z (T, width) of x (T, width).

    Args:
        library: What ``layer.kernels_for(x)`` gave.
        layer: The layer as it is now.
        x: Dense.
        layout: Which tokens see which.
        rope: When given, q and k are rotated.
    """
    dense = None if rope is None else CosSin(rope.cos.contiguous(), rope.sin.contiguous())
    return _decoder_layer(x, library, layer, layout, dense, *flatten(layer.linears))


def _empty_kept(layer: DecoderLayer, x: torch.Tensor) -> _Kept:
    """Memory in the order in which ``Kept`` of decoder_layer.cpp divides it."""
    q, k, _, o, gate, _, _ = layer.linears
    heads, keys = (len(linear.weight) for linear in (q, k))
    ranks = [lora_kernels.padded_ranks([linear]) for linear in layer.linears]
    norms = (heads + keys) // layer.d if layer.head_norms else 0
    attention = 2 * heads + 2 * keys + heads // layer.d + 1 + norms + sum(ranks[:4])
    mlp = len(o.weight) + 1 + sum(ranks[4:])
    return _Kept(*(x.new_empty(len(x), numbers) for numbers in (attention, mlp, len(gate.weight), len(gate.weight))))


def _struct(
    layer: DecoderLayer, x: torch.Tensor, layout: Layout, rope: CosSin | None, kept: _Kept
) -> structs.DecoderLayer:
    """All but the linear layers and the dropouts; the tensors must outlive it."""
    q, k, _, _, gate, _, _ = layer.linears
    heads, kv_heads = len(q.weight) // layer.d, len(k.weight) // layer.d
    struct = structs.DecoderLayer(
        compute=lora_kernels.compute_of(layer.linears),
        width=x.shape[1],
        inner=len(gate.weight),
        attention=attention_params(layout, heads, kv_heads, layer.d, layer.scores),
        eps_attention=layer.norm_attention.eps,
        eps_mlp=layer.norm_mlp.eps,
        norm_attention=layer.norm_attention.weight.data_ptr(),
        norm_mlp=layer.norm_mlp.weight.data_ptr(),
    )
    if layer.head_norms:
        (norm_q, struct.eps_q), (norm_k, struct.eps_k) = layer.head_norms
        struct.norm_q, struct.norm_k = norm_q.data_ptr(), norm_k.data_ptr()
    if rope is not None:
        struct.cos, struct.sin = (part.data_ptr() for part in rope)
    struct.kept_attention, struct.kept_mlp, struct.gate, struct.up = (part.data_ptr() for part in kept)
    return struct
