"""A model with its adapter merged into the weights, as a model folder."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.methods.adapter_folder import load_adapter
from graft.models.base import Base, load_model
from graft.models.load import quiet

MERGEABLE = {"LORA"}


def adapter_config(adapter: Path) -> dict[str, Any]:
    """The content of an adapter folder's adapter_config.json.

    Raises:
        InputError: If there is no such file, or it is not JSON.
    """
    file = adapter / "adapter_config.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("this folder is not an adapter: it has no adapter_config.json", where=str(adapter)) from None
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", where=str(file)) from error
    return found


def check_mergeable(adapter: Path) -> None:
    """Raises:
    InputError: If ``adapter`` is of a type that cannot be merged into the weights.
    """
    kind = adapter_config(adapter).get("peft_type")
    if kind not in MERGEABLE:
        raise InputError(
            f"an adapter of type {kind} cannot be merged into the weights for export; LoRA can",
            where=str(adapter),
            remedy="train with --method lora, qlora or full",
        )


def merged(base: Base, adapter: Path | None, tokenizer: Any, folder: Path) -> Any:
    """Merge ``adapter`` into ``base``.

    Args:
        base: The model.
        adapter: Its adapter; None for a model without one.
        tokenizer: Its tokenizer.
        folder: Where the merged model and the tokenizer are written.

    Returns:
        The merged model in PyTorch.

    Raises:
        InputError: If the adapter does not fit the model, or cannot be merged.
    """
    model = load_model(base)
    if adapter is not None:
        check_mergeable(adapter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = load_adapter(model, adapter).merge_and_unload()
        _untie(model)
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return model


def _untie(model: Any) -> None:
    """Have head and embeddings saved separately, if they were tied and one of them was trained."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and head.weight is not embedding.weight:
        model.config.tie_word_embeddings = False
