"""NEFTune: uniform noise on the embeddings of each row (Jain et al. 2023, arXiv:2310.05914, algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from graft.engine.losses import IGNORED


@contextmanager
def noisy_embeddings(model: torch.nn.Module, alpha: float) -> Iterator[None]:
    """Within the context, training adds noise from U(-b, b) to each embedding, b = alpha / sqrt(L · d).

    L is the length of the row in tokens, d the hidden size. It is the row's own length, neither that of the padded
    batch nor of the pack: the noise is as strong whatever else is in the batch. transformers' own hook takes the length
    of the tensor.

    Args:
        model: Called with the batches of ``pack`` (made without shared prefixes), or with an attention mask.
        alpha: The strength; 0 adds nothing.
    """
    if not alpha:
        yield
        return
    noise = _Noise(alpha)
    handles: list[Any] = [model.register_forward_pre_hook(noise.take_lengths, with_kwargs=True)]
    handles += [module.register_forward_hook(noise.add) for module in _embeddings(model)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _embeddings(model: Any) -> list[torch.nn.Module]:
    """The modules that embed input ids: one, or one for each side of an encoder-decoder with one weight."""
    first = model.get_input_embeddings()
    weight, inside = getattr(first, "weight", None), set(first.modules())
    tied = (m for m in model.modules() if isinstance(m, torch.nn.Embedding) and m not in inside)
    return [first, *(module for module in tied if module.weight is weight)]


class _Noise:
    """The hooks: one takes the lengths of the rows, the other adds the noise."""

    def __init__(self, alpha: float) -> None:
        self.alpha = alpha
        self.lengths: list[torch.Tensor] = []

    def take_lengths(self, model: torch.nn.Module, args: Any, kwargs: Mapping[str, Any]) -> None:
        """The length of each token's row, broadcast over the input ids; of an encoder-decoder, of both sides."""
        self.lengths = []
        if not model.training:
            return
        if "layout" in kwargs:
            spans = kwargs["layout"].spans
            tokens = (spans[:, 1] - spans[:, 0]).long()
            # A pack omits the last token of a row, which predicts nothing.
            self.lengths = [(tokens + 1).repeat_interleave(tokens)[None]]
            return
        self.lengths = [kwargs["attention_mask"].sum(-1, keepdim=True)]
        if kwargs.get("labels") is not None:  # the decoder reads them
            self.lengths.append((kwargs["labels"] != IGNORED).sum(-1, keepdim=True))

    def add(self, embeddings: torch.nn.Module, args: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        """The output with its noise, in training; called for the encoder first, then for the decoder."""
        if not embeddings.training or not self.lengths:
            return output
        lengths = self.lengths.pop(0)
        bound = self.alpha / math.sqrt(output.shape[-1]) / lengths.to(output.device, torch.float32).sqrt()
        noise = torch.rand_like(output, dtype=torch.float32).mul_(2).sub_(1)
        return output + (noise * bound[..., None]).to(output.dtype)
