"""Steps of a workflow: what is one, and those that there are. A step of one's own is a file and a class in it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from graft.commands.data_passes import PREPARE, data_of, data_pass, is_data
from graft.config import FinetuneSettings, Settings
from graft.data.steps import STEPS
from graft.errors import InputError, did_you_mean
from graft.methods import METHODS
from graft.progress import Reporter
from graft.registry import Registry


@dataclass(frozen=True)
class Context:
    """``output`` is the folder for this pass; nothing is there yet. ``reporter`` shows the work to a person."""

    output: Path
    reporter: Reporter


class Pass(Protocol):
    """Constructed with its settings, a ``Config``.

    ``needs`` lists the extras it takes, each with a module of it: ``("auto-opt", "onnx")``.
    """

    Config: ClassVar[type[Settings]] = Settings
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, settings: Any) -> None: ...

    def run(self, artifact: Path | None, context: Context) -> Path:
        """From what the pass before left (None: this is the first) to a file or folder of its own."""
        ...


PASSES: Registry[type[Pass]] = Registry("pass", Pass, {"finetune": "graft.commands.passes:Finetune"}, classes=True)


class Finetune:
    """``graft finetune``: leaves a run folder."""

    Config: ClassVar[type[Settings]] = FinetuneSettings
    needs: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init__(self, settings: FinetuneSettings) -> None:
        self.settings = settings

    def run(self, artifact: Path | None, context: Context) -> Path:
        """A model that an earlier pass left is the base, and a prepared data set is trained on."""
        from graft.commands.finetune import finetune

        update: dict[str, Any] = {"output_path": context.output, **data_of(artifact)}
        if artifact is not None and not data_of(artifact):
            update |= {"model_name_or_path": str(artifact), "model_revision": None}
        return finetune(self.settings.model_copy(update=update), context.reporter)


def is_tuning(type_name: str) -> bool:
    """Whether ``type`` names a method of tuning (LoRA, QLoRA, full …), or tuning itself."""
    return type_name.lower() in {*METHODS.names(), "finetune"}


def pass_class(type_name: str) -> type[Pass]:
    """The class that ``type`` names: built in, by entry point ``graft.pass``, or ``path/to/file.py:Name``; or a step.

    Raises:
        InputError: when there is none, or it is not a pass.
    """
    name = type_name if ":" in type_name else type_name.lower()
    if is_data(name) and name not in PASSES.names():
        return data_pass(name)
    try:
        return PASSES.get("finetune" if is_tuning(name) else name)
    except InputError as error:
        if ":" in name:
            raise
        there = [*PASSES.names(), *METHODS.names(), PREPARE, *STEPS.names()]
        raise InputError(
            f"unknown pass type {type_name!r}; the types are: {', '.join(there)}, and path/to/file.py:Name",
            remedy=did_you_mean(name, there),
        ) from error


def missing(classes: Mapping[str, type[Pass]]) -> dict[str, str]:
    """Extras that passes need and that are not installed, each with the module that is missing."""
    needed = {extra: module for cls in classes.values() for extra, module in cls.needs}
    return {extra: module for extra, module in needed.items() if importlib.util.find_spec(module) is None}
