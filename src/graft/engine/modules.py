"""Forwards over the kernels for the blocks of known decoders: norms, MLPs, attention, and whole layers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch

from graft.engine.attention import NAME
from graft.engine.autograd import AttentionScores, CosSin, attention, rms_norm, swiglu
from graft.engine.decoder_layer import DecoderLayer, Norm, decoder_layer
from graft.engine.kernels import kernels_for
from graft.engine.linear import Linear
from graft.engine.norm import rms_norm_reference

Forward = Callable[..., Any]

_recomputing: ContextVar[bool] = ContextVar("recomputing", default=False)
"""Whether a checkpointed layer computes now, whose class would checkpoint it again."""

_FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3")


def _classes(ending: str, *more: str) -> set[str]:
    return {
        f"transformers.models.{name.lower()}.modeling_{name.lower()}.{name}{ending}" for name in (*_FAMILIES, *more)
    }


NORMS = _classes("RMSNorm", "Phi3")
"""Classes that compute weight · x / sqrt(mean(x²) + variance_epsilon)."""

MLPS = _classes("MLP")
"""Classes that compute down(act(gate(x)) · up(x))."""

ATTENTIONS = _classes("Attention")
"""Classes that compute o(attention(q, k, v)) with RoPE; Qwen 3 normalizes q and k, SmolLM3 has layers without RoPE."""

DECODERS = _classes("DecoderLayer")
"""Classes that compute y + mlp(norm(y)) of y = x + attention(norm(x))."""


def block_forward(module: Any) -> Forward | None:
    """A forward that replaces ``module``'s own; None where its class is not known."""
    forward = _forward_of(module)
    if forward is not None:
        forward.is_graft = True  # type: ignore[attr-defined]
    return forward


def _forward_of(module: Any) -> Forward | None:
    name = _name(module)
    if name in NORMS:
        return _norm_forward(module)
    if name in MLPS and type(getattr(module, "act_fn", None)).__name__ in {"SiLU", "SiLUActivation"}:
        return _mlp_forward(module)
    if name in DECODERS:
        return _decoder_forward(module)
    return _attention_forward(module) if name in ATTENTIONS else None


def projections(module: Any) -> list[Any]:
    """q, k, v, o, gate, up and down of a known decoder layer; an empty list for any other module."""
    if _name(module) not in DECODERS:
        return []
    a, mlp = module.self_attn, module.mlp
    return [a.q_proj, a.k_proj, a.v_proj, a.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj]


def has_hooks(module: Any) -> bool:
    """Whether hooks are registered for its inputs, outputs or their gradients."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def is_trained(module: Any) -> bool:
    """Whether its own parameters get gradients now."""
    return torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters(recurse=False))


def _is_replaced(module: Any) -> bool:
    """Whether its forward is one of this module's."""
    return getattr(vars(module).get("forward"), "is_graft", False)


def _name(module: Any) -> str:
    return f"{type(module).__module__}.{type(module).__name__}"


def _norm_forward(module: Any) -> Forward:
    def forward(x: torch.Tensor) -> torch.Tensor:
        """x (..., d) -> (..., d); a trained weight, or a format other than float32, gets the class's own forward."""
        weight = module.weight
        # In other formats the model's own forward converts to float32 and back, which this one does not.
        if is_trained(module) or x.dtype != torch.float32 or weight.dtype != torch.float32:
            return type(module).forward(module, x)  # type: ignore[no-any-return]
        return (rms_norm if kernels_for(x, weight) else rms_norm_reference)(x, weight, module.variance_epsilon)

    return forward


def _mlp_forward(module: Any) -> Forward:
    def forward(x: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """x (..., d) -> (..., d), plus ``residual`` of the same shape."""
        gate, up = module.gate_proj(x), module.up_proj(x)
        joined: torch.Tensor = swiglu(gate, up) if kernels_for(gate, up) else module.act_fn(gate) * up
        down = module.down_proj
        return down(joined) if residual is None else _add_module(down, joined, residual)

    forward.takes_residual = True  # type: ignore[attr-defined]
    return forward


def _attention_forward(module: Any) -> Forward:
    def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """hidden_states (1, T, in) -> (1, T, out) and no weights, by the kernels for packed batches alone."""
        if args or not _packs(module, hidden_states, kwargs):
            return type(module).forward(module, hidden_states, *args, **kwargs)
        return module.o_proj(_attend(module, hidden_states, **kwargs)), None

    return forward


def _packs(module: Any, x: torch.Tensor, kwargs: dict[str, Any]) -> bool:
    """Whether this is attention over a packed batch that the kernels compute."""
    if kwargs.get("layout") is None or kwargs.get("past_key_values") is not None:
        return False
    if module.config._attn_implementation != NAME or (module.training and module.attention_dropout):
        return False
    return kernels_for(x, *kwargs["position_embeddings"]) is not None and not torch.is_autocast_enabled(x.device.type)


def _attend(
    module: Any, x: torch.Tensor, position_embeddings: tuple[torch.Tensor, torch.Tensor], layout: Any, **kwargs: Any
) -> torch.Tensor:
    """Attention before its output projection: x (1, T, in) -> (1, T, heads · d)."""
    d = module.head_dim
    q, k, v = (projection(x).view(x.shape[1], -1, d) for projection in (module.q_proj, module.k_proj, module.v_proj))
    if hasattr(module, "q_norm"):
        q, k = module.q_norm(q), module.k_norm(k)
    rope = _rope(module, position_embeddings)
    return attention(q, k, v, layout, _scores(module), rope).reshape(*x.shape[:-1], -1)


def _rope(module: Any, embeddings: tuple[torch.Tensor, torch.Tensor]) -> CosSin | None:
    cos, sin = (part[0] for part in embeddings)
    return CosSin(cos, sin) if getattr(module, "use_rope", True) else None


def _scores(module: Any) -> AttentionScores:
    """Of an attention layer. Mistral's window is in its configuration, the others' in the layer."""
    window = getattr(module.config if "Mistral" in type(module).__name__ else module, "sliding_window", None) or 0
    return AttentionScores(module.scaling, window=window)


def takes_targets(model: Any) -> bool:
    """Whether the last decoder layer takes ``targets`` and computes what follows attention for them alone."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    layers = getattr(decoder, "layers", None)
    if not layers:
        return False
    return getattr(vars(layers[-1]).get("forward"), "takes_targets", False) and _is_last(layers[-1])


def _is_last(layer: Any) -> bool:
    return bool(layer.self_attn.layer_idx == layer.self_attn.config.num_hidden_layers - 1)


def _decoder_forward(layer: Any) -> Forward:
    """A forward that adds residuals where a product is written.

    With ``targets``, token indices (N), the last layer gives (1, N, d) of x (1, T, d): what follows its attention
    computes each token by itself.
    """

    def forward(hidden_states: torch.Tensor, *args: Any, targets: torch.Tensor | None = None, **kwargs: Any) -> Any:
        """hidden_states (1, T, d) -> (1, T, d), or (1, N, d) in the last layer for N ``targets``."""
        if _checkpoints(layer) and torch.is_grad_enabled() and not _recomputing.get():
            return _checkpointed(layer, forward, hidden_states, *args, targets=targets, **kwargs)
        module, x = layer.self_attn, hidden_states
        chosen = targets if _is_last(layer) else None
        if args or not _is_replaced(module) or has_hooks(module) or not _packs(module, x, kwargs):
            y = type(layer).forward(layer, x, *args, **kwargs)
            return y if chosen is None else y.index_select(1, chosen)
        if chosen is None:
            described = _described_layer(layer, x.dtype)
            rows = x.squeeze(0)  # not x[0]: an index's gradient is a batch of zeros that the row's is copied into
            library = described.kernels_for(rows) if described else None
            if described and library:
                rope = _rope(module, kwargs["position_embeddings"])
                return decoder_layer(library, described, rows, kwargs["layout"], rope)[None]
        attended = _attend(module, layer.input_layernorm(x), **kwargs)
        if chosen is not None:
            x, attended = x.index_select(1, chosen), attended.index_select(1, chosen)
        y = _add_module(module.o_proj, attended, x)
        return _add_module(layer.mlp, layer.post_attention_layernorm(y), y)

    forward.takes_targets = True  # type: ignore[attr-defined]
    return forward


def _checkpoints(layer: Any) -> bool:
    """Whether the layer's activations are recomputed: its class's own forward does so, and this one takes its place."""
    return bool(getattr(layer, "gradient_checkpointing", False) and layer.training)


def _checkpointed(layer: Any, forward: Forward, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """``forward``, by the function that transformers has set to recompute its activations in the backward pass."""

    def once(x: torch.Tensor) -> Any:
        """The layer without checkpointing: in the forward pass, and again in the backward pass."""
        token = _recomputing.set(True)
        try:
            return forward(x, *args, **kwargs)
        finally:
            _recomputing.reset(token)

    return layer._gradient_checkpointing_func(once, x)


def _described_layer(layer: Any, dtype: torch.dtype) -> DecoderLayer | None:
    """The layer as it is now; None where a part is unknown or has hooks, or rates of dropout in a group differ."""
    a, mlp, norms = layer.self_attn, layer.mlp, [layer.input_layernorm, layer.post_attention_layernorm]
    norms += [a.q_norm, a.k_norm] if hasattr(a, "q_norm") else []
    parts = projections(layer)
    if not all(map(_is_replaced, (mlp, *norms))):
        return None
    if any(map(has_hooks, (mlp, *norms, *parts))):
        return None
    if any(is_trained(norm) or norm.weight.dtype != torch.float32 for norm in norms):
        return None
    linears: list[Linear] = []
    rates: list[set[float]] = [set(), set(), set(), set()]
    for module, group in zip(parts, (0, 0, 0, 1, 2, 2, 3), strict=True):
        describe = getattr(vars(module).get("forward"), "described", None)
        found = describe(dtype) if describe else None
        if found is None:
            return None
        linears.append(found[0])
        if found[0].a is not None:
            rates[group].add(found[1])
    if any(len(group) > 1 for group in rates):
        return None
    dropouts = [group.pop() if group else 0.0 for group in rates]
    norm, norm_mlp, *head_norms = (Norm(norm.weight, norm.variance_epsilon) for norm in norms)
    return DecoderLayer(linears, norm, norm_mlp, head_norms, dropouts, a.head_dim, _scores(a))


def _add_module(module: Any, x: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
    """residual + module(x), in one call where the module takes a residual."""
    if getattr(vars(module).get("forward"), "takes_residual", False):
        return module(x, residual=residual)  # type: ignore[no-any-return]
    return residual + module(x)  # type: ignore[no-any-return]
