"""Products with frozen weights: by the compiled kernels, by oneDNN, or by what torch.mm calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from graft.engine.kernels import Kernels, kernels, wide

SMALLEST = 64
"""Rows; below it a call of oneDNN costs more than is won."""

PACKED = 256
"""Rows; below it packing a large weight for one product costs as much as is won."""

LANES = 16
"""Numbers of float32 in a vector of the kernels: what their matrices' sizes are multiples of."""


@dataclass(frozen=True)
class Beside:
    """A low-rank product that is added to another one: scale · low (T, R) times b (R, n; any strides)."""

    low: torch.Tensor
    b: torch.Tensor
    scale: float = 1.0

    def added(self, y: torch.Tensor) -> torch.Tensor:
        return y.addmm_(self.low, self.b, alpha=self.scale)


def _found() -> Any:
    """PyTorch's oneDNN product, which torch.compile uses, too; None in a build without it."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    operator = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return operator if hasattr(operator, "default") and hasattr(operator, "binary") else None


_linear = _found()


def product(
    x: torch.Tensor,
    weight: torch.Tensor,
    into: torch.Tensor | None = None,
    beside: Beside | None = None,
    plus: torch.Tensor | None = None,
) -> torch.Tensor:
    """x (T, in) times weight (out, in; any strides) transposed -> (T, out), with no gradients.

    ``beside`` is added, and one of ``into`` (T, out), which may be overwritten, and ``plus``, which is not.
    """
    made = _packing(x, weight)
    if made:
        return packed("wide_product", made, x, weight, into, beside, plus)
    if _linear is None or x.dtype != torch.float32 or x.device.type != "cpu" or len(x) < SMALLEST:
        y = torch.mm(x, weight.t()) if into is None else into.addmm_(x, weight.t())
    elif into is None:
        y = _linear.default(x.contiguous(), weight, None, "none", [], "")
    else:
        y = _linear.binary(x.contiguous(), into, weight, None, "add")
    y = y if beside is None else beside.added(y)
    return y if plus is None else y.add_(plus)


def _packing(x: torch.Tensor, weight: torch.Tensor) -> Kernels | None:
    if x.dtype != torch.float32 or x.device.type != "cpu" or len(x) < PACKED or len(weight) % LANES:
        return None
    made = kernels()
    return made if made is not None and made.has("wide_product") else None


def packed(
    name: str,
    made: Kernels,
    x: torch.Tensor,
    weight: torch.Tensor,
    into: torch.Tensor | None,
    beside: Beside | None,
    plus: torch.Tensor | None,
) -> torch.Tensor:
    """As ``product``, by the kernel of this name, which packs the weight on its way."""
    x = x.contiguous()
    n, k = weight.shape
    to, start = room_for(x.new_empty, len(x), n, into, plus)
    strides = wide(weight.stride(0)), wide(weight.stride(1))
    made(name, None, wide(len(x)), n, k, x, weight, *strides, *low_rank(beside), to, start)
    return to


def room_for(
    new: Callable[..., torch.Tensor], rows: int, n: int, into: torch.Tensor | None, plus: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Where a product goes, and what its sums begin with."""
    if into is not None:
        to = into.contiguous()
        return to, to
    return new(rows, n), None if plus is None else plus.contiguous()


def low_rank(beside: Beside | None) -> tuple[Any, ...]:
    """As the kernels take it."""
    if beside is None:
        return 0, None, wide(0), None, wide(0), wide(0), 0.0
    low, b = beside.low, beside.b
    return b.shape[0], low, wide(low.stride(0)), b, wide(b.stride(0)), wide(b.stride(1)), beside.scale
