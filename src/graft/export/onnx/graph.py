"""What a model's layers are called in the model builder's graphs, and how a graph is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def node_of(module: str) -> str:
    """The builder's node for a layer: ``model.layers.0.self_attn.q_proj`` -> ``/model/layers.0/attn/q_proj/MatMul``."""
    parts = module.replace("self_attn", "attn").split(".")
    path: list[str] = []
    for part in parts:
        if part.isdigit() and path:
            path[-1] += f".{part}"
        else:
            path.append(part)
    return "/" + "/".join(path) + "/MatMul"


def in_graph(module: str) -> list[str]:
    """The layers that ``module`` becomes in the graph: Phi-3's ``gate_up_proj`` is split into two of equal size."""
    if module.endswith("gate_up_proj"):
        return [module.replace("gate_up_proj", name) for name in ("gate_proj", "up_proj")]
    return [module]


def name_of(node: Any) -> str:
    """A node's name before it was quantized."""
    return str(node.name).rsplit("_Q", 1)[0]


def save(model: Any, folder: Path) -> None:
    """Write ``model.onnx``, with its weights in one file next to it."""
    import onnx

    for name in ("model.onnx", "model.onnx.data"):
        (folder / name).unlink(missing_ok=True)
    onnx.save(
        model,
        folder / "model.onnx",
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location="model.onnx.data",
        size_threshold=1024,
    )
