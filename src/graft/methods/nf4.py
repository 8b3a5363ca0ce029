"""NF4 (Dettmers et al. 2023, arXiv:2305.14314, section 3), by bitsandbytes: for a CUDA GPU."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from graft.errors import need_extra


def to_nf4(model: Any, names: Collection[str]) -> None:
    """Put bitsandbytes' layers in the place of those called ``names``; where there is a GPU they are quantized on it.

    Raises:
        MissingExtra: without bitsandbytes.
    """
    bitsandbytes, device = _bitsandbytes(), _device()
    for name in names:
        parent, _, leaf = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, leaf, _layer(bitsandbytes, getattr(owner, leaf)).to(device))
    model.is_loaded_in_4bit = True  # how PEFT knows which of its layers stands over them


def round_to_nf4(model: Any, names: Collection[str]) -> None:
    """Give the layers called ``names`` the values that they have in NF4, as floating point.

    The result computes what an adapter over NF4 was trained on, on any device, and an adapter can be merged into it.
    A head that was tied to the embeddings has a weight of its own, since the embeddings are not quantized.

    Raises:
        MissingExtra: without bitsandbytes.
    """
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    bitsandbytes, device = _bitsandbytes(), _device()
    for name in names:
        layer = model.get_submodule(name)
        packed = _layer(bitsandbytes, layer).to(device).weight
        values = bitsandbytes.functional.dequantize_4bit(packed.data, packed.quant_state).to(layer.weight)
        values = values.T.contiguous() if isinstance(layer, Conv1D) else values
        layer.weight = nn.Parameter(values, requires_grad=False)


def _bitsandbytes() -> Any:
    try:
        import bitsandbytes
    except ImportError as error:
        raise need_extra("gpu", "bitsandbytes") from error
    return bitsandbytes


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _layer(bitsandbytes: Any, layer: Any) -> Any:
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    weight = layer.weight.detach()
    weight = weight.T.contiguous() if isinstance(layer, Conv1D) else weight
    out_features, in_features = weight.shape
    new = bitsandbytes.nn.Linear4bit(
        in_features,
        out_features,
        bias=layer.bias is not None,
        compute_dtype=weight.dtype,
        quant_type="nf4",
        device="meta",
    )
    new.weight = bitsandbytes.nn.Params4bit(weight, requires_grad=False, quant_type="nf4")
    if layer.bias is not None:
        new.bias = nn.Parameter(layer.bias.detach(), requires_grad=False)
    return new
