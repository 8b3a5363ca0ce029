"""Which engine a training runs on: packed batches with compiled kernels, or padded batches."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from graft.engine import QUANTIZED_WEIGHTS, fusable, supports
from graft.engine.benchmark import slowdown
from graft.engine.kernels import kernels_missing
from graft.engine.quantized_weights import has_kernel
from graft.errors import InputError
from graft.progress import Reporter
from graft.training.losses.choose import ChosenLoss
from graft.training.objective import Objective

ALIASES = {"auto": "exact", "packed": "exact"}
"""Older names of engines."""


class EngineChoice(NamedTuple):
    """An engine by name.

    Attributes:
        name: ``exact``, ``int8``, ``bfloat16``, or ``plain`` for padded batches.
        padded_because: why ``plain`` was chosen though another engine was asked for.
        kernels_missing: why the CPU computes without the compiled kernels.
        falls_back: whether the CPU computes the frozen layers by PyTorch's products, since the kernels lack the format.
    """

    name: str
    padded_because: str | None = None
    kernels_missing: str | None = None
    falls_back: bool = False

    @property
    def is_packed(self) -> bool:
        """Whether batches are packed, without padding."""
        return self.name != "plain"

    def on(self, device: torch.device) -> EngineChoice:
        """The same engine on ``device``, with the reason where its kernels are missing there."""
        if device.type != "cpu":
            return self._replace(kernels_missing=None, falls_back=False)
        falls_back = self.name in QUANTIZED_WEIGHTS and not has_kernel(self.name)
        return self._replace(kernels_missing=kernels_missing() if self.is_packed else None, falls_back=falls_back)

    def report(self, reporter: Reporter) -> None:
        """Say what makes this training slower than it could be."""
        if self.padded_because:
            reporter.note(f"batches are padded, which is slower: {self.padded_because}")
        if self.kernels_missing:
            reporter.note(f"steps take twice as long without the compiled kernels: {self.kernels_missing}")
        factor = slowdown(self.name, reporter) if self.falls_back else 0.0
        if factor > 1:
            reporter.note(
                f"--engine {self.name} is slower than exact on this processor: a step of a small model took "
                f"{factor:.1f} times as long (measured); omit --engine to train faster"
            )


def choose_engine(wanted: str, model: torch.nn.Module) -> EngineChoice:
    """The engine that was asked for where it supports ``model``, else ``plain`` and why.

    Raises:
        InputError: when an engine of lower precision was asked for and does not support the model.
    """
    if wanted == "plain":
        return EngineChoice("plain")
    name = ALIASES.get(wanted, wanted)
    reason = supports(model)
    if reason is None and name in QUANTIZED_WEIGHTS and not fusable(model):
        reason = "it has no frozen layer with a plain LoRA adapter"
    if reason is None:
        return EngineChoice(name)
    if name in QUANTIZED_WEIGHTS:
        raise InputError(f"--engine {name} cannot run this model: {reason}", remedy="omit --engine")
    return EngineChoice("plain", reason)


def engine_for(
    wanted: str, precision: str, model: Any, loss: ChosenLoss | None, objective: Objective | None
) -> EngineChoice:
    """As ``choose_engine``, for a whole training: tasks with a head need ``plain``, and a teacher must be supported.

    Raises:
        InputError: when an engine of lower precision was asked for and could not be used.
    """
    refuse_lower_precision(wanted, precision, objective)
    choice = choose_engine(wanted, model) if objective is None else EngineChoice("plain")
    if choice.is_packed and loss is not None and loss.teacher_model is not None:
        return choose_engine(wanted, loss.teacher_model)
    return choice


def refuse_lower_precision(engine: str, precision: str, objective: Objective | None) -> None:
    """Refuse an engine of lower precision that would silently not be used.

    Raises:
        InputError: for a task with a head, or together with another precision.
    """
    if engine in QUANTIZED_WEIGHTS and objective is not None:
        raise InputError(f"--engine {engine} supports only text generation", remedy="omit --engine for this task")
    if engine in QUANTIZED_WEIGHTS and precision != "float32":
        raise InputError(
            f"--engine {engine} and --precision {precision} both set the precision of the frozen layers",
            remedy="give only one of them",
        )
