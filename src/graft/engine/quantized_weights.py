"""Products with frozen weights in fewer bits than float32: opt-in, since they are not exact."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Protocol

import torch

from graft.engine.kernels import Kernels, kernels_for, structs
from graft.engine.kernels.structs import Compute
from graft.engine.matmul import LANES, LoraEpilogue, add_terms, epilogue_struct, output_for, packed_gemm
from graft.engine.quantized_rows import UNSIGNED_ZERO_POINT, QuantizedRows, dequantize, empty_rows, quantize_rows


class QuantizedWeight(Protocol):
    """A frozen weight W (out, in) for products in both directions, to which a low-rank product may be added.

    ``compute`` is the number format in which the kernels of grouped layers compute it; None where they do not.
    """

    compute: Compute | None

    def empty_rows(self, rows: torch.Tensor) -> QuantizedRows | None:
        """Uninitialized rows that another pass over ``rows`` may fill; None where only ``quantize`` makes them."""
        ...

    def quantize(self, rows: torch.Tensor) -> QuantizedRows:
        """``rows`` (T, n) as ``forward`` and ``backward`` take them."""
        ...

    def forward(
        self, x: QuantizedRows, lora: LoraEpilogue | None = None, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x (T, in) -> x Wᵀ (T, out) in float32, with ``lora`` and ``residual`` added; neither is overwritten."""
        ...

    def backward(
        self, grad: QuantizedRows, into: torch.Tensor | None = None, lora: LoraEpilogue | None = None
    ) -> torch.Tensor:
        """grad (T, out) -> grad W (T, in) in float32, with ``lora``, added to ``into`` when it is given."""
        ...


class Int8:
    """Symmetric int8 with a scale for each row of the activations, of the gradients, and for each output of a product.

    The weight is kept twice, scaled along its outputs and along its inputs, as in LLM.int8() (Dettmers et al. 2022,
    arXiv:2208.07339, section 2.1) without its outliers: rows of activations have scales of their own, which trains
    small models equally well.

    Args:
        weight: (out, in), float32 or another float format.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        weight = weight.detach()
        library = _float32_kernels(weight)
        packed = library is not None and library.has("gemm_int8") and not any(size % LANES for size in weight.shape)
        self.dtype = torch.uint8 if packed else torch.int8
        self.compute = Compute.INT8 if packed else None
        self.along_out, self.along_in = (Int8Matrix.of(matrix, packed) for matrix in (weight, weight.t()))

    def empty_rows(self, rows: torch.Tensor) -> QuantizedRows | None:
        """Rows for the kernels that quantize float32 ``rows`` while they read them; otherwise None."""
        return empty_rows(rows, self.dtype) if _float32_kernels(rows) else None

    def quantize(self, rows: torch.Tensor) -> QuantizedRows:
        """``rows`` (T, n) in int8, or in uint8 with zero point 128 for packed weights; a scale for each row."""
        return _quantize(rows, self.dtype)

    def forward(
        self, x: QuantizedRows, lora: LoraEpilogue | None = None, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x Wᵀ (T, out), by the copy of W with a scale for each output."""
        return self.along_out.matmul(x, None, lora, residual)

    def backward(
        self, grad: QuantizedRows, into: torch.Tensor | None = None, lora: LoraEpilogue | None = None
    ) -> torch.Tensor:
        """grad W (T, in), by the copy of W with a scale for each input."""
        return self.along_in.matmul(grad, into, lora)


@dataclass(frozen=True)
class Int8Matrix:
    """A matrix (n, k) in int8 for products with its transpose.

    Attributes:
        values: int8 (n, k); packed as (n / 16, k / 4, 16, 4) for the kernel, which takes unsigned rows.
        scales: float32 (n, 1).
        compensation: int32 (n), when packed: 128 times the sums of the rows, which the products with rows of zero
            point 128 have too much.
    """

    values: torch.Tensor
    scales: torch.Tensor
    compensation: torch.Tensor | None

    @classmethod
    def of(cls, matrix: torch.Tensor, packed: bool) -> Int8Matrix:
        """``matrix`` (n, k), quantized row by row."""
        rows = _quantize(matrix, torch.int8)
        assert rows.scales is not None
        if not packed:
            return cls(rows.values, rows.scales, None)
        n, k = matrix.shape
        blocks = rows.values.view(n // LANES, LANES, k // 4, 4).permute(0, 2, 1, 3).contiguous()
        return cls(blocks, rows.scales, rows.values.sum(1, dtype=torch.int32) * UNSIGNED_ZERO_POINT)

    @property
    def struct(self) -> structs.Int8Weight:
        """For the kernels, when packed; the tensors must outlive it."""
        assert self.compensation is not None
        return structs.Int8Weight(self.values.data_ptr(), self.scales.data_ptr(), self.compensation.data_ptr())

    def matmul(
        self,
        rows: QuantizedRows,
        into: torch.Tensor | None,
        lora: LoraEpilogue | None,
        residual: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """rows (T, k) -> (T, n) in float32, added to ``into`` or to a copy of ``residual``."""
        library = _float32_kernels(self.scales)
        if self.compensation is not None and library is not None:
            return self._packed_matmul(rows, into, lora, residual, library)
        assert rows.scales is not None
        sums: torch.Tensor = torch._int_mm(_values(rows, torch.int8), self.values.t())
        if library:
            y = dequantize(sums, rows.scales, self.scales, library, into)
        else:
            y = (sums * rows.scales).mul_(self.scales.t())
            y = y if into is None else into.add_(y)
        return add_terms(y, lora, residual)

    def _packed_matmul(
        self,
        rows: QuantizedRows,
        into: torch.Tensor | None,
        lora: LoraEpilogue | None,
        residual: torch.Tensor | None,
        library: Kernels,
    ) -> torch.Tensor:
        values, n = _values(rows, torch.uint8), len(self.scales)
        out, start = output_for(self.scales.new_empty, (len(values), n), into, residual)
        weight, epilogue = ctypes.byref(self.struct), epilogue_struct(lora)
        library("gemm_int8", None, len(values), n, values.shape[1], values, rows.scales, weight, epilogue, out, start)
        return out


class Bfloat16:
    """Products of bfloat16 numbers, summed in float32. AMX tiles round both factors on their way, and keep no copy.

    Args:
        weight: (out, in).
    """

    def __init__(self, weight: torch.Tensor) -> None:
        weight = weight.detach()
        fits = not any(size % LANES for size in weight.shape) and 1 in weight.stride()
        library = _float32_kernels(weight) if fits else None
        self.amx = library if library is not None and library.amx else None
        self.weight = weight if self.amx else weight.to(torch.bfloat16)
        self.compute = Compute.BFLOAT16 if self.amx else None

    def empty_rows(self, rows: torch.Tensor) -> QuantizedRows | None:
        """None: no other pass rounds rows to bfloat16."""
        return None

    def quantize(self, rows: torch.Tensor) -> QuantizedRows:
        """``rows`` in bfloat16; unchanged for AMX, whose tiles round them."""
        return QuantizedRows(rows if self.amx else rows.to(torch.bfloat16))

    def forward(
        self, x: QuantizedRows, lora: LoraEpilogue | None = None, residual: torch.Tensor | None = None
    ) -> torch.Tensor:
        """x Wᵀ (T, out); without AMX, PyTorch rounds the product to bfloat16 before it becomes float32."""
        if self.amx:
            return packed_gemm("gemm_bf16", self.amx, x.values, self.weight, lora=lora, residual=residual)
        return add_terms(torch.mm(x.values, self.weight.t()).float(), lora, residual)

    def backward(
        self, grad: QuantizedRows, into: torch.Tensor | None = None, lora: LoraEpilogue | None = None
    ) -> torch.Tensor:
        """grad W (T, in); without AMX, PyTorch rounds the product to bfloat16 before it becomes float32."""
        if self.amx:
            return packed_gemm("gemm_bf16", self.amx, grad.values, self.weight.t(), into=into, lora=lora)
        product = torch.mm(grad.values, self.weight)
        return add_terms(product.float() if into is None else into.add_(product), lora, None)


QUANTIZED_WEIGHTS: dict[str, type[Int8] | type[Bfloat16]] = {"int8": Int8, "bfloat16": Bfloat16}
"""Classes by the name of the engine (``--engine``) that uses them."""


def has_kernel(engine: str) -> bool:
    """Whether the kernels compute ``engine`` (int8 or bfloat16) here; otherwise PyTorch does, perhaps slowly."""
    return QUANTIZED_WEIGHTS[engine](torch.zeros(LANES, LANES)).compute is not None


def _float32_kernels(rows: torch.Tensor) -> Kernels | None:
    return kernels_for(rows) if rows.dtype == torch.float32 else None


def _quantize(rows: torch.Tensor, dtype: torch.dtype) -> QuantizedRows:
    """``rows`` (n, m) in int8, or uint8 with the zero point 128; a row of zeros stays zeros."""
    library = _float32_kernels(rows)
    if library:
        return quantize_rows(rows, library, dtype)
    scale = rows.abs().amax(dim=1, keepdim=True).mul_(1 / 127).clamp_min_(1e-30)
    return QuantizedRows(_values(QuantizedRows((rows / scale).round_().to(torch.int8)), dtype), scale)


def _values(rows: QuantizedRows, dtype: torch.dtype) -> torch.Tensor:
    """The values as int8 or uint8: the zero point of 128 changes the first bit alone."""
    if rows.values.dtype == dtype:
        return rows.values
    return rows.values.view(torch.uint8).bitwise_xor(UNSIGNED_ZERO_POINT).view(dtype)
