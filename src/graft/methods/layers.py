"""Which layers of a model get an adapter: the options that name them, checked against the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from graft.config import Listed, Settings, setting
from graft.errors import Problems, did_you_mean

ALL_LINEAR = "all-linear"


class LayerConfig(Settings):
    """The layers that a method changes or trains."""

    target_modules: Listed | None = setting(
        None,
        "layers that receive an adapter: names or suffixes (default: all-linear)",
        "lora_target",
        "lora_target_modules",
    )
    modules_to_save: Listed | None = setting(
        None,
        "layers trained in full and saved with the adapter: names or suffixes",
        "additional_target",
        "lora_modules_to_save",
    )


class DropoutConfig(Settings):
    """Dropout in what a method adds."""

    lora_dropout: float = setting(0.0, "dropout before the LoRA matrices or within the adapters", ge=0, lt=1)


def trained_whole(config: LayerConfig, heads: Sequence[str]) -> list[str] | None:
    """The layers that are trained in full: those of ``modules_to_save``, then the task's ``heads``."""
    return list(dict.fromkeys([*(config.modules_to_save or ()), *heads])) or None


def trained_tokens(model: Any, config: LayerConfig, whole: Sequence[str] | None) -> dict[str, list[int]] | None:
    """The rows of new tokens by the layer that has them, as PEFT takes them; a head that is tied follows by itself.

    Args:
        model: A model of transformers.
        config: Names the layers that get an adapter.
        whole: The layers that are trained in full.

    Raises:
        InputError: When PEFT cannot train single rows of these layers.
    """
    ids = getattr(model, "new_token_ids", None)
    if not ids:
        return None
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    layers = [embeddings] if head is None else [embeddings, head]
    names = [name for name, module in model.named_modules() if any(module is layer for layer in layers)]
    saved = [name for name in names if any(_matches(name, part) for part in whole or ())]
    if saved == names:
        return None
    _check_rows(names, saved, config, head)
    tied = head is None or head.weight is embeddings.weight
    return {name: list(ids) for name in (names[:1] if tied else names)}


def _check_rows(names: Sequence[str], saved: Sequence[str], config: LayerConfig, head: Any) -> None:
    """Refuse what PEFT's trainable tokens would compute wrongly, or not at all."""
    problems = Problems()
    shown = " and ".join(names)
    if saved:
        what = f"{', '.join(saved)} is trained in full, and new tokens train rows of {shown}"
        problems.add(what, "--modules_to_save", f"name {shown}, or none of them")
    if any(_matches(name, part) for name in names for part in config.target_modules or ()):
        what = f"a layer of {shown} cannot have an adapter while rows of it are trained for new tokens"
        problems.add(what, "--target_modules", "omit it there")
    if head is not None and getattr(head, "bias", None) is not None:
        what = "the head of this model has a bias, which PEFT leaves out where it trains rows for new tokens"
        problems.add(what, "--new_tokens", "use --method full")
    problems.raise_if_any()


def wants_all(target_modules: tuple[str, ...] | None) -> bool:
    """Whether every linear layer is a target: by default, or by ``all-linear``."""
    return target_modules is None or tuple(name.lower() for name in target_modules) == (ALL_LINEAR,)


def peft_targets(config: LayerConfig) -> str | list[str]:
    """``target_modules`` as PEFT takes it."""
    return ALL_LINEAR if wants_all(config.target_modules) else list(config.target_modules or ())


def tunable_layers(model: Any) -> dict[str, Any]:
    """The layers that can have low-rank matrices, by their full names."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    kinds = (nn.Linear, nn.Embedding, Conv1D)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def linear_layers(model: Any) -> list[str]:
    """The full names of the linear layers, GPT-2's ``Conv1D`` included."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    return [name for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))]


def check_names(model: Any, config: LayerConfig, targets: bool = True) -> None:
    """Check that the settings name layers of ``model``; with ``targets`` False, only those of ``modules_to_save``.

    Raises:
        InputError: naming every layer that the model does not have, each with the nearest one that it has.
    """
    problems = Problems()
    tunable = list(tunable_layers(model))
    wanted = config.target_modules or () if targets and not wants_all(config.target_modules) else ()
    weighted = [name for name, module in model.named_modules() if name and next(module.parameters(), None) is not None]
    _check("target_modules", wanted, tunable, tunable, problems)
    _check("modules_to_save", config.modules_to_save or (), weighted, _leaves(weighted), problems)
    problems.raise_if_any()


def _check(setting: str, given: Iterable[str], there: list[str], listed: list[str], problems: Problems) -> None:
    for name in given:
        if not any(_matches(full, name) for full in there):
            near = did_you_mean(name, _suffixes(there))
            remedy = f"{near} The layers are: {', '.join(_suffixes(listed))}".strip()
            problems.add(f"this model has no layer called {name!r}", setting, remedy)


def stores_transposed(model: Any, config: LayerConfig) -> bool:
    """Whether a target is GPT-2's ``Conv1D``, whose weight is (in, out): PEFT's ``fan_in_fan_out``."""
    from transformers.pytorch_utils import Conv1D

    targets = config.target_modules
    return any(
        isinstance(module, Conv1D)
        for name, module in tunable_layers(model).items()
        if wants_all(targets) or any(_matches(name, target) for target in targets or ())
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


def _matches(full: str, name: str) -> bool:
    return full == name or full.endswith(f".{name}")


def _suffixes(names: Iterable[str]) -> list[str]:
    return sorted({name.rsplit(".", 1)[-1] for name in names})


def _leaves(names: list[str]) -> list[str]:
    """Without the containers: the layers that hold the weights themselves."""
    parents = {name.rsplit(".", 1)[0] for name in names if "." in name}
    return [name for name in names if name not in parents]
