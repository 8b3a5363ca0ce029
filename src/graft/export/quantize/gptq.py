"""GPTQ (Frantar et al. 2023, arXiv:2210.17323): rounding in blocks, where later columns compensate for earlier ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

DAMPING = 0.01
"""Added to the Hessian's diagonal, as a fraction of its mean (section 3.3 of the paper)."""

SHRINK = np.linspace(1.0, 0.8, 9, dtype=np.float32)
"""Ranges that are tried for each block, as fractions of its own range: clipping an outlier can help the others."""

ROUNDS = 2
"""How often each block's scale is refitted once all levels are known."""


@dataclass(frozen=True)
class QuantizedBlocks:
    """A weight (rows, columns) in blocks along the columns: ``weight ≈ (levels - zeros) · scales``, block by block.

    Attributes:
        levels: Integers of ``bits`` bits (rows, columns).
        scales: A scale for each block (rows, blocks).
        zeros: The level of zero for each block (rows, blocks).
        bits: 4 or 8.
    """

    levels: NDArray[np.uint8]
    scales: Floats
    zeros: NDArray[np.uint8]
    bits: int

    def dequantize(self) -> Floats:
        """The weight in float32 (rows, columns)."""
        size = self.levels.shape[1] // self.scales.shape[1]
        found: Floats = self.levels.astype(np.float32) - np.repeat(self.zeros.astype(np.float32), size, axis=1)
        found *= np.repeat(self.scales, size, axis=1)
        return found

    def rows(self, start: int, stop: int) -> QuantizedBlocks:
        """The rows from ``start`` to ``stop``."""
        return QuantizedBlocks(self.levels[start:stop], self.scales[start:stop], self.zeros[start:stop], self.bits)


def concatenate(parts: list[QuantizedBlocks]) -> QuantizedBlocks:
    """Weights of layers with the same inputs as one weight, row upon row."""
    levels = np.concatenate([part.levels for part in parts])
    scales = np.concatenate([part.scales for part in parts])
    return QuantizedBlocks(levels, scales, np.concatenate([part.zeros for part in parts]), parts[0].bits)


def quantize(weight: Floats, hessian: Floats | None, bits: int = 4, size: int = 32) -> QuantizedBlocks:
    """Quantize ``weight`` in blocks.

    Args:
        weight: The weight (rows, columns).
        hessian: XᵀX of the layer's inputs (columns, columns); without it each block gets the range with the smallest
            rounding error.
        bits: Bits of a level.
        size: Columns in a block.
    """
    # Transposed throughout, so that a step over a column reads adjacent numbers.
    work = np.array(weight.T, np.float32, order="C")
    if hessian is None:
        return _by_range(work, bits, size)
    return _by_gptq(weight, work, _damped(hessian), bits, size)


def _by_gptq(weight: Floats, work: Floats, damped: NDArray[np.float64], bits: int, size: int) -> QuantizedBlocks:
    """Algorithm 1 of the paper on ``work`` (columns, rows), which is used up, with ranges chosen for each block."""
    columns, rows = work.shape
    factor, importance = _inverse_factor(damped), np.diag(damped).astype(np.float32)
    levels = np.empty_like(work)
    scales = np.empty((columns // size, rows), np.float32)
    zeros = np.empty_like(scales)
    errors = np.empty((size, rows), np.float32)
    top = np.float32(2**bits - 1)
    for number, start in enumerate(range(0, columns, size)):
        stop = start + size
        block, within = work[start:stop], factor[start:stop, start:stop]
        scale, zero = best_range(block, importance[start:stop], bits)
        scales[number], zeros[number] = scale, zero
        for place in range(size):
            level = levels[start + place]
            _round(block[place], scale, zero, top, level)
            errors[place] = (block[place] - (level - zero) * scale) / within[place, place]
            block[place + 1 :] -= within[place, place + 1 :, None] * errors[place]
        work[stop:] -= factor[start:stop, stop:].T @ errors
    scales = refit_scales(weight, levels, scales, zeros, damped.astype(np.float32))
    return _blocks(levels, scales, zeros, bits)


def best_range(block: Floats, importance: Floats, bits: int) -> tuple[Floats, Floats]:
    """The scales and zero levels with the smallest squared error of a block.

    Args:
        block: The block, transposed (size, rows).
        importance: The weight of each column's error (size).
        bits: Bits of a level.

    Returns:
        Scales (rows) and zero levels (rows).
    """
    top = np.float32(2**bits - 1)
    low, high = np.minimum(block.min(0), 0.0), np.maximum(block.max(0), 0.0)
    best = np.full(block.shape[1], np.inf, np.float32)
    scale, zero = np.ones_like(low), np.zeros_like(low)
    level = np.empty_like(block)
    for share in SHRINK:
        trial = np.maximum((high - low) * (share / top), np.float32(1e-9))
        offset = np.clip(np.rint(-low * share / trial), 0, top)
        _round(block, trial, offset, top, level)
        error = importance @ (block - (level - offset) * trial) ** 2
        better = error < best
        for kept, found in ((best, error), (scale, trial), (zero, offset)):
            np.copyto(kept, found, where=better)
    return scale, zero


def refit_scales(weight: Floats, levels: Floats, scales: Floats, zeros: Floats, hessian: Floats) -> Floats:
    """Scales that minimize the error of the layer's outputs, one block after the other.

    The error of a row is (w - s·b) H (w - s·b)ᵀ, where b are the levels less their zeros. In the scale of one block,
    with all else fixed, it is a parabola, whose minimum is one Newton step away.

    Args:
        weight: The weight (rows, columns).
        levels: Its levels (columns, rows).
        scales: Scales to start from (blocks, rows).
        zeros: Zero levels (blocks, rows).
        hessian: The damped Hessian H (columns, columns).

    Returns:
        Scales (blocks, rows).
    """
    blocks, rows = scales.shape
    centered = levels.reshape(blocks, -1, rows) - zeros[:, None]
    size = centered.shape[1]
    found: Floats = scales.copy()
    # The Hessian times the remaining error.
    gradient = hessian @ (weight.T - (centered * found[:, None]).reshape(-1, rows))
    for _ in range(ROUNDS):
        for number in range(blocks):
            place = slice(number * size, (number + 1) * size)
            block = centered[number]
            curvature = ((hessian[place, place] @ block) * block).sum(0)
            step = (gradient[place] * block).sum(0) / np.maximum(curvature, 1e-12)
            step[np.abs(step) > found[number] / 2] = 0.0
            found[number] += step
            gradient -= hessian[:, place] @ (block * step)
    return found


def _by_range(work: Floats, bits: int, size: int) -> QuantizedBlocks:
    columns, rows = work.shape
    levels = np.empty_like(work)
    scales = np.empty((columns // size, rows), np.float32)
    zeros = np.empty_like(scales)
    for number in range(columns // size):
        place = slice(number * size, (number + 1) * size)
        scales[number], zeros[number] = best_range(work[place], np.ones(size, np.float32), bits)
        _round(work[place], scales[number], zeros[number], np.float32(2**bits - 1), levels[place])
    return _blocks(levels, scales, zeros, bits)


def _round(values: Floats, scale: Floats, zero: Floats, top: np.float32, level: Floats) -> None:
    np.divide(values, scale, out=level)
    np.rint(level, out=level)
    level += zero
    np.clip(level, 0, top, out=level)


def _blocks(levels: Floats, scales: Floats, zeros: Floats, bits: int) -> QuantizedBlocks:
    kept = np.ascontiguousarray(levels.T.astype(np.uint8)), np.ascontiguousarray(scales.T)
    return QuantizedBlocks(*kept, np.ascontiguousarray(zeros.T.astype(np.uint8)), bits)


def _damped(hessian: Floats) -> NDArray[np.float64]:
    damped = hessian.astype(np.float64)
    damped[np.diag_indices_from(damped)] += DAMPING * np.diag(damped).mean() + 1e-8
    return damped


def _inverse_factor(damped: NDArray[np.float64]) -> Floats:
    """The upper factor U of the inverse Hessian, UᵀU (section 3.3)."""
    factor: Floats = np.linalg.cholesky(np.linalg.inv(damped)).T.astype(np.float32)
    return factor
