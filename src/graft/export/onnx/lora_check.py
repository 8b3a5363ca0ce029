"""Whether an adapter's matrices, as a graph takes them, are what its PyTorch model adds to its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import GraftError
from graft.export.onnx.graph import in_graph
from graft.export.onnx.lora_adapter import LoraAdapter
from graft.export.quantize.calibrate import PREFIX

BOUND = 1e-5
"""The greatest difference of a weight, relative to the layer's greatest change: two ways to round one product."""


def check_matrices(model: Any, adapter: LoraAdapter) -> None:
    """Check the names, the shapes and the scale of every pair of matrices.

    Args:
        model: The ``PeftModel`` that was judged, its adapter active and not merged.
        adapter: The same adapter for the graph.

    Raises:
        GraftError: If the two add something else to a layer.
    """
    wanted, found = _changes(model), adapter.matrices
    wrong = sorted(set(wanted) ^ set(found))
    wrong += [name for name, pair in found.items() if name in wanted and _differ(pair.a @ pair.b, wanted[name])]
    if wrong:
        raise GraftError(
            f"the adapter {adapter.name} does something else in the graph than in the model that was evaluated: "
            f"{len(wrong)} layers differ, such as {wrong[0]}",
            where=str(adapter.path),
            remedy="merge it: graft auto-opt --adapter merged",
        )


def _differ(found: NDArray[Any], wanted: NDArray[Any]) -> bool:
    if found.shape != wanted.shape:
        return True
    return not np.abs(found - wanted).max(initial=0.0) <= BOUND * max(1e-6, float(np.abs(wanted).max(initial=0.0)))


def _changes(model: Any) -> Mapping[str, NDArray[Any]]:
    """What the model adds to the weight (columns, rows) of each layer, by its name in the graph."""
    from peft.tuners.lora import LoraLayer

    found: dict[str, NDArray[Any]] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, LoraLayer):
            parts = in_graph(name.removeprefix(PREFIX))
            found |= dict(zip(parts, np.split(_change(layer), len(parts), axis=1), strict=True))
    return found


def _change(layer: Any) -> NDArray[Any]:
    """The sum of what the active adapters add to the weight (columns, rows)."""
    active = [adapter for adapter in layer.active_adapters if adapter in layer.lora_A]
    changes = [layer.get_delta_weight(adapter).detach().float().numpy() for adapter in active]
    total: NDArray[Any] = np.sum(changes, axis=0).T
    return total
