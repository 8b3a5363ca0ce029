"""Cross-entropy over a large vocabulary, in chunks: the logits of all targets are never in memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from graft.engine.kernels import kernels_for
from graft.engine.matmul import matmul

LOGITS_AT_ONCE = 2**23
"""Logits in memory at a time: 32 MB in float32."""


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradient of the hidden states along with the logits, so that the head is computed once."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
    ) -> torch.Tensor:
        """hidden (N, d), weight (vocabulary, d), bias (vocabulary), labels (N) -> the sum of the losses, in nats.

        The sum is float32, or float64 for hidden states of that format.
        """
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
        size = max(1, LOGITS_AT_ONCE // weight.shape[0])
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            logits = matmul(hidden[part], weight)
            logits = (logits if bias is None else logits.add_(bias)).to(total.dtype)
            losses, residual = _cross_entropy(logits, labels[part])
            total += losses.sum()
            if grad is not None:
                grad[part] = matmul(residual.to(hidden.dtype), weight.t())
        if grad is not None:
            ctx.save_for_backward(grad)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of hidden (N, d), from the forward pass, times that of the sum."""
        (grad,) = ctx.saved_tensors
        return grad * grads[0].to(grad.dtype), None, None, None


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """logits (N, vocabulary), which are overwritten, and labels (N) -> losses (N), gradients (N, vocabulary)."""
    library = kernels_for(logits)
    if library:
        losses = logits.new_empty(len(labels))
        library("cross_entropy", logits.dtype, len(labels), logits.shape[1], logits, labels.contiguous(), losses)
        return losses, logits
    places = labels[:, None]
    norms = logits.logsumexp(-1, keepdim=True)
    losses = (norms - logits.gather(1, places))[:, 0]
    residual = logits.sub_(norms).exp_()
    return losses, residual.scatter_add_(1, places, residual.new_full(places.shape, -1.0))


_chunked: Callable[..., torch.Tensor] = _ChunkedCrossEntropy.apply


def chunked_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
) -> torch.Tensor:
    """The sum over N targets of -log softmax(hidden Wᵀ + b)[label], in nats.

    Args:
        hidden: (N, d); the only one that gets a gradient.
        weight: W (vocabulary, d), frozen.
        bias: b (vocabulary), frozen, or None.
        labels: (N), int64.
    """
    return _chunked(hidden, weight, bias, labels)


def frozen_head(model: Any) -> nn.Linear | None:
    """The layer that computes the logits, if it is plain and frozen and nothing follows it; otherwise None."""
    head = model.get_output_embeddings()
    changed = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
    if type(head) is not nn.Linear or any(getattr(model.config, name, None) for name in changed):
        return None
    if any(p.requires_grad for p in head.parameters()) or head._forward_hooks or head._forward_pre_hooks:
        return None
    return None if torch.is_autocast_enabled(head.weight.device.type) else head


@contextmanager
def passed_through(head: nn.Linear) -> Iterator[None]:
    """Within the context, the model returns the hidden states before ``head`` in place of logits."""
    module: Any = head
    module.forward = lambda x: x
    try:
        yield
    finally:
        del module.forward
