"""From a base with an adapter over it to one plain model that gives the same answers."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

from graft.errors import InputError
from graft.models.tied import tying_recorded

_PROMPTS = "it adds to the prompt or to the attention, and changes no weights"
_BY_INPUT = "what it adds depends on the input"
_UNMERGEABLE = {
    "BOTTLENECK": "networks with a non-linearity are no change of a weight",
    **dict.fromkeys(("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"), _PROMPTS),
    **dict.fromkeys(("ADAPTION_PROMPT", "CPT", "CARTRIDGE"), _PROMPTS),
    **dict.fromkeys(("LILY", "POLY", "SHADOW", "XLORA"), _BY_INPUT),
}
"""Why an adapter of a type of PEFT cannot be merged. The other types are merged, and the result is checked."""


def why_unmergeable(config: Mapping[str, Any]) -> str | None:
    """Why an adapter with this ``adapter_config.json`` is no change of the base's weights; None if it is one."""
    if config.get("layer_replication"):
        return "it repeats layers of its base with different weights (layer_replication)"
    if config.get("alora_invocation_tokens"):
        return "it is active from its invocation tokens on (aLoRA)"
    return _UNMERGEABLE.get(str(config.get("peft_type")))


def mergeable(model: Any) -> Any:
    """``model``, a ``PeftModel``, with a ``merge_and_unload`` that knows packed and tied layers."""
    model.merge_and_unload = partial(merge_and_unload, model)
    return model


def merge_and_unload(model: Any, **options: Any) -> Any:
    """The plain model with the adapter in its weights; ``model`` is used up. ``options`` are PEFT's.

    An int4 base is unpacked: the result is in floating point and the same function as what was trained, but putting
    it into int4 again would round once more.

    A weight that two layers share, as embeddings and head often do, is cloned before one of them is merged: the adapter
    of the one is none of the other's. Where both are still equal afterwards, they share again; else the model's
    configuration says that they are not tied.

    Raises:
        InputError: If the adapter cannot be merged.
    """
    from graft.methods.int4_linear import as_conv1d

    plain = model.get_base_model()
    with tying_recorded(plain):
        transposed = _unpack(plain)
        shared = _part_shared(plain)
        _merge(model, options)
        for module in list(plain.modules()):
            for name, child in list(module.named_children()):
                if child in transposed:
                    setattr(module, name, as_conv1d(child))
        _share_again(shared)
    return plain


def _merge(model: Any, options: dict[str, Any]) -> None:
    """As PEFT merges; its errors say what it cannot."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tied layers, which are parted here, and of int8 layers
        try:
            type(model.base_model).merge_and_unload(model.base_model, **options)
        except (NotImplementedError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            config = next(iter(model.peft_config.values()))
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise InputError(
                f"this {getattr(config.peft_type, 'value', config.peft_type)} adapter cannot be merged: {reason}",
                remedy="use the PyTorch model with its adapter, or train with --method lora",
            ) from error


def _unpack(model: Any) -> set[Any]:
    """Put plain layers in the place of int4 ones; those that GPT-2 stores transposed are returned."""
    from graft.methods.int4_linear import Int4Linear

    transposed = set()
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Int4Linear):
                layer = child.to_float()
                setattr(module, name, layer)
                if child.was_transposed:
                    transposed.add(layer)
    return transposed


class _Place(NamedTuple):
    """A parameter's module, and its name there."""

    module: Any
    name: str

    @property
    def parameter(self) -> Any:
        return self.module._parameters[self.name]


def _part_shared(model: Any) -> list[list[_Place]]:
    """Give each layer a weight of its own where several share one and an adapter changes one of them.

    Returns:
        The places that shared a weight, in groups.
    """
    from torch import nn

    groups: dict[int, list[_Place]] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                groups.setdefault(id(parameter), []).append(_Place(module, name))
    adapted = {id(module) for wrapper in _wrappers(model) for module in wrapper.modules()}
    found = [
        group for group in groups.values() if len(group) > 1 and any(id(place.module) in adapted for place in group)
    ]
    for first, *others in found:
        for place in others:
            whole = first.parameter
            place.module._parameters[place.name] = nn.Parameter(whole.detach().clone(), whole.requires_grad)
    return found


def _wrappers(model: Any) -> Iterator[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper

    for module in model.modules():
        if isinstance(module, (BaseTunerLayer, AuxiliaryTrainingWrapper)):
            yield module


def _share_again(groups: list[list[_Place]]) -> None:
    """Share the weights that merging left equal."""
    import torch

    for first, *others in groups:
        for place in others:
            if torch.equal(place.parameter, first.parameter):
                place.module._parameters[place.name] = first.parameter
