"""How a run's rows become prompts, as a record that holds without the run."""

from __future__ import annotations

from typing import Any

from graft.data.chat_template import Renderer
from graft.errors import GraftError
from graft.runs.evaluation_document import read_evaluation
from graft.runs.folder import RunFolder
from graft.runs.prompt_record import PromptRecord
from graft.runs.settings import recorded_data_settings
from graft.tasks.base import Task


def prompt_of_run(run: RunFolder, task: Task, tokenizer: Any = None) -> PromptRecord:
    """Return the settings, the classes and the limits by which ``run`` made its prompts.

    Args:
        run: The run.
        task: Its task, whose own options are among the settings.
        tokenizer: Its tokenizer, with its chat template; without one the prompt that the template generates is unknown.

    Raises:
        InputError: If the manifest is damaged.
    """
    manifest = run.manifest
    own = {name: manifest.settings.get(name) for name in task.Config.model_fields}
    data: dict[str, Any] = recorded_data_settings(run) | {name: v for name, v in own.items() if v is not None}
    names = manifest.task.label_space.names if manifest.task else []
    return PromptRecord(
        data=data,
        kind=manifest.data.kind,
        labels=manifest.data.labels or names or None,
        max_length=manifest.task.max_length if manifest.task else None,
        max_new_tokens=_judged_limit(run),
        generation_prompt=Renderer(tokenizer).generation_prompt() if tokenizer is not None else None,
    )


def _judged_limit(run: RunFolder) -> int | None:
    """The limit of an answer when the run was evaluated; of a run that was not, the one that it was given."""
    try:
        evaluation = read_evaluation(run.path)
    except GraftError:
        evaluation = None
    judged = evaluation.max_new_tokens if evaluation is not None else None
    given = run.manifest.settings.get("max_new_tokens")
    return judged or (given if isinstance(given, int) else None)
