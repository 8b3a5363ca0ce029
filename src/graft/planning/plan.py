"""Everything that is decided before anything is written: what ``--dry_run`` shows and ``finetune`` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graft.config import FinetuneSettings, config_of
from graft.data.inferred import InferredSetting
from graft.data.pipeline import Prepared, prepare
from graft.data.sources import Loaded, load_rows
from graft.data.tokenize import TokenizedExample
from graft.errors import Problems
from graft.hardware.machine import memory_available_mb
from graft.methods import METHODS
from graft.models.base import Base, load_tokenizer, resolve
from graft.planning.unused import check_used
from graft.progress import SILENT, Reporter
from graft.runs.folder import RunFolder
from graft.tasks.base import Task, check_metrics, default_learning_rate
from graft.tasks.encoding import Encoding, resolve_max_length
from graft.tasks.select import choose_task, task_for_data
from graft.training.arguments import check_fields
from graft.training.losses.choose import ChosenLoss, choose_loss, named_loss
from graft.training.objective import Objective
from graft.training.precision import choose_precision
from graft.training.schedule import TrainingPlan, make_plan

MONITORED_ROWS = 256
"""Held-out rows the loss is watched on while training; the comparison afterwards takes all of them."""


@dataclass(frozen=True)
class RunPlan:
    settings: FinetuneSettings
    output: Path
    base: Base
    task: Task
    encoding: Encoding
    data: Prepared
    rows: list[TokenizedExample]
    held_out: list[TokenizedExample]
    training: TrainingPlan
    loss: ChosenLoss
    objective: Objective | None = None
    inferred: list[InferredSetting] = field(default_factory=list)

    @property
    def tokenizer(self) -> Any:
        return self.encoding.tokenizer

    @property
    def trained_tokens(self) -> int:
        """Tokens that the loss is on; with a head, all that are read."""
        return sum(len(row.input_ids) - (row.prompt_length if row.target is None else 0) for row in self.rows)

    @property
    def tokens(self) -> int:
        return sum(len(row.input_ids) for row in self.rows)

    @property
    def monitored(self) -> list[TokenizedExample]:
        return self.held_out[:MONITORED_ROWS]


def plan_run(settings: FinetuneSettings, reporter: Reporter = SILENT) -> RunPlan:
    """Read the data, find the model, tokenize, and decide what was left open. Writes nothing to the run folder.

    Raises:
        InputError: with all that is wrong with the settings, the data and the model together.
    """
    base, loaded, task, inferred = _look(settings, reporter)
    method = METHODS.get(settings.method)
    tokenizer = load_tokenizer(base, settings.chat_template)
    data = prepare(settings, settings.seed, tokenizer, task.recognize, loaded)
    encoding = Encoding(
        tokenizer, task.label_space(data), resolve_max_length(settings, tokenizer, base), settings.loss_on
    )
    check_metrics(settings.metrics if settings.evaluate else None, task, encoding.label_space, data.mapping.labels)
    problems = Problems()
    rows = task.encode(data.train, encoding, problems)
    held_out = task.encode(data.eval, encoding, problems)
    problems.raise_if_any()
    inferred += _cut_rows([*rows, *held_out], encoding.max_length) if settings.max_length is None else []
    objective = task.objective(encoding.label_space)
    vocabulary = int(base.text_config.get("vocab_size") or len(tokenizer))
    loss = choose_loss(settings, rows, tokenizer, vocabulary, reporter, objective)
    lengths = sorted(len(row.input_ids) for row in rows)
    training = make_plan(
        settings,
        default_learning_rate(task, method),
        len(rows),
        lengths[int(0.95 * (len(lengths) - 1))],
        base.text_config,
        memory_available_mb(),
    )
    precision, why = choose_precision(settings, base.text_config, _device(settings))
    training = replace(training, precision=precision, inferred=[*training.inferred, *why])
    output = settings.output_path or _free_output(settings)
    if settings.output_path is None:
        inferred.append(InferredSetting("output_path", str(output), "no --output_path was given"))
    said = [*data.inferred, *inferred, *training.inferred]
    return RunPlan(settings, output, base, task, encoding, data, rows, held_out, training, loss, objective, said)


def _require(settings: FinetuneSettings) -> None:
    problems = Problems()
    if settings.model_name_or_path is None:
        problems.add("no model is given", remedy="--model_name_or_path FOLDER, or smollm2-135m-instruct to begin with")
    if settings.data_name is None and settings.data_files is None:
        problems.add("no data is given", remedy="--data_files rows.jsonl, or --data_name with a file, folder or hub id")
    problems.raise_if_any()


def _read(settings: FinetuneSettings) -> Loaded:
    """The rows, tried as they must be meant whatever the model is, so that what is wrong with both is said at once."""
    loaded = load_rows(settings, settings.token)
    task = task_for_data(settings.task, loaded.train)
    prepare(settings, settings.seed, recognize=task.recognize, loaded=loaded)
    return loaded


def _look(settings: FinetuneSettings, reporter: Reporter) -> tuple[Base, Loaded, Task, list[InferredSetting]]:
    """The model, the rows and the task; what is wrong with them, the settings and the output folder is said at once."""
    problems = Problems()
    base: Base | None = None
    loaded: Loaded | None = None
    task: Task | None = None
    inferred: list[InferredSetting] = []
    with problems.collecting():
        config_of(settings, METHODS.get(settings.method).Config)
    with problems.collecting():
        named_loss(settings)
    with problems.collecting():
        check_fields({"lr_scheduler_type": settings.lr_scheduler_type, **settings.training_arguments}, set())
    if settings.output_path is not None:
        with problems.collecting():
            RunFolder(settings.output_path).check_free(settings.overwrite, settings.resume)
    with problems.collecting():
        _require(settings)
    if settings.data_name is not None or settings.data_files is not None:
        with problems.collecting():
            loaded = _read(settings)
    if settings.model_name_or_path is not None:
        with problems.collecting():
            base = resolve(settings, reporter)
    if base is not None and loaded is not None:
        with problems.collecting():
            task, inferred = choose_task(settings.task, base, loaded.train)
    with problems.collecting():
        check_used(settings, task)
    problems.raise_if_any()
    assert base is not None and loaded is not None and task is not None
    return base, loaded, task, inferred


def _device(settings: FinetuneSettings) -> str:
    import torch

    cpu = str(settings.training_arguments.get("use_cpu", settings.training_arguments.get("no_cuda", ""))).lower()
    return "cuda" if torch.cuda.is_available() and cpu != "true" else "cpu"


def _cut_rows(rows: Sequence[TokenizedExample], length: int) -> list[InferredSetting]:
    cut = sum(row.cut > 0 for row in rows)
    return [InferredSetting("max_length", length, f"the usual bound; {cut:,} longer rows are cut")] if cut else []


def _free_output(settings: FinetuneSettings) -> Path:
    """``runs/DATA-METHOD``, with a number behind it where that is taken."""
    source = (settings.data_files or (settings.data_name or "data",))[0]
    stem = Path(source).stem.replace("*", "all") or "data"
    folder = Path("runs") / f"{stem}-{settings.method}"
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{stem}-{settings.method}-{number}")
        number += 1
    return folder
