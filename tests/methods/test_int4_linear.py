"""The packed linear layer: the same function as the matrix it stands for, and nothing else kept in memory."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import nn

from graft.methods.int4_linear import Int4Linear
from graft.models import int4


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("at_once", [500, 1 << 20])
def test_values_and_gradients(monkeypatch: pytest.MonkeyPatch, bias: bool, at_once: int) -> None:
    monkeypatch.setattr(int4, "AT_ONCE", at_once)
    torch.manual_seed(0)
    packed = Int4Linear.of(nn.Linear(70, 33, bias=bias))
    plain = packed.to_float()
    assert torch.equal(plain.weight, packed.weight)
    x = torch.randn(2, 5, 70, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    up = torch.randn(2, 5, 33)
    torch.testing.assert_close(packed(x), plain(y), rtol=1e-5, atol=1e-5)
    (packed(x) * up).sum().backward()
    (plain(y) * up).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-5, atol=1e-5)
    assert not list(filter(lambda p: p.requires_grad, packed.parameters()))


def test_no_matrix_is_kept_for_the_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    from graft.methods import int4_linear

    packed = Int4Linear.of(nn.Linear(64, 64))
    made: list[Any] = []
    unpack = int4_linear.dequantize

    def watched(*args: Any) -> torch.Tensor:
        weight = unpack(*args)
        made.append(weakref.ref(weight.untyped_storage()))
        return weight

    monkeypatch.setattr(int4_linear, "dequantize", watched)
    output = packed(torch.randn(3, 64, requires_grad=True))
    saved = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal saved
        saved += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        packed(torch.randn(3, 64, requires_grad=True))
    assert saved == packed.packed.nbytes + packed.scales.nbytes
    gc.collect()
    assert len(made) == 2
    output.sum().backward()
    assert len(made) == 3  # and made again to go back


def test_half_precision_and_double() -> None:
    packed = Int4Linear.of(nn.Linear(64, 8))
    x = torch.randn(3, 64)
    reference = packed(x)
    assert packed(x.double()).dtype == torch.float64
    torch.testing.assert_close(packed(x.double()).float(), reference, rtol=1e-5, atol=1e-5)
    half = packed.bfloat16()
    assert half(x.bfloat16()).dtype == torch.bfloat16


def test_a_weight_cannot_be_put_in_its_place() -> None:
    packed = Int4Linear.of(nn.Linear(64, 8))
    with pytest.raises((KeyError, AttributeError)):
        packed.weight = nn.Parameter(torch.zeros(8, 64))
