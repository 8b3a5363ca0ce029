"""LoRA adapters as GGUF files, which llama.cpp adds to the base's products at run time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.errors import InputError, Problems
from graft.export.adapter_placement import trained_in_int4
from graft.export.gguf.families import GgufFamily, gguf_family
from graft.export.gguf.tensors import TensorNames, row_order
from graft.export.onnx.plain_lora import check_plain_lora
from graft.models.adapter_config import WEIGHTS
from graft.models.base import Opened

REMEDY = "merge it: graft auto-opt --format gguf --adapter merged"


class LoraPair(NamedTuple):
    """The matrices of one module: A (rank, inputs), and B (outputs, rank) with its scaling folded in."""

    a: Any
    b: Any


def check_unmerged(opened: Opened) -> None:
    """Check that the adapter can be a file of its own.

    Raises:
        InputError: If the adapter of ``opened`` cannot be a GGUF file of its own.
    """
    adapter, problems = opened.adapter, Problems()
    if adapter is None:
        raise InputError("the model has no adapter", where="--adapter", remedy="omit it")
    with problems.collecting():
        check_plain_lora(adapter)
    if trained_in_int4(adapter):
        what = "an adapter trained over int4 weights cannot be a GGUF file of its own: llama.cpp has other weights"
        problems.add(what, str(adapter), REMEDY)
    if opened.base.text_config.get("tie_word_embeddings") and _changes_head(adapter):
        what = "an adapter of a tied lm_head cannot be a GGUF file of its own: it would change the embeddings as well"
        problems.add(what, str(adapter), REMEDY)
    problems.raise_if_any()


def _changes_head(adapter: Path) -> bool:
    from safetensors import safe_open

    with safe_open(adapter / WEIGHTS, "numpy") as file:
        names = set(file.keys())
    return any("lm_head" in name for name in names)


def lora_pairs(model: Any) -> dict[str, LoraPair]:
    """The matrices of each module of a PEFT model, by the module's name in the model of transformers.

    PEFT adds ``scaling * B A x`` to the product of a layer; with rsLoRA the scaling is another (Kalajdzievski 2023),
    and ranks and scalings may differ by module. All of it is in B here.
    """
    found = {}
    for name, module in model.get_base_model().named_modules():
        layers = getattr(module, "lora_A", None)
        if layers is None or not len(layers):
            continue
        (key,) = layers
        a, b = layers[key].weight, module.lora_B[key].weight
        found[name] = LoraPair(_numpy(a), _numpy(b) * module.scaling[key])
    return found


def _numpy(tensor: Any) -> Any:
    return tensor.detach().float().cpu().numpy()


def write_lora(pairs: Mapping[str, LoraPair], config: Any, file: Path, *, name: str) -> None:
    """Write an adapter for the GGUF file of its base.

    Args:
        pairs: What ``lora_pairs`` returned.
        config: The configuration of the base.
        file: The file to write.
        name: The adapter's name.

    Raises:
        InputError: If llama.cpp has no name for a module, or its tensor is not that of one module.
    """
    import gguf

    family = gguf_family(config.model_type)
    if family is None:
        raise InputError(f"GGUF export does not support {config.model_type!r}")
    names = TensorNames(family.architecture, config.num_hidden_layers)
    tensors = [
        (names[renamed], pair)
        for module, given in pairs.items()
        for renamed, pair in _arranged(f"{module}.weight", given, config, family)
    ]
    writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[getattr(gguf.MODEL_ARCH, family.architecture)])
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_name(name)
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, 0.0)  # llama.cpp's word for: no scaling besides the user's
    for tensor, pair in tensors:
        writer.add_tensor(f"{tensor}.lora_a", np.ascontiguousarray(pair.a, np.float32))
        writer.add_tensor(f"{tensor}.lora_b", np.ascontiguousarray(pair.b, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _arranged(name: str, pair: LoraPair, config: Any, family: GgufFamily) -> Iterator[tuple[str, LoraPair]]:
    """``pair`` for each tensor that the base's file makes of the weight ``name``, its rows in the file's order.

    Raises:
        InputError: If a tensor in the file is more than rows of the weight.
    """
    if family.arrange is None:
        yield name, LoraPair(pair.a, pair.b[row_order(config, family, name)])
        return
    whole = list(family.arrange(name, pair.b @ pair.a, config))
    try:
        parts = list(family.arrange(name, pair.b, config))
    except (ValueError, IndexError):
        parts = []
    for place, (renamed, product) in enumerate(whole):
        rows = parts[place][1] if place < len(parts) else None
        if rows is None or rows.shape[-1] != pair.a.shape[0] or not np.allclose(rows @ pair.a, product, atol=1e-5):
            raise InputError(
                f"llama.cpp stores the layer {name} in another layout: an adapter cannot be applied to it",
                remedy=REMEDY,
            )
        yield renamed, LoraPair(pair.a, rows[row_order(config, family, renamed)])
