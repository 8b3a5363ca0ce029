"""``graft COMMAND``: one small module a command, imported when it is called."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Sequence

from graft.cli.arguments import Arguments, parse
from graft.errors import GraftError, InputError, did_you_mean
from graft.registry import Registry

COMMANDS = {
    "finetune": "tune a model on your data, and prove that it got better",
    "evaluate": "compare base and tuned on rows neither has seen",
    "chat": "talk to a model, base and tuned switchable",
    "show": "print what a run was and what came of it",
    "run": "carry out a workflow file: its passes, one after the other",
    "doctor": "say what went wrong in a run, with evidence, and what to do next",
    "demo": "the whole way on tweets: data, training, proof, report",
    "auto-opt": "make a folder that runs without PyTorch, and check that it answers the same",
    "generate-adapter": "many adapters on one ONNX base, switchable by name",
    "devices": "what this machine has, how fast it is, and what graft would choose",
}
SAME = {"optimize": "auto-opt"}
"""Other names of commands."""


def module_of(name: str) -> str:
    return f"graft.cli.{SAME.get(name, name).replace('-', '_')}"


REGISTRY: Registry[Callable[[Arguments], int]] = Registry(
    "command", None, {name: f"{module_of(name)}:run" for name in (*COMMANDS, *SAME)}
)
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code of DESIGN.md's contract."""
    let_threads_sleep()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    try:
        return _dispatch(words)
    except GraftError as error:
        if debug:
            raise
        _say_error(error, "--json" in words)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stdout = None
        return 0
    except Exception as error:
        if debug:
            raise
        print(
            f"error: {type(error).__name__}: {error}\n    this is not your mistake; --debug shows where",
            file=sys.stderr,
        )
        return 1


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in {"--help", "-h", "help"}:
        print(_help())
        return 0
    if words[0] in {"--version", "-V"}:
        from graft import __version__

        print(f"graft {__version__}")
        return 0
    name = words[0].replace("_", "-")
    if name not in REGISTRY.names():
        raise InputError(f"there is no command {name!r}; graft --help lists them", remedy=did_you_mean(name, COMMANDS))
    arguments = parse(words[1:])
    arguments.take("debug")
    if arguments.flag("help"):
        from graft.cli.help import command_help

        print(command_help(name, COMMANDS.get(SAME.get(name, name), ""), module_of(name)))
        return 0
    set_up(arguments)
    command = REGISTRY.get(name)
    return int(command(arguments) or 0)


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
    """Log level; quiet libraries; nothing sent anywhere."""
    level = _level(arguments.take("log_level", "warning"))
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # PEFT imports bitsandbytes wherever it is installed, and it warns about CPU kernels that nobody asked for.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
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
        f"--log_level is 0 (debug) to 4 (critical) or a name, not {given!r}", remedy=did_you_mean(text, LEVELS)
    )


def _say_error(error: GraftError, as_json: bool) -> None:
    if as_json:
        problems = [{"what": p.what, "where": p.where, "remedy": p.remedy} for p in error.problems]
        print(json.dumps({"error": problems, "exit_code": error.exit_code}, ensure_ascii=False))
    for problem in error.problems:
        print(f"error: {problem}", file=sys.stderr)


def _help() -> str:
    rows = "\n".join(f"  {name:<18} {text}" for name, text in COMMANDS.items())
    return (
        "graft: fine-tune a small language model on your own data, prove that it got better, and ship it.\n\n"
        f"usage: graft COMMAND [--option value …]\n\n{rows}\n\n"
        "  graft finetune MODEL DATA -o OUT        the shortest way; the rest is inferred, printed and recorded\n"
        "  graft COMMAND --help                    every option of a command\n\n"
        "every command takes --json, --log_level 0…4 and --debug; those with settings --config FILE.yaml, too\n"
    )


if __name__ == "__main__":
    sys.exit(main())
