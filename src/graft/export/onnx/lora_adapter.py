"""LoRA adapters for the slots of an ONNX base: read, checked against the base, written for onnxruntime."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graft.errors import InputError, Problems, nearest
from graft.export.merge import adapter_config
from graft.export.onnx.genai_folder import ADAPTERS
from graft.export.onnx.graph import in_graph, node_of
from graft.export.onnx.lora_slots import LinearShape, LoraMatrices, slot_names
from graft.export.onnx.plain_lora import check_plain_lora
from graft.files import expanded
from graft.models.base import Base
from graft.models.open import check_adapter, run_of_adapter
from graft.processes import without_telemetry
from graft.runs.bundle_manifest import is_adapter_name
from graft.runs.manifest import read_run

MOST_PROBLEMS = 5


@dataclass(frozen=True)
class LoraAdapter:
    """A LoRA adapter that can be an input of a graph.

    Attributes:
        name: The name it is activated by.
        path: The PEFT folder.
        run: The run that it belongs to, if any.
        matrices: A and B by module, under the names in the graph.
    """

    name: str
    path: Path
    run: Path | None
    matrices: Mapping[str, LoraMatrices] = field(repr=False)

    @property
    def ranks(self) -> list[int]:
        """Each rank that occurs, in ascending order; modules may differ."""
        return sorted({pair.a.shape[1] for pair in self.matrices.values()})


def name_paths(given: Sequence[str]) -> dict[str, Path]:
    """Adapters as a user lists them, ``PATH`` or ``NAME=PATH``, by name; a run's name is that of its folder.

    Raises:
        InputError: If a name is given twice, or cannot be a file name.
    """
    found: dict[str, Path] = {}
    problems = Problems()
    for text in given:
        name, equals, rest = ("", "", text) if expanded(text).exists() else text.partition("=")
        path = expanded(rest if equals else text)
        if not equals:
            resolved = path.resolve()
            name = resolved.parent.name if resolved.name == "adapter" else resolved.name
        if name in found:
            problems.add(f"two adapters have the name {name!r}", text, "give each a name: a=PATH,b=PATH")
        if not is_adapter_name(name):
            problems.add(f"{name!r} is not a valid adapter name", text, "use letters, digits, -, _ and .")
        found[name] = path
    problems.raise_if_any()
    return found


def open_adapters(named: Mapping[str, Path], base: Base) -> list[LoraAdapter]:
    """Open adapters (name to folder) for ``base``.

    Raises:
        InputError: With everything that is wrong with any of them.
    """
    found: list[LoraAdapter] = []
    problems = Problems()
    for name, path in named.items():
        with problems.collecting():
            found.append(open_adapter(name, path, base))
    problems.raise_if_any()
    return found


def adapter_folder(given: Path) -> Path:
    """The PEFT folder of ``given``, a run or such a folder."""
    return given / "adapter" if (given / "adapter" / "adapter_config.json").is_file() else given


def open_adapter(name: str, given: Path, base: Base) -> LoraAdapter:
    """Open the adapter in ``given``, a run folder or a PEFT folder, for ``base``.

    Raises:
        InputError: If it was trained on another base, is not plain LoRA, or cannot be read.
    """
    path = adapter_folder(given)
    config = adapter_config(path)
    run = run_of_adapter(path)
    if run is not None:
        _check_base(run, base, given)
    check_plain_lora(path)
    check_adapter(path)
    matrices = {module: pair for layer in _layers(path, config) for module, pair in _parts(layer)}
    if not matrices:
        raise InputError("this adapter has no LoRA matrices", where=str(path))
    return LoraAdapter(name, path, run, matrices)


def _check_base(run: Path, base: Base, where: Path) -> None:
    recorded = read_run(run).base
    if recorded is not None and recorded.sha256 not in (None, base.sha256):
        raise InputError(
            f"this adapter was trained on {recorded.name}, not on {base.label}: the SHA-256 of their weights differ",
            where=str(where),
            remedy=f"--base_model_path {recorded.name}, or train an adapter on this base",
        )


class _Layer(NamedTuple):
    """One adapted layer: its name in the model, A (rank, columns), B (rows, rank), and the scale of their product."""

    module: str
    a: NDArray[np.float32]
    b: NDArray[np.float32]
    scale: float


def _layers(path: Path, config: dict[str, Any]) -> Iterator[_Layer]:
    from peft.utils.other import get_pattern_key
    from safetensors.numpy import load_file

    tensors = load_file(path / "adapter_model.safetensors")
    for name, first in tensors.items():
        module = name.removeprefix("base_model.model.")
        if not module.endswith(".lora_A.weight"):
            if not module.endswith(".lora_B.weight"):
                raise InputError(f"the tensor {name} is not a LoRA matrix of a linear layer", where=str(path))
            continue
        module = module.removesuffix(".lora_A.weight")
        second = tensors.get(name.replace("lora_A", "lora_B"))
        if second is None:
            raise InputError(f"the adapter has a matrix A but no matrix B for {module}", where=str(path))
        patterns: dict[str, float] = config.get("alpha_pattern") or {}
        alpha = patterns.get(str(get_pattern_key(list(patterns), module)), config.get("lora_alpha", 1))
        rank = first.shape[0]
        scale = float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
        yield _Layer(module, first, second, scale)


def _parts(layer: _Layer) -> Iterator[tuple[str, LoraMatrices]]:
    """The matrices of each layer that this one becomes in the graph, with the scale folded into B."""
    parts = in_graph(layer.module)
    scaled = layer.b.T.astype(np.float32) * np.float32(layer.scale)
    for part, columns in zip(parts, np.split(scaled, len(parts), axis=1), strict=True):
        yield part, LoraMatrices(np.ascontiguousarray(layer.a.T, np.float32), np.ascontiguousarray(columns))


def check_shapes(adapter: LoraAdapter, shapes: Mapping[str, LinearShape], slots: Sequence[str] | None = None) -> None:
    """Check that the graph has a place for each matrix.

    Args:
        adapter: The adapter.
        shapes: The shape of each linear layer of the graph, by node.
        slots: The modules that have a slot, in a bundle that exists already.

    Raises:
        InputError: With the first few matrices that have no place.
    """
    problems = Problems()
    for module, pair in adapter.matrices.items():
        _check_shape(adapter, module, LinearShape(pair.a.shape[0], pair.b.shape[1]), shapes, slots, problems)
        if len(problems.found) >= MOST_PROBLEMS:
            break
    problems.raise_if_any()


def _check_shape(
    adapter: LoraAdapter,
    module: str,
    own: LinearShape,
    shapes: Mapping[str, LinearShape],
    slots: Sequence[str] | None,
    problems: Problems,
) -> None:
    where, node = str(adapter.path), node_of(module)
    if slots is not None and module not in slots:
        near = nearest(module, slots)
        hint = f"the nearest is {near}; " if near else ""
        remedy = f"{hint}build the bundle again with all adapters: graft generate-adapter --adapter_paths …"
        problems.add(f"the bundle has no slot for {module}", where, remedy)
    elif node not in shapes:
        problems.add(f"the base has no linear layer {module}", where, "use the base that the adapter was trained on")
    elif own != shapes[node]:
        base = shapes[node]
        problems.add(
            f"{module}: the adapter has {own.columns} × {own.rows}, but the base has {base.columns} × {base.rows}",
            where,
            "use an adapter that was trained on this base",
        )


def adapter_path(bundle: Path, name: str) -> Path:
    """The file of an adapter in a bundle."""
    return bundle / ADAPTERS / f"{name}.onnx_adapter"


def write_adapter(adapter: LoraAdapter, file: Path) -> None:
    """Write ``adapter`` in onnxruntime's adapter format."""
    without_telemetry()
    import onnxruntime

    values = {}
    for module, pair in adapter.matrices.items():
        for slot, matrix in zip(slot_names(module), pair, strict=True):
            values[slot] = onnxruntime.OrtValue.ortvalue_from_numpy(matrix)
    form = onnxruntime.AdapterFormat()
    form.set_adapter_version(1)
    form.set_model_version(1)
    form.set_parameters(values)
    file.parent.mkdir(parents=True, exist_ok=True)
    form.export_adapter(str(file))
