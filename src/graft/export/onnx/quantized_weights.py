"""The model builder's int4 graph with weights that graft rounded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import GraftError
from graft.export.onnx.graph import in_graph, name_of, node_of, save
from graft.export.quantize.gptq import QuantizedBlocks, concatenate


def by_node(found: Mapping[str, QuantizedBlocks]) -> dict[str, QuantizedBlocks]:
    """Weights by layer -> by node of the graph, where one layer can be two nodes, and three layers one node."""
    nodes: dict[str, QuantizedBlocks] = {}
    for module, blocks in found.items():
        parts = in_graph(module)
        rows = len(blocks.levels) // len(parts)
        nodes |= {node_of(part): blocks.rows(n * rows, (n + 1) * rows) for n, part in enumerate(parts)}
    for module in found:
        if module.endswith(".q_proj"):
            fused = [module.replace(".q_proj", f".{name}_proj") for name in "qkv"]
            if all(name in found for name in fused):
                node = node_of(module.replace(".q_proj", ".qkv_proj"))
                nodes.setdefault(node, concatenate([found[name] for name in fused]))
    return nodes


def replace_weights(folder: Path, found: Mapping[str, QuantizedBlocks]) -> None:
    """Replace the weights of the quantized graph in ``folder`` with ``found``, by layer.

    Raises:
        GraftError: If the graph has a weight that ``found`` lacks, or one of another shape.
    """
    import onnx

    nodes = by_node(found)
    model = onnx.load(folder / "model.onnx")
    initializers = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "MatMulNBits":
            continue
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        blocks = nodes.get(name_of(node))
        shape = None if blocks is None else (blocks.levels.shape, blocks.bits)
        if blocks is None or shape != ((attributes["N"], attributes["K"]), attributes["bits"]):
            raise GraftError(
                f"the graph's weight {name_of(node)} does not match the model: the graph has {attributes['N']} × "
                f"{attributes['K']} in {attributes['bits']} bits, the model {shape}",
                where=str(folder),
                remedy="use --rounding k_quant, which rounds in the model builder",
            )
        write_blocks(node, initializers, blocks)
    save(model, folder)


def write_blocks(node: Any, initializers: Mapping[str, Any], blocks: QuantizedBlocks) -> None:
    """Write ``blocks`` to the weight, scales and zero points of a MatMulNBits node, in the shapes they have there."""
    import onnx

    _, weight, scales, zeros = node.input[:4]
    rows, count = blocks.scales.shape
    levels = blocks.levels.reshape(rows, count, -1)
    for name, values in (
        (weight, levels if blocks.bits == 8 else packed(levels)),
        (scales, blocks.scales),
        (zeros, blocks.zeros if blocks.bits == 8 else packed(blocks.zeros)),
    ):
        tensor = initializers[name]
        shape, kind = list(tensor.dims), onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(kind).reshape(shape), name))


def packed(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two 4-bit numbers a byte along the last axis, the first in the low half."""
    if levels.shape[-1] % 2:
        levels = np.concatenate([levels, np.zeros_like(levels[..., :1])], axis=-1)
    return (levels[..., 0::2] | (levels[..., 1::2] << 4)).astype(np.uint8)
