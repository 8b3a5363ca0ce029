"""Bottleneck adapters: after both parts of each layer (Houlsby et al. 2019), or after its feed-forward part alone
(Pfeiffer et al. 2020, arXiv:2005.00247, section 3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.errors import InputError, Problems, did_you_mean
from graft.methods.bottleneck import BottleneckConfig, BottleneckModel, save_bottlenecks
from graft.methods.lora import check_names
from graft.methods.quantized import linear_layers
from graft.models.families import ATTENTION_OUTPUTS, FEED_FORWARD_OUTPUTS


class Adapters:
    name = "adapters"
    writes = "adapter"
    learning_rate = 1e-3
    uses = frozenset(
        {
            "reduction_factor",
            "adapter_placement",
            "non_linearity",
            "lora_dropout",
            "target_modules",
            "modules_to_save",
        }
    )

    def prepare(self, model: Any, settings: FinetuneSettings) -> Any:
        """A ``BottleneckModel`` over ``model``.

        Raises:
            InputError: when a name in ``target_modules`` or ``modules_to_save`` is no layer of the model, or the places
                for networks are not known.
        """
        import torch

        check_names(model, settings.model_copy(update={"target_modules": None}))
        config = BottleneckConfig(
            layers=_placed(model, settings),
            reduction_factor=settings.reduction_factor,
            non_linearity=settings.non_linearity,
            dropout=settings.lora_dropout,
            placement=settings.adapter_placement,
            base_model_name_or_path=model.name_or_path or None,
            modules_to_save=_whole(model, settings.modules_to_save or ()),
        )
        with torch.random.fork_rng():
            torch.manual_seed(settings.seed)
            return BottleneckModel(model, config)

    def save(self, model: Any, run_folder: Path) -> None:
        save_bottlenecks(model, run_folder / "adapter")


ADAPTERS = Adapters()


def _placed(model: Any, settings: FinetuneSettings) -> list[str]:
    """The layers to put networks behind."""
    linear = linear_layers(model)
    if settings.target_modules:
        return _named(linear, settings.target_modules)
    attention = [name for name in linear if _ends(name, ATTENTION_OUTPUTS)]
    wanted = [name for name in linear if name not in attention and _ends(name, FEED_FORWARD_OUTPUTS)]
    found = sorted(attention + wanted, key=linear.index) if settings.adapter_placement == "houlsby" else wanted
    if not found:
        kinds = ", ".join(sorted({name.rsplit(".", 1)[-1] for name in linear}))
        raise InputError(
            f"where adapters go in a {model.config.model_type} model is not known",
            where="target_modules",
            remedy=f"name the layers at the end of attention or feed-forward; there are: {kinds}",
        )
    return found


def _whole(model: Any, names: tuple[str, ...]) -> list[str]:
    """The outermost layers of these names."""
    found = [name for name, _ in model.named_modules() if _ends(name, names)]
    return [name for name in found if not any(name.startswith(f"{other}.") for other in found)]


def _named(linear: list[str], targets: tuple[str, ...]) -> list[str]:
    problems = Problems()
    kinds = sorted({name.rsplit(".", 1)[-1] for name in linear})
    for target in targets:
        if not any(_ends(name, (target,)) for name in linear):
            near = did_you_mean(target, kinds)
            remedy = f"{near} There are: {', '.join(kinds)}".strip()
            problems.add(f"no linear layer of this model is called {target!r}", "target_modules", remedy)
    problems.raise_if_any()
    return [name for name in linear if _ends(name, targets)]


def _ends(name: str, ends: tuple[str, ...]) -> bool:
    return any(f".{name}".endswith(f".{end}") for end in ends)
