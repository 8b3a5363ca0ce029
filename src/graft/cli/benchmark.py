"""graft benchmark."""

from __future__ import annotations

import json

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import BenchmarkSettings, build

SETTINGS = (BenchmarkSettings,)
LIST = ("--list [PATTERN]", "list the tasks of lm-evaluation-harness: those with PATTERN in their names")


def run(arguments: Arguments) -> int:
    """Judge a run with its base by tasks, and print the figures.

    Raises:
        InputError: when nothing is named, or a setting is unknown or out of bounds.
    """
    as_json = arguments.flag("json")
    pattern = arguments.take("list")
    if pattern not in (None, False):
        return _list("" if pattern is True else str(pattern), as_json)
    given = given_settings(arguments, BenchmarkSettings)
    settings: BenchmarkSettings = build(BenchmarkSettings, given.values, given.where)
    chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
    named = chosen.pop("model_name_or_path", None)
    words = [*([named] if named else []), *arguments.words]
    with Screen(quiet=as_json) as screen:
        from graft.commands.benchmark import benchmark_models

        document = benchmark_models(words, screen, **chosen)
    if as_json:
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        from graft.cli.console import Console
        from graft.report.benchmark_section import print_benchmarks

        print_benchmarks(document, Console())
    return 0


def _list(pattern: str, as_json: bool) -> int:
    from graft.evaluation.benchmark.task_index import TaskNames

    found = TaskNames().matching(pattern)
    if as_json:
        print(json.dumps([{"name": one.name, "kind": one.kind} for one in found], ensure_ascii=False, indent=2))
        return 0
    for one in found:
        print(one.name if one.kind == "task" else f"{one.name}  ({one.kind})")
    return 0


COMMAND = Command(
    "benchmark",
    run,
    usage="graft benchmark RUN [MODEL_OR_BUNDLE …] --tasks NAME_OR_FILE,… [--num_fewshot 5] [--limit 200]\n"
    "       graft benchmark [RUN] --endpoint http://HOST:PORT/v1 --tasks NAME_OR_FILE,…\n"
    "       graft benchmark --list [PATTERN]",
    settings=lambda: SETTINGS,
    options=(CONFIG, LIST),
)
