"""LoRA beside frozen linear layers as one autograd function: few passes over memory, and little kept for backward.

Layers that read the same input (q, k and v; gate and up) are computed together: their input is read once by the A
matrices, and its gradient is summed in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from graft.engine.low_rank import down, gradients, outer
from graft.engine.lowered import Lowered
from graft.engine.native import Again, Codes, again
from graft.engine.products import LANES, Beside, product


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


class _Narrow:
    """The adapters of layers that read one input, side by side; each rank filled up with zeros to whole vectors."""

    def __init__(self, layers: Sequence[Linear]) -> None:
        self.layers = layers
        self.columns: list[slice] = []
        for layer in layers:
            start = self.columns[-1].stop if self.columns else 0
            width = 0 if layer.b is None else -(-layer.b.shape[1] // LANES) * LANES
            self.columns.append(slice(start, start + width))
        there = [
            _filled(layer.a, columns.stop - columns.start)
            for layer, columns in zip(layers, self.columns, strict=True)
            if layer.a is not None
        ]
        self.a = None if not there else there[0] if len(there) == 1 else torch.cat(there)

    def down(self, x: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor | None, Codes | None]:
        """x (T, in) -> the products with A of what the mask leaves of it (T, R), and what a lowered weight takes."""
        lowered = self.layers[0].lowered
        if self.a is not None and mask is None:
            return down(x, self.a, lowered)
        codes = lowered.prepare(x) if lowered else None
        if self.a is None:
            return None, codes
        return down(x if mask is None else x * mask, self.a)[0], codes

    def b(self, place: int) -> torch.Tensor | None:
        """(out, R of the layer)."""
        b, columns = self.layers[place].b, self.columns[place]
        if b is None or b.shape[1] == columns.stop - columns.start:
            return b
        return _filled(b.t(), columns.stop - columns.start).t().contiguous()

    def beside(self, h: torch.Tensor | None, place: int, up: float) -> Beside | None:
        """The adapter's part of a layer's output."""
        b = self.b(place)
        if b is None or h is None:
            return None
        return Beside(h[:, self.columns[place]], b.t(), self.layers[place].scale * up)


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
        plain: Sequence[tuple[float, Lowered | None]],
        dropout: float,
        *flat: Any,
    ) -> tuple[torch.Tensor, ...]:
        layers = _layers(flat, plain)
        mask, up = keep_mask(x.shape, dropout, x.device) if dropout else (None, 1.0)
        narrow = _Narrow(layers)
        h, codes = narrow.down(x, mask)
        outputs = []
        for place, layer in enumerate(layers):
            y = _forward(x, codes, layer, narrow.beside(h, place, up), plus)
            outputs.append(y if layer.bias is None else y.add_(layer.bias))
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
        narrow = _Narrow(_layers(flat, ctx.plain))
        g = None if h is None else torch.empty_like(h)
        wanted, dense = ctx.needs_input_grad[0], [grad.contiguous() for grad in grads]
        grad_x: torch.Tensor | None = None
        adapters: list[torch.Tensor | None] = []
        for place, (layer, grad) in enumerate(zip(narrow.layers, dense, strict=True)):
            b, columns, lowered = narrow.b(place), narrow.columns[place], layer.lowered if wanted else None
            codes, grad_b = None, None
            if b is not None and h is not None and g is not None:
                made_b, codes = gradients(grad, b, h[:, columns], layer.scale * ctx.up, g[:, columns], lowered)
                grad_b = made_b[:, : layer.b.shape[1]]  # type: ignore[union-attr]
            elif lowered is not None:
                codes = lowered.prepare(grad)
            adapters += [None, None, None, grad_b]
            if wanted:
                last = place == len(dense) - 1 and mask is None
                beside = Beside(g, narrow.a) if last and g is not None and narrow.a is not None else None
                grad_x = _backward(grad, codes, layer, grad_x, beside)
        if g is not None and narrow.a is not None:
            if grad_x is not None and mask is not None:
                grad_x.addcmul_(torch.mm(g, narrow.a), mask.to(grad_x.dtype))
            x = kept[0] if ctx.make is None else ctx.make(*kept).view(ctx.shape)
            grads_a = outer(g, x if mask is None else x * mask)
            for place, (layer, columns) in enumerate(zip(narrow.layers, narrow.columns, strict=True)):
                adapters[4 * place + 2] = None if layer.a is None else grads_a[columns][: len(layer.a)]
        return grad_x, None, dense[0] if ctx.needs_input_grad[2] else None, None, None, *adapters


_together: Callable[..., tuple[torch.Tensor, ...]] = _Together.apply


def together(
    x: torch.Tensor, layers: Sequence[Linear], dropout: float = 0.0, plus: torch.Tensor | None = None
) -> tuple[torch.Tensor, ...]:
    """x (..., in) -> (..., out) for each layer; the weights and biases are frozen and get no gradient.

    ``dropout`` is of the adapters' input, one mask for all of ``layers``; ``plus`` is added to a single one's output.
    """
    flat = [tensor for layer in layers for tensor in (layer.weight, layer.bias, layer.a, layer.b)]
    plain = tuple((layer.scale, layer.lowered) for layer in layers)
    more = None if plus is None else plus.reshape(-1, plus.shape[-1])
    outputs = _together(x.reshape(-1, x.shape[-1]), again(x), more, plain, dropout, *flat)
    return tuple(y.view(*x.shape[:-1], y.shape[-1]) for y in outputs)


def _forward(
    x: torch.Tensor, codes: Codes | None, layer: Linear, beside: Beside | None, plus: torch.Tensor | None
) -> torch.Tensor:
    if layer.lowered is not None and codes is not None:
        return layer.lowered.forward(codes, beside, plus)
    return product(x, layer.weight, None, beside, plus)


def _backward(
    grad: torch.Tensor, codes: Codes | None, layer: Linear, into: torch.Tensor | None, beside: Beside | None
) -> torch.Tensor:
    if layer.lowered is not None and codes is not None:
        return layer.lowered.backward(codes, into, beside)
    return product(grad, layer.weight.t(), into, beside)


def _layers(flat: Sequence[Any], plain: Sequence[tuple[float, Lowered | None]]) -> list[Linear]:
    fours = zip(flat[0::4], flat[1::4], flat[2::4], flat[3::4], plain, strict=True)
    return [Linear(weight, bias, a, b, *rest) for weight, bias, a, b, rest in fours]


def _filled(narrow: torch.Tensor, rows: int) -> torch.Tensor:
    """(r, n) -> (rows, n), with zeros below."""
    missing = rows - len(narrow)
    return narrow if not missing else torch.cat([narrow, narrow.new_zeros(missing, narrow.shape[1])])
