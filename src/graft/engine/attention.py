"""Attention over a layout, registered with transformers; without a layout it is plain SDPA."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

from graft.engine.autograd import AttentionScores, attention
from graft.engine.kernels import kernels_for
from graft.engine.kv_cache import PackedKVCache
from graft.engine.packing import Layout, Level

NAME = "graft_packed"
_packed: ContextVar[bool] = ContextVar("packed", default=False)


class _Rearrange(torch.autograd.Function):
    """Selects along dim 2, in both directions: index_select's own backward adds row by row, which is slow."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, there: torch.Tensor, back: torch.Tensor, keep: Any) -> torch.Tensor:
        """x (1, heads, n, d) -> (1, heads, m, d): ``there`` (m) are the places to take, ``back`` (n) their inverse."""
        ctx.save_for_backward(back)
        ctx.keep = keep
        return x.index_select(2, there)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of x (1, heads, n, d), taken from places ``back``; zero where ``keep`` (n) is false."""
        (back,) = ctx.saved_tensors
        grad = grads[0].index_select(2, back)
        return (grad if ctx.keep is None else grad * ctx.keep[:, None]), None, None, None


_rearrange: Callable[..., torch.Tensor] = _Rearrange.apply


def pad(x: torch.Tensor, level: Level) -> torch.Tensor:
    """(1, heads, tokens, d) -> (nodes, heads, longest, d)."""
    if level.nodes == 1:
        return x
    spread = _rearrange(x, level.padded, level.unpadded, None)
    return spread.view(x.shape[1], level.nodes, level.longest, x.shape[3]).transpose(0, 1)


def unpad(x: torch.Tensor, level: Level) -> torch.Tensor:
    """(nodes, heads, longest, d) -> (1, heads, tokens, d)."""
    if level.nodes == 1:
        return x
    flat = x.transpose(0, 1).reshape(1, x.shape[1], level.nodes * level.longest, x.shape[3])
    return _rearrange(flat, level.unpadded, level.padded, level.valid)


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    packed_cache: PackedKVCache | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as transformers calls it (the signature is theirs).

    Args:
        module: The attention layer.
        query: (1, heads, T, d); (rows, heads, 1, d) with a cache.
        key: (1, kv heads, T, d).
        value: (1, kv heads, T, d).
        attention_mask: Used only without a layout.
        scaling: The factor of the scores; 1 / sqrt(d) when None.
        dropout: The rate for the shares.
        layout: Of a packed batch: which tokens see which.
        packed_cache: In generation: what each new token sees.
        kwargs: ``softcap`` and ``sliding_window`` among others.

    Returns:
        (1, T, heads, d), or (rows, 1, heads, d) with a cache; and no weights.
    """
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = AttentionScores(scale, kwargs.get("softcap") or 0.0, kwargs.get("sliding_window") or 0)
    if packed_cache is not None:
        return packed_cache.attend(query, int(module.layer_idx), scores), None  # type: ignore[arg-type]
    if layout is None and scores.cap:
        groups = query.shape[1] // key.shape[1]
        k, v = _repeat(key, groups), _repeat(value, groups)
        return _capped(query, k, v, attention_mask, scores, dropout).transpose(1, 2).contiguous(), None
    if layout is None:
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return output, None
    if kernels_for(query, key, value) and not dropout:
        q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
        return attention(q, k, v, layout, scores)[None], None
    return _by_levels(query, key, value, layout, scores, dropout), None


def _by_levels(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scores: AttentionScores,
    dropout: float,
) -> torch.Tensor:
    """By PyTorch's operations, a level at a time."""
    groups = query.shape[1] // key.shape[1]
    outputs: list[torch.Tensor] = []
    context: tuple[torch.Tensor, torch.Tensor] | None = None
    places: torch.Tensor | None = None
    # Split and not sliced: the gradients of slices are whole tensors of zeros each, added up.
    sizes = [level.stop - level.start for level in layout.levels]
    parts = zip(*(torch.split(x, sizes, dim=2) for x in (query, key, value)), strict=True)
    for level, own in zip(layout.levels, parts, strict=True):
        q, k, v = (pad(x, level) for x in own)
        if context is not None:
            k, v = (torch.cat([_context_of(c, level), x], dim=2) for c, x in zip(context, (k, v), strict=True))
        context = (k, v)
        places = level.positions if places is None else torch.cat([_context_of(places, level), level.positions], dim=1)
        mask = _windowed(scores.window, level, places) if scores.window else level.mask
        k, v = _repeat(k, groups), _repeat(v, groups)
        if scores.cap:
            attended = _capped(q, k, v, mask, scores, dropout)
        else:
            attended = scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scores.scale
            )
        outputs.append(unpad(attended, level))
    whole = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)
    return whole.transpose(1, 2).contiguous()


def _windowed(window: int, level: Level, places: torch.Tensor) -> torch.Tensor:
    """Which tokens see which of the positions ``places`` (nodes, context + longest), at most ``window`` back."""
    near = places[:, None, :] > level.positions[:, :, None] - window
    causal = places[:, None, :] <= level.positions[:, :, None] if level.mask is None else level.mask[:, 0]
    return (near & causal)[:, None]


def _capped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    how: AttentionScores,
    dropout: float,
) -> torch.Tensor:
    """Attention with capped scores, which PyTorch's own lacks; all (rows, heads, length, d). No mask is causal."""
    scores = how.cap * torch.tanh(query @ key.transpose(2, 3) * (how.scale / how.cap))
    if mask is None and query.shape[2] > 1:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    shares = scores.softmax(-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(query.dtype)
    return torch.nn.functional.dropout(shares, dropout) @ value


def _context_of(context: torch.Tensor, level: Level) -> torch.Tensor:
    """What precedes each node: its parent's context."""
    if level.parents is None:
        return context.expand(level.nodes, *context.shape[1:])
    return context.index_select(0, level.parents)


def _repeat(x: torch.Tensor, groups: int) -> torch.Tensor:
    """Grouped heads: each key and value head serves ``groups`` query heads."""
    if groups == 1:
        return x
    nodes, heads, length, d = x.shape
    return x[:, :, None].expand(nodes, heads, groups, length, d).reshape(nodes, heads * groups, length, d)


def _mask(*args: Any, **kwargs: Any) -> Any:
    """No mask is built for a packed batch: the layout says which tokens see which."""
    return None if _packed.get() else sdpa_mask(*args, **kwargs)


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, _mask)


@contextmanager
def packed(model: torch.nn.Module) -> Iterator[None]:
    """A context for forward passes with a layout.

    The attention implementation stays set afterwards: recomputed activations need it.
    """
    config: Any = model.config
    if config._attn_implementation != NAME:
        config._attn_implementation = NAME
    token = _packed.set(True)
    try:
        yield
    finally:
        _packed.reset(token)
