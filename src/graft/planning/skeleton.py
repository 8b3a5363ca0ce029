"""The model of a run as shapes alone, made ready by its method: what can be counted before any weight is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graft.config import FinetuneSettings, config_of
from graft.methods import METHODS
from graft.methods.int4_linear import Int4Linear
from graft.methods.layers import check_names, linear_layers, trained_whole
from graft.methods.lora import LoraMethod
from graft.methods.qlora import Qlora
from graft.models.base import Base
from graft.models.int4 import BLOCK, Int4Weight
from graft.models.load import CAUSAL, quiet
from graft.models.stored import is_float32_but_for_parameters, stored_format
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding
from graft.tasks.load import new_heads


def configuration(base: Base, task: Task, encoding: Encoding) -> Any:
    """The configuration of ``base``, with the labels of the task's head."""
    import transformers

    trusted = base.trust_remote_code
    config = transformers.AutoConfig.from_pretrained(base.path, trust_remote_code=trusted, local_files_only=True)
    if task.objective(encoding.label_space) is not None:
        for name, value in encoding.label_space.as_config().items():
            setattr(config, name, value)
    return config


def auto_class(task: Task, headed: bool) -> Any:
    """The class of transformers that makes the model of ``task``."""
    import transformers

    return getattr(transformers, task.auto_class if headed else CAUSAL)


def bare_skeleton(base: Base, task: Task, encoding: Encoding, dtype: str = "float32") -> Any:
    """The model that ``task`` loads of ``base``, on the meta device."""
    import torch
    from transformers.initialization import no_init_weights

    config = configuration(base, task, encoding)
    auto = auto_class(task, task.objective(encoding.label_space) is not None)
    with quiet(), no_init_weights(), torch.device("meta"):
        model = auto.from_config(config, trust_remote_code=base.trust_remote_code, dtype=getattr(torch, dtype))
    model.tie_weights()
    model.config.pad_token_id = encoding.tokenizer.pad_token_id
    model.name_or_path = model.config._name_or_path = base.name
    return model


def is_loaded_as_stored(base: Base, task: Task, encoding: Encoding) -> bool:
    """Whether ``load_to_quantize`` leaves the weights of ``base`` in the number format of their files."""
    stored = stored_format(base.path)
    if stored is None or base.new_tokens or task.objective(encoding.label_space) is not None:
        return False
    return is_float32_but_for_parameters(bare_skeleton(base, task, encoding, stored))


def prepared_skeleton(model: Any, settings: FinetuneSettings) -> Any:
    """``model`` made ready by the method of ``settings``: what is trained requires gradients.

    Raises:
        InputError: If the settings of the method do not fit the model.
    """
    method = METHODS.get(settings.method)
    config, heads = config_of(settings, method.Config), new_heads(model)
    if not isinstance(method, Qlora):
        return method.prepare(model, config, settings.seed, heads)
    check_names(model, config)  # its own ``prepare`` records a hash of the weights, and there are none
    kept = tuple(f".{part}." for part in trained_whole(config, heads) or ())
    _to_int4(model.requires_grad_(False), kept)
    return LoraMethod.prepare(method, model, config, settings.seed, heads)


def _to_int4(model: Any, kept: Sequence[str]) -> None:
    """As ``graft.methods.quantized.to_int4``, of shapes: each linear layer but those within ``kept``."""
    for name in linear_layers(model):
        if not any(part in f".{name}." for part in kept):
            parent, _, leaf = name.rpartition(".")
            layer = getattr(model.get_submodule(parent), leaf)
            setattr(model.get_submodule(parent), leaf, _int4_shape(layer))


def _int4_shape(layer: Any) -> Int4Linear:
    import torch
    from transformers.pytorch_utils import Conv1D

    transposed = isinstance(layer, Conv1D)
    rows, columns = layer.weight.shape[::-1] if transposed else layer.weight.shape
    blocks = -(-columns // BLOCK)
    packed = torch.empty(rows, blocks, BLOCK // 2, dtype=torch.uint8, device="meta")
    weight = Int4Weight(packed, torch.empty(rows, blocks, device="meta"), (rows, columns))
    return Int4Linear(weight, layer.bias, transposed)
