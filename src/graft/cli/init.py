"""graft init."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from graft.cli.arguments import Arguments
from graft.cli.command import CONFIG, Command
from graft.cli.data_words import data_named
from graft.cli.options import given_settings
from graft.cli.progress import Screen
from graft.config import InitSettings, build
from graft.errors import InputError

if TYPE_CHECKING:
    from graft.commands.init import Looked
    from graft.commands.init_file import Plan

USAGE = "graft init DATA [--yes] [--model MODEL] [-o workflow.yaml]"
SHOWN = 5
"""Models that are proposed."""
GOALS = {
    "time": "a short training on this machine",
    "size": "a small model",
    "quality": "the scores",
}
FORMATS = {
    "no": "no, only train",
    "onnx": "ONNX, for onnxruntime",
    "gguf": "GGUF, for llama.cpp and Ollama",
    "hf": "a model folder, for vLLM, mlx-lm and transformers",
}


def run(arguments: Arguments) -> int:
    """Look at data, ask what the data does not say, and write a workflow file.

    Raises:
        InputError: If a setting is unknown or out of bounds, or the rows cannot be read.
    """
    as_json, yes = arguments.flag("json"), arguments.flag("yes")
    arguments.options.update(data_named(arguments.words, USAGE))
    given = given_settings(arguments, InitSettings)
    settings: InitSettings = build(InitSettings, given.values, given.where)
    if settings.data_files is None and settings.data_name is None:
        raise InputError("no data is given", remedy="graft init DATA")
    asks = not yes and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    with Screen(quiet=as_json) as screen:
        from graft.commands.init import look, plan_of, write_workflow

        looked = look(settings, screen)
        if not asks and not yes:
            screen.note("nothing is asked, since this is not a terminal: the defaults are taken, as with --yes")
    if asks:
        settings = _asked(looked, settings)
    plan = plan_of(looked, settings.model_name_or_path, settings.goal, settings.deploy)
    file = write_workflow(plan)
    return _print(plan, str(file), as_json)


def _asked(looked: Looked, settings: InitSettings) -> InitSettings:
    """The settings with the user's answers to what was not given."""
    given, answers = settings.model_fields_set, dict[str, Any]()
    print(_found(looked))
    if "model_name_or_path" not in given:
        goal = settings.goal if "goal" in given else _choice("What matters most?", GOALS)
        answers = {"goal": goal, "model_name_or_path": _model(looked, goal)}
    if "deploy" not in given:
        answers["deploy"] = _choice("Export the tuned model?", FORMATS)
    return settings.model_copy(update=answers)


def _found(looked: Looked) -> str:
    from graft.report.checked_data import data_facts

    facts = dict(data_facts(looked.data, ()))
    return "\n".join(f"{name:<8} {text}" for name, text in facts.items() if name != "checked")


def _model(looked: Looked, goal: Any) -> str | None:
    """The model that the user chooses; None for the best suggestion."""
    suggested = looked.suggestions(goal)[:SHOWN]
    texts = {
        one.name: f"{one.model.parameters / 1e6:,.0f}M parameters, {one.method}, about {one.memory_mb / 1000:.1f} GB"
        for one in suggested
    }
    return _choice("Which model? A number, or the name of another:", texts, free=True) if texts else None


def _choice(question: str, texts: dict[str, str], free: bool = False) -> str:
    """Ask until one of the names is chosen, by its number or its name; an empty line takes the first.

    Args:
        question: What is asked.
        texts: The choices by name, each with what it is.
        free: Whether any other text is an answer, too.
    """
    names = list(texts)
    print(f"\n{question}")
    for number, (name, text) in enumerate(texts.items(), 1):
        print(f"  {number}  {name:<26} {text}")
    while True:
        print("[1] ", end="", flush=True)  # input() itself writes it to stderr
        answer = input().strip()
        chosen = _answered(answer, names, free)
        if chosen is not None:
            return chosen
        print(f"give a number from 1 to {len(names)}")


def _answered(answer: str, names: Sequence[str], free: bool) -> str | None:
    if not answer:
        return names[0]
    if answer.isdigit() and 1 <= int(answer) <= len(names):
        return names[int(answer) - 1]
    return answer if answer in names or (free and not answer.isdigit()) else None


def _print(plan: Plan, file: str, as_json: bool) -> int:
    from pathlib import Path

    from graft.commands.init_file import next_commands

    commands = next_commands(plan, Path(file))
    if as_json:
        listed = [line for line, _ in commands]
        document = {"file": file, "model": plan.model, "method": plan.method, "passes": plan.passes, "next": listed}
        print(json.dumps(document, ensure_ascii=False, indent=2))
        return 0
    print(f"{file}: {', '.join(plan.passes)} with {plan.model}\n\nnext:")
    width = max(len(line) for line, _ in commands)
    for line, text in commands:
        print(f"  {line:<{width}}  # {text}")
    return 0


COMMAND = Command(
    "init",
    run,
    usage=USAGE,
    settings=lambda: (InitSettings,),
    options=(("--yes", "ask nothing, and take the defaults"), CONFIG),
)
