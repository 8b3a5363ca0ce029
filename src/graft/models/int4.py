"""Int4 weights in the block format of the deployment, onnxruntime's MatMulNBits, bit for bit as onnxruntime makes them.

Round to nearest, symmetric, blocks of 32 along the input: what the model builder of onnxruntime-genai makes for a CPU
when nothing else is asked of it. A block of weights w has the scale s = m / -8, m being its element of largest
magnitude, and is stored as q = clamp(round(w / s + 8), 0, 15); it stands for s * (q - 8). Two neighbors along the
input share a byte, the first in its low half.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

BLOCK = 32
MIDDLE = 8
AT_ONCE = 1 << 20
"""Weights that are worked on at once, so that a large layer needs no large scratch memory."""


@dataclass(frozen=True)
class Int4Weight:
    """A matrix of ``shape`` (out, in): ``packed`` (out, blocks, 16) uint8 and ``scales`` (out, blocks) float32.

    ``zero_points`` is None as MatMulNBits has it for symmetric weights: 8 everywhere.
    """

    packed: torch.Tensor
    scales: torch.Tensor
    shape: tuple[int, int]
    zero_points: None = None

    @property
    def nbytes(self) -> int:
        """The size in memory."""
        return int(self.packed.nbytes + self.scales.nbytes)


def quantize(weight: torch.Tensor) -> Int4Weight:
    """``weight`` (out, in) in int4.

    A row's last block is filled up with zero bytes, and an odd number of inputs is treated as one zero more.
    """
    import torch

    rows, columns = weight.shape
    blocks = -(-columns // BLOCK)
    packed = torch.empty(rows, blocks, BLOCK // 2, dtype=torch.uint8)
    scales = torch.empty(rows, blocks)
    with torch.no_grad():
        for part in row_slices(rows, columns):
            packed[part], scales[part] = _quantize_rows(weight[part].float().cpu(), blocks)
    return Int4Weight(packed, scales, (rows, columns))


def row_slices(rows: int, columns: int) -> Iterator[slice]:
    """All rows in turn, about ``AT_ONCE`` weights in each slice."""
    step = max(1, AT_ONCE // columns)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def _quantize_rows(weight: torch.Tensor, blocks: int) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    rows, columns = weight.shape
    filled = torch.nn.functional.pad(weight, (0, blocks * BLOCK - columns)).view(rows, blocks, BLOCK)
    low, high = filled.amin(-1), filled.amax(-1)
    scales = torch.where(high.abs() > low.abs(), high, low) / -MIDDLE
    # As onnxruntime computes it: times the reciprocal, halves away from zero; torch's own round goes to even.
    reciprocals = torch.where(scales != 0, 1 / scales, 0)
    levels = (filled * reciprocals[..., None]).add_(MIDDLE + 0.5).floor_().clamp_(0, 15)
    levels.view(rows, -1)[:, columns + columns % 2 :] = 0
    levels = levels.to(torch.uint8)
    return levels[..., 0::2] | (levels[..., 1::2] << 4), scales


@functools.cache
def _pairs() -> torch.Tensor:
    """For each byte its two float32 values, as one float64 that is never computed with."""
    import torch

    byte = torch.arange(256)
    halves = torch.stack([(byte & 15) - MIDDLE, (byte >> 4) - MIDDLE], dim=-1)
    return halves.float().contiguous().view(torch.float64).view(256)


def dequantize(packed: torch.Tensor, scales: torch.Tensor, columns: int) -> torch.Tensor:
    """The float32 matrix (out, ``columns``) that ``packed`` and ``scales`` stand for."""
    import torch

    rows, blocks = scales.shape
    table = _pairs().to(packed.device)
    levels = torch.index_select(table, 0, packed.reshape(-1).int()).view(torch.float32)
    weight = levels.view(rows, blocks, BLOCK).mul_(scales.float()[..., None]).view(rows, -1)
    return weight if weight.shape[1] == columns else weight[:, :columns].contiguous()


def sha256_of_weights(weights: Mapping[str, Int4Weight]) -> str:
    """A hash over names, packed weights and scales: the same for the same bits, whoever quantized them."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].packed.contiguous().cpu().numpy().data)
        digest.update(weights[name].scales.contiguous().cpu().numpy().data)
    return digest.hexdigest()
