"""LoRA beside frozen linear layers as one autograd function: few passes over memory, and little kept for backward.

Layers that read the same input (q, k and v; gate and up) are computed together: their input is read once by the A
matrices, and its gradient is summed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from graft.engine.lowered import Lowered, Prepared
from graft.engine.native import Again, again
from graft.engine.products import product


@dataclass(frozen=True)
class Linear:
    """A frozen layer y = x Wᵀ + b with its low-rank part: y += scale · drop(x) Aᵀ Bᵀ (Hu et al. 2021, section 4.1).

    weight (out, in), bias (out) or None; a (r, in) and b (out, r), or None where there is no adapter. Where there is
    a ``lowered`` weight, it computes in the place of the exact one.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    a: torch.Tensor | None = None
    b: torch.Tensor | None = None
    scale: float = 1.0
    lowered: Lowered | None = None


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
        plain: Sequence[tuple[float, Lowered | None]],
        dropout: float,
        *flat: Any,
    ) -> tuple[torch.Tensor, ...]:
        layers = _layers(flat, plain)
        mask, up = keep_mask(x.shape, dropout, x.device) if dropout else (None, 1.0)
        dropped = x if mask is None else x * mask
        stacked = _stack([layer.a for layer in layers])
        h = None if stacked is None else product(dropped, stacked)
        outputs, start = [], 0
        prepared = layers[0].lowered.prepare(x) if layers[0].lowered else None
        for layer in layers:
            y = _forward(x, prepared, layer)
            if layer.b is not None and h is not None:
                rank = layer.b.shape[1]
                y.addmm_(h[:, start : start + rank], layer.b.t(), alpha=layer.scale * up)
                start += rank
            outputs.append(y)
        kept = (x,) if recipe is None else tuple(part.detach() for part in recipe.parts)
        ctx.save_for_backward(mask, h, *flat, *kept)
        ctx.make, ctx.shape = None if recipe is None else recipe.make, x.shape
        ctx.plain, ctx.up = plain, up
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        mask, h, *rest = ctx.saved_tensors
        flat, kept = rest[: 4 * len(ctx.plain)], rest[4 * len(ctx.plain) :]
        layers = _layers(flat, ctx.plain)
        g: list[torch.Tensor] = []
        grads_b: list[torch.Tensor | None] = []
        start = 0
        for layer, grad in zip(layers, grads, strict=True):
            if layer.b is None:
                grads_b.append(None)
                continue
            rank, scale = layer.b.shape[1], layer.scale * ctx.up
            g.append(product(grad, layer.b.t()).mul_(scale))
            grads_b.append(torch.mm(grad.t(), h[:, start : start + rank]).mul_(scale))
            start += rank
        stacked = _stack([layer.a for layer in layers])
        joined = _stack(g, dim=1)
        grads_a: Iterator[torch.Tensor] = iter(())
        if joined is not None:
            x = kept[0] if ctx.make is None else ctx.make(*kept).view(ctx.shape)
            dropped = x if mask is None else x * mask
            grads_a = iter(torch.split(torch.mm(joined.t(), dropped), [part.shape[1] for part in g]))
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = _backward(grads[0], layers[0])
            for layer, grad in zip(layers[1:], grads[1:], strict=True):
                grad_x = _backward(grad, layer, grad_x)
            if joined is not None and stacked is not None and mask is None:
                grad_x = product(joined, stacked.t(), grad_x)
            elif joined is not None and stacked is not None:
                grad_x.addcmul_(product(joined, stacked.t()), mask.to(grad_x.dtype))
        adapters: list[torch.Tensor | None] = []
        for layer, grad_b in zip(layers, grads_b, strict=True):
            adapters += [None, None, next(grads_a) if layer.a is not None else None, grad_b]
        return grad_x, None, None, None, *adapters


_together: Callable[..., tuple[torch.Tensor, ...]] = _Together.apply


def together(x: torch.Tensor, layers: Sequence[Linear], dropout: float = 0.0) -> tuple[torch.Tensor, ...]:
    """x (..., in) -> (..., out) for each layer; the weights and biases are frozen and get no gradient.

    ``dropout`` is of the adapters' input, one mask for all of ``layers``.
    """
    flat = [tensor for layer in layers for tensor in (layer.weight, layer.bias, layer.a, layer.b)]
    plain = tuple((layer.scale, layer.lowered) for layer in layers)
    outputs = _together(x.reshape(-1, x.shape[-1]), again(x), plain, dropout, *flat)
    return tuple(y.view(*x.shape[:-1], y.shape[-1]) for y in outputs)


def _forward(x: torch.Tensor, prepared: Prepared | None, layer: Linear) -> torch.Tensor:
    if layer.lowered is not None and prepared is not None:
        y = layer.lowered.forward(prepared)
        return y if layer.bias is None else y.add_(layer.bias)
    y = product(x, layer.weight)
    return y if layer.bias is None else y.add_(layer.bias)


def _backward(grad: torch.Tensor, layer: Linear, into: torch.Tensor | None = None) -> torch.Tensor:
    if layer.lowered is not None:
        return layer.lowered.backward(layer.lowered.prepare(grad), into)
    return product(grad, layer.weight.t(), into)


def _layers(flat: Sequence[Any], plain: Sequence[tuple[float, Lowered | None]]) -> list[Linear]:
    fours = zip(flat[0::4], flat[1::4], flat[2::4], flat[3::4], plain, strict=True)
    return [Linear(weight, bias, a, b, *rest) for weight, bias, a, b, rest in fours]


def _stack(parts: Sequence[torch.Tensor | None], dim: int = 0) -> torch.Tensor | None:
    there = [part for part in parts if part is not None]
    return None if not there else there[0] if len(there) == 1 else torch.cat(there, dim=dim)
