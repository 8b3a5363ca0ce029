"""Exchanges the forward of known layers for a faster one with the same numbers, and puts their own back.

Nothing is changed in a class or a module of transformers or PEFT: only instances of this model, only within the
context, and only where the layer is of exactly the known class; every other layer computes as it always does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn
from transformers.pytorch_utils import Conv1D

from graft.engine import lora_kernels as joint
from graft.engine.allocator import memory_kept
from graft.engine.linear import Linear
from graft.engine.lora_linear import together
from graft.engine.modules import block_forward, listened, projections, trained
from graft.engine.quantized_weights import LOWERED, Lowered

Lower = Callable[[torch.Tensor], Lowered]

SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers of one parent that models call with the very same input."""


@contextmanager
def fused(model: nn.Module, compute: str = "exact") -> Iterator[None]:
    """Within the context ``model`` computes by the faster functions; recomputed activations too.

    ``compute``: ``exact``, or ``int8`` or ``bf16`` for the products with frozen weights that have an adapter.
    """
    lowered = LOWERED.get(compute)
    exchanged: list[nn.Module] = []

    def exchange(module: nn.Module, forward: Callable[..., Any]) -> None:
        if "forward" not in vars(module):  # somebody else's hook stays
            module.forward = forward
            exchanged.append(module)

    try:
        _exchange_linears(model, exchange, lowered)
        _exchange_plain(model, exchange)
        for module in model.modules():
            forward = block_forward(module)
            if forward is not None:
                exchange(module, forward)
        with memory_kept():
            yield
    finally:
        for module in exchanged:
            del module.forward


def fusable(model: nn.Module) -> bool:
    """Whether a layer of ``model`` is of a known kind."""
    return any(_is_known(module) for module in model.modules())


def _exchange_linears(
    model: nn.Module, exchange: Callable[[nn.Module, Callable[..., Any]], None], lowered: Lower | None
) -> None:
    grouped: set[int] = set()
    for parent in model.modules():
        for names in SIBLINGS:
            group: list[Any] = [getattr(parent, name, None) for name in names]
            if all(isinstance(module, LoraLinear) and _is_known(module) for module in group):
                shared = _Shared(group, lowered)
                grouped.update(id(module) for module in group)
                for place, module in enumerate(group):
                    exchange(module, shared.forward_of(place))
    for module in model.modules():
        if isinstance(module, LoraLinear) and id(module) not in grouped and _is_known(module):
            exchange(module, _Shared([module], lowered).forward_of(0))


def _exchange_plain(model: nn.Module, exchange: Callable[[nn.Module, Callable[..., Any]], None]) -> None:
    """The frozen layers of known decoders that have no adapter."""
    for parent in model.modules():
        for module in projections(parent):
            if type(module) is nn.Linear and not trained(module):
                exchange(module, _Shared([module], None).forward_of(0))


def _is_known(layer: nn.Module) -> bool:
    """Plain LoRA over a plain frozen layer that nobody listens to."""
    if type(layer) is not LoraLinear:
        return False
    base = layer.base_layer
    parts = [base, *layer.lora_A.values(), *layer.lora_B.values()]
    return (
        type(base) in {nn.Linear, Conv1D}
        and not any(p.requires_grad for p in base.parameters())
        and not any(map(listened, parts))
        and not layer.lora_variant
        and not any(layer.lora_bias.values())
        and all(type(drop) in {nn.Identity, nn.Dropout} for drop in layer.lora_dropout.values())
    )


def _described(layer: Any, dtype: torch.dtype, lowered: Lowered | None) -> tuple[Linear, float] | None:
    """The layer as it is now, and its dropout; None where PEFT's own forward is needed."""
    base = getattr(layer, "base_layer", layer)
    weight = _oriented(base)
    if weight.dtype != dtype or trained(base):
        return None
    if base is layer:
        return Linear(weight, base.bias), 0.0
    if layer.merged:
        return None
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    if layer.disable_adapters or not active:
        return Linear(weight, base.bias, lowered=lowered), 0.0
    name = active[0]
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    if len(active) > 1 or a.dtype != dtype or b.dtype != dtype:
        return None
    drop = layer.lora_dropout[name]
    active_drop = type(drop) is nn.Dropout and drop.training
    return Linear(weight, base.bias, a, b, layer.scaling[name], lowered), drop.p if active_drop else 0.0


def _oriented(base: Any) -> torch.Tensor:
    """The weight as (out, in)."""
    weight: torch.Tensor = base.weight.t() if type(base) is Conv1D else base.weight
    return weight


def _plus(y: torch.Tensor, plus: torch.Tensor | None) -> torch.Tensor:
    return y if plus is None else plus + y


class _Shared:
    """Siblings: the first that is called with an input computes for all, the others take what is theirs."""

    def __init__(self, layers: Sequence[Any], lower: Lower | None) -> None:
        self.layers = list(layers)
        self.lowered = [lower(_oriented(layer.base_layer)) if lower else None for layer in layers]
        self.adapted = any(isinstance(layer, LoraLinear) for layer in layers)
        self.input: torch.Tensor | None = None
        self.ready: dict[int, torch.Tensor] = {}

    def forward_of(self, place: int) -> Callable[..., torch.Tensor]:
        layer = self.layers[place]

        def forward(x: torch.Tensor, *args: Any, plus: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
            if args or any(value is not None for value in kwargs.values()):
                return _plus(type(layer).forward(layer, x, *args, **kwargs), plus)
            if self.input is x and place in self.ready:
                return self._take(place)
            pairs = zip(self.layers, self.lowered, strict=True)
            described = [_described(sibling, x.dtype, lowered) for sibling, lowered in pairs]
            known = [d for d in described if d is not None]
            linears = [linear for linear, _ in known]
            dropouts = {dropout for linear, dropout in known if linear.a is not None}
            whole = len(known) == len(described) and len(dropouts) <= 1
            # Without an adapter there is something to win only where the kernels take the layer.
            taken = whole and (self.adapted or joint.kernels_for(x.reshape(-1, x.shape[-1]), linears))
            if not taken or torch.is_autocast_enabled(x.device.type):
                return _plus(type(layer).forward(layer, x), plus)
            outputs = together(x, linears, dropouts.pop() if dropouts else 0.0, plus)
            self.input, self.ready = x, dict(enumerate(outputs))
            return self._take(place)

        forward.takes_plus = len(self.layers) == 1  # type: ignore[attr-defined]
        forward.described = lambda dtype: _described(layer, dtype, self.lowered[place])  # type: ignore[attr-defined]
        return forward

    def _take(self, place: int) -> torch.Tensor:
        output = self.ready.pop(place)
        if not self.ready:
            self.input = None
        return output
