"""A frozen linear layer with its low-rank adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from graft.engine.quantized_weights import QuantizedWeight

AdapterGradients = Sequence[tuple[torch.Tensor | None, torch.Tensor | None]]
"""For each layer the gradients of its A and its B; None where it has no adapter."""


@dataclass(frozen=True)
class Linear:
    """A frozen layer with LoRA (Hu et al. 2021, arXiv:2106.09685, section 4.1).

    y = x Wᵀ + bias + scale · dropout(x) Aᵀ Bᵀ.

    Attributes:
        weight: W (out, in).
        bias: (out), or None.
        a: A (r, in), or None without an adapter.
        b: B (out, r), or None without an adapter.
        scale: The adapter's factor.
        quantized: A quantized weight that computes in place of ``weight``.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None
    a: torch.Tensor | None = None
    b: torch.Tensor | None = None
    scale: float = 1.0
    quantized: QuantizedWeight | None = None


def flatten(layers: Sequence[Linear]) -> list[torch.Tensor | None]:
    """The tensors of ``layers``, four a layer, as arguments of an autograd function."""
    return [tensor for layer in layers for tensor in (layer.weight, layer.bias, layer.a, layer.b)]


def unflatten(flat: Sequence[Any], layers: Sequence[Linear]) -> list[Linear]:
    """``layers`` with the tensors that ``flatten`` gave, as autograd saved them."""
    return [
        replace(layer, weight=flat[4 * i], bias=flat[4 * i + 1], a=flat[4 * i + 2], b=flat[4 * i + 3])
        for i, layer in enumerate(layers)
    ]
