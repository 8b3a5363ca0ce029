"""A frozen base in 4 bits: which layers are quantized, the record of it in a run, and the weights that ship."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.methods.adapter_folder import read_record
from graft.methods.int4_linear import Int4Linear
from graft.methods.layers import linear_layers
from graft.models.base import open_run_or_model
from graft.models.int4 import BLOCK, Int4Weight, sha256_of_weights
from graft.models.stored import load_to_quantize, to_float32

INT4 = {"format": "MatMulNBits", "bits": 4, "block_size": BLOCK, "symmetric": True, "rounding": "nearest"}
NF4 = {"format": "nf4"}


def chosen_format(wanted: str) -> str:
    """``int4`` or ``nf4``; ``wanted`` may be ``auto`` as well."""
    import torch

    if wanted != "auto":
        return wanted
    return "nf4" if torch.cuda.is_available() and importlib.util.find_spec("bitsandbytes") else "int4"


def quantize_base(model: Any, wanted: str, kept: Collection[str] = ()) -> dict[str, Any]:
    """Replace ``model``'s linear layers by quantized ones, one after the other, and return the record of it.

    They are those that the model builder of onnxruntime-genai quantizes: every linear layer with the language model's
    head among them, also where it is tied to the embeddings; these then have the head's values, since they share them
    where it ships. The layers in ``kept``, which are trained in full, stay as they are.
    """
    names = [name for name in linear_layers(model) if not any(_within(name, part) for part in kept)]
    if chosen_format(wanted) == "nf4":
        from graft.methods.nf4 import to_nf4

        to_float32(model)
        to_nf4(model, names)
        return {**NF4, "layers": names}
    to_int4(model, names)
    return {**INT4, "layers": names, "sha256": sha256_of_weights(int4_weights(model))}


def quantize_as_recorded(model: Any, record: Mapping[str, Any], where: str, as_float: bool = False) -> None:
    """As ``quantize_base`` did when ``record`` was made.

    Args:
        model: The base.
        record: The record.
        where: The file that it is from, for messages.
        as_float: Whether layers in NF4 are plain ones with the same values, which run on any device and can be merged.

    Raises:
        InputError: when the format is not known, or ``model`` is not the one that was quantized.
    """
    missing = set(record.get("layers", ())) - set(linear_layers(model))
    known = record.get("format") == NF4["format"] or all(record.get(name) == value for name, value in INT4.items())
    if missing or not known:
        reason = f"it has no layer {min(missing)}" if missing else f"{record.get('format')!r} is an unknown format"
        raise InputError(f"the base cannot be quantized like the adapter's base: {reason}", where=where)
    if record["format"] == NF4["format"]:
        from graft.methods.nf4 import round_to_nf4, to_nf4

        to_float32(model)
        (round_to_nf4 if as_float else to_nf4)(model, record["layers"])
        return
    to_int4(model, record["layers"])
    if sha256_of_weights(int4_weights(model)) != record.get("sha256"):
        raise InputError(
            "the int4 weights of this base differ from those that the adapter was trained on",
            where=where,
            remedy="use the base model that adapter_config.json names",
        )


def to_int4(model: Any, names: Collection[str]) -> None:
    """Quantize the layers called ``names`` in place; what else there is becomes float32, and the file is let go of."""
    shared = _embeddings_of_the_head(model)
    for name in names:
        parent, _, leaf = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, leaf, Int4Linear.of(getattr(owner, leaf)))
    head = model.get_output_embeddings()
    if shared is not None and isinstance(head, Int4Linear):
        shared.weight.data = head.weight
    to_float32(model)


def _embeddings_of_the_head(model: Any) -> Any:
    """The embeddings, where the head has their very weight."""
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    return embeddings if head is not None and getattr(head, "weight", None) is embeddings.weight else None


def int4_weights(model: Any) -> dict[str, Int4Weight]:
    """The int4 weights that ``model`` computes with, by the names the layers have in the plain model."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return {
        name.removesuffix(".base_layer"): module.int4
        for name, module in base.named_modules()
        if isinstance(module, Int4Linear)
    }


def shipped_weights(run_or_adapter: Path) -> dict[str, Int4Weight]:
    """The int4 weights that a qlora run was trained on, to be shipped bit for bit: made of its base again, and compared
    with the hash in its record.

    Each is what MatMulNBits takes: ``packed`` (out, blocks, 16), ``scales`` (out, blocks), ``zero_points`` None.

    Raises:
        InputError: when the run's base was not quantized to int4, or is not the one it was trained on.
    """
    opened = open_run_or_model(run_or_adapter)
    record = read_record(opened.adapter) if opened.adapter else None
    if record is None or record.get("format") != INT4["format"]:
        raise InputError(
            "this adapter was not trained on an int4 base", where=str(run_or_adapter), remedy="--method qlora"
        )
    model = load_to_quantize(opened.base)
    quantize_as_recorded(model, record, str(run_or_adapter))
    return int4_weights(model)


def _within(name: str, part: str) -> bool:
    """Whether the layer ``name`` is ``part`` or inside it, where ``part`` may be the end of a name."""
    return f".{part}." in f".{name}."
