"""What a run needs: the model, the task and the rows, read once, with all that is wrong with them said together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graft.config import FinetuneSettings, LossSettings, TrainingSettings, config_of, takers
from graft.data.inferred import InferredSetting
from graft.data.pipeline import Prepared, prepare
from graft.data.sources import Loaded, load_readable
from graft.errors import Problems
from graft.methods import METHODS
from graft.models.base import Base, load_tokenizer, resolve
from graft.planning.continuing import Parent, continued
from graft.planning.new_tokens import with_new_tokens
from graft.planning.quick_checks import checked
from graft.planning.settings import unnamed
from graft.planning.unused import check_used
from graft.progress import Reporter
from graft.runs.folder import RunFolder
from graft.tasks.base import Task
from graft.tasks.open import run_template
from graft.tasks.select import choose_task, task_for_data
from graft.training.consistency import check_training
from graft.training.losses.choose import named_loss


@dataclass(frozen=True)
class Inputs:
    """The model with its tokenizer, the task, and the prepared rows.

    ``settings`` are completed by ``parent``, the run or adapter that they continue from. ``inferred`` says what was
    decided of the task, and taken from ``parent``.
    """

    base: Base
    tokenizer: Any
    task: Task
    data: Prepared
    inferred: list[InferredSetting]
    settings: FinetuneSettings
    parent: Parent | None = None


def read_inputs(settings: FinetuneSettings, reporter: Reporter) -> Inputs:
    """Find the model, choose the task, and prepare the rows.

    Raises:
        InputError: With all that is wrong with the settings, the output folder, the data and the model together.
    """
    problems, of_model = Problems(), Problems()
    parent: Parent | None = None
    with of_model.collecting():
        settings, parent = continued(settings, reporter)
    _check_settings(settings, problems)
    loaded = _loaded(settings, problems)
    base = parent.base if parent is not None else None if of_model else _base(settings, reporter, of_model)
    task, inferred = _task(settings, base, loaded, of_model)
    tokenizer = None
    if settings.text_template is not None and base is not None and not of_model:  # whose turns split the template
        tokenizer = _tokenizer(base, parent, settings)
    data = _data(settings, loaded, task, tokenizer, problems, reporter)
    problems.found += of_model.found
    with problems.collecting():
        check_used(settings, task, loaded.eval_source.path if loaded and loaded.eval_source else "")
    problems.raise_if_any()
    assert base is not None and task is not None and data is not None
    tokenizer = tokenizer or _tokenizer(base, parent, settings)
    said = [*(parent.inferred if parent is not None else ()), *inferred]
    return Inputs(base, tokenizer, task, data, said, settings, parent)


def rows_key(settings: FinetuneSettings) -> str:
    """Return a text that is equal for settings of which ``read_inputs`` and the tokens are the same."""
    of_training = {
        name
        for name in type(settings).model_fields
        if any(component.option in {"method", "loss"} for component in takers(type(settings), name))
    }
    free = (set(TrainingSettings.model_fields) | set(LossSettings.model_fields) | of_training) - {"seed"}
    if not (settings.new_tokens or settings.new_special_tokens):  # which not every method trains
        free.add("method")
    return settings.model_dump_json(exclude=free)


def check_again(settings: FinetuneSettings, inputs: Inputs) -> None:
    """Check further settings with the same ``rows_key``.

    Raises:
        InputError: As ``read_inputs``.
    """
    problems = Problems()
    _check_settings(settings, problems)
    eval_source = inputs.data.eval_source
    with problems.collecting():
        check_used(settings, inputs.task, eval_source.path if eval_source else "")
    problems.raise_if_any()


def _tokenizer(base: Base, parent: Parent | None, settings: FinetuneSettings) -> Any:
    """The tokenizer, with the chat template that the earlier run used."""
    run = parent.opened.run if parent is not None else None
    template = run_template(run, base) if run is not None else None
    return load_tokenizer(base, settings.chat_template or template, settings.chat_template_kwargs)


def _check_settings(settings: FinetuneSettings, problems: Problems) -> None:
    with problems.collecting():
        config_of(settings, METHODS.get(settings.method).Config)
    with problems.collecting():
        named_loss(settings)
    with problems.collecting():
        check_training(settings)
    if settings.output_path is not None:
        with problems.collecting():
            RunFolder(settings.output_path).check_free(settings.overwrite, settings.resume)
    unnamed(settings, problems)


def _loaded(settings: FinetuneSettings, problems: Problems) -> Loaded | None:
    if settings.data_name is not None or settings.data_files is not None:
        with problems.collecting():
            return load_readable(settings, settings.token)
    return None


def _base(settings: FinetuneSettings, reporter: Reporter, problems: Problems) -> Base | None:
    if settings.model_name_or_path is not None:
        with problems.collecting():
            return with_new_tokens(resolve(settings, reporter), settings)
    return None


def _task(
    settings: FinetuneSettings, base: Base | None, loaded: Loaded | None, problems: Problems
) -> tuple[Task | None, list[InferredSetting]]:
    """The task that the model and the rows are for, and what was inferred of it."""
    if base is not None and loaded is not None:
        with problems.collecting():
            return choose_task(settings.task, base, loaded.train, settings)
    return None, []


def _data(
    settings: FinetuneSettings,
    loaded: Loaded | None,
    task: Task | None,
    tokenizer: Any,
    problems: Problems,
    reporter: Reporter,
) -> Prepared | None:
    """The prepared rows; without a model they are tried as they must be meant, so that what is wrong with them is said.

    A task that does not exist is said by whoever chose it first.
    """
    if loaded is None:
        return None
    tried = task
    with loaded.faults.collecting():
        tried = tried or task_for_data(settings.task, loaded.train, settings)
    with problems.collecting():
        if tried is None:
            loaded.faults.raise_if_any()
        else:
            prepared = prepare(settings, settings.seed, tokenizer, tried.recognize, loaded, settings.by)
            return checked(prepared, loaded, settings.seed, reporter)
    return None
