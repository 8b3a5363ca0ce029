"""graft evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.cli.results import failures_of, print_evaluation
from graft.config import EvaluateSettings, build
from graft.errors import GraftError, InputError
from graft.inference.server_url import is_url

SETTINGS = (EvaluateSettings,)


def run(arguments: Arguments) -> int:
    """Evaluate a run with its base, a model, or a server, and print the figures.

    Raises:
        InputError: when nothing is named, or a setting is unknown or out of bounds.
        GraftError: when a metric of the user's own failed, after the others were recorded and printed.
    """
    as_json = arguments.flag("json")
    given = given_settings(arguments, EvaluateSettings)
    settings: EvaluateSettings = build(EvaluateSettings, given.values, given.where)
    chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
    output, words = chosen.pop("output_path", None), _words(arguments.words, settings)
    if words[0] == settings.model_name_or_path or not is_url(words[0]):
        chosen.pop("model_name_or_path", None)
    with Screen(quiet=as_json) as screen:
        from graft.commands.evaluate import evaluate_model

        document = evaluate_model(words[0], words[1:] or None, output_path=output, reporter=screen, **chosen)
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return 1 if failures_of(document) else 0
    print_evaluation(document)
    for folder in _folders(document, output):
        print(f"report: {folder / 'report.html'}")
    if failed := failures_of(document):
        raise GraftError(*failed)
    return 0


def _folders(document: dict[str, Any], output: Path | None) -> list[Path]:
    """Where evaluations were written: of a bundle with several adapters into a folder for each."""
    if output is None:
        return []
    return [output.expanduser() / name for name in document.get("adapters", ("",))]


def _words(typed: list[str], settings: EvaluateSettings) -> list[str]:
    """The run, the model or the server, and the data files behind it; ``--model`` names a server's model.

    Raises:
        InputError: when nothing is named.
    """
    named = settings.model_name_or_path
    words = list(typed) if named is None or any(map(is_url, typed[:1])) else [named, *typed]
    if not words and settings.adapter_path is not None:
        words = [str(settings.adapter_path)]
    if not words:
        raise InputError("no run or model is given", remedy="graft evaluate RUN [--data_files rows.jsonl]")
    return words


COMMAND = Command(
    "evaluate",
    run,
    usage="graft evaluate RUN_OR_MODEL [--data_files FILE …] [--output_path DIR]\n"
    "       graft evaluate http://HOST:PORT [--model NAME] --data_files FILE … | --run RUN [--output_path DIR]",
    settings=lambda: SETTINGS,
    options=(CONFIG,),
)
