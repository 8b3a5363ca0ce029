"""The method that tuned a run, and the run's model as that method loads it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from graft.errors import InputError
from graft.methods import METHODS
from graft.methods.adapter_folder import is_bottleneck
from graft.methods.base import Method
from graft.models.base import Opened


def method_of(opened: Opened) -> Method[Any]:
    """The method that tuned a run, or what loads an adapter folder that belongs to none.

    Raises:
        InputError: when the method is not installed, or is in a file and ``--trust_remote_code`` was not given: a run
            folder alone is no reason to run code.
    """
    if opened.method is None:
        bottleneck = opened.adapter is not None and is_bottleneck(opened.adapter)
        return METHODS.get("adapters" if bottleneck else "lora")  # which loads whatever PEFT wrote
    if ":" in opened.method and not opened.hub.trust_remote_code:
        raise InputError(
            f"this run was tuned with a method from a file, {opened.method}",
            where=str(opened.run),
            remedy="add --trust_remote_code to run that file",
        )
    return METHODS.get(opened.method)


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
