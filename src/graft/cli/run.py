"""graft run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.cli.options import read_file
from graft.cli.progress import Screen
from graft.cli.results import print_result
from graft.config import SECRET
from graft.errors import InputError
from graft.runs.kind import is_run


def run(arguments: Arguments) -> int:
    """Carry out a workflow and print its result, or with ``--dry_run`` its passes.

    Raises:
        InputError: when not exactly one file is named, or it is not a valid workflow.
    """
    as_json, dry, setup = arguments.flag("json"), arguments.flag("dry_run"), arguments.flag("setup")
    config = arguments.take("config") or (arguments.words.pop(0) if arguments.words else None)
    if config is None or not isinstance(config, str) or arguments.words:
        raise InputError("which workflow?", remedy="graft run --config FILE.yaml [--setup] [--option value …]")
    document = read_file(config, arguments)
    with Screen(quiet=as_json) as screen:
        from graft.commands.generation import without_secrets
        from graft.commands.run import run_workflow, set_up
        from graft.commands.workflow_file import read_workflow

        workflow = read_workflow(document, config, arguments.options)
        if dry:
            written: dict[str, Any] = {"mode": "json", "exclude_unset": True, "exclude": SECRET}
            settings = [without_secrets(step.settings) for step in workflow.steps]
            shown = [
                {"pass": step.name, "settings": each.model_dump(**written)}
                for step, each in zip(workflow.steps, settings, strict=True)
            ]
            print(json.dumps(shown, ensure_ascii=False, indent=2))
            return 0
        if setup:
            set_up(workflow, screen)
        left = run_workflow(workflow, screen, Path(config).stem)
    return _print(left, as_json)


def _print(left: list[Path], as_json: bool) -> int:
    runs = [path for path in left if is_run(path)]
    if len(left) == 1 and runs:
        print_result(left[0], as_json)
        return 0
    listed: dict[str, Any] = {"passes": [str(path) for path in left]}
    print(json.dumps(listed, indent=2) if as_json else "\n".join(listed["passes"]))
    return 0


COMMAND = Command(
    "run",
    run,
    usage="graft run --config FILE.yaml [--setup] [--dry_run] [--option value …]",
    options=(
        ("--config FILE.yaml", "the workflow, or a run's config.yaml"),
        ("--setup", "install what the passes need"),
        ("--dry_run", "print the passes with their settings and stop"),
        ("--option value", "any setting of graft finetune; it overrides the file"),
    ),
)
