"""Products with frozen weights in fewer bits than float32: opt-in, since they are not exact."""

from __future__ import annotations

from typing import Protocol

import torch

from graft.engine.native import dequantised, native, quantised

Prepared = tuple[torch.Tensor, torch.Tensor | None]


class Lowered(Protocol):
    """A frozen weight (out, in) for products in both directions. ``prepare`` turns rows into what the products take."""

    def prepare(self, rows: torch.Tensor) -> Prepared: ...

    def forward(self, x: Prepared) -> torch.Tensor:
        """x (T, in) -> x Wᵀ (T, out) in float32."""
        ...

    def backward(self, grad: Prepared, into: torch.Tensor | None = None) -> torch.Tensor:
        """grad (T, out) -> grad W (T, in) in float32, added to ``into`` where there is one."""
        ...


class Int8:
    """Symmetric int8 with a scale for each row of the activations, of the gradients, and for each output of a product.

    The weight is there twice, scaled along its outputs and along its inputs, as in LLM.int8() (Dettmers et al. 2022,
    section 2.1) without the outliers: rows of activations get their own scales, which trains small models alike.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        self.along_out = _quantised(weight.detach())
        self.along_in = _quantised(weight.detach().t())

    def prepare(self, rows: torch.Tensor) -> Prepared:
        return _quantised(rows)

    def forward(self, x: Prepared) -> torch.Tensor:
        return _product(x, self.along_out)

    def backward(self, grad: Prepared, into: torch.Tensor | None = None) -> torch.Tensor:
        return _product(grad, self.along_in, into)


class Bfloat16:
    """Products of bfloat16 numbers, summed in float32."""

    def __init__(self, weight: torch.Tensor) -> None:
        self.weight = weight.detach().to(torch.bfloat16)

    def prepare(self, rows: torch.Tensor) -> Prepared:
        return rows.to(torch.bfloat16), None

    def forward(self, x: Prepared) -> torch.Tensor:
        return torch.mm(x[0], self.weight.t()).float()

    def backward(self, grad: Prepared, into: torch.Tensor | None = None) -> torch.Tensor:
        product = torch.mm(grad[0], self.weight)
        return product.float() if into is None else into.add_(product)


LOWERED: dict[str, type[Int8] | type[Bfloat16]] = {"int8": Int8, "bf16": Bfloat16}


def _quantised(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """rows (n, m) -> int8 (n, m) and scales (n, 1); a row of zeros stays one."""
    made = native(rows) if rows.dtype == torch.float32 else None
    if made:
        return quantised(rows, made)
    scale = rows.abs().amax(dim=1, keepdim=True).mul_(1 / 127).clamp_min_(1e-30)
    return (rows / scale).round_().to(torch.int8), scale


def _product(
    rows: Prepared, weight: tuple[torch.Tensor, torch.Tensor], into: torch.Tensor | None = None
) -> torch.Tensor:
    """(T, k) by (n, k) -> (T, n), added to ``into`` where there is one."""
    scale = rows[1]
    assert scale is not None
    summed: torch.Tensor = torch._int_mm(rows[0], weight[0].t())
    made = native(scale)
    if made:
        return dequantised(summed, scale, weight[1], made, into)
    product = (summed * scale).mul_(weight[1].t())
    return product if into is None else into.add_(product)
