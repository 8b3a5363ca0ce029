"""Products with frozen weights in fewer bits than float32: opt-in, since they are not exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from graft.engine.autograd import Codes, dequantised, native, quantised, room
from graft.engine.kernels import Kernels, wide
from graft.engine.matmul import LANES, Beside, low_rank, packed, room_for

EXACT, INT8, BFLOAT16 = range(3)
"""How the kernels' calls for several layers compute."""


class Lowered(Protocol):
    """A frozen weight (out, in) for products in both directions, with a low-rank one beside them.

    ``joint`` is how the kernels' calls for several layers compute it; None where they don't.
    """

    joint: int | None

    def room(self, rows: torch.Tensor) -> Codes | None:
        """Codes that a pass over ``rows`` may fill on its way; None where ``prepare`` makes them."""
        ...

    def prepare(self, rows: torch.Tensor) -> Codes:
        """What the products take in the place of ``rows``."""
        ...

    def forward(self, x: Codes, beside: Beside | None = None, plus: torch.Tensor | None = None) -> torch.Tensor:
        """x (T, in) -> x Wᵀ (T, out) in float32, with ``plus`` added, which is not overwritten."""
        ...

    def backward(self, grad: Codes, into: torch.Tensor | None = None, beside: Beside | None = None) -> torch.Tensor:
        """grad (T, out) -> grad W (T, in) in float32, added to ``into`` where there is one."""
        ...


class Int8:
    """Symmetric int8 with a scale for each row of the activations, of the gradients, and for each output of a product.

    The weight is there twice, scaled along its outputs and along its inputs, as in LLM.int8() (Dettmers et al. 2022,
    section 2.1) without the outliers: rows of activations get their own scales, which trains small models alike.
    """

    def __init__(self, weight: torch.Tensor) -> None:
        weight = weight.detach()
        made = _float32(weight)
        packed = made is not None and made.has("wide_codes") and not any(size % LANES for size in weight.shape)
        self.kind = torch.uint8 if packed else torch.int8
        self.joint = INT8 if packed else None
        self.along_out, self.along_in = (_Weight.of(turned, packed) for turned in (weight, weight.t()))

    def room(self, rows: torch.Tensor) -> Codes | None:
        return room(rows, self.kind) if _float32(rows) else None

    def prepare(self, rows: torch.Tensor) -> Codes:
        return _quantised(rows, self.kind)

    def forward(self, x: Codes, beside: Beside | None = None, plus: torch.Tensor | None = None) -> torch.Tensor:
        return self.along_out.times(x, None, beside, plus)

    def backward(self, grad: Codes, into: torch.Tensor | None = None, beside: Beside | None = None) -> torch.Tensor:
        return self.along_in.times(grad, into, beside)


@dataclass(frozen=True)
class _Weight:
    """(n, k) in int8, a scale for each of the n (n, 1).

    Packed for the kernel that takes unsigned codes (n / 16, k / 4, 16, 4), with 128 times the sums of the n rows as
    ``less``, which takes the 128 out again; (n, k) as they are, without.
    """

    codes: torch.Tensor
    scales: torch.Tensor
    less: torch.Tensor | None

    @classmethod
    def of(cls, weight: torch.Tensor, packed: bool) -> _Weight:
        made = _quantised(weight, torch.int8)
        assert made.scales is not None
        if not packed:
            return cls(made.numbers, made.scales, None)
        n, k = weight.shape
        blocks = made.numbers.view(n // LANES, LANES, k // 4, 4).permute(0, 2, 1, 3).contiguous()
        return cls(blocks, made.scales, made.numbers.sum(1, dtype=torch.int32) * 128)

    def times(
        self, rows: Codes, into: torch.Tensor | None, beside: Beside | None, plus: torch.Tensor | None = None
    ) -> torch.Tensor:
        """rows (T, k) -> (T, n), added to ``into`` where there is one, or to a copy of ``plus``."""
        made = _float32(self.scales)
        if self.less is not None and made is not None:
            return self._packed(rows, self.less, into, beside, plus, made)
        assert rows.scales is not None
        summed: torch.Tensor = torch._int_mm(_codes(rows, torch.int8), self.codes.t())
        if made:
            y = dequantised(summed, rows.scales, self.scales, made, into)
        else:
            y = (summed * rows.scales).mul_(self.scales.t())
            y = y if into is None else into.add_(y)
        return _added(y, beside, plus)

    def _packed(
        self,
        rows: Codes,
        less: torch.Tensor,
        into: torch.Tensor | None,
        beside: Beside | None,
        plus: torch.Tensor | None,
        made: Kernels,
    ) -> torch.Tensor:
        codes, n = _codes(rows, torch.uint8), len(self.scales)
        to, start = room_for(self.scales.new_empty, len(codes), n, into, plus)
        sizes = wide(len(codes)), n, codes.shape[1]
        weight = self.codes, self.scales, less
        made("wide_codes", None, *sizes, codes, rows.scales, *weight, *low_rank(beside), to, start)
        return to


class Bfloat16:
    """Products of bfloat16 numbers, summed in float32. Matrix tiles round both factors on their way."""

    def __init__(self, weight: torch.Tensor) -> None:
        weight = weight.detach()
        fits = not any(size % LANES for size in weight.shape) and 1 in weight.stride()
        made = _float32(weight) if fits else None
        self.tiles = made if made is not None and made.tiles else None
        self.weight = weight if self.tiles else weight.to(torch.bfloat16)
        self.joint = BFLOAT16 if self.tiles else None

    def room(self, rows: torch.Tensor) -> Codes | None:
        return None

    def prepare(self, rows: torch.Tensor) -> Codes:
        return Codes(rows if self.tiles else rows.to(torch.bfloat16))

    def forward(self, x: Codes, beside: Beside | None = None, plus: torch.Tensor | None = None) -> torch.Tensor:
        if self.tiles:
            return packed("tiles_bfloat16", self.tiles, x.numbers, self.weight, None, beside, plus)
        return _added(torch.mm(x.numbers, self.weight.t()).float(), beside, plus)

    def backward(self, grad: Codes, into: torch.Tensor | None = None, beside: Beside | None = None) -> torch.Tensor:
        if self.tiles:
            return packed("tiles_bfloat16", self.tiles, grad.numbers, self.weight.t(), into, beside, None)
        product = torch.mm(grad.numbers, self.weight)
        return _added(product.float() if into is None else into.add_(product), beside, None)


LOWERED: dict[str, type[Int8] | type[Bfloat16]] = {"int8": Int8, "bf16": Bfloat16}


def _added(y: torch.Tensor, beside: Beside | None, plus: torch.Tensor | None) -> torch.Tensor:
    y = y if beside is None else beside.added(y)
    return y if plus is None else y.add_(plus)


def _float32(rows: torch.Tensor) -> Kernels | None:
    return native(rows) if rows.dtype == torch.float32 else None


def _quantised(rows: torch.Tensor, kind: torch.dtype) -> Codes:
    """rows (n, m) as codes; a row of zeros stays one."""
    made = _float32(rows)
    if made:
        return quantised(rows, made, kind)
    scale = rows.abs().amax(dim=1, keepdim=True).mul_(1 / 127).clamp_min_(1e-30)
    return Codes(_codes(Codes((rows / scale).round_().to(torch.int8)), kind), scale)


def _codes(rows: Codes, kind: torch.dtype) -> torch.Tensor:
    """With 128 added or without: the same bits but for the first."""
    return rows.numbers if rows.numbers.dtype == kind else rows.numbers.view(torch.uint8).bitwise_xor(128).view(kind)
