"""The loss of a run, checked before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from graft.config import FinetuneSettings
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError
from graft.models.base import Opened, load_tokenizer, open_run_or_model
from graft.progress import Reporter
from graft.training.losses import DEFAULT, LOSSES
from graft.training.losses.base import given_arguments
from graft.training.losses.load import load_loss

if TYPE_CHECKING:
    from graft.training.objective import Objective

DISTILLATION = "distillation"


@dataclass(frozen=True)
class ChosenLoss:
    """``call(logits, labels, batch)``, or None for the engine's own cross-entropy; ``teacher`` where one is needed."""

    name: str
    call: Callable[..., Any] | None = None
    teacher: Opened | None = None
    teacher_model: Any = None

    def with_teacher(self, model: Any) -> ChosenLoss:
        """The same loss with the teacher's loaded model."""
        return replace(self, teacher_model=model)


def choose_loss(
    settings: FinetuneSettings,
    rows: Sequence[TokenizedExample],
    tokenizer: Any,
    vocabulary: int,
    reporter: Reporter,
    objective: Objective | None = None,
) -> ChosenLoss:
    """The loss that ``settings`` name, fit for these rows and this vocabulary, or for the ``objective`` of a head.

    Raises:
        InputError: when there is none, it cannot be called, or it does not fit the data or the teacher.
    """
    name, arguments = named_loss(settings)
    if objective is not None:
        return _of_head(name, arguments, rows, objective, vocabulary)
    if name == DEFAULT and not arguments:
        return ChosenLoss(name)
    call = load_loss(name, arguments, classes=vocabulary)
    if hasattr(call, "prepare"):
        call.prepare(rows, tokenizer)
    if name != DISTILLATION:
        return ChosenLoss(name, call)
    return ChosenLoss(name, call, _teacher(settings, tokenizer, reporter))


def _of_head(
    name: str, arguments: Mapping[str, Any], rows: Sequence[TokenizedExample], objective: Objective, vocabulary: int
) -> ChosenLoss:
    """What a name means to the head's task; the task's own loss where none was asked for."""
    if name == DISTILLATION:
        what = "--teacher requires a text-generation task"
        raise InputError(what, where="--teacher", remedy="omit --teacher, or --task text-generation")
    several = bool(rows) and isinstance(rows[0].target, list) and isinstance(rows[0].target[0], float)
    known = objective.losses.get(name, name)
    if (several or objective.kind == "pairs") and known in LOSSES.builtin:
        fitting = ", ".join(sorted(set(objective.losses) - {DEFAULT}))
        what = "pairs" if objective.kind == "pairs" else "rows with several labels"
        raise InputError(
            f"{name} is not a loss for {what}", where="--loss", remedy=f"choose {fitting}, or a loss of your own"
        )
    call = load_loss(known, arguments, objective.kind, len(objective.names) or vocabulary, several)
    if hasattr(call, "prepare"):
        call.prepare(rows, objective.names)
    return ChosenLoss(objective.loss if name == DEFAULT else name, call)


def named_loss(settings: FinetuneSettings) -> tuple[str, Mapping[str, Any]]:
    """The loss by name, and its constructor's arguments, from options and ``--loss_arguments``.

    transformers' own ``label_smoothing_factor`` and a ``--teacher`` name a loss, too.

    Raises:
        InputError: when they name different ones, so that something given would not be used.
    """
    name, arguments = _named(settings)
    options = given_arguments(LOSSES.get(name), settings) if name in LOSSES.names() or ":" in name else {}
    both = sorted(options.keys() & arguments.keys())
    if both:
        what = f"{', '.join(both)} is given both as an option and in --loss_arguments"
        raise InputError(what, where="--loss_arguments", remedy="give it once")
    return name, {**options, **arguments}


def loss_name(settings: FinetuneSettings) -> str:
    """The loss that ``settings`` mean, where they do not contradict each other."""
    try:
        return _named(settings)[0]
    except InputError:
        return settings.loss


def _named(settings: FinetuneSettings) -> tuple[str, Mapping[str, Any]]:
    try:
        smoothing = float(settings.training_arguments.get("label_smoothing_factor") or 0)
    except (TypeError, ValueError):  # said with all other training arguments
        smoothing = 0.0
    plain = settings.loss == DEFAULT and not (settings.teacher and "loss" in settings.model_fields_set)
    said = set() if plain else {f"--loss {settings.loss}"}
    if smoothing and settings.loss != "label-smoothing":
        said.add("--label_smoothing_factor")
    if settings.teacher and settings.loss != DISTILLATION:
        said.add("--teacher")
    if len(said) > 1:
        raise InputError(f"{' and '.join(sorted(said))} select different losses", remedy="give only one of them")
    if smoothing:
        return "label-smoothing", {"smoothing": smoothing, **settings.loss_arguments}
    return (DISTILLATION if settings.teacher else settings.loss), settings.loss_arguments


def _teacher(settings: FinetuneSettings, tokenizer: Any, reporter: Reporter) -> Opened:
    if settings.teacher is None:
        raise InputError("--loss distillation requires a teacher", remedy="pass --teacher MODEL_OR_RUN")
    teacher = open_run_or_model(settings.teacher, reporter, settings.for_another())
    taught = load_tokenizer(teacher.base).get_vocab()
    own = tokenizer.get_vocab()
    if taught != own:
        others = sum(taught.get(token) != index for token, index in own.items())
        raise InputError(
            f"the teacher has a different tokenizer: it has {len(taught):,} tokens, the model's has {len(own):,}, "
            f"and {others:,} of the model's tokens have another ID there",
            where="--teacher",
            remedy="choose a teacher of the same family, with the same tokenizer",
        )
    return teacher
