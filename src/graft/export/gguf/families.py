"""What llama.cpp computes for each model type: one entry a family, in the terms of the ``gguf`` package.

llama.cpp has an architecture for each family, with much of it fixed in its code: the activation, which layers have a
window, whether the head is the embedding. An entry says what is fixed, and ``GgufFamily.problems`` compares it with a
configuration, so that what llama.cpp would compute differently is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SILU = frozenset({"silu", "swish"})
GELU_TANH = frozenset({"gelu_pytorch_tanh", "gelu_new", "gelu_fast"})


@dataclass(frozen=True)
class GgufFamily:
    """How a model type of transformers is written for llama.cpp.

    Attributes:
        architecture: The architecture, by its name in ``gguf.MODEL_ARCH``.
        activations: The names of the activation that the architecture computes.
        permuted: llama.cpp rotates adjacent pairs of queries and keys, transformers the two halves of a head; rows
            have another order in the file.
        norm_offset: The norms of the family multiply by one plus their weight; the file holds the sum.
        head: ``optional`` where llama.cpp takes the embedding if there is no head, ``required`` where the file must
            hold a head, ``tied`` where it always takes the embedding.
        windows: llama.cpp knows which layers attend to a window only. Where it does not, the file's context length is
            the window: within it, there is no difference.
        free_head_size: A head may have another size than the hidden size divided by the number of heads.
        scaled_rope: The kinds of scaled rotary embeddings that the architecture reads, besides ``linear`` and ``yarn``.
        keys: Further hyperparameters: a method of ``gguf.GGUFWriter``, and the attribute of the configuration.
        arrange: Splits or reorders a tensor; None where tensors are written as they are.
        fixed: What else is fixed in llama.cpp: yields what a configuration asks for and llama.cpp would not do.
    """

    architecture: str
    activations: frozenset[str] = SILU
    permuted: bool = False
    norm_offset: bool = False
    head: str = "optional"
    windows: bool = False
    free_head_size: bool = True
    scaled_rope: frozenset[str] = frozenset()
    keys: Mapping[str, str] = field(default_factory=dict)
    arrange: Callable[[str, Any, Any], Iterator[tuple[str, Any]]] | None = None
    fixed: Callable[[Any], Iterator[str]] | None = None

    @property
    def rounding(self) -> float:
        """How many times the rounding of float32 llama.cpp may be off: it looks GELU up in a table of float16.

        On tiny models the greatest difference was 5 times that of float32.
        """
        return 20.0 if any("gelu" in name for name in self.activations) else 1.0

    def problems(self, config: Any) -> Iterator[str]:
        """What ``config`` asks for and llama.cpp would not compute."""
        activation = getattr(config, "hidden_act", None) or getattr(config, "hidden_activation", None)
        activation = getattr(config, "hidden_activation", None) or activation
        if activation not in {None, *self.activations}:
            yield f"the activation {activation!r} (llama.cpp computes {' or '.join(sorted(self.activations))})"
        size = getattr(config, "head_dim", None)
        if size and not self.free_head_size and size * config.num_attention_heads != config.hidden_size:
            yield f"heads of size {size} where the hidden size is {config.hidden_size}"
        if self.head == "tied" and not config.tie_word_embeddings:
            yield "a head that is not the embedding"
        if self.fixed is not None:
            yield from self.fixed(config)


def query_scale(*deep: int) -> Callable[[Any], Iterator[str]]:
    """Gemma's scale of queries: llama.cpp takes the head size, or the width of a head with ``deep`` layers."""

    def fixed(config: Any) -> Iterator[str]:
        wide = config.num_hidden_layers in deep
        scale = config.hidden_size // config.num_attention_heads if wide else config.head_dim
        if config.query_pre_attn_scalar != scale:
            yield f"query_pre_attn_scalar {config.query_pre_attn_scalar} (llama.cpp computes with {scale})"
        if getattr(config, "use_bidirectional_attention", None):
            yield "attention in both directions"

    return fixed


def _smollm3(config: Any) -> Iterator[str]:
    if list(config.no_rope_layers) != [int((i + 1) % 4 != 0) for i in range(config.num_hidden_layers)]:
        yield "no_rope_layers other than every fourth layer"


def _phi(config: Any) -> Iterator[str]:
    if config.qk_layernorm:
        yield "qk_layernorm"


def _stablelm(config: Any) -> Iterator[str]:
    if config.qk_layernorm:
        yield "qk_layernorm"
    if config.use_parallel_residual:
        yield "use_parallel_residual"


def _gpt2(config: Any) -> Iterator[str]:
    if config.scale_attn_by_inverse_layer_idx or not config.scale_attn_weights:
        yield "another scale of attention"
    if config.n_inner not in {None, 4 * config.n_embd}:
        yield f"n_inner {config.n_inner}"


def _qwen3_moe(config: Any) -> Iterator[str]:
    if not config.norm_topk_prob:
        yield "experts whose weights are not normalized (norm_topk_prob)"
    if config.decoder_sparse_step != 1 or config.mlp_only_layers:
        yield "layers without experts among layers with them"


def _every_layer_alike(config: Any) -> Iterator[str]:
    if config.sliding_window and "sliding_attention" in (config.layer_types or []):
        yield "layers with a window"


def _cohere(config: Any) -> Iterator[str]:
    if getattr(config, "use_qk_norm", False):
        yield "use_qk_norm"


def _olmoe(config: Any) -> Iterator[str]:
    if config.num_key_value_heads != config.num_attention_heads:
        yield "fewer heads of keys than of queries"
    if config.norm_topk_prob:
        yield "experts whose weights are normalized (norm_topk_prob)"


def _qwen2_moe(config: Any) -> Iterator[str]:
    if config.norm_topk_prob:
        yield "experts whose weights are normalized (norm_topk_prob)"
    if config.decoder_sparse_step != 1 or config.mlp_only_layers:
        yield "layers without experts among layers with them"


def _gpt_bigcode(config: Any) -> Iterator[str]:
    if not config.scale_attn_weights:
        yield "attention without scale"


def _transposed(name: str, tensor: Any, config: Any) -> Iterator[tuple[str, Any]]:
    """GPT-2's layers hold their weights as (inputs, outputs)."""
    turned = name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))
    yield name, tensor.T if turned else tensor


def _neox(name: str, tensor: Any, config: Any) -> Iterator[tuple[str, Any]]:
    """GPT-NeoX stores query, key and value head by head; llama.cpp reads all queries, all keys, all values."""
    if "query_key_value" in name:
        rows = tensor.reshape(config.num_attention_heads, 3, -1, *tensor.shape[1:])
        tensor = rows.swapaxes(0, 1).reshape(tensor.shape)
    yield name, tensor


def _experts(name: str, tensor: Any, config: Any) -> Iterator[tuple[str, Any]]:
    """The experts' gate and up projections are one tensor in transformers, and two in the file."""
    stem, _, last = name.rpartition(".")
    if last == "gate_up_proj" and tensor.ndim == 3:
        gate, up = tensor[:, : tensor.shape[1] // 2], tensor[:, tensor.shape[1] // 2 :]
        yield f"{stem}.gate_proj.weight", gate
        yield f"{stem}.up_proj.weight", up
    elif last == "down_proj" and tensor.ndim == 3:
        yield f"{name}.weight", tensor
    else:
        yield name, tensor


_LLAMA3 = frozenset({"llama3"})
_GRANITE = {
    "add_logit_scale": "logits_scaling",
    "add_attention_scale": "attention_multiplier",
    "add_residual_scale": "residual_multiplier",
    "add_embedding_scale": "embedding_multiplier",
}
_RELU2 = frozenset({"relu2"})
_LOGIT_SCALE = {"add_logit_scale": "logit_scale"}
_EXPERTS = {
    "add_expert_count": "num_experts",
    "add_expert_used_count": "num_experts_per_tok",
    "add_expert_feed_forward_length": "moe_intermediate_size",
}

GGUF_FAMILIES: dict[str, GgufFamily] = {
    "arcee": GgufFamily("ARCEE", _RELU2, permuted=True, scaled_rope=_LLAMA3),
    "cohere": GgufFamily("COMMAND_R", head="tied", free_head_size=False, keys=_LOGIT_SCALE, fixed=_cohere),
    "cohere2": GgufFamily("COHERE2", head="tied", windows=True, free_head_size=False, keys=_LOGIT_SCALE),
    "ernie4_5": GgufFamily("ERNIE4_5"),
    "exaone4": GgufFamily("EXAONE4", scaled_rope=_LLAMA3, fixed=_every_layer_alike),
    "gemma": GgufFamily("GEMMA", GELU_TANH, norm_offset=True, head="tied"),
    "gemma2": GgufFamily(
        "GEMMA2",
        GELU_TANH,
        norm_offset=True,
        head="tied",
        windows=True,
        keys={
            "add_attn_logit_softcapping": "attn_logit_softcapping",
            "add_final_logit_softcapping": "final_logit_softcapping",
        },
        fixed=query_scale(46),
    ),
    "gemma3_text": GgufFamily("GEMMA3", GELU_TANH, norm_offset=True, windows=True, fixed=query_scale(62)),
    "glm": GgufFamily("CHATGLM"),
    "glm4": GgufFamily("GLM4"),
    "gpt2": GgufFamily("GPT2", GELU_TANH, arrange=_transposed, free_head_size=False, fixed=_gpt2),
    "gpt_bigcode": GgufFamily("STARCODER", GELU_TANH, free_head_size=False, fixed=_gpt_bigcode),
    "gpt_neox": GgufFamily("GPTNEOX", frozenset({"gelu"}), head="required", free_head_size=False, arrange=_neox),
    "granite": GgufFamily("GRANITE", permuted=True, scaled_rope=_LLAMA3, keys=_GRANITE),
    "helium": GgufFamily("LLAMA"),
    "hunyuan_v1_dense": GgufFamily("HUNYUAN_DENSE"),
    "internlm3": GgufFamily("LLAMA", permuted=True),
    "llama": GgufFamily("LLAMA", permuted=True, scaled_rope=_LLAMA3),
    "ministral": GgufFamily("LLAMA", permuted=True),
    "ministral3": GgufFamily("MISTRAL3", permuted=True),
    "mistral": GgufFamily("LLAMA", permuted=True, scaled_rope=_LLAMA3),
    "mixtral": GgufFamily(
        "LLAMA", permuted=True, arrange=_experts, keys={**_EXPERTS, "add_expert_count": "num_local_experts"}
    ),
    "nemotron": GgufFamily("NEMOTRON", _RELU2, norm_offset=True, head="required", free_head_size=False),
    "olmo": GgufFamily("OLMO", permuted=True, free_head_size=False, keys={"add_clamp_kqv": "clip_qkv"}),
    "olmo2": GgufFamily("OLMO2", head="required", free_head_size=False),
    "olmo3": GgufFamily("OLMO2", head="required", windows=True, free_head_size=False),
    "olmoe": GgufFamily("OLMOE", head="required", free_head_size=False, arrange=_experts, keys=_EXPERTS, fixed=_olmoe),
    "phi": GgufFamily("PHI2", GELU_TANH, head="required", free_head_size=False, fixed=_phi),
    "phi3": GgufFamily("PHI3", scaled_rope=frozenset({"longrope"}), free_head_size=False),
    "qwen2": GgufFamily("QWEN2", free_head_size=False),
    "qwen2_moe": GgufFamily(
        "QWEN2MOE",
        head="required",
        free_head_size=False,
        arrange=_experts,
        keys={**_EXPERTS, "add_expert_shared_feed_forward_length": "shared_expert_intermediate_size"},
        fixed=_qwen2_moe,
    ),
    "qwen3": GgufFamily("QWEN3"),
    "qwen3_moe": GgufFamily("QWEN3MOE", arrange=_experts, keys=_EXPERTS, fixed=_qwen3_moe),
    "seed_oss": GgufFamily("SEED_OSS"),
    "smollm3": GgufFamily("SMOLLM3", permuted=True, fixed=_smollm3),
    "stablelm": GgufFamily("STABLELM", head="required", free_head_size=False, fixed=_stablelm),
    "starcoder2": GgufFamily("STARCODER2", GELU_TANH, free_head_size=False),
}
"""By ``model_type`` of transformers, in alphabetical order."""


def gguf_family(model_type: str | None) -> GgufFamily | None:
    """The entry of ``model_type``; None where graft writes no GGUF of it."""
    return GGUF_FAMILIES.get(model_type or "")
