"""Whether an adapter is plain LoRA: matrices that a graph can add to products with the base's own weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graft.errors import InputError, Problems
from graft.export.merge import adapter_config
from graft.methods.adapter_folder import read_record
from graft.methods.quantized import NF4
from graft.models.adapter_config import WEIGHTS

REMEDY = "merge it: graft auto-opt --adapter merged"
_OWN_PRODUCTS = {
    "use_dora": "a DoRA adapter cannot be hot-swappable: it rescales the weights of the base",
    "use_qalora": "a QA-LoRA adapter cannot be hot-swappable: it pools its inputs",
    "use_bdlora": "a BD-LoRA adapter cannot be hot-swappable: its matrices are block-diagonal",
    "arrow_config": "an adapter with routing (Arrow) cannot be hot-swappable",
    "alora_invocation_tokens": "an aLoRA adapter cannot be hot-swappable: it is active from its invocation tokens on",
    "layer_replication": "an adapter that repeats layers of its base cannot be hot-swappable",
    "target_parameters": "an adapter of single parameters cannot be hot-swappable: they are no linear layers",
    "trainable_token_indices": "an adapter with new tokens cannot be hot-swappable: it changes the embeddings",
}
"""Fields of PEFT's configuration of LoRA that make it more than two matrices, and what follows."""
_LEAVES_THE_BASE = ("gaussian", "eva", "orthogonal")
"""Initializations that leave the base's weights as they are; others, such as PiSSA, subtract what the adapter begins
with."""


def is_plain_lora(adapter: Path) -> bool:
    """Whether the adapter in a PEFT folder can stand apart from its base in a graph."""
    try:
        check_plain_lora(adapter)
    except InputError:
        return False
    return True


def check_plain_lora(adapter: Path) -> None:
    """Check that an adapter can stand apart from its base.

    Raises:
        InputError: If the adapter in a PEFT folder cannot stand apart from its base in a graph; with each reason.
    """
    config, problems = adapter_config(adapter), Problems()
    kind = config.get("peft_type")
    if kind != "LORA":
        problems.add(f"an adapter of type {kind} is not LoRA and cannot be hot-swappable", str(adapter))
    for name, what in _OWN_PRODUCTS.items():
        if config.get(name):
            problems.add(what, str(adapter), REMEDY)
    for what in _replacing(config):
        problems.add(what, str(adapter), REMEDY)
    if kind == "LORA":
        for what in _of_the_base(config, adapter):
            problems.add(what, str(adapter), REMEDY)
    problems.raise_if_any()


def _replacing(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with an adapter that holds weights besides its matrices."""
    found = []
    if config.get("modules_to_save"):
        names = ", ".join(config["modules_to_save"])
        found.append(f"an adapter that replaces whole layers ({names}) cannot be hot-swappable")
    if config.get("bias") not in (None, "none") or config.get("lora_bias"):
        found.append("an adapter with trained biases cannot be hot-swappable")
    return found


def _of_the_base(config: Mapping[str, Any], adapter: Path) -> list[str]:
    """What is wrong with a LoRA adapter over weights that no graph has, or of layers that are no products."""
    found = []
    init = config.get("init_lora_weights", True)
    if isinstance(init, str) and init.lower() not in _LEAVES_THE_BASE:
        found.append(f"an adapter initialized by {init} cannot be hot-swappable: it changes the weights of the base")
    if (read_record(adapter) or {}).get("format") == NF4["format"]:
        found.append("an adapter trained over NF4 weights cannot be hot-swappable: no bundle has these weights")
    if any(".lora_embedding_" in name for name in _tensor_names(adapter)):
        found.append("an adapter of the embeddings cannot be hot-swappable: they are looked up, not multiplied")
    return found


def _tensor_names(adapter: Path) -> list[str]:
    from safetensors import SafetensorError, safe_open

    file = adapter / WEIGHTS
    if not file.is_file():
        return []
    try:
        with safe_open(file, framework="np") as stream:
            return list(stream.keys())
    except (OSError, SafetensorError):  # a damaged file is said where it is read whole
        return []
