"""Bottleneck networks in the layers of a frozen model (Houlsby et al. 2019, arXiv:1902.00751, section 2)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from graft.errors import InputError
from graft.methods.base import write_folder

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
KIND = "BOTTLENECK"
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
    peft_type: str = field(default=KIND, init=False)


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.base_layer(x)
        return self.bottleneck(output) if self.enabled else output


def features_of(layer: Any) -> int:
    """The width of what ``layer``, an ``nn.Linear`` or GPT-2's ``Conv1D``, puts out."""
    return int(layer.out_features if hasattr(layer, "out_features") else layer.nf)


class BottleneckModel(nn.Module):
    """``model`` with a network behind each of ``config.layers``; everything else is ``model``'s own.

    Its state is that of the networks alone, so checkpoints hold nothing of the base.
    """

    def __init__(self, model: Any, config: BottleneckConfig) -> None:
        super().__init__()
        model.requires_grad_(False)
        for name in config.layers:
            parent, _, leaf = name.rpartition(".")
            owner = model.get_submodule(parent)
            setattr(owner, leaf, Bottlenecked(getattr(owner, leaf), config))
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
        return self.base_model(*args, **kwargs)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return self.base_model.generate(*args, **kwargs)

    def get_base_model(self) -> Any:
        return self.base_model

    @contextmanager
    def disable_adapter(self) -> Iterator[None]:
        """The base alone answers within."""
        before = [(layer, layer.enabled) for layer in self._layers()]
        try:
            for layer, _ in before:
                layer.enabled = False
            yield
        finally:
            for layer, enabled in before:
                layer.enabled = enabled

    def merge_and_unload(self, **options: Any) -> Any:
        """Raises:
        InputError: always: a network with a non-linearity is no change of a weight.
        """
        raise InputError(
            "bottleneck adapters cannot be merged: they don't fold into the base's weights",
            remedy="ship the PyTorch model with its adapter, or tune with --method lora",
        )

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The networks' tensors, each as LAYER.down.weight and so on."""
        return {
            f"{name}.{part}": tensor.detach() if not kwargs.get("keep_vars") else tensor
            for name, layer in zip(self.bottlenecks.layers, self._layers(), strict=True)
            for part, tensor in layer.bottleneck.state_dict(keep_vars=True).items()
        }

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Raises:
        RuntimeError: when tensors are missing, left over, or of another shape.
        """
        networks = nn.ModuleDict({name.replace(".", "/"): layer.bottleneck for name, layer in self._named_layers()})
        renamed = {}
        for name, tensor in state_dict.items():
            layer, module, kind = name.rsplit(".", 2)
            renamed[f"{layer.replace('.', '/')}.{module}.{kind}"] = tensor
        return networks.load_state_dict(renamed, strict=True, assign=assign)

    def _named_layers(self) -> Iterator[tuple[str, Bottlenecked]]:
        for name in self.bottlenecks.layers:
            layer = self.base_model.get_submodule(name)
            assert isinstance(layer, Bottlenecked)
            yield name, layer

    def _layers(self) -> list[Bottlenecked]:
        return [layer for _, layer in self._named_layers()]


def save_bottlenecks(model: BottleneckModel, folder: Path) -> None:
    """``adapter_config.json`` and ``adapter_model.safetensors``, the same bytes for the same weights."""
    from safetensors.torch import save_file

    def write(temporary: Path) -> None:
        tensors = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
        save_file(tensors, temporary / WEIGHTS, metadata={"format": "pt"})
        text = json.dumps(asdict(model.bottlenecks), indent=2, sort_keys=True, ensure_ascii=False)
        (temporary / CONFIG).write_text(text, encoding="utf-8")

    write_folder(folder, write)


def is_bottleneck(folder: Path) -> bool:
    """Whether an adapter folder holds bottleneck networks, which merging and export have to refuse."""
    file = folder / CONFIG
    return file.is_file() and json.loads(file.read_text(encoding="utf-8")).get("peft_type") == KIND


def load_bottlenecks(model: Any, folder: Path, trainable: bool = False) -> BottleneckModel:
    """``model`` with the networks in ``folder``.

    Raises:
        InputError: when they don't fit the model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    given = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    given.pop("peft_type")
    name = model.name_or_path or type(model).__name__
    try:
        tuned = BottleneckModel(model, BottleneckConfig(**given))
        tuned.load_state_dict(load_file(folder / WEIGHTS))
    except (AttributeError, KeyError, TypeError, RuntimeError, OSError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"the adapter does not fit the model {name}: {reason}",
            where=str(folder),
            remedy="use the model the adapter was trained on; adapter_config.json names it",
        ) from error
    for _, parameter in tuned.named_parameters():
        parameter.requires_grad_(False)
    for layer in tuned._layers():
        layer.bottleneck.requires_grad_(trainable)
    return tuned.train(trainable)
