"""Which models the packed engine computes exactly."""

from __future__ import annotations

from typing import Any

from graft.models.families import family_of


def supports(model: Any) -> str | None:
    """None when the model's rows can be packed, otherwise the reason why not."""
    kind = getattr(model.config, "model_type", "?")
    return None if family_of(kind).packed else f"the packed engine is not tested with {kind} models"


def sees_all(model: Any, longest: int) -> bool:
    """Whether in every layer a token of a row of ``longest`` tokens sees all tokens before it."""
    config = model.config
    window = getattr(config, "sliding_window", None)
    sliding = "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"])
    return not (window and sliding and getattr(config, "use_sliding_window", True) and window < longest)
