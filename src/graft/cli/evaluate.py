"""graft evaluate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.arguments import Arguments, read_config
from graft.cli.console import Screen
from graft.cli.results import print_evaluation
from graft.errors import InputError
from graft.settings import DataSettings, EvaluationSettings, ModelSettings

SETTINGS = (DataSettings, EvaluationSettings, ModelSettings)


def run(arguments: Arguments) -> int:
    as_json = arguments.flag("json")
    config = arguments.take("config")
    options: dict[str, Any] = {**(read_config(Path(str(config))) if config else {}), **arguments.options}
    output = options.pop("output_path", options.pop("output_dir", None))
    named = options.pop("model_name_or_path", None)
    model = arguments.words[0] if arguments.words else named
    if model is None:
        raise InputError("which run or model?", remedy="graft evaluate RUN [--data_files rows.jsonl]")
    files = arguments.words[1:] or None
    with Screen(quiet=as_json) as screen:
        from graft.workflow.evaluate import evaluate_model

        document = evaluate_model(str(model), files, output_path=output, watcher=screen, **options)
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        print_evaluation(document)
    return 0
