"""The tensors of a GGUF file: names, order of rows, number formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from graft.errors import InputError
from graft.export.gguf.families import GgufFamily
from graft.export.gguf.shape import rope_tensors
from graft.export.quantize.gptq import QuantizedBlocks, quantize

TYPES = {"float32": "F32", "float16": "F16", "int8": "Q8_0", "int4": "Q4_1"}
"""llama.cpp's types of matrices, by precision. Vectors are float32 in all of them."""

_BLOCK = 32


class TensorNames:
    """llama.cpp's names of a model's tensors.

    Args:
        architecture: By its name in ``gguf.MODEL_ARCH``.
        layers: The number of layers.
    """

    def __init__(self, architecture: str, layers: int) -> None:
        import gguf

        self._names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture), layers)

    def __getitem__(self, name: str) -> str:
        """The name in the file of transformers' tensor ``name``, with ``.weight`` or ``.bias``.

        Raises:
            InputError: If llama.cpp has no name for it.
        """
        found = self._names.get_name(name, (".weight", ".bias"))
        if found is None:
            raise InputError(f"llama.cpp has no name for the tensor {name}")
        return str(found)


def tensor_name(config: Any, family: GgufFamily, name: str) -> str:
    """llama.cpp's name of the tensor that transformers calls ``name``, such as ``model.norm.weight``.

    Raises:
        InputError: If llama.cpp has no name for it.
    """
    return TensorNames(family.architecture, config.num_hidden_layers)[name]


def row_order(config: Any, family: GgufFamily, name: str) -> Any:
    """The order that the rows of tensor ``name`` have in the file: an index array, or ``slice(None)``.

    llama.cpp rotates adjacent pairs of a Llama's queries and keys, transformers the two halves of a head.
    """
    heads = {
        "q_proj": config.num_attention_heads,
        "k_proj": getattr(config, "num_key_value_heads", None) or config.num_attention_heads,
    }
    count = next((heads[part] for part in name.split(".") if part in heads), None) if family.permuted else None
    if count is None:
        return slice(None)
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return np.arange(count * size).reshape(count, 2, -1).swapaxes(1, 2).reshape(-1)


class _Tensor(NamedTuple):
    """A tensor: its name in transformers, its values in float32, and the layer whose blocks it is with their order."""

    name: str
    values: Any
    layer: str
    blocks: Any


def add_tensors(
    writer: Any, model: Any, family: GgufFamily, precision: str, rounded: Mapping[str, QuantizedBlocks]
) -> None:
    """Write the tensors of ``model``, matrices in ``precision``, those in ``rounded`` as they are there."""
    import gguf

    names = TensorNames(family.architecture, model.config.num_hidden_layers)
    for name, factors in rope_tensors(model.config).items():
        writer.add_tensor(name, factors)
    for name, values, layer, order in _tensors(model, family):
        kind = _type_of(values, precision, names[name])
        if kind == gguf.GGMLQuantizationType.Q4_1 and values.ndim == 2:
            blocks = rounded.get(layer)
            data = _packed(quantize(values, None)) if blocks is None else _packed(blocks, order)
        else:
            data = gguf.quants.quantize(np.ascontiguousarray(values), kind)
        writer.add_tensor(names[name], data, raw_dtype=kind)


def is_tied(model: Any) -> bool:
    """The head is the embedding, whatever the configuration says."""
    head = model.get_output_embeddings()
    return head is not None and head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def _tensors(model: Any, family: GgufFamily) -> Iterator[_Tensor]:
    tied = is_tied(model)
    for name, value in model.state_dict().items():
        if name.endswith((".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")):
            continue
        if tied and name in {"lm_head.weight", "embed_out.weight"} and family.head != "required":
            continue
        layer = "lm_head" if tied and value.data_ptr() == model.get_input_embeddings().weight.data_ptr() else ""
        tensor = value.float().contiguous().numpy()
        if family.norm_offset and name.endswith("norm.weight"):
            tensor = tensor + 1
        rows = np.arange(len(tensor)).reshape(-1, *[1] * (tensor.ndim - 1))
        pairs = zip(*(_arranged(name, one, model.config, family) for one in (tensor, rows)), strict=True)
        for (renamed, part), (_, order) in pairs:
            yield _Tensor(renamed, part, layer or name.removesuffix(".weight"), order.reshape(-1))


def _arranged(name: str, tensor: Any, config: Any, family: GgufFamily) -> Iterator[tuple[str, Any]]:
    """The tensors of the file that ``tensor`` becomes, their rows in the file's order."""
    parts = family.arrange(name, tensor, config) if family.arrange else iter([(name, tensor)])
    for renamed, part in parts:
        yield renamed, part[row_order(config, family, renamed)]


def _type_of(tensor: Any, precision: str, name: str) -> Any:
    """Vectors, position tables and routers are float32: llama.cpp multiplies them with float32 values."""
    import gguf

    kept = tensor.ndim < 2 or name.startswith("position_embd") or "ffn_gate_inp" in name
    whole = precision in {"float32", "float16"} or tensor.shape[-1] % _BLOCK == 0
    kind = "F32" if kept else TYPES[precision] if whole else "F16"
    return getattr(gguf.GGMLQuantizationType, kind)


def _packed(blocks: QuantizedBlocks, order: Any = slice(None)) -> Any:
    """Blocks in llama.cpp's Q4_1 (rows, bytes): scale and minimum in float16, then levels i and i + 16 in one byte."""
    scales, zeros = blocks.scales[order], blocks.zeros[order]
    levels = blocks.levels[order].reshape(*scales.shape, 2, _BLOCK // 2)
    minimum = -(zeros.astype(np.float32) * scales)
    ends = np.stack([scales, minimum], axis=-1).astype(np.float16).view(np.uint8)
    whole = np.concatenate([ends, levels[..., 0, :] | (levels[..., 1, :] << 4)], axis=-1)
    return whole.reshape(len(whole), -1)
