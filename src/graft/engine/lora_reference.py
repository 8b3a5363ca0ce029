"""Grouped LoRA layers one product after the other: for any size, type and device. The reference of ``lora_kernels``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from graft.engine.linear import AdapterGradients, Linear
from graft.engine.lora_products import WithQuantized, lora_backward_b, lora_down, lora_grad_a
from graft.engine.matmul import LANES, LoraEpilogue, matmul
from graft.engine.quantized_rows import QuantizedRows


class GroupOutputs(NamedTuple):
    """The forward pass of layers that read one input.

    Attributes:
        h: The products with A of all layers side by side (T, R), each rank padded to a multiple of 16; None without
            adapters.
        outputs: (T, out) for each layer.
    """

    h: torch.Tensor | None
    outputs: list[torch.Tensor]


class GroupGradients(NamedTuple):
    """The backward pass of layers that read one input: x's gradient (T, in), if it was asked for, and the adapters'."""

    grad_x: torch.Tensor | None
    adapters: AdapterGradients


class DropoutMask(NamedTuple):
    """What dropout keeps of the adapters' input: booleans (T, in), and the factor of what is kept."""

    mask: torch.Tensor
    scale: float


def forward(
    x: torch.Tensor,
    layers: Sequence[Linear],
    residual: torch.Tensor | None,
    dropout: DropoutMask | None = None,
) -> GroupOutputs:
    """As ``lora_kernels.forward``, with a mask for the dropout."""
    group = _AdapterGroup(layers)
    scale = 1.0 if dropout is None else dropout.scale
    h, quantized = group.down(x, None if dropout is None else dropout.mask)
    outputs = [
        _forward_product(x, quantized, layer, group.epilogue(h, index, scale), residual)
        for index, layer in enumerate(layers)
    ]
    biased = [y if layer.bias is None else y.add_(layer.bias) for y, layer in zip(outputs, layers, strict=True)]
    return GroupOutputs(h, biased)


def backward(
    grads: Sequence[torch.Tensor],
    h: torch.Tensor | None,
    layers: Sequence[Linear],
    x: torch.Tensor,
    needs_grad_x: bool,
    dropout: DropoutMask | None = None,
) -> GroupGradients:
    """As ``lora_kernels.backward``, of an x that is in memory."""
    group = _AdapterGroup(layers)
    mask, scale = (None, 1.0) if dropout is None else dropout
    g = None if h is None else torch.empty_like(h)
    grad_x: torch.Tensor | None = None
    grads_b: list[torch.Tensor | None] = []
    for index, (layer, grad) in enumerate(zip(layers, (grad.contiguous() for grad in grads), strict=True)):
        grad_b, quantized = _backward_b(group, index, grad, h, g, scale, needs_grad_x)
        grads_b.append(grad_b)
        if needs_grad_x:
            last = index == len(layers) - 1 and mask is None
            lora = LoraEpilogue(g, group.a) if last and g is not None and group.a is not None else None
            grad_x = _backward_product(grad, quantized, layer, grad_x, lora)
    if g is None or group.a is None:
        return GroupGradients(grad_x, [(None, None)] * len(layers))
    if grad_x is not None and mask is not None:
        grad_x.addcmul_(torch.mm(g, group.a), mask.to(grad_x.dtype))
    grads_a = lora_grad_a(g, x if mask is None else x * mask)
    parts = zip(layers, group.columns, grads_b, strict=True)
    adapters = [
        (None if layer.a is None else grads_a[columns][: len(layer.a)], grad_b) for layer, columns, grad_b in parts
    ]
    return GroupGradients(grad_x, adapters)


class _AdapterGroup:
    """The adapters of layers that read one input, side by side; each rank is padded with zeros to a multiple of 16."""

    def __init__(self, layers: Sequence[Linear]) -> None:
        self.layers = layers
        self.columns: list[slice] = []
        for layer in layers:
            start = self.columns[-1].stop if self.columns else 0
            width = 0 if layer.b is None else -(-layer.b.shape[1] // LANES) * LANES
            self.columns.append(slice(start, start + width))
        padded = [
            _pad_rows(layer.a, columns.stop - columns.start)
            for layer, columns in zip(layers, self.columns, strict=True)
            if layer.a is not None
        ]
        self.a = None if not padded else padded[0] if len(padded) == 1 else torch.cat(padded)

    def down(self, x: torch.Tensor, mask: torch.Tensor | None) -> tuple[torch.Tensor | None, QuantizedRows | None]:
        """x (T, in) -> the products of what the mask keeps with A (T, R), and x as a quantized weight takes it."""
        weight = self.layers[0].quantized
        if self.a is not None and mask is None:
            return lora_down(x, self.a, weight)
        quantized = weight.quantize(x) if weight else None
        if self.a is None:
            return None, quantized
        return lora_down(x if mask is None else x * mask, self.a).product, quantized

    def b(self, index: int) -> torch.Tensor | None:
        """A layer's B with padded rank (out, R of the layer); None without an adapter."""
        b, columns = self.layers[index].b, self.columns[index]
        if b is None or b.shape[1] == columns.stop - columns.start:
            return b
        return _pad_rows(b.t(), columns.stop - columns.start).t().contiguous()

    def epilogue(self, h: torch.Tensor | None, index: int, scale: float) -> LoraEpilogue | None:
        """The adapter's part of a layer's output; ``scale`` is the dropout's."""
        b = self.b(index)
        if b is None or h is None:
            return None
        return LoraEpilogue(h[:, self.columns[index]], b.t(), self.layers[index].scale * scale)


def _backward_b(
    group: _AdapterGroup,
    index: int,
    grad: torch.Tensor,
    h: torch.Tensor | None,
    g: torch.Tensor | None,
    scale: float,
    needs_grad_x: bool,
) -> tuple[torch.Tensor | None, QuantizedRows | None]:
    """The gradient of a layer's B, and ``grad`` in its quantized weight's format; fills its columns of ``g``."""
    layer, b, columns = group.layers[index], group.b(index), group.columns[index]
    weight = layer.quantized if needs_grad_x else None
    if b is None or h is None or g is None or layer.b is None:
        return None, weight.quantize(grad) if weight else None
    found: WithQuantized = lora_backward_b(grad, b, h[:, columns], layer.scale * scale, g[:, columns], weight)
    return found.product[:, : layer.b.shape[1]], found.quantized


def _forward_product(
    x: torch.Tensor,
    quantized: QuantizedRows | None,
    layer: Linear,
    lora: LoraEpilogue | None,
    residual: torch.Tensor | None,
) -> torch.Tensor:
    if layer.quantized is not None and quantized is not None:
        return layer.quantized.forward(quantized, lora, residual)
    return matmul(x, layer.weight, None, lora, residual)


def _backward_product(
    grad: torch.Tensor,
    quantized: QuantizedRows | None,
    layer: Linear,
    into: torch.Tensor | None,
    lora: LoraEpilogue | None,
) -> torch.Tensor:
    if layer.quantized is not None and quantized is not None:
        return layer.quantized.backward(quantized, into, lora)
    return matmul(grad, layer.weight.t(), into, lora)


def _pad_rows(narrow: torch.Tensor, rows: int) -> torch.Tensor:
    """(r, n) -> (rows, n), with zeros below."""
    missing = rows - len(narrow)
    return narrow if not missing else torch.cat([narrow, narrow.new_zeros(missing, narrow.shape[1])])
