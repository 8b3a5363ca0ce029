"""What a model takes to train and to run, by its sizes alone: before it is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graft.models.families import family_of
from graft.models.load import Kind
from graft.training.schedule import token_megabytes

ROWS, ROW_TOKENS = 16, 128
"""The batch that memory is stated for."""
TRAINING_MB = 700
"""Python, torch and the tokenizer."""
INT4_BYTES = 0.6
"""Bytes of a weight in blocks of int4 with their scales."""
EXPORTED_INT4_BYTES = 0.66
"""Bytes of a parameter in an int4 bundle, its embeddings included; that of SmolLM2-135M has 89 MB."""
SERVING_MB = 300
"""onnxruntime and its buffers."""
_SYNONYMS = {
    "hidden_size": ("n_embd", "d_model", "dim"),
    "intermediate_size": ("n_inner", "d_ff", "hidden_dim"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "head_dim": ("d_kv",),
}


@dataclass(frozen=True)
class ModelNeeds:
    """Memory in MB; None where the method or the export does not apply.

    Attributes:
        lora_mb: To train LoRA in float32.
        qlora_mb: To train LoRA over int4 weights.
        full_mb: To train all weights.
        run_mb: To run the exported int4 model.
        bundle_mb: The size of the exported int4 model.
        engine: ``whole layers``, ``packed``, or ``plain`` for padded batches.
    """

    lora_mb: int
    qlora_mb: int | None
    full_mb: int
    run_mb: int | None
    bundle_mb: int | None
    engine: str


def model_needs(config: Mapping[str, Any], parameters: int, kind: Kind, tokens: int = ROWS * ROW_TOKENS) -> ModelNeeds:
    """Estimate what a model takes.

    Args:
        config: The configuration of the part that reads text.
        parameters: The number of its weights.
        kind: What the model is.
        tokens: The tokens of a training batch.
    """
    sizes = _plain(config)
    engine = engine_path(str(config.get("model_type") or ""), kind)
    kept = tokens * _kept_megabytes(sizes, engine)
    embeddings = _embedding_weights(sizes, parameters)
    causal = kind == "causal"
    bundle = round(EXPORTED_INT4_BYTES * parameters / 1e6) if causal else None
    return ModelNeeds(
        lora_mb=round(TRAINING_MB + 4 * parameters / 1e6 + kept),
        qlora_mb=round(TRAINING_MB + _qlora_bytes(parameters, embeddings) / 1e6 + kept) if causal else None,
        full_mb=round(TRAINING_MB + 16 * parameters / 1e6 + kept),
        run_mb=None if bundle is None else SERVING_MB + bundle,
        bundle_mb=bundle,
        engine=engine,
    )


def engine_path(model_type: str, kind: Kind) -> str:
    """Return by which path a model of this type is trained with LoRA."""
    family = family_of(model_type)
    if kind != "causal" or not family.packed:
        return "plain"
    return "whole layers" if family.whole_layers else "packed"


def _qlora_bytes(parameters: int, embeddings: int) -> float:
    """Layers in int4, embeddings and the head in float32."""
    return INT4_BYTES * (parameters - embeddings) + 4 * embeddings


def _embedding_weights(sizes: Mapping[str, Any], parameters: int) -> int:
    matrices = 1 if sizes.get("tie_word_embeddings", True) else 2
    return min(matrices * int(sizes.get("vocab_size") or 0) * int(sizes["hidden_size"]), parameters)


def _kept_megabytes(sizes: Mapping[str, Any], engine: str) -> float:
    """What a token keeps for the backward pass, in MB."""
    if engine != "whole layers":
        return token_megabytes(sizes)
    hidden, inner, heads = (int(sizes[key]) for key in ("hidden_size", "intermediate_size", "num_attention_heads"))
    head = int(sizes.get("head_dim") or hidden // heads)
    groups = int(sizes.get("num_key_value_heads") or heads)
    return int(sizes["num_hidden_layers"]) * 4 * 2 * (hidden + (heads + groups) * head + inner) / 1e6


def _plain(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the usual names of sizes; an encoder and a decoder count as one stack."""
    found = dict(config)
    for name, others in _SYNONYMS.items():
        value = next((config[other] for other in (name, *others) if isinstance(config.get(other), (int, float))), None)
        if value is not None:
            found[name] = value
    found.setdefault("hidden_size", 768)
    found.setdefault("num_attention_heads", 12)
    found.setdefault("num_hidden_layers", 12)
    found.setdefault("intermediate_size", 4 * found["hidden_size"])
    if config.get("is_encoder_decoder"):
        found["num_hidden_layers"] += int(config.get("num_decoder_layers") or found["num_hidden_layers"])
    return found
