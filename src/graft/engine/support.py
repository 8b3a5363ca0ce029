"""Which models the packed engine computes exactly."""

from __future__ import annotations

from typing import Any

from graft.engine.native import native

TESTED = frozenset(
    {"llama", "mistral", "qwen2", "qwen3", "phi", "phi3", "gemma", "gemma2", "gemma3_text", "smollm3", "gpt2"}
)
"""Model types whose packed loss and gradients the tests compare with the padded ones."""


def supports(model: Any, longest: int = 1024) -> str | None:
    """None when rows of up to ``longest`` tokens can be packed, else the reason for the plain path.

    Windows and capped scores take the compiled kernels.
    """
    config = model.config
    kind = getattr(config, "model_type", "?")
    if kind not in TESTED:
        return f"the packed engine is not tested with {kind} models"
    dropout = getattr(config, "attention_dropout", 0) and model.training
    if not dropout and native(*(p for p in model.parameters() if p.is_floating_point())):
        return None
    window = getattr(config, "sliding_window", None)
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])
    if window and sliding and getattr(config, "use_sliding_window", True) and window < longest:
        return f"the model attends within a window of {window} tokens, and rows may have {longest}"
    if getattr(config, "attn_logit_softcapping", None):
        return "the model caps its attention scores"
    return None
