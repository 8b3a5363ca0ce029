"""Grouped LoRA layers, which read one input, by the kernels: one call for each direction."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch

from graft.engine.kernels import Kernels, kernels
from graft.engine.kernels.structs import Compute, Dropout, LoraLayer, RowKind, RowSource
from graft.engine.linear import AdapterGradients, Linear
from graft.engine.lora_reference import GroupGradients, GroupOutputs
from graft.engine.matmul import LANES, PACKED_ROWS
from graft.engine.quantized_weights import Int8
from graft.engine.recompute import Recompute


def dropouts(rates: Sequence[float]) -> ctypes.Array[Dropout]:
    """Dropout with these rates (to 2**-32); each that is not 0 has a key from PyTorch's random numbers."""
    made = (Dropout * len(rates))()
    for dropout, rate in zip(made, rates, strict=True):
        dropout.scale = 1.0
        if rate:
            dropout.threshold = min(round(rate * 2**32), 2**32 - 1)
            dropout.key, dropout.scale = int(torch.randint(2**63 - 1, ())), 2**32 / (2**32 - dropout.threshold)
    return made


def group_kernels(x: torch.Tensor, layers: Sequence[Linear]) -> Kernels | None:
    """The kernels, if they compute all ``layers`` of x (T, in) in one call; otherwise None."""
    if len(x) < PACKED_ROWS or x.dtype != torch.float32 or x.device.type != "cpu" or x.shape[1] % LANES:
        return None
    library = kernels()
    return library if library is not None and library.has("lora_group_forward") and _fit(layers) else None


def _fit(layers: Sequence[Linear]) -> bool:
    return all(map(_fits, layers)) and len({type(layer.quantized) for layer in layers}) == 1


def _fits(layer: Linear) -> bool:
    if layer.weight.dtype != torch.float32 or layer.weight.shape[0] % LANES:
        return False
    if layer.quantized is not None and layer.quantized.compute is None:
        return False
    return all(part is None or part.is_contiguous() for part in (layer.a, layer.b, layer.bias))


def forward(
    library: Kernels,
    x: torch.Tensor,
    layers: Sequence[Linear],
    residual: torch.Tensor | None,
    dropout: ctypes.Array[Dropout] | None = None,
) -> GroupOutputs:
    """The outputs of layers that read ``x``.

    Args:
        library: What ``group_kernels`` gave for them.
        x: (T, in).
        layers: The layers.
        residual: (T, out), added to the output of a single layer.
        dropout: Of what the adapters read; one for all layers.
    """
    x, residual = x.contiguous(), None if residual is None else residual.contiguous()
    h = x.new_empty(len(x), padded_ranks(layers))
    outputs = [x.new_empty(len(x), len(layer.weight)) for layer in layers]
    structs = layer_structs(layers)
    for struct, y in zip(structs, outputs, strict=True):
        struct.y, struct.residual = y.data_ptr(), None if residual is None else residual.data_ptr()
    library("lora_group_forward", None, compute_of(layers), *x.shape, len(layers), structs, dropout, x, h)
    return GroupOutputs(h, outputs)


def backward(
    library: Kernels,
    grads: Sequence[torch.Tensor],
    h: torch.Tensor,
    layers: Sequence[Linear],
    x: torch.Tensor | Recompute,
    width: int,
    needs_grad_x: bool,
    dropout: ctypes.Array[Dropout] | None = None,
) -> GroupGradients:
    """The gradients of x and of the adapters.

    Args:
        library: As in ``forward``.
        grads: (T, out) for each layer.
        h: From ``forward``.
        layers: The layers.
        x: The input (T, in), or how to recompute it: its rows are computed where they are read.
        width: in.
        needs_grad_x: Whether x's gradient is computed.
        dropout: As in ``forward``.
    """
    grad_x = h.new_empty(len(h), width) if needs_grad_x else None
    dense = [grad.contiguous() for grad in grads]
    adapters, structs = with_gradients(layers)
    for struct, grad in zip(structs, dense, strict=True):
        struct.grad = grad.data_ptr()
    recipe = x if isinstance(x, Recompute) else None
    first, second = recipe.inputs if recipe else (x.contiguous(), None)  # type: ignore[union-attr]
    source = RowSource(
        kind=recipe.kind if recipe else RowKind.PLAIN,
        first=first.data_ptr(),
        second=None if second is None else second.data_ptr(),
        eps=recipe.eps if recipe else 0.0,
        dropout=dropout[0] if dropout else dropouts([0.0])[0],
    )
    group = compute_of(layers), len(h), width, len(layers), structs
    library("lora_group_backward", None, *group, ctypes.byref(source), h, grad_x)
    return GroupGradients(grad_x, adapters)


def compute_of(layers: Sequence[Linear]) -> Compute:
    """The number format in which the kernels compute these layers."""
    quantized = layers[0].quantized
    return Compute.FLOAT32 if quantized is None or quantized.compute is None else quantized.compute


def padded_ranks(layers: Sequence[Linear]) -> int:
    """The sum of all adapters' ranks, each padded to a multiple of 16."""
    return sum(-(-len(layer.a) // LANES) * LANES for layer in layers if layer.a is not None)


class WithGradients(NamedTuple):
    """Uninitialized gradients of adapters, and structures that point to them."""

    adapters: AdapterGradients
    structs: ctypes.Array[LoraLayer]


def with_gradients(layers: Sequence[Linear]) -> WithGradients:
    """Memory for the gradients of each layer's A and B, and the layers' structures."""
    structs = layer_structs(layers)
    adapters: list[tuple[torch.Tensor | None, torch.Tensor | None]] = []
    for struct, layer in zip(structs, layers, strict=True):
        if layer.a is None or layer.b is None:
            adapters.append((None, None))
            continue
        pair = torch.empty_like(layer.a), torch.empty_like(layer.b)
        struct.grad_a, struct.grad_b = (part.data_ptr() for part in pair)
        adapters.append(pair)
    return WithGradients(adapters, structs)


def layer_structs(layers: Sequence[Linear]) -> ctypes.Array[LoraLayer]:
    """What is the same for both directions; the tensors must outlive it."""
    structs = (LoraLayer * len(layers))()
    for struct, layer in zip(structs, layers, strict=True):
        struct.n, struct.scale = len(layer.weight), layer.scale
        struct.bias = None if layer.bias is None else layer.bias.data_ptr()
        if layer.a is not None and layer.b is not None:
            struct.rank, struct.a, struct.b = len(layer.a), layer.a.data_ptr(), layer.b.data_ptr()
        if isinstance(layer.quantized, Int8):
            struct.forward, struct.backward = layer.quantized.along_out.struct, layer.quantized.along_in.struct
        else:
            struct.w = layer.weight.data_ptr()
            struct.w_row, struct.w_col = layer.weight.stride()
    return structs
