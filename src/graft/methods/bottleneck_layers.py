"""Bottleneck networks in the layers of a frozen model (Houlsby et al. 2019, arXiv:1902.00751, section 2)."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import nn

from graft.documents import read_object
from graft.errors import InputError, reason_of
from graft.methods.adapter_folder import BOTTLENECK, misfit
from graft.methods.base import write_folder
from graft.models.adapter_config import CONFIG, WEIGHTS
from graft.runs.record import Record, validate

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


@dataclass(frozen=True)
class BottleneckConfig:
    """``layers`` are the full names of the layers that have a network behind them.

    A network in a stream of d features has d / ``reduction_factor`` (at least 1) between its two projections.
    """

    layers: list[str]
    reduction_factor: float
    non_linearity: str = "relu"
    dropout: float = 0.0
    placement: str = "pfeiffer"
    base_model_name_or_path: str | None = None
    modules_to_save: list[str] = field(default_factory=list)
    """The full names of layers that are trained whole beside the networks, such as a classifier's head."""
    peft_type: str = field(default=BOTTLENECK, init=False)


class _BottleneckRecord(Record):
    """``adapter_config.json`` of bottleneck networks."""

    layers: list[str]
    reduction_factor: Annotated[float, Field(ge=1)]
    non_linearity: Literal["relu", "gelu", "silu", "tanh"] = "relu"
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    placement: str = "pfeiffer"
    base_model_name_or_path: str | None = None
    modules_to_save: list[str] = Field(default_factory=list)


class Bottleneck(nn.Module):
    """x + up(f(down(x))), x (…, features). ``up`` begins at zero, so that the network begins as the identity."""

    def __init__(self, features: int, config: BottleneckConfig) -> None:
        super().__init__()
        inner = max(1, round(features / config.reduction_factor))
        self.dropout = nn.Dropout(config.dropout)
        self.down = nn.Linear(features, inner)
        self.activation = ACTIVATIONS[config.non_linearity]()
        self.up = nn.Linear(inner, features)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, features) -> the same shape and format; the network itself computes in the format of its weights."""
        inner = self.activation(self.down(self.dropout(x).to(self.down.weight.dtype)))
        up: torch.Tensor = self.up(inner)
        return x + up.to(x.dtype)


class Bottlenecked(nn.Module):
    """A frozen layer with a network behind it, which can be switched off."""

    def __init__(self, base_layer: nn.Module, config: BottleneckConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck = Bottleneck(features_of(base_layer), config)
        self.enabled = True

    @property
    def weight(self) -> torch.Tensor:
        """The layer's own: some models (T5) ask for its type."""
        weight: torch.Tensor = self.base_layer.weight  # type: ignore[assignment]
        return weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, in) -> (…, features): the layer's output, through the network unless it is switched off."""
        output: torch.Tensor = self.base_layer(x)
        return self.bottleneck(output) if self.enabled else output


class TrainedWhole(nn.Module):
    """A layer and the copy of it that is trained; switched off, the first answers."""

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.trained = copy.deepcopy(base_layer).requires_grad_(True)
        self.enabled = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The trained copy's output; switched off, that of the layer as it came."""
        return (self.trained if self.enabled else self.base_layer)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Models look at their heads, as at ``weight``."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name in {"base_layer", "trained"}:
                raise
            return getattr(self.trained if self.enabled else self.base_layer, name)


def features_of(layer: Any) -> int:
    """The width of what ``layer``, an ``nn.Linear`` or GPT-2's ``Conv1D``, puts out."""
    return int(layer.out_features if hasattr(layer, "out_features") else layer.nf)


class BottleneckModel(nn.Module):
    """``model`` with a network behind each of ``config.layers``; everything else is ``model``'s own.

    Its state is what is trained alone, so checkpoints hold nothing of the base.
    """

    def __init__(self, model: Any, config: BottleneckConfig) -> None:
        super().__init__()
        model.requires_grad_(False)
        for name in config.layers:
            _replace(model, name, lambda layer: Bottlenecked(layer, config))
        for name in config.modules_to_save:
            _replace(model, name, TrainedWhole)
        self.base_model = model
        self.bottlenecks = config
        self.train(model.training)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "base_model":
                raise
            return getattr(self.base_model, name)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The base model's output, computed with the networks that are switched on."""
        return self.base_model(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """The base model's own generation, computed with the networks that are switched on."""
        return self.base_model.generate(*args, **kwargs)

    def get_base_model(self) -> Any:
        """The model that was given, with the networks in it; named as PEFT's method."""
        return self.base_model

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The base alone answers within."""
        before = [(layer, layer.enabled) for _, layer in self._added()]
        try:
            for layer, _ in before:
                layer.enabled = False
            yield
        finally:
            for layer, enabled in before:
                layer.enabled = enabled

    def merge_and_unload(self, **options: Any) -> Any:
        """Refuse to merge.

        Raises:
            InputError: always: a network with a non-linearity is no change of a weight.
        """
        raise InputError(
            "bottleneck adapters cannot be merged into the base model",
            remedy="use the PyTorch model with its adapter, or train with --method lora",
        )

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What is trained: each tensor as LAYER.down.weight and so on."""
        return {
            f"{name}.{part}": tensor if kwargs.get("keep_vars") else tensor.detach()
            for name, layer in self._added()
            for part, tensor in _trained(layer).state_dict(keep_vars=True).items()
        }

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load the tensors of the layers.

        Raises:
            RuntimeError: when tensors are missing, left over, or of another shape.
        """
        slashed = {name: name.replace(".", "/") for name, _ in self._added()}  # a module's name has no dots
        parts = nn.ModuleDict({slashed[name]: _trained(layer) for name, layer in self._added()})
        renamed = {}
        for name, tensor in state_dict.items():
            layer = next((layer for layer in slashed if name.startswith(f"{layer}.")), None)
            renamed[name if layer is None else slashed[layer] + name[len(layer) :]] = tensor
        return parts.load_state_dict(renamed, strict=True, assign=assign)

    def set_trainable(self, trainable: bool) -> None:
        """Only what was added is ever trained."""
        for _, layer in self._added():
            _trained(layer).requires_grad_(trainable)

    def _added(self) -> Iterator[tuple[str, Bottlenecked | TrainedWhole]]:
        for name in (*self.bottlenecks.layers, *self.bottlenecks.modules_to_save):
            layer = self.base_model.get_submodule(name)
            assert isinstance(layer, (Bottlenecked, TrainedWhole))
            yield name, layer


def _replace(model: Any, name: str, make: Callable[[nn.Module], nn.Module]) -> None:
    parent, _, leaf = name.rpartition(".")
    owner = model.get_submodule(parent)
    setattr(owner, leaf, make(getattr(owner, leaf)))


def _trained(layer: Bottlenecked | TrainedWhole) -> nn.Module:
    return layer.bottleneck if isinstance(layer, Bottlenecked) else layer.trained


def save_bottlenecks(model: BottleneckModel, folder: Path) -> None:
    """``adapter_config.json`` and ``adapter_model.safetensors``, the same bytes for the same weights."""
    from safetensors.torch import save_file

    def write(temporary: Path) -> None:
        tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
        save_file(tensors, temporary / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(asdict(model.bottlenecks), indent=2, sort_keys=True, ensure_ascii=False)
        (temporary / CONFIG).write_text(text, encoding="utf-8")

    write_folder(folder, write)


def load_bottlenecks(model: Any, folder: Path, trainable: bool = False) -> BottleneckModel:
    """``model`` with the networks in ``folder``.

    Raises:
        InputError: when their files are damaged, or don't fit the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    record = validate(_BottleneckRecord, read_object(folder / CONFIG), str(folder / CONFIG))
    config = BottleneckConfig(**record.model_dump(include=set(_BottleneckRecord.model_fields)))
    try:
        tuned = BottleneckModel(model, config)
        tuned.load_state_dict(load_file(folder / WEIGHTS))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise misfit(folder, model, reason_of(error)) from error
    tuned.set_trainable(trainable)
    return tuned.train(trainable)
