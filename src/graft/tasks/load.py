"""Loads a task's model with its head, and describes the head where the model is saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.files import write_whole
from graft.models.base import Base, head_layers, load_model
from graft.models.stored import load_to_quantize
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding


def load_for(
    task: Task, encoding: Encoding, base: Base, seed: int, dtype: str = "float32", *, to_quantize: bool = False
) -> Any:
    """Load the model that ``task`` needs.

    Args:
        task: What the model is to do.
        encoding: The tokenizer and the labels.
        base: The weights.
        seed: Initializes a head that the weights lack.
        dtype: The number format of the weights, by torch's name, or ``auto`` for that of the files.
        to_quantize: Whether the base is quantized next, so that it may come as ``load_to_quantize`` gives it.

    Raises:
        InputError: If the model does not load.
    """
    if task.objective(encoding.label_space) is None:
        return load_to_quantize(base) if to_quantize else load_model(base, dtype=dtype)
    model = load_model(base, task.auto_class, encoding.label_space.as_config(), dtype=dtype, seed=seed)
    model.config.pad_token_id = encoding.tokenizer.pad_token_id  # a causal model finds the end of a padded text by it
    return model


def on_the_gpu(model: Any) -> Any:
    """Return the model on a CUDA GPU where there is one, as the Trainer puts what it trains."""
    import torch

    return model.to("cuda") if torch.cuda.is_available() else model


def is_new_head(task: Task, encoding: Encoding, base: Base) -> bool:
    """Return whether the head is missing from the base's weights, so that the base can only guess."""
    architecture = str((base.config.get("architectures") or [""])[0])
    return bool(encoding.label_space.names) and not architecture.endswith(task.head_suffix)


def new_heads(model: Any) -> list[str]:
    """Return the layers of a task's head, which a method has to train in full and save; a language model's is none."""
    return [name for name in head_layers(model) if not name.endswith("lm_head")]


def write_config(model: Any, folder: Path) -> None:
    """Write the configuration with the head's labels, so that ``folder`` loads with a head of the right size."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    bare.config.architectures = [type(bare).__name__]
    write_whole(folder / "config.json", bare.config.to_json_string(use_diff=True))
