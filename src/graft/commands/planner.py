"""``graft plan``: what a run would take by each method, what its deployment would be, and what to choose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from graft.commands.finetune import plan
from graft.commands.resume import check_resumable, resumed
from graft.config import FinetuneSettings
from graft.export.outlook import export_outlook
from graft.hardware.benchmark import memory_bandwidth
from graft.hardware.machine import memory_available_mb
from graft.methods import METHODS
from graft.models.base import kind_of
from graft.planning.choices import Choice, advice, as_settings, choices
from graft.planning.inputs import check_again, rows_key
from graft.planning.limits import Limits
from graft.planning.model_needs import EXPORTED_BYTES
from graft.planning.plan import RunPlan, plan_rows, plan_run, plan_training
from graft.planning.settings import finetune_settings, laid_over
from graft.progress import SILENT, Reporter, enter
from graft.shell import command

PRECISIONS = {"onnx": ("int4", "float16", "float32"), "gguf": ("int4", "int8", "float16"), "hf": ("float16", "float32")}
ENCODER_PRECISIONS = {"onnx": ("int8", "float32"), "hf": ("float16", "float32")}


@dataclass(frozen=True)
class Deployment:
    """A form in which the tuned model would ship.

    Attributes:
        format: The target.
        precision: The number format of the weights.
        size_mb: About the size of its weights.
        tokens_per_second: The most for one text at a time, by how fast this machine reads the weights from memory.
        refused: Why it cannot be made; None where it can.
    """

    format: str
    precision: str
    size_mb: int
    tokens_per_second: int
    refused: str | None


@dataclass(frozen=True)
class Planned:
    """What ``graft plan`` prints."""

    plan: RunPlan
    limits: Limits
    choices: list[Choice]
    deployments: list[Deployment]
    unmergeable: list[str]
    advised: Choice | None
    said: str
    command: str | None

    def document(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.plan.base.name,
            "limits": vars(self.limits),
            "choices": [choice.document() for choice in self.choices],
            "deployments": [vars(one) for one in self.deployments],
            "methods_that_only_deploy_with_pytorch": self.unmergeable,
            "advice": None if self.advised is None else self.advised.document(),
            "said": self.said,
            "command": self.command,
        }


def given_values(settings: FinetuneSettings) -> dict[str, Any]:
    """The settings that the user gave."""
    return {
        name: value
        for name, value in settings.model_dump(exclude_unset=True).items()
        if name != "training_arguments" or value
    }


def planned(settings: FinetuneSettings, limits: Limits, again: bool = False, reporter: Reporter = SILENT) -> Planned:
    """Estimate each method for a run; no weight is loaded, and nothing is written but the cache.

    Args:
        settings: Those of ``graft finetune``; a method or an engine that is given is the only one.
        limits: What the run may take; without a limit of memory, what is free on this machine.
        again: Whether to measure the speed again.
        reporter: Told what is estimated.

    Raises:
        InputError: With all that is wrong with the settings, the data and the model.
    """
    return _planned(plan(settings, reporter), settings, limits, again, reporter)


def advised_plan(settings: FinetuneSettings, reporter: Reporter = SILENT) -> RunPlan:
    """The plan of a run with what ``graft plan`` advises for what was not given; the rows are read once.

    Raises:
        InputError: With all that is wrong with the settings, the data and the model.
    """
    enter(reporter, "reading")
    settings = resumed(settings)
    rows = plan_rows(settings, reporter)
    run = plan_training(rows.inputs.settings, rows, reporter)
    found = _planned(run, settings, Limits(), False, reporter)
    if found.advised is None:
        return check_resumable(run)
    given = given_values(settings)
    inferred = as_settings(found.advised, given, found.said)
    advised = finetune_settings(laid_over(given, {one.name: one.value for one in inferred}))
    if rows.inputs.parent is None and rows_key(advised) == rows_key(settings):
        check_again(advised, rows.inputs)
        run = plan_training(advised, rows, reporter)
    else:
        run = plan_run(advised, reporter)
    return check_resumable(replace(run, inferred=[*run.inferred, *inferred]))


def _planned(run: RunPlan, settings: FinetuneSettings, limits: Limits, again: bool, reporter: Reporter) -> Planned:
    given = given_values(settings)
    limits = limits if limits.memory_mb else Limits(memory_available_mb(), limits.minutes, limits.size_mb)
    found = choices(run, given, limits, again, reporter)
    advised = advice(found)
    deployments = _deployments(run, _merged_parameters(found))
    unmergeable = sorted({one.method for one in found if not METHODS.get(one.method).mergeable})
    said = _said(advised, limits, deployments)
    typed = None if advised is None else _command(advised, given)
    return Planned(run, limits, found, deployments, unmergeable, advised, said, typed)


def _merged_parameters(found: list[Choice]) -> int:
    """The parameters of the model once what was tuned is merged into it."""
    counts = [
        one.estimate.parameters - (0 if METHODS.get(one.method).trains_base else one.estimate.trained)
        for one in found
        if one.estimate is not None
    ]
    return min(counts, default=0)  # over an int4 base, a head that was tied is counted by itself


def _deployments(run: RunPlan, parameters: int) -> list[Deployment]:
    kind = kind_of(run.base.config)
    reasons = export_outlook(run.base.text_config, kind)
    rate = memory_bandwidth()
    precisions = PRECISIONS if kind == "causal" else ENCODER_PRECISIONS
    found = []
    for target, formats in precisions.items():
        for precision in formats:
            size = parameters * EXPORTED_BYTES[precision]
            refused = reasons.get(target)
            found.append(Deployment(target, precision, max(1, round(size / 1e6)), round(rate / max(size, 1)), refused))
    return found


def _said(advised: Choice | None, limits: Limits, deployments: list[Deployment]) -> str:
    """What to choose, in words."""
    if advised is None or advised.estimate is None:
        return "none of these methods can train this model"
    name = f"{advised.method}, {advised.engine}"
    memory, minutes = advised.estimate.memory_mb / 1000, advised.minutes
    if advised.fits:
        said = f"{name} fits: {memory:.1f} GB of memory and {minutes:.1f} minutes"
    else:
        exceeded = [
            f"{memory:.1f} GB of memory (limit: {(limits.memory_mb or 0) / 1000:.1f} GB)"
            if limit == "memory"
            else f"{minutes:.1f} minutes (limit: {limits.minutes:g})"
            for limit in advised.over
        ]
        said = f"nothing fits; {name} is the nearest: it takes {' and '.join(exceeded)}"
    if limits.size_mb is None:
        return said
    able = sorted((one for one in deployments if one.refused is None), key=lambda one: one.size_mb)
    if not able:
        return f"{said}; no export of this model is known"
    largest = next((one for one in reversed(able) if one.size_mb <= limits.size_mb), None)
    best = largest or able[0]
    size = f"{best.format} in {best.precision} takes {best.size_mb:,} MB"
    return f"{said}; {size}" if largest else f"{said}; no export is small enough: {size}, the smallest"


def _command(choice: Choice, given: Mapping[str, Any]) -> str:
    words: list[Any] = ["graft", "finetune", given.get("model_name_or_path") or given.get("adapter_path") or "MODEL"]
    files = given.get("data_files")
    words += list(files) if files else [given.get("data_name") or "DATA"]
    words += ["--method", choice.method]
    if choice.engine != "exact":
        words += ["--engine", choice.engine]
    words += ["--per_device_train_batch_size", choice.batch_size]
    if choice.accumulation > 1:
        words += ["--gradient_accumulation_steps", choice.accumulation]
    return command(*map(str, words))
