"""The blocks of known decoders, written anew over the compiled kernels: norms, gates, attention, and the last layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from graft.engine.attention import NAME
from graft.engine.native import attention, native, swiglu
from graft.engine.native import rms_norm as native_norm
from graft.engine.norm import rms_norm

Forward = Callable[..., Any]

_FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3")


def _classes(ending: str, *more: str) -> set[str]:
    return {
        f"transformers.models.{name.lower()}.modeling_{name.lower()}.{name}{ending}" for name in (*_FAMILIES, *more)
    }


NORMS = _classes("RMSNorm", "Phi3")
"""Classes that all compute weight * x / sqrt(mean(x²) + variance_epsilon)."""

GATES = _classes("MLP")
"""Classes that all compute down(act(gate(x)) * up(x))."""

ATTENTIONS = _classes("Attention")
"""Classes that all compute o(attention(rotated q and k, v)); Qwen 3 norms q and k, SmolLM3 leaves some as they are."""

DECODERS = _classes("DecoderLayer")
"""Classes that all compute y + mlp(norm(y)) of y = x + attention(norm(x))."""


def block_forward(module: Any) -> Forward | None:
    """What computes in the place of ``module``'s own forward; None where its class is not known."""
    name = _name(module)
    if name in NORMS:
        return _norm_forward(module)
    if name in GATES and type(getattr(module, "act_fn", None)).__name__ in {"SiLU", "SiLUActivation"}:
        return _gate_forward(module)
    return _attention_forward(module) if name in ATTENTIONS else None


def _name(module: Any) -> str:
    return f"{type(module).__module__}.{type(module).__name__}"


def _norm_forward(module: Any) -> Forward:
    def forward(x: torch.Tensor) -> torch.Tensor:
        weight = module.weight
        # In other formats the model goes by way of float32 and back, which this does not imitate.
        if weight.requires_grad or x.dtype != torch.float32 or weight.dtype != torch.float32:
            return type(module).forward(module, x)  # type: ignore[no-any-return]
        return (native_norm if native(x, weight) else rms_norm)(x, weight, module.variance_epsilon)

    return forward


def _gate_forward(module: Any) -> Forward:
    def forward(x: torch.Tensor) -> torch.Tensor:
        gate, up = module.gate_proj(x), module.up_proj(x)
        joined: torch.Tensor = module.down_proj(swiglu(gate, up) if native(gate, up) else module.act_fn(gate) * up)
        return joined

    return forward


def _attention_forward(module: Any) -> Forward:
    def forward(hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        attended = None if args else _attended(module, hidden_states, **kwargs)
        if attended is None:
            return type(module).forward(module, hidden_states, *args, **kwargs)
        return module.o_proj(attended), None

    return forward


def _attended(
    module: Any,
    x: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor],
    past_key_values: Any = None,
    layout: Any = None,
    **kwargs: Any,
) -> torch.Tensor | None:
    """x (1, T, in) -> the heads' outputs (1, T, heads · d) over a packed batch; None where another way is needed."""
    cos, sin = (part[0] for part in position_embeddings)
    plain = layout is not None and past_key_values is None and module.config._attn_implementation == NAME
    if not plain or native(x, cos, sin) is None or (module.training and module.attention_dropout):
        return None
    d = module.head_dim
    q, k, v = (projection(x).view(x.shape[1], -1, d) for projection in (module.q_proj, module.k_proj, module.v_proj))
    if hasattr(module, "q_norm"):
        q, k = module.q_norm(q), module.k_norm(k)
    turns = (cos, sin) if getattr(module, "use_rope", True) else None
    window = getattr(module, "sliding_window", None) or 0
    if "Mistral" in type(module).__name__:
        window = getattr(module.config, "sliding_window", None) or 0
    return attention(q, k, v, layout, module.scaling, window=window, turns=turns).reshape(*x.shape[:-1], -1)


def last_decoder(model: Any) -> nn.Module | None:
    """The last decoder layer, where it is of a known class."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    layers = getattr(decoder, "layers", None)
    return layers[-1] if layers and _name(layers[-1]) in DECODERS else None


def narrows(model: Any) -> bool:
    """Whether the last decoder layer goes on with the targets alone, where it is told them (``narrowing_forward``)."""
    last = last_decoder(model)
    return last is not None and getattr(vars(last).get("forward"), "takes_targets", False)


def narrowing_forward(layer: Any) -> Forward:
    """For the last layer: with ``targets``, token indices (N), x (1, T, d) -> (1, N, d).

    What comes after its attention concerns each token alone, and only those that predict a target are asked.
    """

    def forward(hidden_states: torch.Tensor, *args: Any, targets: torch.Tensor | None = None, **kwargs: Any) -> Any:
        if targets is None:
            return type(layer).forward(layer, hidden_states, *args, **kwargs)
        module, normed = layer.self_attn, layer.input_layernorm(hidden_states)
        attended = _attended(module, normed, **kwargs) if not args and "forward" in vars(module) else None
        if attended is None:
            return type(layer).forward(layer, hidden_states, *args, **kwargs).index_select(1, targets)
        y = hidden_states.index_select(1, targets) + module.o_proj(attended.index_select(1, targets))
        return y + layer.mlp(layer.post_attention_layernorm(y))

    forward.takes_targets = True  # type: ignore[attr-defined]
    return forward
