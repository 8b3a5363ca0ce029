"""A frozen linear layer with its low-rank adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from graft.engine.quantized_weights import Lowered

Pairs = Sequence[tuple[torch.Tensor | None, torch.Tensor | None]]
"""For each layer the gradients of its A and its B."""


@dataclass(frozen=True)
class Linear:
    """A frozen layer y = x Wᵀ + b with its low-rank part: y += scale · drop(x) Aᵀ Bᵀ (Hu et al. 2021, section 4.1).

    weight (out, in), bias (out) or None; a (r, in) and b (out, r), or None where there is no adapter. Where there is
    a ``lowered`` weight, it computes in the place of the exact one.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    a: torch.Tensor | None = None
    b: torch.Tensor | None = None
    scale: float = 1.0
    lowered: Lowered | None = None


def flat_of(layers: Sequence[Linear]) -> list[torch.Tensor | None]:
    """The tensors of layers, as autograd functions take them."""
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias, layer.a, layer.b)]


def layers_of(flat: Sequence[Any], layers: Sequence[Linear]) -> list[Linear]:
    """The layers with these tensors, which are theirs as they were saved."""
    fours = zip(flat[0::4], flat[1::4], flat[2::4], flat[3::4], layers, strict=True)
    return [Linear(weight, bias, a, b, one.scale, one.lowered) for weight, bias, a, b, one in fours]
