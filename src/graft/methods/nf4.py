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
    import torch

    try:
        import bitsandbytes
    except ImportError as error:
        raise need_extra("gpu", "bitsandbytes") from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for name in names:
        parent, _, leaf = name.rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, leaf, _layer(bitsandbytes, getattr(owner, leaf)).to(device))
    model.is_loaded_in_4bit = True  # how PEFT knows which of its layers stands over them


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
