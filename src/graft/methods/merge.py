"""From a base with an adapter over it to one plain model that gives the same answers."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any


def mergeable(model: Any) -> Any:
    """``model``, a ``PeftModel``, with a ``merge_and_unload`` that knows packed and untied layers."""
    model.merge_and_unload = partial(merge_and_unload, model)
    return model


def merge_and_unload(model: Any, **options: Any) -> Any:
    """The plain model with the adapter in its weights; ``model`` is used up. ``options`` are PEFT's.

    An int4 base is unpacked: the result is in floating point and the same function as what was trained, but putting
    it into int4 again would round once more.
    """
    from graft.methods.int4_linear import Int4Linear, as_conv1d

    transposed = set()
    for module in list(model.get_base_model().modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Int4Linear):
                layer = child.to_float()
                setattr(module, name, layer)
                if child.was_transposed:
                    transposed.add(layer)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Input and output embeddings are no longer tied")
        plain = type(model.base_model).merge_and_unload(model.base_model, **options)
    for module in list(plain.modules()):
        for name, child in list(module.named_children()):
            if child in transposed:
                setattr(module, name, as_conv1d(child))
    return plain
