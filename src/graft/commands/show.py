"""``graft show`` of a model or an adapter, by folder or name."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

from graft.errors import refusing
from graft.models.base import Base, open_run_or_model
from graft.progress import SILENT, Reporter


def describe(name: str, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Describe a model without loading its weights.

    Args:
        name: A model or adapter folder, a GGUF file, an embedded name, or a hub id.
        reporter: Shows notes.

    Returns:
        Plain values: architecture, number of parameters, layers, sizes, context length, license, hash.

    Raises:
        InputError: If there is no such model, or it is not complete.
    """
    opened = open_run_or_model(name, reporter)
    base, config = opened.base, opened.base.text_config
    return {
        "model": base.label,
        "adapter": str(opened.adapter) if opened.adapter else None,
        "path": str(base.path),
        "kind": base.kind,
        "architecture": config.get("model_type"),
        "parameters": parameters(base),
        "layers": config.get("num_hidden_layers") or config.get("n_layer"),
        "hidden_size": config.get("hidden_size") or config.get("n_embd"),
        "context_tokens": config.get("max_position_embeddings") or config.get("n_positions"),
        "vocabulary": config.get("vocab_size"),
        "license": base.license,
        "sha256": base.sha256,
    }


def parameters(base: Base) -> int | None:
    """Return the number of parameters by the headers of the safetensors files; None for other weights.

    Raises:
        InputError: If a header is damaged.
    """
    files = sorted(file for file in base.path.glob("*.safetensors") if file.is_file())
    return sum(map(_elements, files)) or None


def _elements(file: Path) -> int:
    from safetensors import safe_open

    with refusing("this file is damaged", file), safe_open(file, framework="numpy") as weights:
        names: list[str] = list(weights.keys())
        return sum(prod(weights.get_slice(name).get_shape()) for name in names)
