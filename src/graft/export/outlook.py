"""Which formats a model can be exported to, by its configuration: known before any weight is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graft.errors import InputError
from graft.export.gguf.families import gguf_family
from graft.export.targets.hf import MLX_TYPES

ONNX_TYPES = frozenset(
    {"ernie4_5", "gemma2", "gemma3_text", "granite", "hunyuan_v1_dense", "internlm3", "llama", "mistral", "phi3"}
    | {"qwen2", "qwen3"}
)
"""``model_type`` of causal models whose float32 bundle was seen to agree with PyTorch, on tiny random models."""
ONNX_REASONS = {
    "smollm3": "the model builder of onnxruntime-genai fails at its layers without rotary positions",
    "lfm2": "graft does not run bundles with convolution layers",
}
NOT_TESTED = "not tested"
ENCODER_TYPES = frozenset({"bert", "distilbert", "modernbert", "roberta", "xlm-roberta"})


def export_outlook(config: Mapping[str, Any], kind: str = "causal", by_type: bool = False) -> dict[str, str | None]:
    """Return, for each format, None if a model of this configuration exports to it, otherwise the reason why not.

    Args:
        config: The configuration of the part that reads text, with at least its ``model_type``.
        kind: ``causal``, ``encoder`` or ``encoder-decoder``.
        by_type: For GGUF, only the ``model_type`` is looked at, which takes no import of transformers.
    """
    model_type = str(config.get("model_type") or "")
    return {
        "onnx": _onnx(config, model_type, kind),
        "gguf": _gguf(config, model_type, kind, by_type),
        "hf": None,
        "mlx": None if kind == "causal" and model_type in MLX_TYPES else NOT_TESTED,
    }


def _onnx(config: Mapping[str, Any], model_type: str, kind: str) -> str | None:
    if kind == "encoder-decoder":
        return "not of encoder-decoder models"
    if kind == "encoder":
        return None if model_type in ENCODER_TYPES else NOT_TESTED
    if model_type == "granitemoehybrid" and set(config.get("layer_types") or ["mamba"]) <= {"attention"}:
        return None
    if model_type not in ONNX_TYPES:
        return ONNX_REASONS.get(model_type, NOT_TESTED)
    heads = int(config.get("num_attention_heads") or 1)
    size = int(config.get("head_dim") or int(config.get("hidden_size") or 0) // heads)
    return f"onnxruntime requires heads of a multiple of 16; these have {size}" if size % 16 else None


def _gguf(config: Mapping[str, Any], model_type: str, kind: str, by_type: bool) -> str | None:
    if kind != "causal":
        return "of causal models only"
    family = gguf_family(model_type)
    if family is None:
        return NOT_TESTED
    if by_type:
        return None
    from graft.export.gguf.writer import config_problem

    try:
        problem = config_problem(dict(config), family)
    except (InputError, TypeError, ValueError, AttributeError, KeyError) as error:
        return f"its configuration cannot be read: {error}"
    return f"llama.cpp does not compute {problem}" if problem else None
