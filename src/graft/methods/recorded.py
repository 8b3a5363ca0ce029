"""The method that tuned a run, and the run's model as that method loads it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from graft.errors import InputError
from graft.methods import METHODS
from graft.methods.adapter_folder import BOTTLENECK, read_config, read_record
from graft.methods.base import Method
from graft.methods.peft_types import TYPES
from graft.models.adapter_config import CONFIG
from graft.models.base import Opened


def method_of(opened: Opened) -> Method[Any]:
    """The method that tuned a run, or what loads an adapter folder that belongs to none.

    Raises:
        InputError: when the method is not installed, or is in a file and ``--trust_remote_code`` was not given: a run
            folder alone is no reason to run code.
    """
    if opened.method is None:
        named = method_name(opened.adapter) if opened.adapter is not None else None
        return METHODS.get(named or "lora")  # which loads whatever PEFT wrote
    if ":" in opened.method and not opened.hub.trust_remote_code:
        raise InputError(
            f"this run was tuned with a method from a file, {opened.method}",
            where=str(opened.run),
            remedy="add --trust_remote_code to run that file",
        )
    return METHODS.get(opened.method)


def method_name(adapter: Path) -> str | None:
    """The built-in method that makes adapters like the one in the folder ``adapter``; None if none does."""
    kind = str(read_config(adapter).get("peft_type"))
    if kind == BOTTLENECK:
        return "adapters"
    if kind == "LORA":
        return "lora" if read_record(adapter) is None else "qlora"
    return kind.lower() if kind.lower() in TYPES else None


def check_trainable(adapter: Path, method: Method[Any]) -> None:
    """Check that the adapter in a folder can be trained on by ``method``, which tuned it or is to.

    Raises:
        InputError: If no method of graft trains adapters of its type.
    """
    if not (adapter / CONFIG).is_file() or method.name not in METHODS.builtin or method_name(adapter) is not None:
        return
    known = ["LORA", *(name.upper() for name in TYPES), BOTTLENECK]
    raise InputError(
        f"graft cannot train on an adapter of the type {read_config(adapter).get('peft_type')}",
        where=str(adapter / CONFIG),
        remedy=f"supported types: {', '.join(known)}",
    )


def adapter_options(adapter: Path, method: Method[Any]) -> dict[str, Any]:
    """The options of ``method`` that an adapter folder records, by name; those that it does not record are missing."""
    config = read_config(adapter)
    fields = {**LORA_FIELDS, **(TYPES[method.name].fields if method.name in TYPES else {})}
    found = {option: config.get(field) for field, option in fields.items() if option in method.Config.model_fields}
    return {option: value for option, value in found.items() if value is not None and not _is_pattern(option, value)}


LORA_FIELDS = {
    name: name for name in ("lora_alpha", "lora_dropout", "use_dora", "use_rslora", "target_modules", "modules_to_save")
} | {"r": "lora_r"}
"""Fields of PEFT's configuration of LoRA, and the option for each."""


def _is_pattern(option: str, value: Any) -> bool:
    """Whether the layers are named by a regular expression, which is no list of names."""
    return option == "target_modules" and isinstance(value, str) and value.lower() != "all-linear"


def load_tuned(model: Any, opened: Opened, method: Method[Any] | None = None) -> Any:
    """Put the adapter of ``opened``, if it has one, over its base.

    Args:
        model: the base, loaded for the run's task. It may be changed in place.
        opened: the run or adapter.
        method: its method, where it is known already.

    Raises:
        InputError: as ``method_of``, or when the adapter does not fit the model.
    """
    if opened.adapter is None:
        return model
    return (method or method_of(opened)).load(model, opened.adapter)


def load_merged(model: Any, opened: Opened) -> Any:
    """One plain model with the answers of ``opened``; ``model``, its base, is used up.

    Raises:
        InputError: as ``load_tuned``, or when what the method trained does not fold into the weights.
    """
    method = method_of(opened)
    return model if opened.adapter is None else method.merge(load_tuned(model, opened, method))


def base_context(method: Method[Any], model: Any) -> Callable[[], AbstractContextManager[Any]] | None:
    """What ``model``, a tuned one, is asked within to answer as its base; None when the base is loaded apart."""
    if method.disabled(model) is None:
        return None

    def within() -> AbstractContextManager[Any]:
        context = method.disabled(model)
        assert context is not None
        return context

    return within
