"""``graft COMMAND``: one small module a command, imported when it is called."""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
import traceback
from collections.abc import Mapping, Sequence

from graft.cli.arguments import Arguments, parse
from graft.cli.command import Command, as_command
from graft.cli.output import OutputError, PlainStream, fitted, plain_output
from graft.errors import GraftError, InputError, Interrupted, did_you_mean, is_full_disk
from graft.files import FREE_SPACE
from graft.interruption import ending_by_signal, exit_code, postponed
from graft.plain_text import remember_secret
from graft.processes import without_telemetry
from graft.registry import Registry, only_consented, place_in_extension

COMMANDS = {
    "finetune": "fine-tune a model on your data and compare it with its base",
    "plan": "estimate memory, time and deployment by each method before training, and what fits",
    "evaluate": "compare the base and the tuned model on held-out rows, or evaluate a model or a server",
    "benchmark": "ask base and tuned the tasks of lm-evaluation-harness, or tasks of your own, on the same rows",
    "rate": "let people judge two answers blind, or a model, and say how sure the preference is",
    "chat": "chat with a model; switch between base and tuned",
    "show": "print a run's settings and results, or what a bundle, a model or prepared data is",
    "init": "look at data and write a workflow file for it",
    "run": "run the passes of a workflow file in order",
    "config": "the language of settings and workflow files: a schema, a check, a converter",
    "search": "search settings: trials over one base, pruned early, and a run with the best of them",
    "doctor": "find problems in data before training, in a run, or in a bundle, with evidence and remedies",
    "prepare": "clean data, split it, and add rows to it, with a log of every change",
    "demo": "fine-tune, evaluate and report on a small data set of tweets",
    "auto-opt": "export a model to ONNX, GGUF, or a model folder and compare its answers with PyTorch",
    "generate-adapter": "export several adapters for one ONNX base",
    "runs": "list runs, bundles, searches, data and workflows below a folder with their size; free what is not needed",
    "models": "list base models side by side: size, license, languages, memory, exports",
    "devices": "print this machine's hardware, its speed, and the defaults graft would choose",
}
SAME = {"optimize": "auto-opt"}
"""Other names of commands."""


def _reference(name: str) -> str:
    return f"graft.cli.{SAME.get(name, name).replace('-', '_')}:COMMAND"


REGISTRY: Registry[Command] = Registry(
    "command", Command, {name: _reference(name) for name in (*COMMANDS, *SAME)}, adapt=as_command
)
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the arguments after ``graft`` (default: those of this process).

    Returns:
        The exit code: 0 done; 1 it failed; 2 the input was wrong, and nothing was written; 3 a gate that the user
        asked for was not met; 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
    """
    let_threads_sleep()
    words = list(sys.argv[1:] if argv is None else argv)
    with plain_output(), ending_by_signal():
        try:
            code = _ended(words)
            print(end="", flush=True)  # what an error has said as JSON
            return code
        except OutputError as error:
            sys.stdout = None  # or Python would write again when it ends
            if error.reason.errno == errno.EPIPE:  # as in `graft show RUN | head`
                return 0
            print(f"error: cannot write to standard output: {error}", file=sys.stderr)
            return 1


def _ended(words: list[str]) -> int:
    """Run a command, report its error, and return the exit code."""
    try:
        code = _dispatch(words)
        print(end="", flush=True)  # a full disk or a closed pipe is met here and not when Python ends
        return code
    except (GraftError, KeyboardInterrupt) as error:
        if "--debug" in words:
            traceback.print_exc()
        with postponed():  # a second Ctrl-C must not cut the last words short
            return _said(error, "--json" in words)
    except OutputError:
        raise
    except Exception as error:
        if not is_full_disk(error):
            return _bug(error, words)
        return _said(GraftError(f"the disk is full: {error}", remedy=FREE_SPACE), "--json" in words)


def _bug(error: Exception, words: Sequence[str]) -> int:
    """Report an unexpected exception, with a traceback if ``--debug`` is given."""
    if "--debug" in words:
        traceback.print_exc()
    place = place_in_extension(error)
    whose = f"this comes from {place}, not from graft" if place else "this is a bug in graft"
    print(f"error: {type(error).__name__}: {error}\n    {whose}; --debug shows where", file=sys.stderr)
    return 1


def _said(error: GraftError | KeyboardInterrupt, as_json: bool) -> int:
    """Report how the command ended, and return its exit code."""
    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return exit_code()
    code = exit_code() if isinstance(error, Interrupted) else error.exit_code
    _say_error(error, code, as_json)
    return code


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in {"--help", "-h", "help"}:
        print(fitted(_help()))
        return 0
    if words[0] in {"--version", "-V"}:
        from graft import __version__

        print(f"graft {__version__}")
        return 0
    name = words[0].replace("_", "-")
    if name not in REGISTRY.names():
        near = did_you_mean(name, REGISTRY.names())
        raise InputError(f"unknown command {name!r}; graft --help lists the commands", remedy=near)
    command = REGISTRY.get(name)
    arguments = parse(words[1:])
    arguments.take("debug")
    if not arguments.flag("color", True):
        os.environ["NO_COLOR"] = "1"
    if arguments.flag("help"):
        from graft.cli.help import command_help, command_schema

        text = COMMANDS.get(SAME.get(name, name), command.help)
        if arguments.flag("json"):
            print(json.dumps(command_schema(command, text), ensure_ascii=False, indent=2))
        else:
            print(fitted(command_help(command, name, text)))
        return 0
    set_up(arguments)
    from graft.runs.trust import is_typed, typed_code

    code = None if is_typed(arguments.options) else typed_code(arguments.words, arguments.options)
    with only_consented(code):
        return int(command.run(arguments) or 0)


def let_threads_sleep() -> None:
    """Let OpenMP's idle threads sleep, unless the user has set ``OMP_WAIT_POLICY``; call it before torch is imported.

    OpenMP reads these variables when torch loads it. Threads that spin while they wait take a core from whatever has
    work: beside one other busy process on two cores, a training step took over twenty times as long, and 1.6 times with
    this. Spinning for a few microseconds first is cheap there and a tenth faster on a quiet machine.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")


def set_up(arguments: Arguments) -> None:
    """Set the log level, silence libraries, and disable telemetry."""
    from graft.cli.progress import choose_form

    level = _level(arguments.take("log_level", "warning"))
    choose_form(arguments.take("progress", "auto"))
    token = arguments.options.get("token")
    remember_secret(token if isinstance(token, str) else None)
    if level <= logging.INFO and isinstance(sys.stderr, PlainStream):
        sys.stderr.carriage_returns = True  # the libraries' own progress bars
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # PEFT imports bitsandbytes wherever it is installed, and it warns about CPU kernels that nobody asked for.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    without_telemetry()
    # Explicitly on: rows are tokenized in batches, and data loader workers, which are forked, tokenize nothing.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if level > logging.INFO:
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("TQDM_DISABLE", "1")


def _level(given: object) -> int:
    text = str(given).lower()
    if text.isdigit() and int(text) <= 4:
        return (int(text) + 1) * 10
    if text in LEVELS:
        return LEVELS[text]
    raise InputError(
        f"--log_level must be 0 (debug) to 4 (critical) or a name, not {given!r}", remedy=did_you_mean(text, LEVELS)
    )


def _say_error(error: GraftError, code: int, as_json: bool) -> None:
    if as_json:
        problems = [{"what": p.what, "where": p.where, "remedy": p.remedy} for p in error.problems]
        print(json.dumps({"error": problems, "exit_code": code}, ensure_ascii=False))
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)


def _help() -> str:
    rows = _rows(COMMANDS)
    installed = {name: _installed_help(name) for name in REGISTRY.installed()}
    more = f"\n\ninstalled by other packages:\n\n{_rows(installed)}" if installed else ""
    return (
        "graft: fine-tune a small language model on your own data, measure the improvement, and export the model.\n\n"
        f"usage: graft COMMAND [--option value …]\n\n{rows}{more}\n\n"
        "  graft finetune MODEL DATA -o OUT        the shortest form; graft infers and records other settings\n"
        "  graft COMMAND --help                    all options of a command; with --json, as a JSON schema\n\n"
        "Every command accepts --json, --progress jsonl, --log_level 0…4 and --debug; commands with settings accept\n"
        "--config FILE.yaml.\n"
    )


def _rows(texts: Mapping[str, str]) -> str:
    return "\n".join(f"  {name:<18} {text}" for name, text in texts.items())


def _installed_help(name: str) -> str:
    """Return the help of another package's command, or why it cannot be loaded: other commands still work."""
    try:
        return REGISTRY.get(name).help
    except InputError as error:
        return f"(cannot be loaded: {error.problems[0].what})"


if __name__ == "__main__":
    sys.exit(main())
