"""The builder's int4 graph with weights rounded for the user's own data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import GraftError
from graft.export.onnx.graph import in_graph, name_of, node_of, save
from graft.export.quantize.gptq import QuantizedBlocks, stacked


def by_node(found: Mapping[str, QuantizedBlocks]) -> dict[str, QuantizedBlocks]:
    """Weights by layer -> by the node that has them in the graph, where one layer may be two and three may be one."""
    nodes: dict[str, QuantizedBlocks] = {}
    for module, blocks in found.items():
        parts = in_graph(module)
        rows = len(blocks.levels) // len(parts)
        nodes |= {node_of(part): blocks.rows(n * rows, (n + 1) * rows) for n, part in enumerate(parts)}
    for module in found:
        if module.endswith(".q_proj"):
            beside = [module.replace(".q_proj", f".{name}_proj") for name in "qkv"]
            if all(name in found for name in beside):
                nodes.setdefault(node_of(module.replace(".q_proj", ".qkv_proj")), stacked([found[n] for n in beside]))
    return nodes


def replace_weights(folder: Path, found: Mapping[str, QuantizedBlocks]) -> None:
    """Write the weights ``found`` (by layer) into the quantised graph in ``folder``, in the place of the builder's.

    Written in place: ``folder`` is not yet anyone's.

    Raises:
        GraftError: when the graph has a weight that was not rounded, or one of another shape.
    """
    import onnx

    nodes = by_node(found)
    model = onnx.load(folder / "model.onnx")
    initialisers = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "MatMulNBits":
            continue
        name = name_of(node)
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        blocks = nodes.get(name)
        shape = None if blocks is None else (blocks.levels.shape, blocks.bits)
        if blocks is None or shape != ((attributes["N"], attributes["K"]), attributes["bits"]):
            raise GraftError(
                f"the graph's weight {name} is not the model's: {attributes['N']} × {attributes['K']} in "
                f"{attributes['bits']} bits, found {shape}",
                where=str(folder),
                remedy="--rounding k_quant leaves the rounding to the model builder",
            )
        write_blocks(node, initialisers, blocks)
    save(model, folder)


def write_blocks(node: Any, initialisers: Mapping[str, Any], blocks: QuantizedBlocks) -> None:
    """``blocks`` as the weight, the scales and the zero points of a MatMulNBits node, of the shapes they have there."""
    import onnx

    _, weight, scales, zeros = node.input[:4]
    rows, count = blocks.scales.shape
    levels = blocks.levels.reshape(rows, count, -1)
    for name, values in (
        (weight, levels if blocks.bits == 8 else packed(levels)),
        (scales, blocks.scales),
        (zeros, blocks.zeros if blocks.bits == 8 else packed(blocks.zeros)),
    ):
        tensor = initialisers[name]
        shape, kind = list(tensor.dims), onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(kind).reshape(shape), name))


def packed(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two 4-bit numbers a byte along the last axis, the first in the low half."""
    if levels.shape[-1] % 2:
        levels = np.concatenate([levels, np.zeros_like(levels[..., :1])], axis=-1)
    return (levels[..., 0::2] | (levels[..., 1::2] << 4)).astype(np.uint8)
