"""The builder's int4 graph with weights rounded for the user's own data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.deploy.gptq import Blocks, quantise

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]

LAST = "/lm_head"
"""The last layer gets no Hessian: its rows are mostly the embeddings, too, which that knows nothing of."""

TOKENS_AT_ONCE = 1024


def weighted_matmuls(model: Any) -> dict[str, tuple[str, str]]:
    """Node -> (input, weight) of every MatMul by a constant."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return {
        node.name: (node.input[0], node.input[1])
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in constants
    }


def input_hessians(folder: Path, rows: Sequence[Sequence[int]], progress: Progress | None = None) -> dict[str, Floats]:
    """XᵀX of what goes into each weight of the float32 graph in ``folder`` while it reads ``rows``; by node."""
    import onnx

    from graft.deploy.session import Session

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    wanted = {node: names for node, names in weighted_matmuls(model).items() if not node.startswith(LAST)}
    inputs = sorted({source for source, _ in wanted.values()})
    for name in inputs:
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    watched = folder / "watched.onnx"
    onnx.save(model, watched)
    try:
        session = Session(folder, graph="watched.onnx")
        sums: dict[str, Floats] = {}
        waiting: list[list[Floats]] = []
        for place, row in enumerate(rows):
            waiting.append([values.reshape(-1, values.shape[-1]) for values in session.watch(row, inputs)])
            if sum(len(values[0]) for values in waiting) >= TOKENS_AT_ONCE or place == len(rows) - 1:
                for name, parts in zip(inputs, zip(*waiting, strict=True), strict=True):
                    flat = np.concatenate(parts)
                    sums[name] = sums.get(name, np.float32(0)) + flat.T @ flat
                waiting = []
            if progress:
                progress(place + 1, len(rows))
    finally:
        watched.unlink()
    return {node: sums[source] for node, (source, _) in wanted.items()}


def requantise(folder: Path, floats: Path, hessians: Mapping[str, Floats], progress: Progress | None = None) -> None:
    """Round each weight of the quantised graph in ``folder`` anew, from the float32 graph in ``floats``.

    A weight for which there is no Hessian gets the range that rounds best. Written in place: ``folder`` is not yet
    anyone's.
    """
    import onnx

    source = onnx.load(floats / "model.onnx")
    weights = {tensor.name: tensor for tensor in source.graph.initializer}
    by_node = {node: weights[weight] for node, (_, weight) in weighted_matmuls(source).items()}
    model = onnx.load(folder / "model.onnx")
    initialisers = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    for place, node in enumerate(nodes):
        name = node.name.rsplit("_Q", 1)[0]
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        weight = onnx.numpy_helper.to_array(by_node[name]).T
        blocks = quantise(weight, hessians.get(name), attributes["bits"], attributes["block_size"])
        write_blocks(node, initialisers, blocks)
        if progress:
            progress(place + 1, len(nodes))
    save(model, folder)


def write_blocks(node: Any, initialisers: Mapping[str, Any], blocks: Blocks) -> None:
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


def save(model: Any, folder: Path) -> None:
    """``model.onnx`` with its weights beside it in one file."""
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
