"""Grouped LoRA over frozen linear layers as one autograd function: few passes over memory, little kept for backward.

Layers that read the same input (q, k and v; gate and up) form a group: the A matrices read their input once, and its
gradient is summed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from graft.engine import lora_kernels, lora_reference
from graft.engine.linear import Linear, flatten, unflatten
from graft.engine.lora_reference import DropoutMask
from graft.engine.recompute import Recompute, recompute_of


def keep_mask(shape: Sequence[int], p: float, device: torch.device | None = None) -> DropoutMask:
    """A mask that is true with probability 1 - p (to 2**-16), and the factor that keeps the expectation.

    Four numbers share one random number of 64 bits, where a Bernoulli call draws one for each.
    """
    count = 1
    for size in shape:
        count *= size
    dropped = min(round(p * 65536), 65535)
    numbers = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    mask = numbers.view(torch.int16)[:count].view(*shape) >= dropped - 32768
    return DropoutMask(mask, 65536 / (65536 - dropped))


class _LoraGroup(torch.autograd.Function):
    """x (T, in) -> (T, out) for each layer. Only x, the products with A and the dropout mask are kept; not even x where
    it can be recomputed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        recipe: Recompute | None,
        residual: torch.Tensor | None,
        layers: Sequence[Linear],
        p: float,
        *flat: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        """x (T, in) -> (T, out) for each layer; ``flat`` holds the layers' tensors, as ``flatten`` gives them."""
        ctx.library = library = lora_kernels.group_kernels(x, layers)
        ctx.dropout = lora_kernels.dropouts([p]) if library and p else None
        masked = keep_mask(x.shape, p, x.device) if p and not library else None
        h, outputs = (
            lora_kernels.forward(library, x, layers, residual, ctx.dropout)
            if library
            else lora_reference.forward(x, layers, residual, masked)
        )
        kept = (x,) if recipe is None else tuple(part.detach() for part in recipe.inputs)
        ctx.save_for_backward(None if masked is None else masked.mask, h, *flat, *kept)
        ctx.recipe, ctx.shape = recipe and recipe.with_inputs(), x.shape
        ctx.layers, ctx.mask_scale = layers, None if masked is None else masked.scale
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of x (T, in), of the residual, and of each adapter's A and B; the rest is frozen."""
        mask, h, *rest = ctx.saved_tensors
        count = 4 * len(ctx.layers)
        layers, kept = unflatten(rest[:count], ctx.layers), rest[count:]
        recipe, needs_grad_x = ctx.recipe and ctx.recipe.with_inputs(*kept), ctx.needs_input_grad[0]
        if ctx.library:
            grad_x, adapters = lora_kernels.backward(
                ctx.library, grads, h, layers, recipe or kept[0], ctx.shape[1], needs_grad_x, ctx.dropout
            )
        else:
            x = recipe().view(ctx.shape) if recipe else kept[0]
            dropout = None if mask is None else DropoutMask(mask, ctx.mask_scale)
            grad_x, adapters = lora_reference.backward(grads, h, layers, x, needs_grad_x, dropout)
        flat = [part for ab in adapters for part in (None, None, *ab)]
        return grad_x, None, grads[0] if ctx.needs_input_grad[2] else None, None, None, *flat


_lora_group: Callable[..., tuple[torch.Tensor, ...]] = _LoraGroup.apply


def lora_group(
    x: torch.Tensor, layers: Sequence[Linear], dropout: float = 0.0, residual: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """The outputs of layers that read one input; their weights and biases are frozen and get no gradient.

    Args:
        x: (..., in).
        layers: The layers.
        dropout: The rate for the adapters' input; one mask for all ``layers``.
        residual: (..., out), added to the output of a single layer.

    Returns:
        (..., out) for each layer.
    """
    added = None if residual is None else residual.reshape(-1, residual.shape[-1])
    outputs = _lora_group(x.reshape(-1, x.shape[-1]), recompute_of(x), added, tuple(layers), dropout, *flatten(layers))
    return tuple(y.view(*x.shape[:-1], y.shape[-1]) for y in outputs)
