"""LoRA layers that read one input, by a product after the other: whatever their sizes, their type and their device."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from graft.engine.autograd import Codes
from graft.engine.linear import Linear, Pairs
from graft.engine.low_rank import down, gradients, outer
from graft.engine.matmul import LANES, Beside, product


def forward(
    x: torch.Tensor,
    layers: Sequence[Linear],
    plus: torch.Tensor | None,
    mask: torch.Tensor | None = None,
    up: float = 1.0,
) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
    """As ``joint.forward``; ``mask`` (T, in) is what dropout leaves of the adapters' input, times ``up``."""
    narrow = _Narrow(layers)
    h, codes = narrow.down(x, mask)
    outputs = [_product(x, codes, layer, narrow.beside(h, place, up), plus) for place, layer in enumerate(layers)]
    return h, [y if layer.bias is None else y.add_(layer.bias) for y, layer in zip(outputs, layers, strict=True)]


def backward(
    grads: Sequence[torch.Tensor],
    h: torch.Tensor | None,
    layers: Sequence[Linear],
    x: torch.Tensor,
    wanted: bool,
    mask: torch.Tensor | None = None,
    up: float = 1.0,
) -> tuple[torch.Tensor | None, Pairs]:
    """As ``joint.backward``, of an x that is there."""
    narrow = _Narrow(layers)
    g = None if h is None else torch.empty_like(h)
    grad_x: torch.Tensor | None = None
    grads_b: list[torch.Tensor | None] = []
    for place, (layer, grad) in enumerate(zip(layers, (grad.contiguous() for grad in grads), strict=True)):
        b, columns, lowered = narrow.b(place), narrow.columns[place], layer.lowered if wanted else None
        codes, grad_b = None, None
        if b is not None and h is not None and g is not None:
            made_b, codes = gradients(grad, b, h[:, columns], layer.scale * up, g[:, columns], lowered)
            grad_b = made_b[:, : layer.b.shape[1]]  # type: ignore[union-attr]
        elif lowered is not None:
            codes = lowered.prepare(grad)
        grads_b.append(grad_b)
        if wanted:
            last = place == len(layers) - 1 and mask is None
            beside = Beside(g, narrow.a) if last and g is not None and narrow.a is not None else None
            grad_x = _product_back(grad, codes, layer, grad_x, beside)
    if g is None or narrow.a is None:
        return grad_x, [(None, None)] * len(layers)
    if grad_x is not None and mask is not None:
        grad_x.addcmul_(torch.mm(g, narrow.a), mask.to(grad_x.dtype))
    grads_a = outer(g, x if mask is None else x * mask)
    parts = zip(layers, narrow.columns, grads_b, strict=True)
    return grad_x, [(None if one.a is None else grads_a[at][: len(one.a)], grad_b) for one, at, grad_b in parts]


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


def _product(
    x: torch.Tensor, codes: Codes | None, layer: Linear, beside: Beside | None, plus: torch.Tensor | None
) -> torch.Tensor:
    if layer.lowered is not None and codes is not None:
        return layer.lowered.forward(codes, beside, plus)
    return product(x, layer.weight, None, beside, plus)


def _product_back(
    grad: torch.Tensor, codes: Codes | None, layer: Linear, into: torch.Tensor | None, beside: Beside | None
) -> torch.Tensor:
    if layer.lowered is not None and codes is not None:
        return layer.lowered.backward(codes, into, beside)
    return product(grad, layer.weight.t(), into, beside)


def _filled(narrow: torch.Tensor, rows: int) -> torch.Tensor:
    """(r, n) -> (rows, n), with zeros below."""
    missing = rows - len(narrow)
    return narrow if not missing else torch.cat([narrow, narrow.new_zeros(missing, narrow.shape[1])])
