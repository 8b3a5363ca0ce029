"""Replaces the forward of known layers by a faster one with the same numbers, and restores their own.

No class or module of transformers or PEFT is changed: only instances in this model, only within the context, and only
layers of exactly a known class; every other layer computes as always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn
from transformers.pytorch_utils import Conv1D

from graft.engine.allocator import memory_kept
from graft.engine.linear import Linear
from graft.engine.lora_kernels import group_kernels
from graft.engine.lora_linear import lora_group
from graft.engine.modules import block_forward, has_hooks, is_trained, projections
from graft.engine.quantized_weights import QUANTIZED_WEIGHTS, QuantizedWeight
from graft.engine.token_rows import token_rows_forward

Quantize = Callable[[torch.Tensor], QuantizedWeight]

SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers of one parent that models call with the same input tensor."""


@contextmanager
def fused(model: nn.Module, compute: str = "exact") -> Iterator[None]:
    """Within the context, ``model`` computes by the faster functions; so do checkpointed activations.

    Args:
        model: Changed within the context alone.
        compute: ``exact``, or ``int8`` or ``bfloat16`` for the products with frozen weights that have an adapter.
    """
    quantize = QUANTIZED_WEIGHTS.get(compute)
    replaced: list[nn.Module] = []

    def replace(module: nn.Module, forward: Callable[..., Any]) -> None:
        """Set ``module.forward``, and note the module for the end of the context."""
        if "forward" not in vars(module):  # a forward that somebody else has set stays
            module.forward = forward
            replaced.append(module)

    try:
        _replace_lora(model, replace, quantize)
        _replace_plain(model, replace)
        for module in model.modules():
            forward = block_forward(module) or token_rows_forward(module)
            if forward is not None:
                replace(module, forward)
        with memory_kept():
            yield
    finally:
        for module in replaced:
            del module.forward


def fusable(model: nn.Module) -> bool:
    """Whether ``model`` has a LoRA layer that ``fused`` replaces."""
    return any(_is_known(module) for module in model.modules())


def _replace_lora(
    model: nn.Module, replace: Callable[[nn.Module, Callable[..., Any]], None], quantize: Quantize | None
) -> None:
    grouped: set[int] = set()
    for parent in model.modules():
        for names in SIBLINGS:
            group: list[Any] = [getattr(parent, name, None) for name in names]
            if all(isinstance(module, LoraLinear) and _is_known(module) for module in group):
                shared = _SiblingGroup(group, quantize)
                grouped.update(id(module) for module in group)
                for place, module in enumerate(group):
                    replace(module, shared.forward_of(place))
    for module in model.modules():
        if isinstance(module, LoraLinear) and id(module) not in grouped and _is_known(module):
            replace(module, _SiblingGroup([module], quantize).forward_of(0))


def _replace_plain(model: nn.Module, replace: Callable[[nn.Module, Callable[..., Any]], None]) -> None:
    """The frozen layers of known decoders that have no adapter."""
    for parent in model.modules():
        for module in projections(parent):
            if type(module) is nn.Linear and not is_trained(module):
                replace(module, _SiblingGroup([module], None).forward_of(0))


def _is_known(layer: nn.Module) -> bool:
    """Whether it is plain LoRA over a plain frozen layer without hooks."""
    if type(layer) is not LoraLinear:
        return False
    base = layer.base_layer
    parts = [base, *layer.lora_A.values(), *layer.lora_B.values()]
    return (
        type(base) in {nn.Linear, Conv1D}
        and not any(p.requires_grad for p in base.parameters())
        and not any(map(has_hooks, parts))
        and not layer.lora_variant
        and not any(layer.lora_bias.values())
        and all(type(drop) in {nn.Identity, nn.Dropout} for drop in layer.lora_dropout.values())
    )


def _current(layer: Any, dtype: torch.dtype, quantized: QuantizedWeight | None) -> tuple[Linear, float] | None:
    """The layer as it is now, and its rate of dropout; None where PEFT's own forward is needed."""
    base = getattr(layer, "base_layer", layer)
    weight = _oriented(base)
    if weight.dtype != dtype or is_trained(base):
        return None
    if base is layer:
        return Linear(weight, base.bias), 0.0
    if layer.merged:
        return None
    active = [name for name in layer.active_adapters if name in layer.lora_A]
    if layer.disable_adapters or not active:
        return Linear(weight, base.bias, quantized=quantized), 0.0
    name = active[0]
    a, b = layer.lora_A[name].weight, layer.lora_B[name].weight
    if len(active) > 1 or a.dtype != dtype or b.dtype != dtype:
        return None
    drop = layer.lora_dropout[name]
    active_drop = type(drop) is nn.Dropout and drop.training
    return Linear(weight, base.bias, a, b, layer.scaling[name], quantized), drop.p if active_drop else 0.0


def _oriented(base: Any) -> torch.Tensor:
    """The weight as (out, in)."""
    weight: torch.Tensor = base.weight.t() if type(base) is Conv1D else base.weight
    return weight


def _add(y: torch.Tensor, residual: torch.Tensor | None) -> torch.Tensor:
    return y if residual is None else residual + y


class _SiblingGroup:
    """Layers that read one input: the first that is called computes for all, the others take their outputs."""

    def __init__(self, layers: Sequence[Any], quantize: Quantize | None) -> None:
        self.layers = list(layers)
        self.quantized = [quantize(_oriented(layer.base_layer)) if quantize else None for layer in layers]
        self.adapted = any(isinstance(layer, LoraLinear) for layer in layers)
        self.input: torch.Tensor | None = None
        self.ready: dict[int, torch.Tensor] = {}

    def forward_of(self, place: int) -> Callable[..., torch.Tensor]:
        """The forward for the layer at ``place`` in the group."""
        layer = self.layers[place]

        def forward(x: torch.Tensor, *args: Any, residual: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
            """x (..., in) -> (..., out), plus ``residual``; by ``lora_group``, or else by the class's own forward."""
            if args or any(value is not None for value in kwargs.values()):
                return _add(type(layer).forward(layer, x, *args, **kwargs), residual)
            if self.input is x and place in self.ready:
                return self._take(place)
            pairs = zip(self.layers, self.quantized, strict=True)
            described = [_current(sibling, x.dtype, quantized) for sibling, quantized in pairs]
            known = [d for d in described if d is not None]
            linears = [linear for linear, _ in known]
            dropouts = {dropout for linear, dropout in known if linear.a is not None}
            whole = len(known) == len(described) and len(dropouts) <= 1
            # Without an adapter this is faster only where the kernels compute the layer.
            taken = whole and (self.adapted or group_kernels(x.reshape(-1, x.shape[-1]), linears))
            if not taken or torch.is_autocast_enabled(x.device.type):
                return _add(type(layer).forward(layer, x), residual)
            outputs = lora_group(x, linears, dropouts.pop() if dropouts else 0.0, residual)
            self.input, self.ready = x, dict(enumerate(outputs))
            return self._take(place)

        forward.takes_residual = len(self.layers) == 1  # type: ignore[attr-defined]
        forward.described = lambda dtype: _current(layer, dtype, self.quantized[place])  # type: ignore[attr-defined]
        return forward

    def _take(self, place: int) -> torch.Tensor:
        output = self.ready.pop(place)
        if not self.ready:
            self.input = None
        return output
