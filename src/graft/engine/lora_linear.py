"""LoRA beside frozen linear layers as one autograd function: few passes over memory, and little kept for backward.

Layers that read the same input (q, k and v; gate and up) are computed together: their input is read once by the A
matrices, and its gradient is summed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from graft.engine import lora_kernels as joint
from graft.engine import lora_reference as apart
from graft.engine.autograd import Again, again
from graft.engine.linear import Linear, flat_of, layers_of


def keep_mask(shape: Sequence[int], p: float, device: torch.device | None = None) -> tuple[torch.Tensor, float]:
    """Booleans that are true with probability 1 - p (to 2**-16), and what to multiply by to keep the expectation.

    Four places take one random number of 64 bits, where a Bernoulli call draws one for each.
    """
    count = 1
    for size in shape:
        count *= size
    drop = min(round(p * 65536), 65535)
    numbers = torch.empty((count + 3) // 4, dtype=torch.int64, device=device).random_(-(2**63), None)
    mask = numbers.view(torch.int16)[:count].view(*shape) >= drop - 32768
    return mask, 65536 / (65536 - drop)


class _Together(torch.autograd.Function):
    """x (T, in) -> one (T, out) for each layer. Only x, the products with A and the dropout mask are kept; not even x
    where there is a recipe for it.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        recipe: Again | None,
        plus: torch.Tensor | None,
        layers: Sequence[Linear],
        dropout: float,
        *flat: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        made = ctx.joint = joint.kernels_for(x, layers)
        ctx.drop = joint.drops([dropout]) if made and dropout else None
        mask, up = keep_mask(x.shape, dropout, x.device) if dropout and not made else (None, 1.0)
        h, outputs = (
            joint.forward(made, x, layers, plus, ctx.drop) if made else apart.forward(x, layers, plus, mask, up)
        )
        kept = (x,) if recipe is None else tuple(part.detach() for part in recipe.parts)
        ctx.save_for_backward(mask, h, *flat, *kept)
        ctx.recipe, ctx.shape = recipe and recipe.of(), x.shape
        ctx.layers, ctx.up = layers, up
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        mask, h, *rest = ctx.saved_tensors
        count = 4 * len(ctx.layers)
        layers, kept = layers_of(rest[:count], ctx.layers), rest[count:]
        recipe, wanted = ctx.recipe and ctx.recipe.of(*kept), ctx.needs_input_grad[0]
        if ctx.joint:
            x = recipe or kept[0]
            grad_x, made = joint.backward(ctx.joint, grads, h, layers, x, ctx.shape[1], wanted, ctx.drop)
        else:
            x = recipe.make(*recipe.parts).view(ctx.shape) if recipe else kept[0]
            grad_x, made = apart.backward(grads, h, layers, x, wanted, mask, ctx.up)
        adapters = [part for ab in made for part in (None, None, *ab)]
        return grad_x, None, grads[0] if ctx.needs_input_grad[2] else None, None, None, *adapters


_together: Callable[..., tuple[torch.Tensor, ...]] = _Together.apply


def together(
    x: torch.Tensor, layers: Sequence[Linear], dropout: float = 0.0, plus: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """x (..., in) -> (..., out) for each layer; the weights and biases are frozen and get no gradient.

    ``dropout`` is of the adapters' input, one mask for all of ``layers``; ``plus`` is added to a single one's output.
    """
    more = None if plus is None else plus.reshape(-1, plus.shape[-1])
    outputs = _together(x.reshape(-1, x.shape[-1]), again(x), more, tuple(layers), dropout, *flat_of(layers))
    return tuple(y.view(*x.shape[:-1], y.shape[-1]) for y in outputs)
