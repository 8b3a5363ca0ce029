"""Products with frozen weights: by the kernels, by oneDNN, or by torch.mm."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from graft.engine.kernels import Kernels, computes, kernels, structs

ONEDNN_ROWS = 64
"""With fewer rows a call of oneDNN costs more than it saves."""

PACKED_ROWS = 256
"""With fewer rows packing a large weight for one product costs as much as it saves."""

LANES = 16
"""The kernels' matrices have sizes that are multiples of this: float32 numbers in the longest vector."""


@dataclass(frozen=True)
class LoraEpilogue:
    """A low-rank product that is added to another one: scale · h b.

    Attributes:
        h: (T, R), rows of any stride.
        b: (R, n), any strides.
        scale: The adapter's factor.
    """

    h: torch.Tensor
    b: torch.Tensor
    scale: float = 1.0

    def add_to(self, y: torch.Tensor) -> torch.Tensor:
        """``y`` (T, n) with the product added in place."""
        return y.addmm_(self.h, self.b, alpha=self.scale)


def epilogue_struct(lora: LoraEpilogue | None) -> Any:
    """For the kernels, a pointer that is null without an epilogue; the tensors must outlive it."""
    if lora is None:
        return None
    h, b = lora.h, lora.b
    struct = structs.LoraEpilogue(b.shape[0], h.data_ptr(), h.stride(0), b.data_ptr(), *b.stride(), lora.scale)
    return ctypes.byref(struct)


def _onednn_linear() -> Any:
    """PyTorch's oneDNN product, which torch.compile uses, too; None in a build without it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return operator if hasattr(operator, "default") and hasattr(operator, "binary") else None


_linear = _onednn_linear()


def matmul(
    x: torch.Tensor,
    weight: torch.Tensor,
    into: torch.Tensor | None = None,
    lora: LoraEpilogue | None = None,
    residual: torch.Tensor | None = None,
) -> torch.Tensor:
    """x weightᵀ, without gradients, by the fastest library for these sizes.

    Args:
        x: (T, in).
        weight: (out, in), any strides.
        into: (T, out), to which the product is added; it may be overwritten.
        lora: A low-rank product that is added.
        residual: (T, out), which is added and not overwritten. Not together with ``into``.

    Returns:
        (T, out); it may be ``into``.
    """
    library = _packing_kernels(x, weight)
    if library:
        return packed_gemm("gemm_f32", library, x, weight, into=into, lora=lora, residual=residual)
    by_onednn = _linear is not None and x.dtype == torch.float32 and x.device.type == "cpu" and computes()
    if not by_onednn or len(x) < ONEDNN_ROWS:
        y = torch.mm(x, weight.t()) if into is None else into.addmm_(x, weight.t())
    elif into is None:
        y = _linear.default(x.contiguous(), weight, None, "none", [], "")
    else:
        y = _linear.binary(x.contiguous(), into, weight, None, "add")
    return add_terms(y, lora, residual)


def add_terms(y: torch.Tensor, lora: LoraEpilogue | None, residual: torch.Tensor | None) -> torch.Tensor:
    """``y`` (T, out) with a low-rank product and a residual added in place."""
    y = y if lora is None else lora.add_to(y)
    return y if residual is None else y.add_(residual)


def _packing_kernels(x: torch.Tensor, weight: torch.Tensor) -> Kernels | None:
    if x.dtype != torch.float32 or x.device.type != "cpu" or len(x) < PACKED_ROWS or len(weight) % LANES:
        return None
    library = kernels()
    return library if library is not None and library.has("gemm_f32") else None


def packed_gemm(
    name: str,
    library: Kernels,
    x: torch.Tensor,
    weight: torch.Tensor,
    *,
    into: torch.Tensor | None = None,
    lora: LoraEpilogue | None = None,
    residual: torch.Tensor | None = None,
) -> torch.Tensor:
    """As ``matmul``, by the kernel ``name`` (gemm_f32 or gemm_bf16), which packs the weight panel by panel."""
    x = x.contiguous()
    n, k = weight.shape
    out, start = output_for(x.new_empty, (len(x), n), into, residual)
    library(name, None, len(x), n, k, x, weight, *weight.stride(), epilogue_struct(lora), out, start)
    return out


def output_for(
    new: Callable[..., torch.Tensor], shape: tuple[int, int], into: torch.Tensor | None, residual: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Where a kernel writes a product, and what its sums begin with: ``into``, ``residual`` or nothing."""
    if into is not None:
        out = into.contiguous()
        return out, out
    return new(*shape), None if residual is None else residual.contiguous()
