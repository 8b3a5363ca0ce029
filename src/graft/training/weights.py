"""The weights that a training tunes: their hash, and a copy of them in memory."""

from __future__ import annotations

import hashlib
from typing import Any

import torch


def tuned_weights(model: Any) -> dict[str, torch.Tensor]:
    """Return the parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def weights_sha256(weights: dict[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the names, shapes and bytes of ``weights``."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def kept(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a copy of ``weights``."""
    return {name: tensor.detach().clone() for name, tensor in weights.items()}


@torch.no_grad()
def put_back(weights: dict[str, torch.Tensor], copies: dict[str, torch.Tensor]) -> None:
    """Set ``weights`` to the values that were kept."""
    for name, tensor in weights.items():
        tensor.copy_(copies[name])
