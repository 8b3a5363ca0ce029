"""What an export starts from: a model, its adapter, its run and its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from graft.config import DataSettings, ExportSettings, GenerateAdapterSettings, ModelSettings
from graft.errors import InputError
from graft.models.base import Base, Opened, open_model_settings, open_run_or_model
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.tasks.base import Task
from graft.tasks.encoding import Encoding
from graft.tasks.open import open_task


@dataclass(frozen=True)
class ExportSource:
    """A model to export.

    Attributes:
        opened: The model with its adapter and its run.
        task: What the model does.
        encoding: Its tokenizer, labels and limits.
        adapters: Name to folder of the adapters to ship with the base, for a target that takes several.
    """

    opened: Opened
    task: Task
    encoding: Encoding = field(repr=False)
    adapters: Mapping[str, Path] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name in reports: of the run, the model or the adapter folder."""
        return self.opened.name

    @property
    def base(self) -> Base:
        """The model without its adapter; of a run that tuned all weights, the tuned model."""
        return self.opened.base

    @property
    def adapter(self) -> Path | None:
        """The PEFT folder; None for a model without an adapter."""
        return self.opened.adapter

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers, with its chat template."""
        return self.encoding.tokenizer

    @cached_property
    def run(self) -> RunFolder | None:
        """The run folder; None for a model that is no run's."""
        return RunFolder.open(self.opened.run) if self.opened.run is not None else None


def open_source(settings: ExportSettings, reporter: Reporter) -> ExportSource:
    """Open the run, model or adapter that ``settings`` name.

    Raises:
        InputError: If one of them does not exist or does not load, or none is named.
    """
    opened = _open(settings, reporter)
    task, encoding = open_task(opened, settings, DataSettings())
    return ExportSource(opened, task, encoding)


def open_base(settings: GenerateAdapterSettings, adapters: Mapping[str, Path], reporter: Reporter) -> ExportSource:
    """Open the base model of several ``adapters`` (name to folder).

    Raises:
        InputError: If the base does not exist or does not load, or none is named.
    """
    assert settings.base_model_path is not None
    opened = open_run_or_model(settings.base_model_path, reporter, settings)
    return source_of_base(opened, settings.chat_template, adapters)


def source_of_base(opened: Opened, chat_template: str | None, adapters: Mapping[str, Path]) -> ExportSource:
    """``opened`` without its own adapter, as the base of ``adapters``."""
    base = Opened(opened.base, None, None, opened.base.label, hub=opened.hub)
    task, encoding = open_task(base, ModelSettings(chat_template=chat_template), DataSettings())
    return ExportSource(base, task, encoding, adapters)


def _open(settings: ExportSettings, reporter: Reporter) -> Opened:
    if settings.model_name_or_path is None and settings.adapter_path is None:
        raise InputError("no run or model is given", remedy="graft auto-opt RUN, or --model_name_or_path MODEL")
    return open_model_settings(settings, reporter)
