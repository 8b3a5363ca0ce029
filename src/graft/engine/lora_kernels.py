"""LoRA layers that read one input, by the kernels in one call for each direction."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import torch

from graft.engine.autograd import PLAIN, Again
from graft.engine.kernels import Kernels, kernels, wide
from graft.engine.linear import Linear, Pairs
from graft.engine.matmul import LANES, PACKED
from graft.engine.quantized_weights import EXACT, Int8


class _Packed(ctypes.Structure):
    _fields_ = (("codes", ctypes.c_void_p), ("scales", ctypes.c_void_p), ("less", ctypes.c_void_p))


class Layer(ctypes.Structure):
    """``Layer`` of kernels/gemm.h."""

    _fields_ = (
        ("n", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("w", ctypes.c_void_p),
        ("w_row", ctypes.c_int64),
        ("w_col", ctypes.c_int64),
        ("forward", _Packed),
        ("backward", _Packed),
        ("a", ctypes.c_void_p),
        ("b", ctypes.c_void_p),
        ("scale", ctypes.c_double),
        ("bias", ctypes.c_void_p),
        ("plus", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("grad", ctypes.c_void_p),
        ("grad_a", ctypes.c_void_p),
        ("grad_b", ctypes.c_void_p),
    )


class Drop(ctypes.Structure):
    """``Drop`` of kernels/gemm.h."""

    _fields_ = (("key", ctypes.c_uint64), ("below", ctypes.c_uint32), ("up", ctypes.c_float))


def drops(shares: Sequence[float]) -> ctypes.Array[Drop]:
    """Dropout that takes such shares (to 2**-32), each by a key of PyTorch's random numbers, where it takes any."""
    made = (Drop * len(shares))()
    for one, share in zip(made, shares, strict=True):
        one.up = 1.0
        if share:
            one.below = min(round(share * 2**32), 2**32 - 1)
            one.key, one.up = int(torch.randint(2**63 - 1, ())), 2**32 / (2**32 - one.below)
    return made


def kernels_for(x: torch.Tensor, layers: Sequence[Linear]) -> Kernels | None:
    """The kernels, where they take these layers of x (T, in) whole."""
    if len(x) < PACKED or x.dtype != torch.float32 or x.device.type != "cpu" or x.shape[1] % LANES:
        return None
    made = kernels()
    return made if made is not None and made.has("together_forward") and _fit(layers) else None


def _fit(layers: Sequence[Linear]) -> bool:
    return all(map(_fits, layers)) and len({type(layer.lowered) for layer in layers}) == 1


def _fits(layer: Linear) -> bool:
    if layer.weight.dtype != torch.float32 or layer.weight.shape[0] % LANES:
        return False
    if layer.lowered is not None and layer.lowered.joint is None:
        return False
    return all(part is None or part.is_contiguous() for part in (layer.a, layer.b, layer.bias))


def forward(
    made: Kernels,
    x: torch.Tensor,
    layers: Sequence[Linear],
    plus: torch.Tensor | None,
    drop: ctypes.Array[Drop] | None = None,
) -> tuple[torch.Tensor | None, list[torch.Tensor]]:
    """x (T, in) -> x Aᵀ of all layers (T, R), each rank filled up to whole vectors, and the layers' (T, out).
    ``plus`` (T, out) is added to a single one's; ``drop`` is of what the adapters read.
    """
    x, plus = x.contiguous(), None if plus is None else plus.contiguous()
    h = x.new_empty(len(x), ranks(layers))
    outputs = [x.new_empty(len(x), len(layer.weight)) for layer in layers]
    given = described(layers)
    for one, y in zip(given, outputs, strict=True):
        one.y, one.plus = y.data_ptr(), None if plus is None else plus.data_ptr()
    made("together_forward", None, *_sizes(x.shape, layers), given, drop, x, h)
    return h, outputs


def backward(
    made: Kernels,
    grads: Sequence[torch.Tensor],
    h: torch.Tensor,
    layers: Sequence[Linear],
    x: torch.Tensor | Again,
    width: int,
    wanted: bool,
    drop: ctypes.Array[Drop] | None = None,
) -> tuple[torch.Tensor | None, Pairs]:
    """``grads`` (T, out) of the layers -> x's (T, width), where it is wanted, and those of each layer's A and B."""
    grad_x = h.new_empty(len(h), width) if wanted else None
    dense = [grad.contiguous() for grad in grads]
    pairs, given = room_for_gradients(layers)
    for one, grad in zip(given, dense, strict=True):
        one.grad = grad.data_ptr()
    rows = x.rows if isinstance(x, Again) else (PLAIN, x.contiguous(), None, 0.0)
    made("together_backward", None, *_sizes((len(h), width), layers), given, drop, h, *rows, grad_x)
    return grad_x, pairs


def _sizes(shape: Sequence[int], layers: Sequence[Linear]) -> tuple[Any, ...]:
    return compute(layers), wide(shape[0]), shape[1], len(layers)


def compute(layers: Sequence[Linear]) -> int:
    """How the kernels know what these layers compute in."""
    lowered = layers[0].lowered
    return EXACT if lowered is None or lowered.joint is None else lowered.joint


def ranks(layers: Sequence[Linear]) -> int:
    """Of all adapters, each filled up to whole vectors."""
    return sum(-(-len(layer.a) // LANES) * LANES for layer in layers if layer.a is not None)


def room_for_gradients(layers: Sequence[Linear]) -> tuple[Pairs, ctypes.Array[Layer]]:
    """For each layer's A and B, and the layers with them."""
    given = described(layers)
    pairs: list[tuple[torch.Tensor | None, torch.Tensor | None]] = []
    for one, layer in zip(given, layers, strict=True):
        if layer.a is None or layer.b is None:
            pairs.append((None, None))
            continue
        pair = torch.empty_like(layer.a), torch.empty_like(layer.b)
        one.grad_a, one.grad_b = (part.data_ptr() for part in pair)
        pairs.append(pair)
    return pairs, given


def described(layers: Sequence[Linear]) -> ctypes.Array[Layer]:
    """With what is the same for both directions."""
    given = (Layer * len(layers))()
    for one, layer in zip(given, layers, strict=True):
        one.n, one.scale = len(layer.weight), layer.scale
        one.bias = None if layer.bias is None else layer.bias.data_ptr()
        if layer.a is not None and layer.b is not None:
            one.rank, one.a, one.b = len(layer.a), layer.a.data_ptr(), layer.b.data_ptr()
        if isinstance(layer.lowered, Int8):
            for packed, weight in ((one.forward, layer.lowered.along_out), (one.backward, layer.lowered.along_in)):
                packed.codes, packed.scales = weight.codes.data_ptr(), weight.scales.data_ptr()
                packed.less = weight.less.data_ptr()  # type: ignore[union-attr]
        else:
            one.w = layer.weight.data_ptr()
            one.w_row, one.w_col = layer.weight.stride()
    return given
