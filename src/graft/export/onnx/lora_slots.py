"""Places for LoRA matrices in an ONNX graph: inputs of any rank, with matrices of rank 0 where none are given."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import Problems
from graft.export.onnx.graph import name_of, node_of, save

Floats = NDArray[np.float32]


def slot_names(module: str) -> tuple[str, str]:
    """The graph inputs for a layer's A (columns, rank) and B (rank, rows), alpha / r folded into B."""
    return f"{module}.lora_A", f"{module}.lora_B"


def slot_options(modules: Collection[str]) -> dict[str, str]:
    """For the builder: queries, keys and values apart, unless the model itself has them in one layer (as Phi-3)."""
    return {"fuse_qkv": str(any(module.endswith("qkv_proj") for module in modules)).lower()}


def linear_shapes(folder: Path) -> dict[str, tuple[int, int]]:
    """Node -> (columns in, rows out) of every matrix product by a constant in the graph."""
    import onnx

    model = onnx.load(folder / "model.onnx", load_external_data=False)
    dims = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found: dict[str, tuple[int, int]] = {}
    for node in model.graph.node:
        name = name_of(node)
        if node.op_type == "MatMulNBits":
            attributes = {attribute.name: attribute.i for attribute in node.attribute}
            found[name] = (attributes["K"], attributes["N"])
        elif node.op_type == "MatMul" and node.input[1] in dims:
            columns, rows = dims[node.input[1]]
            found[name] = (columns, rows)
    return found


def add_slots(folder: Path, modules: Collection[str]) -> None:
    """Give the graph in ``folder`` a slot for each of ``modules``; it answers as before where none is filled.

    Raises:
        InputError: when the graph has no matrix product for a module.
    """
    empty = np.zeros((0, 0), np.float32)
    _put_beside(folder, dict.fromkeys(modules, (empty, empty)), filled=False)


def add_adapter(folder: Path, matrices: Mapping[str, tuple[Floats, Floats]]) -> None:
    """Add an adapter's ``matrices`` (by module, as in ``LoraAdapter``) to the graph in ``folder`` as float32 constants.

    The weights of the base stay as they are.

    Raises:
        InputError: when the graph has no matrix product for a module.
    """
    _put_beside(folder, matrices, filled=True)


def _put_beside(folder: Path, matrices: Mapping[str, tuple[Floats, Floats]], filled: bool) -> None:
    import onnx

    model = onnx.load(folder / "model.onnx")
    shapes = linear_shapes(folder)
    check_modules(matrices, shapes, str(folder))
    graph = model.graph
    nodes: list[Any] = []
    by_name = {node_of(module): module for module in matrices}
    for node in graph.node:
        nodes.append(node)
        module = by_name.get(name_of(node))
        if module is not None and node.op_type in {"MatMul", "MatMulNBits"}:
            if filled:
                _constants(module, matrices[module], graph)
            else:
                _inputs(module, shapes[node_of(module)], graph)
            nodes += _beside(node, module)
    del graph.node[:]
    graph.node.extend(nodes)
    save(model, folder)


def _constants(module: str, matrices: tuple[Floats, Floats], graph: Any) -> None:
    import onnx

    for name, matrix in zip(slot_names(module), matrices, strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(np.ascontiguousarray(matrix, np.float32), name))


def _inputs(module: str, shape: tuple[int, int], graph: Any) -> None:
    import onnx

    first, second = slot_names(module)
    columns, rows = shape
    slots: list[tuple[str, list[int | str | None], tuple[int, int]]] = [
        (first, [columns, f"{module}.rank"], (columns, 0)),
        (second, [f"{module}.rank", rows], (0, rows)),
    ]
    for name, dims, empty in slots:
        graph.input.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims))
        graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(empty, np.float32), name))


def _beside(node: Any, module: str) -> list[Any]:
    """x·A·B added to what ``node`` makes of x, under the name that its output had."""
    import onnx

    first, second = slot_names(module)
    output = node.output[0]
    node.output[0] = f"{module}.frozen"
    return [
        onnx.helper.make_node("MatMul", [node.input[0], first], [f"{module}.low"], name=f"/{module}/lora_A"),
        onnx.helper.make_node("MatMul", [f"{module}.low", second], [f"{module}.delta"], name=f"/{module}/lora_B"),
        onnx.helper.make_node("Add", [node.output[0], f"{module}.delta"], [output], name=f"/{module}/lora"),
    ]


def check_modules(modules: Collection[str], shapes: Mapping[str, tuple[int, int]], where: str) -> None:
    problems = Problems()
    for module in sorted(modules):
        if node_of(module) not in shapes:
            problems.add(
                f"the graph has no matrix product for {module}",
                where,
                "adapters over the attention's and the MLP's linear layers can be switched; others can be merged",
            )
    problems.raise_if_any()
