"""Everything that is decided before anything is written: what ``--dry_run`` shows and ``finetune`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graft.config import FinetuneSettings
from graft.data.example import Example
from graft.data.inferred import InferredSetting
from graft.data.pipeline import Prepared
from graft.data.split import sample
from graft.data.token_table import TokenTable, row_lengths
from graft.data.tokenize import TokenizedExample
from graft.errors import InputError, Problems
from graft.evaluation.confidence import check_asked
from graft.hardware.machine import memory_available_mb
from graft.methods import METHODS
from graft.models.base import Base
from graft.planning.batch_memory import batch_megabytes
from graft.planning.continuing import Parent, head_of, missing_classes
from graft.planning.inputs import Inputs, read_inputs
from graft.planning.long_rows import FittedRows, fit_rows, too_long_to_judge
from graft.planning.new_tokens import check_embeddings, said_of
from graft.progress import SILENT, Reporter
from graft.runs.manifest import ExtensionRecord
from graft.tasks.base import Task, check_metrics, default_learning_rate, monitored_metric
from graft.tasks.encoding import Encoding, resolve_max_length
from graft.training.arguments import passed
from graft.training.losses.choose import ChosenLoss, choose_loss
from graft.training.objective import Objective
from graft.training.precision import choose_precision
from graft.training.schedule import TrainingPlan, make_plan
from graft.training.trial import try_plan

MONITORED_ROWS = 256
"""Held-out rows the loss is watched on while training; the comparison afterwards takes all of them."""


@dataclass(frozen=True)
class RunPlan:
    """All that is decided of a run.

    Attributes:
        settings: The settings as given.
        output: The run folder.
        base: The model to tune.
        task: What it is tuned for.
        encoding: The tokenizer, the labels and the limits.
        data: The examples.
        rows: The rows to train on, tokenized.
        held_out: The held-out rows, tokenized.
        training: Steps, batches, rates and precision.
        loss: What is minimized.
        objective: Batches and outputs for the loss of a head; None for the next token.
        inferred: What was decided and not given.
        parent: The run or the adapter that training continues from; None for a plain model.
        extensions: How the run was made longer after it had begun, the last extension last.
    """

    settings: FinetuneSettings
    output: Path
    base: Base
    task: Task
    encoding: Encoding
    data: Prepared
    rows: Sequence[TokenizedExample]
    held_out: Sequence[TokenizedExample]
    training: TrainingPlan
    loss: ChosenLoss
    objective: Objective | None = None
    inferred: list[InferredSetting] = field(default_factory=list)
    parent: Parent | None = None
    extensions: list[ExtensionRecord] = field(default_factory=list)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of ``encoding``, with the chat template of this run."""
        return self.encoding.tokenizer

    @property
    def trained_tokens(self) -> int:
        """The number of tokens that the loss is on; with a head, of all that are read."""
        if isinstance(self.rows, TokenTable) and not self.rows.has_targets:
            return self.tokens - int(self.rows.prompt_lengths.sum())
        return sum(len(row.input_ids) - (row.prompt_length if row.target is None else 0) for row in self.rows)

    @property
    def tokens(self) -> int:
        """The number of tokens in the rows to train on."""
        return int(row_lengths(self.rows).sum())

    @property
    def monitored(self) -> list[TokenizedExample]:
        """The held-out rows whose loss is watched while training."""
        return list(self.held_out[: self.settings.monitored_rows or MONITORED_ROWS])

    @property
    def monitored_examples(self) -> list[Example]:
        """The held-out examples that a metric may be watched on while training."""
        return list(self.data.eval if self.settings.monitored_rows is None else self._split_held_out()[0])

    @property
    def untouched_examples(self) -> list[Example]:
        """The held-out examples of which no row is monitored."""
        return [*self._split_held_out()[1], *self._beyond_limit.examples]

    def _split_held_out(self) -> tuple[list[Example], list[Example]]:
        """The held-out examples of which a row is monitored, and the others."""
        seen = {row.origin for row in self.monitored}
        return (
            [example for example in self.data.eval if example.origin in seen],
            [example for example in self.data.eval if example.origin not in seen],
        )

    @property
    def untouched(self) -> list[TokenizedExample]:
        """The held-out rows that are not monitored; those of a conversation are either monitored together or not.

        The rows beyond ``--max_eval_samples`` are among them, at most 256.

        Raises:
            InputError: If a row beyond the limit cannot be encoded.
        """
        seen = {row.origin for row in self.monitored}
        rest = [row for row in self.held_out[len(self.monitored) :] if row.origin not in seen]
        return [*rest, *self._beyond_limit.rows]

    @cached_property
    def _beyond_limit(self) -> _BeyondLimit:
        """Of the held-out rows beyond ``--max_eval_samples``, at most 256; encoded where they are asked for."""
        if self.data.eval_rest is None:
            return _BeyondLimit((), ())
        examples, _ = sample(self.data.eval_rest, MONITORED_ROWS, self.settings.seed, self.data.mapping.labels)
        problems = Problems()
        rows = TokenTable(self.task.encode(examples, self.encoding, problems))
        problems.raise_if_any()
        fits = ~too_long_to_judge(rows, self.settings.on_long, self.base, self.encoding)
        return _BeyondLimit(examples.take(fits), rows.take(fits))


class _BeyondLimit(NamedTuple):
    """Held-out examples beyond ``--max_eval_samples``, and their rows."""

    examples: Sequence[Example]
    rows: Sequence[TokenizedExample]


@dataclass(frozen=True)
class PlannedRows:
    """The model, the task, and the tokenized rows: what is decided first, and takes longest."""

    inputs: Inputs
    fitted: FittedRows


def plan_run(settings: FinetuneSettings, reporter: Reporter = SILENT) -> RunPlan:
    """Read the data, find the model, tokenize, and decide what was left open. Writes nothing to the run folder.

    Raises:
        InputError: With all that is wrong with the settings, the data and the model together.
    """
    planned = plan_rows(settings, reporter)
    return plan_training(planned.inputs.settings, planned, reporter)


def plan_rows(settings: FinetuneSettings, reporter: Reporter = SILENT) -> PlannedRows:
    """Read the data, find the model, and tokenize.

    Raises:
        InputError: As ``plan_run``.
    """
    inputs = read_inputs(settings, reporter)
    fitted = fit_rows(inputs.settings, inputs, _encoding(inputs.settings, inputs))
    check_embeddings(inputs.base, fitted.encoding.tokenizer, fitted.sides)
    return PlannedRows(inputs, fitted)


def plan_training(settings: FinetuneSettings, planned: PlannedRows, reporter: Reporter = SILENT) -> RunPlan:
    """Decide what was left open of a training on ``planned``; it may be used for several.

    Args:
        settings: Those that the rows were planned for, or others that make the same rows (``rows_key``).

    Raises:
        InputError: As ``plan_run``.
    """
    inputs, fitted = planned.inputs, planned.fitted
    encoding, (rows, held_out) = fitted.encoding, fitted.sides
    objective = inputs.task.objective(encoding.label_space)
    vocabulary = inputs.base.embedding_rows or len(encoding.tokenizer)
    loss = choose_loss(settings, rows, encoding.tokenizer, vocabulary, reporter, objective)
    training = _training(settings, inputs, encoding, rows)
    training = replace(training, **_monitored(settings, inputs, encoding))
    try_plan(settings, training, bool(len(held_out)))
    output = settings.output_path or _free_output(settings)
    said = [*inputs.data.inferred, *inputs.inferred, *missing_classes(inputs.parent, inputs.data.mapping.labels)]
    said += [*fitted.inferred, *said_of(inputs.base, (rows, held_out))]
    if settings.output_path is None:
        said.append(InferredSetting("output_path", str(output), "no --output_path was given"))
    return RunPlan(
        settings=settings,
        output=output,
        base=inputs.base,
        task=inputs.task,
        encoding=encoding,
        data=fitted.data,
        rows=rows,
        held_out=held_out,
        training=training,
        loss=loss,
        objective=objective,
        inferred=[*said, *training.inferred],
        parent=inputs.parent,
    )


def _encoding(settings: FinetuneSettings, inputs: Inputs) -> Encoding:
    """The tokenizer, the labels and the limits; metrics that can't be measured with these labels are an error."""
    label_space = head_of(inputs.parent, inputs.task.label_space(inputs.data), inputs.data.source.path)
    length = resolve_max_length(settings, inputs.tokenizer, inputs.base)
    metrics = settings.metrics if settings.evaluate else None
    check_metrics(metrics, inputs.task, label_space, inputs.data.mapping.labels, settings.normalize)
    check_asked(settings.abstain_below, settings.temperature_scaling, inputs.data.mapping.labels)
    return Encoding(inputs.tokenizer, label_space, length, settings.loss_on)


def _training(settings: FinetuneSettings, inputs: Inputs, encoding: Encoding, rows: TokenTable) -> TrainingPlan:
    """Steps, batches, rates and precision."""
    rate = default_learning_rate(inputs.task, METHODS.get(settings.method))
    lengths = np.sort(rows.lengths)
    usual = int(lengths[int(0.95 * (len(lengths) - 1))])
    config = inputs.base.text_config
    counted = partial(batch_megabytes, settings, inputs, encoding, rows)
    training = make_plan(settings, rate, len(rows), usual, config, memory_available_mb(), counted)
    precision, why = choose_precision(settings, config, _device(settings))
    return replace(training, precision=precision, inferred=[*training.inferred, *why])


def _monitored(settings: FinetuneSettings, inputs: Inputs, encoding: Encoding) -> dict[str, Any]:
    """What selects the best weights: a metric's name and direction; nothing for the held-out loss."""
    given = passed(settings)
    name = str(given.get("metric_for_best_model", "loss")).removeprefix("eval_")
    direction = given.get("greater_is_better")
    if name == "loss":
        if direction:
            raise InputError("--greater_is_better true: a lower loss is better", remedy="omit it")
        return {}
    labels = inputs.data.mapping.labels
    metric = monitored_metric(name, inputs.task, encoding.label_space, labels)
    greater = metric.direction == "higher" if ":" not in name or direction is None else bool(direction)
    if direction is not None and direction != greater:
        better = "greater" if greater else "lower"
        raise InputError(f"--greater_is_better {str(direction).lower()}: {better} {name} is better", remedy="omit it")
    return {"metric": metric.name, "greater_is_better": greater}


def _device(settings: FinetuneSettings) -> str:
    import torch

    return "cuda" if torch.cuda.is_available() and not passed(settings).get("use_cpu") else "cpu"


def _free_output(settings: FinetuneSettings) -> Path:
    """``runs/DATA-METHOD``, with a number behind it where that is taken."""
    source = (settings.data_files or (settings.data_name or "data",))[0]
    stem = Path(source).stem.replace("*", "all") or "data"
    method = METHODS.get(settings.method).name
    folder = Path("runs") / f"{stem}-{method}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{stem}-{method}-{number}")
        number += 1
    return folder
