"""The hyperparameters of a GGUF file, from a configuration of transformers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graft.export.gguf.families import GgufFamily

PLAIN_ROPE = frozenset({"default", "linear", "yarn", "dynamic"})
"""``dynamic`` changes nothing within the context that the model was trained on, which is the file's."""

YARN = {"beta_fast": 32, "beta_slow": 1, "truncate": True}
"""What llama.cpp takes in most architectures, whatever the file says."""


def rope_kinds(config: Any) -> dict[str, dict[str, Any]]:
    """The rotary parameters by kind of attention; ``full_attention`` where the configuration has one set."""
    found = getattr(config, "rope_parameters", None) or {}
    if found and all(isinstance(value, dict) for value in found.values()):
        return found
    return {"full_attention": found} if found else {}


def rope_problem(config: Any, family: GgufFamily) -> str | None:
    """What the configuration's rotary embeddings ask for and llama.cpp would not compute; None if it is nothing."""
    kinds = rope_kinds(config)
    for kind, rope in kinds.items():
        known = PLAIN_ROPE | family.scaled_rope if kind == "full_attention" else {"default"}
        if (found := rope.get("rope_type", "default")) not in known:
            return f"rotary embeddings of the type {found!r}"
        if rope.get("alpha") not in {None, 1.0}:  # Hunyuan's, which changes the frequencies at every length
            return f"rotary embeddings of the type {found!r} with alpha {rope['alpha']}"
        for name, value in YARN.items():
            if found == "yarn" and rope.get(name) not in {None, value}:
                return f"yarn with {name} {rope[name]} (llama.cpp computes with {value})"
    return None


def context_length(config: Any, family: GgufFamily) -> int:
    """The positions within which llama.cpp computes what transformers computes.

    Where the architecture has no window, the window bounds it; with ``longrope``, the length up to which short factors
    hold: llama.cpp chooses between short and long ones by the context it is opened with, transformers by the text. With
    ``llama_4_scaling_beta`` it is the length from which queries are scaled.
    """
    length = int(getattr(config, "max_position_embeddings", None) or config.n_positions)
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window and not family.windows:
        length = min(length, int(window))
    rope = rope_kinds(config).get("full_attention", {})
    if rope.get("rope_type") == "longrope" or rope.get("llama_4_scaling_beta"):
        length = min(length, int(_original_length(config, rope)))
    return length


def add_shape(writer: Any, config: Any, family: GgufFamily) -> None:
    """Write the sizes, the norms' epsilon, rotary embeddings, windows, and the family's own keys."""
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer.add_context_length(context_length(config, family))
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_vocab_size(config.vocab_size)
    _add_epsilon(writer, config)
    _add_rope(writer, config, size)
    if family.windows:
        _add_windows(writer, config)
    for method, attribute in family.keys.items():
        if (value := getattr(config, attribute, None)) is not None:
            getattr(writer, method)(value)


def _add_epsilon(writer: Any, config: Any) -> None:
    if (epsilon := getattr(config, "rms_norm_eps", None)) is not None:
        writer.add_layer_norm_rms_eps(epsilon)
    for name in ("layer_norm_epsilon", "layer_norm_eps", "norm_epsilon", "norm_eps"):
        if (epsilon := getattr(config, name, None)) is not None:
            writer.add_layer_norm_eps(epsilon)
            break
    if config.model_type == "olmo":
        writer.add_layer_norm_eps(1e-5)  # OLMo's norm has no setting for it
    if (parallel := getattr(config, "use_parallel_residual", None)) is not None:
        writer.add_parallel_residual(parallel)


def _add_windows(writer: Any, config: Any) -> None:
    kinds = getattr(config, "layer_types", None) or []
    if getattr(config, "sliding_window", None) and "sliding_attention" in kinds:
        writer.add_sliding_window(config.sliding_window)
        writer.add_sliding_window_pattern([kind == "sliding_attention" for kind in kinds])


def _add_rope(writer: Any, config: Any, size: int) -> None:
    import gguf

    kinds = rope_kinds(config)
    if not kinds:
        return
    rope = kinds.get("full_attention") or next(iter(kinds.values()))
    writer.add_rope_freq_base(float(rope["rope_theta"]))
    writer.add_rope_dimension_count(int(size * (rope.get("partial_rotary_factor") or 1.0)))
    if local := kinds.get("sliding_attention"):
        writer.add_rope_freq_base_swa(float(local["rope_theta"]))
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(float(rope["factor"]))
    elif kind == "yarn":
        _add_yarn(writer, config, rope)
    elif kind == "longrope":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        writer.add_rope_scaling_orig_ctx_len(int(_original_length(config, rope)))
        writer.add_rope_scaling_attn_factors(_scaled(config, "longrope")[1])


def _original_length(config: Any, rope: dict[str, Any]) -> int:
    found = rope.get("original_max_position_embeddings") or getattr(config, "original_max_position_embeddings", None)
    return int(found or config.max_position_embeddings)


def _add_yarn(writer: Any, config: Any, rope: dict[str, Any]) -> None:
    """llama.cpp multiplies by 0.1 ln(factor) + 1 (https://arxiv.org/abs/2309.00071, equation 22) in any case.

    So the attention factor that transformers computes with is written as its ratio to that.
    """
    import gguf

    factor = float(rope["factor"])
    usual = 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(factor)
    writer.add_rope_scaling_orig_ctx_len(_original_length(config, rope))
    writer.add_rope_scaling_attn_factors(_scaled(config, "yarn")[1] / usual)


def _scaled(config: Any, kind: str) -> tuple[Any, float]:
    """The inverse frequencies (half a head's size) and the attention factor that transformers computes with."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    frequencies, attention = ROPE_INIT_FUNCTIONS[kind](config, "cpu")
    return frequencies.double().numpy(), float(attention)


def rope_tensors(config: Any) -> dict[str, Any]:
    """Factors by which llama.cpp divides the rotary frequencies (float32), by tensor name; empty for most models."""
    rope = rope_kinds(config).get("full_attention", {})
    if rope.get("rope_type") == "longrope":
        return {f"rope_factors_{kind}.weight": np.float32(rope[f"{kind}_factor"]) for kind in ("long", "short")}
    if rope.get("rope_type") == "llama3":
        return {"rope_freqs.weight": _llama3_factors(config, rope)}
    return {}


def _llama3_factors(config: Any, rope: dict[str, Any]) -> Any:
    """Frequencies without scaling over those with it."""
    scaled, _ = _scaled(config, "llama3")
    plain = float(rope["rope_theta"]) ** (-np.arange(0, len(scaled)) / len(scaled))
    return (plain / scaled).astype(np.float32)
