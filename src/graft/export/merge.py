"""A model with its adapter folded into the weights, as a folder that any tool reads."""

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
    """adapter_config.json.

    Raises:
        InputError: when it is not there or not JSON.
    """
    file = adapter / "adapter_config.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError("this is no adapter: there is no adapter_config.json", where=str(adapter)) from None
    except ValueError as error:
        raise InputError(f"this is not JSON: {error}", where=str(file)) from error
    return found


def check_mergeable(adapter: Path) -> None:
    """Raises:
    InputError: for an adapter that can't be folded into the weights it stands beside.
    """
    kind = adapter_config(adapter).get("peft_type")
    if kind not in MERGEABLE:
        raise InputError(
            f"an adapter of the type {kind} can't be folded into the weights, and the model builder knows LoRA alone",
            where=str(adapter),
            remedy="tune with --method lora, qlora or full for what is to be deployed",
        )


def merged(base: Base, adapter: Path | None, tokenizer: Any, folder: Path) -> Any:
    """``base`` with ``adapter`` folded in, written with ``tokenizer`` to ``folder``; returns the model.

    Raises:
        InputError: when the adapter doesn't fit, or is of a kind that can't be folded in.
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
    """Embeddings that were tied and are no longer the same (one of them was tuned) must be saved apart."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and head.weight is not embedding.weight:
        model.config.tie_word_embeddings = False
