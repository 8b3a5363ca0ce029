"""graft search."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.finetune import positional, shown_files
from graft.cli.options import read_file
from graft.cli.progress import Screen
from graft.config import Settings
from graft.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from graft.commands.search_plan import SearchPlan

USAGE = "graft search MODEL DATA -o OUT --search_space 'learning_rate=1e-5..1e-3 log, lora_r=8..64'"


def run(arguments: Arguments) -> int:
    """Search, and print the trials and the winner, or with ``--dry_run`` the space and the first trials."""
    as_json, dry = arguments.flag("json"), arguments.flag("dry_run")
    with Screen(quiet=as_json, imports=False) as screen:
        settings = read_settings(arguments)
        screen.importing()
        from graft.commands.search import carry_out, plan

        planned = plan(settings, screen)
        if dry:
            _print_plan(planned, as_json)
            return 0
        folder = carry_out(planned, screen)
    _print_result(folder, as_json)
    return 0


def read_settings(arguments: Arguments) -> Any:
    """The files' settings, then the command line's over them.

    Raises:
        InputError: When anything is unknown, out of bounds, or cannot be searched; all of it at once.
    """
    config = arguments.take("config")
    values = _from_files(config, arguments)
    typed = dict(arguments.options)
    for name, word in zip(("model_name_or_path", "data"), arguments.words, strict=False):
        typed.update(positional(name, word))
    if len(arguments.words) > 2:
        raise InputError(f"too many arguments: {' '.join(arguments.words[2:])}", remedy=USAGE)
    from graft.commands.search_settings import over, search_settings

    return search_settings(over(values, typed), lambda name: "" if name in typed else shown_files(config))


def _from_files(given: Any, arguments: Arguments) -> dict[str, Any]:
    """The settings of the files after ``--config``, with the sections of a search as they stand; a later file wins."""
    from graft.commands.search_settings import over
    from graft.commands.workflow_file import flat_settings

    if given is True:
        raise InputError("--config requires a file", remedy="--config search.yaml")
    values: dict[str, Any] = {}
    for path in given if isinstance(given, list) else [given] if given else []:
        document = read_file(str(path), arguments)
        names = [name for name in document if name in {"search_strategy", "search_space"}]  # each with its place
        sections: dict[str, Any] = {name: document.pop(name) for name in names}
        rest = flat_settings(document, str(path)) if document else {}
        values = over(values, {**rest, **sections})
    return values


def _print_plan(planned: SearchPlan, as_json: bool) -> None:
    from graft.commands.search import study_of
    from graft.commands.search_progress import settings_in_words
    from graft.search.journal import Journal

    proposals = study_of(planned, Journal(planned.output)).proposals(6)
    space, strategy, first = planned.searched.space.document(), planned.searched.strategy.name, planned.first
    if as_json:
        document = {
            "output_path": str(planned.output),
            "space": space,
            "strategy": strategy,
            "num_trials": planned.num_trials,
            "metric": first.training.metric,
            "selection_rows": len(first.monitored),
            "untouched_rows": len(first.untouched),
            "first_trials": proposals,
        }
        print(json.dumps(document, ensure_ascii=False, indent=2, default=str))
        return
    print(f"{planned.num_trials} trials ({strategy}) of {', '.join(space)}")
    print(
        f"the defaults take {first.training.steps} steps; trials are compared by the held-out {first.training.metric}"
    )
    print(f"of {len(first.monitored)} held-out rows, and {len(first.untouched)} others are kept for the winner")
    for number, settings in enumerate(proposals):
        print(f"  trial {number}: {settings_in_words(settings)}{'  (the defaults)' if number == 0 else ''}")
    if len(proposals) == 1 < planned.num_trials:
        print("  the others depend on results")


def _print_result(folder: Path, as_json: bool) -> None:
    from graft.commands.search_progress import settings_in_words
    from graft.runs.manifest import read_search, read_trials
    from graft.runs.search_manifest import WINNER
    from graft.shell import command

    manifest, trials = read_search(folder), read_trials(folder)
    if as_json:
        found = {
            "search": str(folder),
            "manifest": manifest.document(),
            "trials": [trial.document() for trial in trials],
            "winner": str(folder / WINNER),
        }
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return
    first, winner = trials[0], next(trial for trial in trials if trial.number == manifest.winner)
    counts = Counter(trial.status for trial in trials)
    print(f"{len(trials)} trials: {', '.join(f'{count} {status}' for status, count in counts.items())}")
    print(f"best: trial {winner.number}: {settings_in_words(winner.settings)}")
    for rows, what, score, default in (
        (manifest.selection_rows, "that trials were selected by", winner.value, first.value),
        (manifest.untouched_rows, "that no trial was selected by", winner.untouched, first.untouched),
    ):
        if score is not None and default is not None:
            print(f"  {manifest.metric} on {rows} held-out rows {what}: {score:.4f} (the defaults: {default:.4f})")
    if (folder / "search.html").is_file():
        print(f"report: {folder / 'search.html'}")
    print(f"next:   {command('graft', 'show', folder / WINNER)}")


def _settings() -> tuple[type[Settings], ...]:
    from graft.cli.finetune import SETTINGS
    from graft.commands.search_settings import study_class

    return (study_class(), *SETTINGS)


def _lists() -> dict[str, dict[str, str]]:
    from graft.search.strategies import STRATEGIES

    return {"strategies": {name: strategy.help for name, strategy in STRATEGIES.items()}}


COMMAND = Command(
    "search",
    run,
    usage=USAGE,
    settings=_settings,
    options=(CONFIG, ("--dry_run", "print the space and the first trials; write nothing")),
    lists=_lists,
)
