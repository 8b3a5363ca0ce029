"""Cross-entropy over a large vocabulary, in chunks: the logits of all targets are never in memory together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from graft.engine.kernels import kernels_for
from graft.engine.matmul import matmul
from graft.engine.modules import has_hooks
from graft.engine.token_rows import TokenRows, token_rows

LOGITS_AT_ONCE = 2**23
"""Logits in memory at a time: 32 MB in float32."""


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Computes the gradients along with the logits, so that the head is computed once."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        labels: torch.Tensor,
        ids: torch.Tensor | None,
        rows: torch.Tensor | None,
    ) -> torch.Tensor:
        """hidden (N, d), weight (vocabulary, d), bias (vocabulary), labels (N) -> the sum of the losses, in nats.

        ``rows`` (k, d) take the place of the rows ``ids`` (k) of ``weight``. The sum is float32, or float64 for hidden
        states of that format.
        """
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_rows = torch.zeros_like(rows) if rows is not None and ctx.needs_input_grad[5] else None
        total = hidden.new_zeros((), dtype=torch.promote_types(hidden.dtype, torch.float32))
        size = max(1, LOGITS_AT_ONCE // weight.shape[0])
        for start in range(0, len(labels), size):
            part = slice(start, start + size)
            logits = matmul(hidden[part], weight)
            if rows is not None:
                logits[:, ids] = hidden[part] @ rows.t()
            logits = (logits if bias is None else logits.add_(bias)).to(total.dtype)
            losses, residual = _cross_entropy(logits, labels[part])
            total += losses.sum()
            own = None if rows is None else residual[:, ids].to(hidden.dtype)
            if grad_rows is not None and own is not None:
                grad_rows += own.t() @ hidden[part]
            if grad is not None:
                if rows is not None:
                    residual[:, ids] = 0
                grad[part] = matmul(residual.to(hidden.dtype), weight.t())
                if rows is not None and own is not None:
                    grad[part] += own @ rows
        ctx.save_for_backward(*(found for found in (grad, grad_rows) if found is not None))
        ctx.has = grad is not None, grad_rows is not None
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients of hidden (N, d) and of rows (k, d), from the forward pass, times that of the sum."""
        saved = iter(ctx.saved_tensors)
        grad, grad_rows = (next(saved) if has else None for has in ctx.has)
        factor = grads[0]
        return (
            None if grad is None else grad * factor.to(grad.dtype),
            *[None] * 4,
            None if grad_rows is None else grad_rows * factor.to(grad_rows.dtype),
        )


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
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    labels: torch.Tensor,
    rows: TokenRows | None = None,
) -> torch.Tensor:
    """The sum over N targets of -log softmax(hidden Wᵀ + b)[label], in nats.

    Args:
        hidden: (N, d); gets a gradient.
        weight: W (vocabulary, d), frozen.
        bias: b (vocabulary), frozen, or None.
        labels: (N), int64.
        rows: Rows that take the place of those of W, and get a gradient.
    """
    return _chunked(hidden, weight, bias, labels, *(rows or (None, None)))


class FrozenHead(NamedTuple):
    """A head that the chunked cross-entropy computes.

    Attributes:
        module: The layer that the model calls.
        weight: (vocabulary, d), frozen.
        bias: (vocabulary), frozen, or None.
        rows: Those of its rows that are trained; None for none.
    """

    module: nn.Module
    weight: torch.Tensor
    bias: torch.Tensor | None
    rows: TokenRows | None


def frozen_head(model: Any) -> FrozenHead | None:
    """The layer that computes the logits, if it is plain and frozen but for single rows, and nothing follows it."""
    module = model.get_output_embeddings()
    rows = token_rows(module)
    head = module if rows is None else module.token_adapter.get_base_layer()
    changed = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier")
    if type(head) is not nn.Linear or any(getattr(model.config, name, None) for name in changed):
        return None
    if any(p.requires_grad for p in head.parameters()) or has_hooks(module) or has_hooks(head):
        return None
    if torch.is_autocast_enabled(head.weight.device.type):
        return None
    return FrozenHead(module, head.weight, head.bias, rows)


@contextmanager
def passed_through(head: nn.Module) -> Iterator[None]:
    """Within the context, the model returns the hidden states before ``head`` in place of logits."""
    module: Any = head
    before = vars(module).get("forward")
    module.forward = lambda x: x
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before
