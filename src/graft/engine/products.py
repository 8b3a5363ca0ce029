"""Products with frozen weights by oneDNN, which on a CPU is a tenth to a third faster than what torch.mm calls."""

from __future__ import annotations

from typing import Any

import torch

SMALLEST = 64
"""Rows; below it the call itself costs more than is won."""


def _found() -> Any:
    """PyTorch's oneDNN product, which torch.compile uses, too; None in a build without it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return operator if hasattr(operator, "default") and hasattr(operator, "binary") else None


_linear = _found()


def product(x: torch.Tensor, weight: torch.Tensor, into: torch.Tensor | None = None) -> torch.Tensor:
    """x (T, in) times weight (out, in; any strides) transposed -> (T, out), plus ``into``, which may be overwritten.

    Gives no gradients.
    """
    if _linear is None or x.dtype != torch.float32 or x.device.type != "cpu" or len(x) < SMALLEST:
        return torch.mm(x, weight.t()) if into is None else into.addmm_(x, weight.t())
    x = x.contiguous()
    made: torch.Tensor = (
        _linear.default(x, weight, None, "none", [], "")
        if into is None
        else _linear.binary(x, into, weight, None, "add")
    )
    return made
