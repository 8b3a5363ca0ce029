"""graft config."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.cli.options import read_file
from graft.documents import read_yaml
from graft.errors import InputError, Problem, did_you_mean
from graft.files import expanded, write_whole

USAGE = "graft config schema [COMMAND] | check FILE | convert FILE [--option value …]"
WORKFLOWS = ("run", "finetune")
"""Commands that read workflow files."""


def run(arguments: Arguments) -> int:
    """Print the schema of settings files, what is wrong in one, or one in the short form.

    Raises:
        InputError: If the words make no command, or something is wrong in the file.
    """
    as_json = arguments.flag("json")
    verbs = {"schema": _schema, "check": _check, "convert": _convert}
    verb = arguments.words.pop(0) if arguments.words else ""
    if verb not in verbs:
        what = f"unknown word {verb!r} after graft config" if verb else "give schema, check or convert"
        raise InputError(what, remedy=did_you_mean(verb, verbs) or USAGE)
    return verbs[verb](arguments, as_json)


def _schema(arguments: Arguments, as_json: bool) -> int:
    """Print the JSON Schema of workflow files, or of the settings of a command."""
    output = arguments.take("output_path", None)
    _no_more(arguments, 1)
    schema = _schema_of(arguments.words[0] if arguments.words else "run")
    text = json.dumps(schema, ensure_ascii=False, indent=2)
    if output is None:
        print(text)
    else:
        write_whole(expanded(str(output)), text + "\n")
        print(output)
    return 0


def _schema_of(name: str) -> dict[str, Any]:
    from graft.commands.settings_schema import document

    if name in WORKFLOWS:
        from graft.commands.workflow_schema import workflow_schema

        about = "A workflow, or the settings of graft finetune; names may have hyphens in place of underscores."
        return document("graft workflow file", about, workflow_schema())
    from graft.commands.settings_schema import settings_schema
    from graft.planning.settings import component_registries

    command = _command(name)
    about = f"What graft {command.name} --config reads."
    return document(
        f"graft {command.name} settings file", about, settings_schema(command.settings(), component_registries())
    )


def _command(name: str) -> Command:
    """A command with settings.

    Raises:
        InputError: If there is none of this name.
    """
    from graft.cli.main import REGISTRY

    name = name.replace("_", "-")
    there = [each for each in REGISTRY.names() if each in WORKFLOWS or REGISTRY.get(each).settings()]
    if name not in there:
        what = f"{name!r} is not a command with settings; these are: {', '.join(there)}"
        raise InputError(what, remedy=did_you_mean(name, there))
    return REGISTRY.get(name)


def _check(arguments: Arguments, as_json: bool) -> int:
    """Say everything that is wrong in a file.

    Raises:
        InputError: With all of it.
    """
    command = str(arguments.take("command", "run"))
    file = arguments.words[0] if arguments.words else ""
    if not file:
        raise InputError("no file is given", remedy="graft config check FILE.yaml")
    try:
        said = _checked(file, command, arguments)
    except InputError as error:
        from graft.commands.settings_check import sorted_problems

        problems = sorted_problems(error)
        if not as_json:
            raise InputError(*problems) from None
        _print(file, problems)
        return InputError.exit_code
    if as_json:
        _print(file, ())
    else:
        print(f"{file}: {said}")
    return 0


def _checked(file: str, command: str, arguments: Arguments) -> str:
    """Read a file as ``command`` does, and say in a few words what it is.

    Raises:
        InputError: With everything wrong in it.
    """
    document = read_file(file, arguments)
    arguments.take("trust_remote_code")
    _no_more(arguments, 1)
    if command not in WORKFLOWS:
        return _settings(document, file, command)
    from graft.commands.settings_check import check_workflow

    workflow = check_workflow(document, file)
    names = ", ".join(step.name for step in workflow.steps)
    return f"nothing is wrong: {len(workflow.steps)} {'pass' if len(workflow.steps) == 1 else 'passes'} ({names})"


def _settings(document: Mapping[str, Any], file: str, command: str) -> str:
    from graft.commands.settings_check import check_settings

    check_settings(document, file, _command(command).settings())
    return f"nothing is wrong: settings of graft {command}"


def _convert(arguments: Arguments, as_json: bool) -> int:
    """Print a file in the short form, or write it; what is not converted is said on stderr, too.

    Raises:
        InputError: If the file cannot be read, or its sections are wrong.
    """
    output = arguments.take("output_path", None)
    file = arguments.words[0] if arguments.words else ""
    _no_more(arguments, 1)
    if not file:
        raise InputError("no file is given", remedy="graft config convert FILE.yaml [-o OUT.yaml]")
    from graft.commands.workflow_convert import converted

    made = converted(read_yaml(expanded(file)), file)
    if output is not None:
        path = expanded(str(output))
        if path.exists():
            raise InputError("this file exists", where=str(output), remedy="remove it, or choose another name")
        write_whole(path, made.text)
    if as_json:
        document = {"file": file, "output_path": output, "text": made.text, "not_converted": made.notes}
        print(json.dumps(document, ensure_ascii=False, indent=2))
    else:
        for note in made.notes:
            print(f"not converted: {note}", file=sys.stderr)
        print(made.text if output is None else output, end="" if output is None else "\n")
    return 0


def _print(file: str, problems: Sequence[Problem]) -> None:
    """Print a document with each problem and its place."""
    from graft.commands.settings_check import place_of

    def entry(problem: Problem) -> dict[str, Any]:
        place = place_of(problem)
        at = {"file": place.file or file, "line": place.line, "column": place.column}
        return {**at, "what": problem.what, "remedy": problem.remedy}

    document = {"file": file, "problems": list(map(entry, problems))}
    print(json.dumps(document, ensure_ascii=False, indent=2))


def _no_more(arguments: Arguments, words: int) -> None:
    """Refuse what is not understood.

    Raises:
        InputError: Naming it.
    """
    more = [*arguments.words[words:], *(f"--{name}" for name in arguments.options)]
    if more:
        raise InputError(f"not understood: {' '.join(more)}", remedy=USAGE)


COMMAND = Command(
    "config",
    run,
    usage=USAGE,
    options=(
        ("schema [COMMAND]", "print the JSON Schema of workflow files, or of the --config file of a command"),
        ("check FILE", "say everything that is wrong in a file, with line and column; no model is loaded"),
        ("convert FILE", "print a file with Olive's sections, or another tool's names, in graft's short form"),
        ("--command NAME", "check: the command that reads the file (default: run)"),
        ("--output_path FILE", "schema, convert: write into this file [also -o]"),
    ),
)
