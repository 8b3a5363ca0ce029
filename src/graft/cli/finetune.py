"""graft finetune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.arguments import Arguments, read_config
from graft.cli.console import Screen
from graft.cli.results import print_result
from graft.errors import InputError
from graft.settings import (
    DataSettings,
    EvaluationSettings,
    FinetuneSettings,
    LossSettings,
    MethodSettings,
    ModelSettings,
    TrainingSettings,
    build,
    option_names,
)

SETTINGS = (ModelSettings, DataSettings, MethodSettings, TrainingSettings, LossSettings, EvaluationSettings)


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
    config = arguments.take("config")
    values: dict[str, Any] = read_configs(config)
    typed = dict(arguments.options)
    for name, word in zip(("model_name_or_path", "data"), arguments.words, strict=False):
        typed.update(_positional(name, word))
    if len(arguments.words) > 2:
        raise InputError(f"too many words: {' '.join(arguments.words[2:])}", remedy="graft finetune MODEL DATA -o OUT")
    known = option_names(FinetuneSettings)
    fields = {known[name] for name in typed if name in known}
    merged = {name: value for name, value in values.items() if known.get(name) not in fields} | typed
    extra = {name: value for name, value in merged.items() if name not in known}
    own = {name: value for name, value in merged.items() if name in known}
    if extra:
        from graft.training.arguments import check_fields

        check_fields(extra, set(known))
        own["training_arguments"] = {**dict(own.get("training_arguments", {})), **extra}
    settings: FinetuneSettings = build(FinetuneSettings, own, str(config or ""))
    return settings


def read_configs(given: Any) -> dict[str, Any]:
    """The settings of the files after ``--config``; what lies over what: a later file wins."""
    known = option_names(FinetuneSettings)
    values: dict[str, Any] = {}
    for path in given if isinstance(given, list) else [given] if given else []:
        read = read_config(Path(str(path)))
        named = {known.get(name, name) for name in read}
        values = {name: value for name, value in values.items() if known.get(name, name) not in named} | read
    return values


def _positional(name: str, word: str) -> dict[str, Any]:
    if name == "model_name_or_path":
        return {name: word}
    is_files = any(letter in word for letter in "*?[") or (Path(word).suffix and not Path(word).is_dir())
    return {"data_files": word} if is_files else {"data_name": word}


def _short(value: object) -> str:
    text = str(value).replace("\n", "\\n")
    return text if len(text) <= 100 else text[:97] + "…"
