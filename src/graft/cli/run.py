"""graft run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.cli.options import read_file
from graft.cli.progress import Screen
from graft.cli.results import print_result
from graft.config import SECRET
from graft.documents import dump_yaml
from graft.errors import InputError
from graft.plain_text import mask_secrets, mask_variables
from graft.runs.kind import is_run

if TYPE_CHECKING:
    from graft.commands.workflow_file import Workflow

REMEDY = "graft run --config FILE.yaml [--setup] [--option value …] [section.name=value …]"


def run(arguments: Arguments) -> int:
    """Carry out a workflow and print its result, or with ``--dry_run`` its passes.

    Raises:
        InputError: when not exactly one file is named, or it is not a valid workflow.
    """
    as_json, dry, setup = arguments.flag("json"), arguments.flag("dry_run"), arguments.flag("setup")
    force = _forced(arguments.take("force"))
    config = arguments.take("config") or (arguments.words.pop(0) if arguments.words else None)
    if config is None or not isinstance(config, str):
        raise InputError("no workflow file is given", remedy=REMEDY)
    from graft.commands.workflow_overrides import overridden, read_overrides

    overrides, over = read_overrides(arguments.words, arguments.options)
    arguments.options = over
    document = read_file(config, arguments, lambda found: overridden(found, overrides, over))
    from graft.commands.workflow_file import read_workflow

    workflow = read_workflow(document, config, over)
    if dry:
        _print_passes(workflow, as_json)
        return 0
    with Screen(quiet=as_json) as screen:
        from graft.commands.run import run_workflow, set_up

        if setup:
            set_up(workflow, screen)
        left = run_workflow(workflow, screen, Path(config).stem, config, force)
    return _print(left, as_json)


def _print_passes(workflow: Workflow, as_json: bool) -> None:
    """Print the passes with their settings, without secrets: as YAML, or as JSON."""
    from graft.commands.generation import without_secrets

    written: dict[str, Any] = {"mode": "json", "exclude_unset": True, "exclude": SECRET}
    settings = [without_secrets(step.settings).model_dump(**written) for step in workflow.steps]
    if as_json:
        passes = zip(workflow.steps, settings, strict=True)
        shown = [{"pass": step.name, "type": step.kind, "settings": each} for step, each in passes]
        print(mask_variables(json.dumps(shown, ensure_ascii=False, indent=2)))
        return
    for number, (step, each) in enumerate(zip(workflow.steps, settings, strict=True), 1):
        lines = mask_secrets(dump_yaml(each)).rstrip().splitlines() if each else []
        print("\n".join([f"{number}. {step.name} ({step.kind})", *(f"   {line}" for line in lines)]))


def _forced(given: Any) -> tuple[str, ...]:
    """The passes to run again; ``--force`` alone, which is True, stands for all."""
    names = given if isinstance(given, list) else [] if given is None else [given]
    parts = (part.strip() for name in names for part in str(name).split(","))
    return tuple(part.lower() if part.lower() == "true" else part for part in parts if part)


def _print(left: list[Path], as_json: bool) -> int:
    runs = [path for path in left if is_run(path)]
    if len(left) == 1 and runs:
        print_result(left[0], as_json)
        return 0
    listed: dict[str, Any] = {"passes": [str(path) for path in left]}
    print(json.dumps(listed, indent=2) if as_json else "\n".join(dict.fromkeys(listed["passes"])))
    return 0


COMMAND = Command(
    "run",
    run,
    usage="graft run FILE.yaml [section.name=value …] [--setup] [--force [PASS]] [--dry_run] [--option value …]",
    options=(
        ("--config FILE.yaml", "the workflow, or a run's config.yaml"),
        ("--setup", "install what the passes need"),
        ("--force [PASS]", "run all passes again, or this one, whatever was kept"),
        ("--dry_run", "print the passes with their settings and stop"),
        ("--option value", "any setting of graft finetune; it overrides the file"),
        ("section.name=value", "another value of the file, read as YAML: passes.lora.r=8"),
    ),
)
