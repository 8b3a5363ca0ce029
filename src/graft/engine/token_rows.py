"""Single rows of frozen embeddings that are trained: PEFT's trainable tokens, without a copy of the whole matrix.

PEFT writes the trained rows into a copy of the embeddings at every call, and again for the head. Here the frozen matrix
is read as it is, and the few trained rows take the place of its own in what comes out of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from peft.utils.other import TrainableTokensWrapper
from torch import nn

from graft.engine.modules import has_hooks


class TokenRows(NamedTuple):
    """Trained rows of a matrix with a row for each token.

    Attributes:
        ids: (k) the tokens, in ascending order.
        values: (k, d) their rows.
    """

    ids: torch.Tensor
    values: torch.Tensor


def token_rows(module: Any) -> TokenRows | None:
    """The rows that ``module`` trains now; None where it is no such layer, or PEFT's own forward is needed."""
    if type(module) is not TrainableTokensWrapper:
        return None
    adapter = module.token_adapter
    base = adapter.get_base_layer()
    active = [name for name in adapter.active_adapters if name in adapter.token_indices]
    if adapter.disable_adapters or adapter.merged or len(active) != 1 or not _is_known(base):
        return None
    parameter = adapter.trainable_tokens_delta[active[0]]
    ids, order = torch.tensor(adapter.token_indices[active[0]], device=parameter.device).sort()
    return TokenRows(ids, parameter[order].to(base.weight.dtype))


def _is_known(base: Any) -> bool:
    """Whether it is a plain frozen layer that PEFT's forward gives back as it is, but for the trained rows."""
    if any(p.requires_grad for p in base.parameters()) or has_hooks(base):
        return False
    if isinstance(base, nn.Embedding):
        return base.max_norm is None and not base.scale_grad_by_freq and not base.sparse
    return type(base) is nn.Linear and base.bias is None


def token_rows_forward(module: Any) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """A forward in place of that of PEFT's wrapper around embeddings or a head; None for any other module."""
    if type(module) is not TrainableTokensWrapper:
        return None

    def forward(x: torch.Tensor) -> torch.Tensor:
        """Token IDs (...) -> (..., d) of embeddings; hidden states (..., d) -> logits (..., vocabulary) of a head."""
        rows = token_rows(module)
        base = module.token_adapter.get_base_layer()
        if rows is None or (isinstance(base, nn.Embedding) and base.padding_idx in rows.ids.tolist()):
            return type(module).forward(module, x)  # type: ignore[no-any-return, no-untyped-call]
        return _embedded(base, x, rows) if isinstance(base, nn.Embedding) else _logits(base, x, rows)

    return forward


def _embedded(base: Any, ids: torch.Tensor, rows: TokenRows) -> torch.Tensor:
    places = torch.searchsorted(rows.ids, ids).clamp(max=len(rows.ids) - 1)
    scale = getattr(base, "embed_scale", None)
    trained = nn.functional.embedding(places, rows.values)
    if scale is not None:
        trained = trained * torch.as_tensor(scale, device=trained.device).to(trained.dtype)
    return torch.where((rows.ids[places] == ids)[..., None], trained, base(ids))


def _logits(base: Any, hidden: torch.Tensor, rows: TokenRows) -> torch.Tensor:
    logits: torch.Tensor = base(hidden)
    own = nn.functional.linear(hidden, rows.values)
    if torch.is_grad_enabled() and (logits.requires_grad or own.requires_grad):
        return logits.index_copy(-1, rows.ids, own)
    return logits.index_copy_(-1, rows.ids, own)
