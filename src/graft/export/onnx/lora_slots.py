"""LoRA slots of an ONNX graph: inputs for A and B of any rank, whose defaults have rank 0 and add nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.errors import Problems
from graft.export.onnx.graph import name_of, node_of, save

Floats = NDArray[np.float32]


class LoraMatrices(NamedTuple):
    """A (columns, rank) and B (rank, rows) of a linear layer, alpha / r folded into B: y = W·x + x·A·B."""

    a: Floats
    b: Floats


class LinearShape(NamedTuple):
    """The numbers of inputs and outputs of a linear layer."""

    columns: int
    rows: int


EMPTY = LoraMatrices(np.zeros((0, 0), np.float32), np.zeros((0, 0), np.float32))


def slot_names(module: str) -> tuple[str, str]:
    """The graph's inputs for A and B of a layer."""
    return f"{module}.lora_A", f"{module}.lora_B"


def slot_options(modules: Collection[str]) -> dict[str, str]:
    """The model builder's options: Q, K and V as separate layers, unless the model itself fuses them (as Phi-3)."""
    return {"fuse_qkv": str(any(module.endswith("qkv_proj") for module in modules)).lower()}


def linear_shapes(folder: Path) -> dict[str, LinearShape]:
    """The shape of every matrix product by a constant in the graph, by node."""
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found: dict[str, LinearShape] = {}
    for node in model.graph.node:
        name = name_of(node)
        if node.op_type == "MatMulNBits":
            attributes = {attribute.name: attribute.i for attribute in node.attribute}
            found[name] = LinearShape(attributes["K"], attributes["N"])
        elif node.op_type == "MatMul" and node.input[1] in dims:
            found[name] = LinearShape(*dims[node.input[1]])
    return found


def add_slots(folder: Path, modules: Collection[str]) -> None:
    """Give the graph in ``folder`` a slot for each of ``modules``; with empty slots its outputs stay the same.

    Raises:
        InputError: If the graph has no matrix product for a module.
    """
    _add_low_rank(folder, dict.fromkeys(modules, EMPTY), as_inputs=True)


def add_adapter(folder: Path, matrices: Mapping[str, LoraMatrices]) -> None:
    """Add an adapter, by module, to the graph in ``folder`` as float32 constants; the weights of the base stay.

    Raises:
        InputError: If the graph has no matrix product for a module.
    """
    _add_low_rank(folder, matrices, as_inputs=False)


def _add_low_rank(folder: Path, matrices: Mapping[str, LoraMatrices], as_inputs: bool) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx")
    shapes = linear_shapes(folder)
    _check_modules(matrices, shapes, str(folder))
    graph = model.graph
    nodes: list[Any] = []
    by_name = {node_of(module): module for module in matrices}
    for node in graph.node:
        nodes.append(node)
        module = by_name.get(name_of(node))
        if module is not None and node.op_type in {"MatMul", "MatMulNBits"}:
            if as_inputs:
                _add_inputs(module, shapes[node_of(module)], graph)
            else:
                _add_constants(module, matrices[module], graph)
            nodes += _low_rank_nodes(node, module)
    del graph.node[:]
    graph.node.extend(nodes)
    save(model, folder)


def _add_constants(module: str, matrices: LoraMatrices, graph: Any) -> None:
    import onnx

    for name, matrix in zip(slot_names(module), matrices, strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(matrix, np.float32), name))


def _add_inputs(module: str, shape: LinearShape, graph: Any) -> None:
    """Inputs with a symbolic rank, and initializers of rank 0 as their defaults."""
    import onnx

    first, second = slot_names(module)
    rank = f"{module}.rank"
    inputs: dict[str, list[int | str | None]] = {first: [shape.columns, rank], second: [rank, shape.rows]}
    for name, dims in inputs.items():
        empty = tuple(0 if dim == rank else int(str(dim)) for dim in dims)
        graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims))
        graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(empty, np.float32), name))


def _low_rank_nodes(node: Any, module: str) -> list[Any]:
    """Nodes that add x·A·B to the output of ``node``, under the name that its output had."""
    import onnx

    first, second = slot_names(module)
    output = node.output[0]
    node.output[0] = f"{module}.frozen"
    return [
        onnx.helper.make_node("MatMul", [node.input[0], first], [f"{module}.low"], name=f"/{module}/lora_A"),
        onnx.helper.make_node("MatMul", [f"{module}.low", second], [f"{module}.delta"], name=f"/{module}/lora_B"),
        onnx.helper.make_node("Add", [node.output[0], f"{module}.delta"], [output], name=f"/{module}/lora"),
    ]


def _check_modules(modules: Collection[str], shapes: Mapping[str, LinearShape], where: str) -> None:
    problems = Problems()
    for module in sorted(modules):
        if node_of(module) not in shapes:
            problems.add(
                f"the ONNX graph has no matrix product for {module}",
                where,
                "only adapters of linear layers in attention and MLP can be hot-swappable; merge the others",
            )
    problems.raise_if_any()
