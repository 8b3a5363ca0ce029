"""What holds for which model type: one table, read by the engine, the methods and the exporters.

A model type that is not listed still trains, with padded batches, and exports to ONNX where the model builder of
onnxruntime-genai knows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Family:
    """What the tests have shown for a model type of transformers.

    Attributes:
        packed: packed batches give the same loss and gradients as padded ones.
        nested_rope: the configuration holds one set of rotary parameters per kind of attention.
        whole_layers: with LoRA, the kernels compute a decoder layer in one call in each direction.
    """

    packed: bool = True
    nested_rope: bool = False
    whole_layers: bool = False


FAMILIES: dict[str, Family] = {
    "gemma": Family(),
    "gemma2": Family(),
    "gemma3_text": Family(nested_rope=True),
    "gpt2": Family(),
    "llama": Family(whole_layers=True),
    "mistral": Family(whole_layers=True),
    "phi": Family(),
    "phi3": Family(),
    "qwen2": Family(whole_layers=True),
    "qwen3": Family(whole_layers=True),
    "smollm3": Family(whole_layers=True),
}
"""By ``model_type``, in alphabetical order."""

UNLISTED = Family(packed=False)

POSITION_TABLES = frozenset(
    {"bart", "biogpt", "blenderbot", "blenderbot-small", "ctrl", "gpt2", "gpt_bigcode", "gpt_neo", "led", "marian"}
    | {"mbart", "mvp", "openai-gpt", "opt", "pegasus", "plbart", "xlm"}
)
"""Model types, besides encoders, with a vector for each position. They fail beyond the last, where rotary positions
and biases go on."""

ATTENTION_OUTPUTS = (
    "o_proj",
    "self_attn.dense",
    "attn.c_proj",
    "attention.output.dense",
    "attn.out_proj",
    "SelfAttention.o",
    "EncDecAttention.o",
)
"""Suffixes of the projections with which attention returns to the residual stream, in all families."""

FEED_FORWARD_OUTPUTS = ("down_proj", "mlp.fc2", "mlp.c_proj", "output.dense", "DenseReluDense.wo", "fc2")
"""The same for the feed-forward block."""


def family_of(model_type: str) -> Family:
    """The entry of ``model_type``; ``UNLISTED`` for one that is not in the table."""
    return FAMILIES.get(model_type, UNLISTED)


def positions(config: Any) -> int | None:
    """Return the number of tokens beyond which a model of this configuration fails; None where it goes on."""
    if getattr(config, "model_type", None) not in POSITION_TABLES:
        return None
    found = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    return int(found) if found else None
