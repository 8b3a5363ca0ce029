"""LoRA adapters for the slots of an ONNX base: read, checked against the base, written for onnxruntime."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graft.errors import InputError, Problems, nearest
from graft.export.bundle import ADAPTERS
from graft.export.merge import MERGEABLE, adapter_config
from graft.export.onnx.graph import in_graph, node_of
from graft.export.onnx.lora_slots import slot_names
from graft.models.base import Base
from graft.models.open import check_adapter

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class LoraAdapter:
    """An adapter that can be switched: ``matrices`` by module, A (columns, rank) and B (rank, rows) with its scale."""

    name: str
    path: Path
    run: Path | None
    matrices: Mapping[str, tuple[Floats, Floats]] = field(repr=False)

    @property
    def ranks(self) -> list[int]:
        return sorted({first.shape[1] for first, _ in self.matrices.values()})


def name_paths(given: Sequence[str]) -> dict[str, Path]:
    """``a`` or ``name=a`` -> name and folder; a run's name is its folder's.

    Raises:
        InputError: when a name is given twice, or can't be a file's.
    """
    found: dict[str, Path] = {}
    problems = Problems()
    for text in given:
        name, equals, rest = text.partition("=")
        path = Path(rest if equals else text).expanduser()
        if not equals:
            resolved = path.resolve()
            name = resolved.parent.name if resolved.name == "adapter" else resolved.name
        if name in found:
            problems.add(f"two adapters are called {name!r}", text, "give names: a=PATH,b=PATH")
        if not name or not all(letter.isalnum() or letter in "-_." for letter in name) or name.startswith("."):
            problems.add(f"{name!r} can't be an adapter's name", text, "letters, digits, - and _")
        found[name] = path
    problems.raise_if_any()
    return found


def open_adapters(named: Mapping[str, Path], base: Base) -> list[LoraAdapter]:
    """All of ``named``, each fit for ``base``.

    Raises:
        InputError: with everything that is wrong with any of them.
    """
    found: list[LoraAdapter] = []
    problems = Problems()
    for name, path in named.items():
        try:
            found.append(open_adapter(name, path, base))
        except InputError as error:
            problems.found.extend(error.problems)
    problems.raise_if_any()
    return found


def open_adapter(name: str, given: Path, base: Base) -> LoraAdapter:
    """Raises:
    InputError: when it does not fit ``base``, or is no plain LoRA, or does not read.
    """
    path = given / "adapter" if (given / "adapter" / "adapter_config.json").is_file() else given
    config = adapter_config(path)
    run = path.resolve().parent
    manifest = run / "manifest.json"
    is_run = path.resolve().name == "adapter" and manifest.is_file()
    if is_run:
        _check_base(json.loads(manifest.read_text(encoding="utf-8")).get("base") or {}, base, given)
    _check_kind(config, path)
    check_adapter(path)
    return LoraAdapter(name, path, run if is_run else None, _matrices(path, config))


def _check_base(recorded: dict[str, Any], base: Base, where: Path) -> None:
    if recorded.get("sha256") not in (None, base.sha256):
        raise InputError(
            f"this adapter was trained on {recorded.get('name')}, not on {base.label}: the weights' SHA-256 differ",
            where=str(where),
            remedy=f"--base_model_path {recorded.get('name')}, or tune an adapter on this base",
        )


def _check_kind(config: dict[str, Any], where: Path) -> None:
    problems = Problems()
    kind = config.get("peft_type")
    if kind not in MERGEABLE:
        problems.add(f"an adapter of the type {kind} can't be switched: it is no pair of matrices", where)
    remedy = "merge it: graft auto-opt"
    if config.get("use_dora"):
        problems.add("a DoRA adapter can't be switched: it rescales the base's own weights", where, remedy)
    if config.get("modules_to_save"):
        names = ", ".join(config["modules_to_save"])
        problems.add(f"this adapter brings whole layers with it ({names}), which can't be switched", where, remedy)
    if config.get("bias") not in (None, "none") or config.get("lora_bias"):
        problems.add("an adapter with trained biases can't be switched", where, remedy)
    problems.raise_if_any()


def _matrices(path: Path, config: dict[str, Any]) -> dict[str, tuple[Floats, Floats]]:
    from peft.utils.other import get_pattern_key
    from safetensors.numpy import load_file

    tensors = load_file(path / "adapter_model.safetensors")
    found: dict[str, tuple[Floats, Floats]] = {}
    for name, first in tensors.items():
        module = name.removeprefix("base_model.model.")
        if not module.endswith(".lora_A.weight"):
            if not module.endswith(".lora_B.weight"):
                raise InputError(f"the tensor {name} is no LoRA matrix of a linear layer", where=str(path))
            continue
        module = module.removesuffix(".lora_A.weight")
        second = tensors.get(name.replace("lora_A", "lora_B"))
        if second is None:
            raise InputError(f"the adapter has an A but no B for {module}", where=str(path))
        patterns: dict[str, float] = config.get("alpha_pattern") or {}
        alpha = patterns.get(str(get_pattern_key(list(patterns), module)), config.get("lora_alpha", 1))
        rank = first.shape[0]
        scale = float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)
        parts = in_graph(module)
        scaled = second.T.astype(np.float32) * np.float32(scale)
        for part, columns in zip(parts, np.split(scaled, len(parts), axis=1), strict=True):
            found[part] = (np.ascontiguousarray(first.T, np.float32), np.ascontiguousarray(columns))
    if not found:
        raise InputError("there are no LoRA matrices in this adapter", where=str(path))
    return found


def check_shapes(
    adapter: LoraAdapter, shapes: Mapping[str, tuple[int, int]], slots: Sequence[str] | None = None
) -> None:
    """Whether each matrix has a place in the graph (in ``slots``, where they are fixed) and its shape there.

    Raises:
        InputError: with all that have none.
    """
    problems = Problems()
    for module, (first, second) in adapter.matrices.items():
        node = node_of(module)
        if slots is not None and module not in slots:
            near = nearest(module, slots)
            hint = f"the nearest is {near}; " if near else ""
            problems.add(
                f"the bundle has no slot for {module}",
                str(adapter.path),
                f"{hint}build it anew with all adapters: graft generate-adapter --adapter_paths …",
            )
        elif node not in shapes:
            problems.add(f"the base has no linear layer {module}", str(adapter.path), "is it of another family?")
        elif (first.shape[0], second.shape[1]) != shapes[node]:
            problems.add(
                f"{module}: the adapter is for {first.shape[0]} × {second.shape[1]}, the base has "
                f"{shapes[node][0]} × {shapes[node][1]}",
                str(adapter.path),
                "it was trained on a model of another size",
            )
        if len(problems.found) >= 5:
            break
    problems.raise_if_any()


def adapter_path(bundle: Path, name: str) -> Path:
    return bundle / ADAPTERS / f"{name}.onnx_adapter"


def write_adapter(adapter: LoraAdapter, file: Path) -> None:
    """``file`` in onnxruntime's adapter format."""
    import onnxruntime

    values = {}
    for module, matrices in adapter.matrices.items():
        for slot, matrix in zip(slot_names(module), matrices, strict=True):
            values[slot] = onnxruntime.OrtValue.ortvalue_from_numpy(matrix)
    form = onnxruntime.AdapterFormat()
    form.set_adapter_version(1)
    form.set_model_version(1)
    form.set_parameters(values)
    file.parent.mkdir(parents=True, exist_ok=True)
    form.export_adapter(str(file))
