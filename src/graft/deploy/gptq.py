"""GPTQ (Frantar et al. 2023, arXiv:2210.17323): rounding in blocks, each column's error made good by the later ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DAMPING = 0.01
"""Added to the Hessian's diagonal, as a share of its mean (section 3.3 of the paper)."""

SHRINK = np.linspace(1.0, 0.8, 9)
"""Ranges that are tried for each block, as shares of the block's own: clipping an outlier may serve the others."""


@dataclass(frozen=True)
class Blocks:
    """A weight (rows, columns) in blocks along the columns: ``weight ≈ (levels - zeros) · scales``, block by block.

    ``levels`` (rows, columns) and ``zeros`` (rows, blocks) hold integers of ``bits``, ``scales`` (rows, blocks).
    """

    levels: NDArray[np.uint8]
    scales: Floats
    zeros: NDArray[np.uint8]
    bits: int

    def dequantised(self) -> Floats:
        size = self.levels.shape[1] // self.scales.shape[1]
        found: Floats = self.levels.astype(np.float32) - np.repeat(self.zeros.astype(np.float32), size, axis=1)
        found *= np.repeat(self.scales, size, axis=1)
        return found


def quantise(weight: Floats, hessian: Floats | None, bits: int = 4, size: int = 32) -> Blocks:
    """``weight`` (rows, columns) in blocks of ``size`` columns; ``hessian`` (columns, columns) is the inputs' XᵀX.

    Without a Hessian each block has the range that rounds best, and no more.
    """
    rows, columns = weight.shape
    inverse = None if hessian is None else _inverse_factor(hessian)
    importance = np.ones(columns, np.float32) if hessian is None else np.diag(hessian).astype(np.float32)
    work = weight.astype(np.float32).copy()
    levels = np.zeros((rows, columns), np.uint8)
    scales = np.zeros((rows, columns // size), np.float32)
    zeros = np.zeros((rows, columns // size), np.uint8)
    for number, start in enumerate(range(0, columns, size)):
        stop = start + size
        block = work[:, start:stop]
        scale, zero = best_range(block, importance[start:stop] + 1e-12, bits)
        scales[:, number], zeros[:, number] = scale, zero
        if inverse is None:
            levels[:, start:stop] = _rounded(block, scale[:, None], zero[:, None], bits)
            continue
        errors = np.empty_like(block)
        for column in range(size):
            place = start + column
            level = _rounded(block[:, column], scale, zero, bits)
            levels[:, place] = level
            errors[:, column] = (block[:, column] - (level - zero) * scale) / inverse[place, place]
            block[:, column + 1 :] -= errors[:, column, None] * inverse[place, place + 1 : stop]
        work[:, stop:] -= errors @ inverse[start:stop, stop:]
    return Blocks(levels, scales, zeros, bits)


def best_range(block: Floats, importance: Floats, bits: int) -> tuple[Floats, Floats]:
    """Scale and zero level of each row of ``block`` (rows, size) with the least weighted squared error."""
    top = 2**bits - 1
    low, high = np.minimum(block.min(1), 0.0), np.maximum(block.max(1), 0.0)
    best = np.full(len(block), np.inf, np.float32)
    scale, zero = np.ones(len(block), np.float32), np.zeros(len(block), np.float32)
    for share in SHRINK:
        trial = np.maximum((high - low) * np.float32(share) / top, 1e-9).astype(np.float32)
        offset = np.clip(np.rint(-low * np.float32(share) / trial), 0, top).astype(np.float32)
        level = _rounded(block, trial[:, None], offset[:, None], bits)
        error = ((block - (level - offset[:, None]) * trial[:, None]) ** 2 * importance).sum(1)
        better = error < best
        best[better], scale[better], zero[better] = error[better], trial[better], offset[better]
    return scale, zero


def _rounded(values: Floats, scale: Floats, zero: Floats, bits: int) -> Floats:
    found: Floats = np.clip(np.rint(values / scale) + zero, 0, 2**bits - 1).astype(np.float32)
    return found


def _inverse_factor(hessian: Floats) -> Floats:
    """The upper factor U of the inverse Hessian, UᵀU (section 3.3); inputs that were never seen count as unit ones."""
    damped = hessian.astype(np.float64)
    damped[np.diag_indices_from(damped)] += DAMPING * np.diag(damped).mean() + 1e-8
    factor: Floats = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    return factor
