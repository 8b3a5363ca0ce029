"""A model with its adapter merged into the weights, as a model folder."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.methods import METHODS
from graft.methods.recorded import load_merged, method_of
from graft.models.base import Opened, load_model
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
        raise not_an_adapter(adapter) from None
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", where=str(file)) from error
    return found


def not_an_adapter(path: Path) -> InputError:
    """The error for a path without an adapter_config.json."""
    what = "this folder is not an adapter: it has no adapter_config.json" if path.exists() else "no such folder"
    return InputError(what, where=str(path), remedy="give a run folder or a PEFT adapter folder")


def check_mergeable(opened: Opened) -> None:
    """Raises:
    InputError: If the adapter of ``opened`` cannot be merged into the weights.
    """
    adapter, method = opened.adapter, method_of(opened)
    if adapter is None or (method.mergeable and method.loads_with == "graft" and method.name not in METHODS.builtin):
        return
    if not method.mergeable and not (adapter / "adapter_config.json").is_file():
        raise InputError(
            f"weights trained with --method {method.name} cannot be merged for export",
            where=str(adapter),
            remedy="train with --method lora, qlora or full",
        )
    kind = adapter_config(adapter).get("peft_type")
    if kind not in MERGEABLE:
        raise InputError(
            f"an adapter of type {kind} cannot be merged for export; only LoRA can",
            where=str(adapter),
            remedy="train with --method lora, qlora or full",
        )


def merged(opened: Opened, tokenizer: Any, folder: Path) -> Any:
    """Merge the adapter of ``opened`` into its base.

    Args:
        opened: The model and its adapter, if it has one.
        tokenizer: Its tokenizer.
        folder: Where the merged model and the tokenizer are written.

    Returns:
        The merged model in PyTorch.

    Raises:
        InputError: If the adapter does not fit the model, or cannot be merged.
    """
    model = load_model(opened.base)
    if opened.adapter is not None:
        check_mergeable(opened)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = load_merged(model, opened)
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
