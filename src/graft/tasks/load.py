"""Models for tasks: loaded with their heads, which are trained whole, and described where they are saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.files import write_whole
from graft.models.base import Base, head_layers, load_model
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding


def load_for(task: Task, encoding: Encoding, base: Base, seed: int) -> Any:
    """The model that ``task`` needs; a head that its weights lack is initialised by ``seed``.

    Raises:
        InputError: when it doesn't load.
    """
    if task.name == "text-generation":
        return load_model(base)
    model = load_model(base, task.auto_class, encoding.label_space.as_config(), seed=seed)
    model.config.pad_token_id = encoding.tokenizer.pad_token_id  # a causal model finds a padded text's end by it
    return model


def on_the_gpu(model: Any) -> Any:
    """On a CUDA GPU where there is one, as the Trainer puts what it trains; else as it is."""
    import torch

    return model.to("cuda") if torch.cuda.is_available() else model


def is_new_head(task: Task, encoding: Encoding, base: Base) -> bool:
    """Whether the head is not among the base's weights, so that the base can only guess."""
    ending = task.auto_class.replace("AutoModel", "")
    return bool(encoding.label_space.names) and not str((base.config.get("architectures") or [""])[0]).endswith(ending)


def with_head_trained(settings: FinetuneSettings, model: Any) -> FinetuneSettings:
    """``settings`` that train and save the layers of a head beside an adapter."""
    layers = [name for name in head_layers(model) if not name.endswith("lm_head")]
    named = tuple(dict.fromkeys([*(settings.modules_to_save or ()), *layers]))
    return settings.model_copy(update={"modules_to_save": named}) if layers else settings


def write_config(model: Any, folder: Path) -> None:
    """The head's classes beside the base's weights, so that the folder loads with a head of the right size."""
    bare = model.get_base_model() if hasattr(model, "get_base_model") else model
    bare.config.architectures = [type(bare).__name__]
    write_whole(folder / "config.json", bare.config.to_json_string(use_diff=True))
