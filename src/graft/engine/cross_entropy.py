"""Cross-entropy over a large vocabulary, in chunks: the logits of all targets are never there at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from graft.engine.autograd import native
from graft.engine.kernels import wide
from graft.engine.matmul import product

LOGITS_AT_ONCE = 2**23
"""Logits in memory: 32 MB in float32."""


class _ChunkedCrossEntropy(torch.autograd.Function):
    """The gradient of the hidden states is made where the logits are, so that the head is computed once."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, labels: torch.Tensor
    ) -> torch.Tensor:
        wanted = ctx.needs_input_grad[0]
        grad = torch.empty_like(hidden) if wanted else None
        total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
        size = max(1, LOGITS_AT_ONCE // weight.shape[0])
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            logits = product(hidden[part], weight)
            logits = (logits if bias is None else logits.add_(bias)).to(total.dtype)
            losses, residual = _cross_entropy(logits, labels[part])
            total += losses.sum()
            if grad is not None:
                grad[part] = product(residual.to(hidden.dtype), weight.t())
        if grad is not None:
            ctx.save_for_backward(grad)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * grads[0].to(grad.dtype), None, None, None


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """logits (N, vocabulary), which are overwritten, and labels (N) -> losses (N), gradients (N, vocabulary)."""
    made = native(logits)
    if made:
        losses = logits.new_empty(len(labels))
        made("cross_entropy", logits.dtype, wide(len(labels)), logits.shape[1], logits, labels.contiguous(), losses)
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
    """The sum over N targets, in nats, of -log softmax(hidden Wᵀ + b)[label]; W and b are frozen.

    hidden (N, d), weight (vocabulary, d), labels (N).
    """
    return _chunked(hidden, weight, bias, labels)


def frozen_head(model: Any) -> nn.Linear | None:
    """The layer that makes the logits, where it is a plain frozen one and nothing comes after it."""
    head = model.get_output_embeddings()
    changed = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
    if type(head) is not nn.Linear or any(getattr(model.config, name, None) for name in changed):
        return None
    if any(p.requires_grad for p in head.parameters()) or head._forward_hooks or head._forward_pre_hooks:
        return None
    return None if torch.is_autocast_enabled(head.weight.device.type) else head


@contextmanager
def passed_through(head: nn.Linear) -> Iterator[None]:
    """Within the context the model returns the hidden states before ``head`` in the place of logits."""
    module: Any = head
    module.forward = lambda x: x
    try:
        yield
    finally:
        del module.forward
