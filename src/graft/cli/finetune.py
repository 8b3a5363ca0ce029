"""graft finetune."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.data_words import data_option
from graft.cli.options import read_file
from graft.cli.progress import Screen
from graft.cli.results import print_result
from graft.config import (
    DataSettings,
    FinetuneSettings,
    Settings,
    option_names,
)
from graft.errors import InputError, Problems
from graft.files import is_there

if TYPE_CHECKING:
    pass

SETTINGS: tuple[type[Settings], ...] = tuple(base for base in FinetuneSettings.__bases__ if issubclass(base, Settings))
"""The groups of settings, as ``--help`` shows them."""


def run(arguments: Arguments) -> int:
    """Tune a model and print the result, or with ``--dry_run`` the plan; decisions by graft are shown as notes."""
    as_json, dry, auto = arguments.flag("json"), arguments.flag("dry_run"), arguments.flag("auto")
    with Screen(quiet=as_json, imports=False) as screen:
        settings = read_settings(arguments)
        check_named(settings)
        screen.importing()
        from graft.commands.finetune import already_finished, carry_out, plan
        from graft.planning.quick_checks import HINT

        finished = already_finished(settings, screen)
        if finished is not None:
            print_result(finished, as_json)
            return 0
        if auto:
            from graft.commands.planner import advised_plan

            planned = advised_plan(settings, screen)
        else:
            planned = plan(settings, screen)
        if dry:
            from graft.cli.console import Console
            from graft.planning.preview import preview, print_preview

            if as_json:
                print(json.dumps(preview(planned), ensure_ascii=False, indent=2))
            else:
                print_preview(planned, Console())
            return 0
        for inferred in planned.inferred:
            screen.note(f"{inferred.name} = {_short(inferred.value)}  ({inferred.why})")
        for warning in planned.data.summary["warnings"]:
            screen.note(f"warning: {warning}")
        warnings = [finding for finding in planned.data.findings if finding.severity == "warning"]
        for finding in warnings:
            screen.note(f"warning: {finding.sentence}")
        if warnings:
            screen.note(HINT)
        folder = carry_out(planned, screen)
    print_result(folder, as_json)
    return 0


def read_settings(arguments: Arguments, usage: str = "graft finetune MODEL DATA -o OUT") -> FinetuneSettings:
    """The file's settings, then the command line's over them.

    Args:
        arguments: What was typed.
        usage: The remedy for too many words.

    Raises:
        InputError: when anything is unknown or out of bounds; all of it at once.
    """
    config = arguments.take("config")
    values: dict[str, Any] = read_configs(config, arguments)
    typed = dict(arguments.options)
    for name, word in zip(("model_name_or_path", "data"), arguments.words, strict=False):
        typed.update(positional(name, word))
    if len(arguments.words) > 2:
        raise InputError(f"too many arguments: {' '.join(arguments.words[2:])}", remedy=usage)
    from graft.planning.settings import finetune_settings, laid_over
    from graft.training.consistency import check_consistent

    given = laid_over(values, typed)
    problems = Problems()
    with problems.collecting():
        return finetune_settings(given, lambda name: "" if name in typed else shown_files(config), check_consistent)
    with problems.collecting():
        _look_at_data(given)
    raise InputError(*problems.found)


def check_named(settings: FinetuneSettings) -> None:
    """Check that there are a model and data before libraries are imported, which takes seconds.

    Raises:
        InputError: If one is missing. A run that is resumed has both.
    """
    from graft.planning.settings import unnamed

    problems = Problems()
    if not settings.resume:
        unnamed(settings, problems)
    problems.raise_if_any()


def shown_files(config: Any) -> str:
    """The names of the files after ``--config``, for messages."""
    return ", ".join(map(str, config)) if isinstance(config, list) else str(config or "")


def read_configs(given: Any, arguments: Arguments) -> dict[str, Any]:
    """The settings of the files after ``--config``; a later file wins.

    Raises:
        InputError: when a file cannot be read, or names code and ``--trust_remote_code`` was not typed.
    """
    from graft.planning.settings import laid_over

    if given is True:
        raise InputError("--config requires a file", remedy="--config settings.yaml")
    values: dict[str, Any] = {}
    for path in given if isinstance(given, list) else [given] if given else []:
        from graft.commands.workflow_file import flat_settings  # with torch, which a mistake need not wait for

        values = laid_over(values, flat_settings(read_file(str(path), arguments), str(path)))
    return values


def _look_at_data(given: Mapping[str, Any]) -> None:
    """Files that are not there or do not read are said beside what is wrong with the options.

    Raises:
        InputError: with what is wrong with them.
    """
    from graft.data.sources import load_rows

    where = ("data_name", "data_files", "data_config_name", "train_split", "eval_split", "eval_data_files")
    names = {name: setting for name, setting in option_names(DataSettings).items() if setting in where}
    with suppress(ValidationError):
        settings = DataSettings(**{names[name]: value for name, value in given.items() if name in names})
        if settings.data_files or (settings.data_name and is_there(settings.data_name)):
            load_rows(settings)


def positional(name: str, word: str) -> dict[str, Any]:
    """A word without an option: the model, then the data."""
    return {name: word} if name == "model_name_or_path" else data_option(word)


def _short(value: object) -> str:
    text = str(value).replace("\n", "\\n")
    return text if len(text) <= 100 else text[:97] + "…"


COMMAND = Command(
    "finetune",
    run,
    usage="graft finetune MODEL DATA -o OUT [--option value …]",
    settings=lambda: SETTINGS,
    options=(
        CONFIG,
        ("--dry_run", "print the plan and the first training rows; write nothing"),
        ("--auto", "choose method, engine and batch as graft plan advises, where they are not given"),
    ),
)
