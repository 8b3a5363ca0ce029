"""A frozen linear layer whose weight stays packed in int4; it is a matrix only while it is computed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from graft.models.int4 import Int4Weight, dequantize, quantize, row_slices


class _Int4Product(torch.autograd.Function):
    """``x @ weight.T``. The weight is frozen, so the backward pass needs it, and nothing of ``x``: it is unpacked
    again there, and no matrix is kept from the one pass to the other."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, packed: torch.Tensor, scales: torch.Tensor, columns: int) -> torch.Tensor:
        """x (…, in) and a packed weight with ``columns`` = in -> (…, out); the weight is unpacked slice by slice."""
        ctx.save_for_backward(packed, scales)
        ctx.columns = columns
        parts = [linear(x, _rows(packed, scales, columns, part, x.dtype)) for part in row_slices(len(packed), columns)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x (…, in) alone: packed weight and scales are frozen."""
        packed, scales = ctx.saved_tensors
        (grad,) = grads
        total: torch.Tensor | None = None
        for part in row_slices(len(packed), ctx.columns):
            product = grad[..., part] @ _rows(packed, scales, ctx.columns, part, grad.dtype)
            total = product if total is None else total.add_(product)
        return total, None, None, None


_product: Callable[..., torch.Tensor] = _Int4Product.apply


def _rows(packed: torch.Tensor, scales: torch.Tensor, columns: int, part: slice, dtype: torch.dtype) -> torch.Tensor:
    return dequantize(packed[part], scales[part], columns).to(dtype)


class Int4Linear(nn.Linear):
    """In the place of an ``nn.Linear`` (or GPT-2's ``Conv1D``); ``weight`` unpacks it, a new matrix at each access."""

    packed: torch.Tensor
    scales: torch.Tensor
    bias: torch.Tensor | None  # type: ignore[assignment]

    def __init__(self, weight: Int4Weight, bias: torch.Tensor | None, was_transposed: bool = False) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.was_transposed = was_transposed
        self.register_buffer("packed", weight.packed)
        self.register_buffer("scales", weight.scales)
        self.register_parameter("bias", None if bias is None else nn.Parameter(bias.detach(), requires_grad=False))

    @classmethod
    def of(cls, layer: nn.Module) -> Int4Linear:
        """``layer`` quantized."""
        weight: Any = layer.weight
        transposed = isinstance(layer, Conv1D)
        bias: Any = layer.bias
        return cls(quantize(weight.detach().T if transposed else weight.detach()), bias, transposed)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """(out, in), in the type of the scales."""
        return dequantize(self.packed, self.scales, self.in_features).to(self.scales.dtype)

    @property
    def int4(self) -> Int4Weight:
        """The packed weight with its scales in float32, whatever format the layer keeps them in."""
        return Int4Weight(self.packed, self.scales.float(), (self.out_features, self.in_features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, in) -> (…, out) in the format of x; no float copy of the weight is kept."""
        output = _product(x, self.packed, self.scales, self.in_features)
        return output if self.bias is None else output + self.bias

    def to_float(self) -> nn.Linear:
        """A plain layer with the weights that int4 left."""
        layer = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        layer.weight = nn.Parameter(self.weight, requires_grad=False)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().clone(), requires_grad=False)
        return layer

    def extra_repr(self) -> str:
        """What ``print(model)`` shows of the layer, with int4 at the end."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, int4"


def as_conv1d(layer: nn.Linear) -> Conv1D:
    """The same function, stored as GPT-2 stores it."""
    conv: Conv1D = Conv1D(layer.out_features, layer.in_features)  # type: ignore[no-untyped-call]
    conv.weight = nn.Parameter(layer.weight.detach().T.contiguous(), requires_grad=False)
    conv.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return conv
