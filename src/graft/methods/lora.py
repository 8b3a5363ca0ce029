"""LoRA (Hu et al. 2021, arXiv:2106.09685): low-rank matrices beside frozen layers, with DoRA and rsLoRA, by PEFT."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings
from graft.errors import Problems, did_you_mean
from graft.methods.adapter_folder import load_adapter, save_adapter
from graft.methods.merge import mergeable

__all__ = ["LORA", "Lora", "load_adapter", "lora_config", "save_adapter"]

ALL_LINEAR = "all-linear"


class Lora:
    name = "lora"
    writes = "adapter"
    learning_rate = 2e-4
    uses = frozenset(
        {"lora_r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "use_rslora", "use_dora"}
    )

    def prepare(self, model: Any, settings: FinetuneSettings) -> Any:
        """A ``PeftModel`` over ``model``.

        Raises:
            InputError: when a name in ``target_modules`` or ``modules_to_save`` is no layer of the model.
        """
        import torch
        from peft import get_peft_model

        config = lora_config(model, settings)
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about tied embeddings, which are checked here, and Conv1D
            torch.manual_seed(settings.seed)
            return mergeable(get_peft_model(model, config))

    def save(self, model: Any, run_folder: Path) -> None:
        save_adapter(model, run_folder / "adapter")


LORA = Lora()


def lora_config(model: Any, settings: FinetuneSettings) -> Any:
    """PEFT's configuration for ``settings``, its names checked against ``model``.

    Raises:
        InputError: as ``Lora.prepare``.
    """
    from peft import LoraConfig

    check_names(model, settings)
    return LoraConfig(
        r=settings.lora_r,
        lora_alpha=alpha_of(settings),  # type: ignore[arg-type]
        lora_dropout=settings.lora_dropout,
        target_modules=targets_of(settings),
        modules_to_save=list(settings.modules_to_save) if settings.modules_to_save else None,
        exclude_modules=_trained_whole(settings),
        use_rslora=settings.use_rslora,
        use_dora=settings.use_dora,
        fan_in_fan_out=fans_out(model, settings),
        task_type=task_type(model),
        base_model_name_or_path=model.name_or_path or None,
    )


def task_type(model: Any) -> Any:
    """PEFT's word for what the model does, by its class."""
    from peft import TaskType

    name = type(model).__name__
    endings = {
        "ForSequenceClassification": TaskType.SEQ_CLS,
        "ForTokenClassification": TaskType.TOKEN_CLS,
        "ForConditionalGeneration": TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM,
    }
    found = next((kind for ending, kind in endings.items() if name.endswith(ending)), None)
    return found or (TaskType.FEATURE_EXTRACTION if model.base_model is model else TaskType.CAUSAL_LM)


def _trained_whole(settings: FinetuneSettings) -> list[str] | None:
    """What ``all-linear`` leaves out: a layer that is trained whole needs no matrices beside it."""
    return list(settings.modules_to_save or ()) or None if _wants_all(settings.target_modules) else None


def alpha_of(settings: FinetuneSettings) -> float:
    """Twice the rank where none is given; a whole number where it is one."""
    alpha = 2 * settings.lora_r if settings.lora_alpha is None else settings.lora_alpha
    return int(alpha) if float(alpha).is_integer() else alpha


def targets_of(settings: FinetuneSettings) -> str | list[str]:
    """As PEFT takes them."""
    return ALL_LINEAR if _wants_all(settings.target_modules) else list(settings.target_modules or ())


def _wants_all(target_modules: tuple[str, ...] | None) -> bool:
    return target_modules is None or tuple(name.lower() for name in target_modules) == (ALL_LINEAR,)


def _tunable(model: Any) -> dict[str, Any]:
    """The layers that LoRA can stand beside, by their full names."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, nn.Embedding, Conv1D)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def _matches(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def _suffixes(names: Iterable[str]) -> list[str]:
    return sorted({name.rsplit(".", 1)[-1] for name in names})


def check_names(model: Any, settings: FinetuneSettings) -> None:
    """Whether the settings name layers that ``model`` has.

    Raises:
        InputError: naming all that it hasn't, each with the nearest it has.
    """
    problems = Problems()
    tunable = list(_tunable(model))
    targets = () if _wants_all(settings.target_modules) else settings.target_modules or ()
    weighted = [name for name, module in model.named_modules() if name and next(module.parameters(), None) is not None]
    for setting, given, there in (
        ("target_modules", targets, tunable),
        ("modules_to_save", settings.modules_to_save or (), weighted),
    ):
        for name in given:
            if not any(_matches(full, name) for full in there):
                near = did_you_mean(name, _suffixes(there))
                names = ", ".join(_suffixes(tunable if setting == "target_modules" else _leaves(there)))
                remedy = f"{near} There are: {names}".strip()
                problems.add(f"no layer of this model is called {name!r}", setting, remedy)
    problems.raise_if_any()


def _leaves(names: list[str]) -> list[str]:
    """Without the containers: the layers that hold the weights themselves."""
    parents = {name.rsplit(".", 1)[0] for name in names if "." in name}
    return [name for name in names if name not in parents]


def fans_out(model: Any, settings: FinetuneSettings) -> bool:
    """GPT-2's Conv1D holds its weight as (in, out), which PEFT has to know."""
    from transformers.pytorch_utils import Conv1D

    targets = settings.target_modules
    return any(
        isinstance(module, Conv1D)
        for name, module in _tunable(model).items()
        if _wants_all(targets) or any(_matches(name, target) for target in targets or ())
    )
