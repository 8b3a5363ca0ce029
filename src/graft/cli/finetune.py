"""graft finetune."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from graft.cli.arguments import Arguments
from graft.cli.console import Screen
from graft.cli.given import given_settings
from graft.cli.results import print_result
from graft.errors import InputError, Problems
from graft.settings import (
    DataSettings,
    EvaluationSettings,
    FinetuneSettings,
    MethodSettings,
    ModelSettings,
    TrainingSettings,
    build,
    option_names,
)

SETTINGS = (ModelSettings, DataSettings, MethodSettings, TrainingSettings, EvaluationSettings)


def run(arguments: Arguments) -> int:
    as_json, dry = arguments.flag("json"), arguments.flag("dry_run")
    settings = read_settings(arguments)
    with Screen(quiet=as_json) as screen:
        from graft.workflow.finetune import carry_out, with_recorded
        from graft.workflow.plan import plan_run

        plan = plan_run(with_recorded(settings) if settings.resume else settings, screen.note)
        if dry:
            from graft.workflow.preview import preview, print_preview

            print(json.dumps(preview(plan), ensure_ascii=False, indent=2)) if as_json else print_preview(plan)
            return 0
        for inference in plan.inferences:
            screen.note(f"{inference.name} = {_short(inference.value)}  ({inference.why})")
        folder = carry_out(plan, screen)
    print_result(folder, as_json)
    return 0


def read_settings(arguments: Arguments) -> FinetuneSettings:
    """The file's settings, then the command line's over them.

    Raises:
        InputError: when anything is unknown or out of bounds; all of it at once.
    """
    typed = dict(arguments.options)
    for name, word in zip(("model_name_or_path", "data"), arguments.words, strict=False):
        typed.update(_positional(name, word))
    if len(arguments.words) > 2:
        raise InputError(f"too many words: {' '.join(arguments.words[2:])}", remedy="graft finetune MODEL DATA -o OUT")
    given = given_settings(arguments, FinetuneSettings, typed)
    known = option_names(FinetuneSettings)
    own = {name: value for name, value in given.values.items() if name.replace("-", "_") in known}
    extra = {name: value for name, value in given.values.items() if name not in own}
    problems = Problems()
    settings: FinetuneSettings | None = None
    if extra:
        from graft.training.arguments import check_fields

        with problems.collecting():
            check_fields(extra, set(known), given.where)
        own["training_arguments"] = {**dict(own.get("training_arguments") or {}), **extra}
    with problems.collecting():
        settings = build(FinetuneSettings, own, given.where)
    if problems:
        with problems.collecting():
            _look_at_data(own)
    problems.raise_if_any()
    assert settings is not None
    return settings


def _look_at_data(given: Mapping[str, Any]) -> None:
    """Files that are not there or do not read are said beside what is wrong with the options.

    Raises:
        InputError: with what is wrong with them.
    """
    from graft.data.load import load_rows

    where = ("data_name", "data_files", "data_config_name", "train_split", "eval_split", "eval_data_files")
    names = {name: setting for name, setting in option_names(DataSettings).items() if setting in where}
    with suppress(ValidationError):
        settings = DataSettings(**{names[name]: value for name, value in given.items() if name in names})
        if settings.data_files or (settings.data_name and Path(settings.data_name).exists()):
            load_rows(settings)


def _positional(name: str, word: str) -> dict[str, Any]:
    if name == "model_name_or_path":
        return {name: word}
    is_files = any(letter in word for letter in "*?[") or (Path(word).suffix and not Path(word).is_dir())
    return {"data_files": word} if is_files else {"data_name": word}


def _short(value: object) -> str:
    text = str(value).replace("\n", "\\n")
    return text if len(text) <= 100 else text[:97] + "…"
