"""Tiny random models of every family that graft writes as GGUF, with logits far enough apart for one greedy answer."""

from __future__ import annotations

import inspect
from typing import Any

from tiny_models import tiny_model_tokenizer

_EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "decoder_sparse_step": 1,
    "shared_expert_intermediate_size": 32,
}
_OWN: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 1.0},
    "cohere2": {"logit_scale": 1.0, "sliding_window": 16},
    "exaone4": {"sliding_window": None, "layer_types": ["full_attention"] * 4},
    "gemma2": {"sliding_window": 16, "query_pre_attn_scalar": 16},
    "gemma3_text": {"sliding_window": 16, "query_pre_attn_scalar": 16},
    "gpt2": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 512},
    "gpt_bigcode": {"n_embd": 64, "n_layer": 4, "n_head": 4, "n_positions": 512},
    "ministral": {"sliding_window": 512},
    "mistral": {"sliding_window": None},
    "olmo3": {"sliding_window": 16},
    "olmoe": {"num_key_value_heads": 4},
    "phi3": {"original_max_position_embeddings": 512},
    "qwen3_moe": {"norm_topk_prob": True},
    "stablelm": {"use_qkv_bias": True},
}
HEAD = 10.0
"""What multiplies the head's weights: differences between the two runtimes must not change which token is first."""


def gguf_config(model_type: str, rows: int = 0, **other: Any) -> Any:
    """A configuration with every kind of layer of the family: 4 layers of 4 heads, hidden size 64."""
    from transformers import AutoConfig

    tokenizer = tiny_model_tokenizer()
    shape = {
        "vocab_size": rows or len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **_EXPERTS,
    }
    kind = type(AutoConfig.for_model(model_type))
    known = {name for base in kind.__mro__ for name in getattr(base, "__annotations__", {})}
    known |= set(inspect.signature(kind.__init__).parameters)
    given = {name: value for name, value in shape.items() if name in known}
    return AutoConfig.for_model(model_type, **{**given, **_OWN.get(model_type, {}), **other})


def gguf_model(model_type: str, rows: int = 0, seed: int = 0, **other: Any) -> Any:
    """A random model of this configuration in which norms and biases matter."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(gguf_config(model_type, rows, **other)).float().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3) if parameter.dim() > 1 else parameter.add_(0.1 * torch.randn_like(parameter))
            model.get_output_embeddings().weight.mul_(HEAD)
    model.generation_config.eos_token_id = model.config.eos_token_id
    return model
