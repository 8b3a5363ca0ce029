"""Bottleneck adapters: after both parts of each layer (Houlsby et al. 2019, arXiv:1902.00751), or after its
feed-forward part (Pfeiffer et al. 2020, arXiv:2005.00247, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

from graft.config import setting
from graft.errors import InputError, Problems, did_you_mean
from graft.methods.base import Method
from graft.methods.layers import DropoutConfig, LayerConfig, check_names, linear_layers, trained_whole
from graft.methods.lora import more_dropout

ATTENTION = (
    "o_proj",
    "self_attn.dense",
    "attn.c_proj",
    "attention.output.dense",
    "attn.out_proj",
    "SelfAttention.o",
    "EncDecAttention.o",
)
"""What models call the projection with which attention returns to the residual stream."""
FEED_FORWARD = ("down_proj", "mlp.fc2", "mlp.c_proj", "output.dense", "DenseReluDense.wo", "fc2")
"""The same of the feed-forward part."""


class AdaptersConfig(LayerConfig, DropoutConfig):
    """The options of bottleneck adapters."""

    reduction_factor: float = setting(16, "ratio of the model width to the adapter width", ge=1)
    adapter_placement: Literal["pfeiffer", "houlsby"] = setting(
        "pfeiffer", "pfeiffer: after the feed-forward part of each layer; houlsby: also after attention"
    )
    non_linearity: Literal["relu", "gelu", "silu", "tanh"] = setting(
        "relu", "activation function of the adapters", "adapter_activation"
    )


class Adapters(Method[AdaptersConfig]):
    """Small networks behind layers of a frozen model."""

    name = "adapters"
    title = "bottleneck"
    help = "small bottleneck networks between the layers of a frozen model"
    Config = AdaptersConfig

    def prepare(self, model: Any, config: AdaptersConfig, seed: int, heads: Sequence[str] = ()) -> Any:
        """A ``BottleneckModel`` over ``model``.

        Raises:
            InputError: when a name in ``target_modules`` or ``modules_to_save`` is no layer of the model, or the places
                for networks are not known.
        """
        import torch

        from graft.methods.bottleneck_layers import BottleneckConfig, BottleneckModel

        check_names(model, config, targets=False)
        made = BottleneckConfig(
            layers=_placed(model, config),
            reduction_factor=config.reduction_factor,
            non_linearity=config.non_linearity,
            dropout=config.lora_dropout,
            placement=config.adapter_placement,
            base_model_name_or_path=model.name_or_path or None,
            modules_to_save=_outermost(model, trained_whole(config, heads) or ()),
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return BottleneckModel(model, made)

    def save(self, model: Any, run_folder: Path) -> None:
        """Write ``adapter/``, laid out as a PEFT folder of the type ``BOTTLENECK``."""
        from graft.methods.bottleneck_layers import save_bottlenecks

        save_bottlenecks(model, run_folder / "adapter")

    def load(self, model: Any, folder: Path, trainable: bool = False) -> Any:
        """A ``BottleneckModel`` over ``model``."""
        from graft.methods.bottleneck_layers import load_bottlenecks

        return load_bottlenecks(model, folder, trainable)

    def disabled(self, model: Any) -> AbstractContextManager[None]:
        """A context in which the networks are skipped."""
        context: AbstractContextManager[None] = model.disable_adapter()
        return context

    def less_capacity(self, config: AdaptersConfig) -> Mapping[str, tuple[float, float]]:
        """Networks of half the width, and more dropout."""
        factor = config.reduction_factor
        return {"reduction_factor": (factor, 2 * factor), "lora_dropout": more_dropout(config)}


ADAPTERS = Adapters()


def _placed(model: Any, config: AdaptersConfig) -> list[str]:
    """The layers to put networks behind."""
    linear = linear_layers(model)
    if config.target_modules:
        return _named(linear, config.target_modules)
    attention = [name for name in linear if _ends(name, ATTENTION)]
    wanted = [name for name in linear if name not in attention and _ends(name, FEED_FORWARD)]
    found = sorted(attention + wanted, key=linear.index) if config.adapter_placement == "houlsby" else wanted
    if not found:
        kinds = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in linear}))
        raise InputError(
            f"graft does not know where to place adapters in a {model.config.model_type} model",
            where="target_modules",
            remedy=f"name the output layers of attention or feed-forward; the layers are: {kinds}",
        )
    return found


def _outermost(model: Any, names: Sequence[str]) -> list[str]:
    """The layers of these names that are not within another of them."""
    found = [name for name, _ in model.named_modules() if _ends(name, names)]
    return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]


def _named(linear: list[str], targets: Sequence[str]) -> list[str]:
    problems = Problems()
    kinds = sorted({name.rsplit(".", 1)[-1] for name in linear})
    for target in targets:
        if not any(_ends(name, (target,)) for name in linear):
            near = did_you_mean(target, kinds)
            remedy = f"{near} The layers are: {', '.join(kinds)}".strip()
            problems.add(f"this model has no linear layer called {target!r}", "target_modules", remedy)
    problems.raise_if_any()
    return [name for name in linear if _ends(name, targets)]


def _ends(name: str, ends: Sequence[str]) -> bool:
    return any(f".{name}".endswith(f".{end}") for end in ends)
