"""Rows of activations or gradients in fewer bits, and the way back from sums of int8 products."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from graft.engine.kernels import Kernels

UNSIGNED_ZERO_POINT = 128


@dataclass(frozen=True)
class QuantizedRows:
    """Rows (T, n) as a product with a quantized weight takes them.

    Attributes:
        values: int8 (T, n), or uint8 with the zero point 128, or a float format without scales.
        scales: float32 (T, 1), by which the values are multiplied; None for a float format.
    """

    values: torch.Tensor
    scales: torch.Tensor | None = None

    @property
    def zero_point(self) -> int:
        """What was added to the values: 128 for uint8, else 0."""
        return UNSIGNED_ZERO_POINT if self.values.dtype == torch.uint8 else 0


def empty_rows(rows: torch.Tensor, dtype: torch.dtype = torch.int8) -> QuantizedRows:
    """Uninitialized int8 or uint8 rows for ``rows`` (T, n)."""
    return QuantizedRows(torch.empty(rows.shape, dtype=dtype), rows.new_empty(len(rows), 1))


def quantize_rows(rows: torch.Tensor, library: Kernels, dtype: torch.dtype = torch.int8) -> QuantizedRows:
    """``rows`` (T, n), float32, in symmetric int8 with a scale per row; uint8 has the zero point 128."""
    rows, quantized = rows.contiguous(), empty_rows(rows, dtype)
    library(
        "quantize_rows", None, len(rows), rows.shape[1], rows, quantized.values, quantized.scales, quantized.zero_point
    )
    return quantized


def dequantize(
    sums: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, library: Kernels, into: torch.Tensor | None = None
) -> torch.Tensor:
    """Sums of int8 products in float32.

    Args:
        sums: int32 (n, m).
        rows: The scales of its rows (n).
        columns: The scales of its columns (m).
        library: The kernels.
        into: float32 (n, m), to which the result is added.
    """
    out = torch.empty(sums.shape, dtype=torch.float32) if into is None else into
    library("dequantize", None, len(sums), sums.shape[1], sums, rows, columns, out, int(into is not None))
    return out
