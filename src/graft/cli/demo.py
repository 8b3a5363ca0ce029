"""graft demo."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

from graft.cli.arguments import Arguments
from graft.cli.command import Command
from graft.cli.progress import Screen
from graft.cli.results import print_result
from graft.errors import InputError, Interrupted
from graft.progress import Reporter
from graft.shell import command

DEMO = {
    "model_name_or_path": "smollm2-135m-instruct",
    "max_steps": 80,
    "max_eval_samples": 64,
    "evaluate": False,
    "probe": True,
}


def run(arguments: Arguments) -> int:
    """Tune on the tone of tweets, then compare base and tuned on the 571 test rows."""
    as_json = arguments.flag("json")
    output = arguments.take("output_path", "demo-run")
    if not isinstance(output, str):
        raise InputError("--output_path accepts one folder", remedy="graft demo -o OUT")
    overwrite = arguments.flag("overwrite")
    if arguments.words or arguments.options:
        unknown = [*arguments.words, *[f"--{name}" for name in arguments.options]]
        raise InputError(f"graft demo does not accept {', '.join(unknown)}", remedy="graft demo [-o OUT] [--overwrite]")
    data = files("graft.demo_data")
    with (
        Screen(quiet=as_json) as screen,
        as_file(data / "tone-train.jsonl") as train,
        as_file(data / "tone-test.jsonl") as test,
    ):
        from graft.commands.finetune import finetune

        screen.note("The tone of tweets (vaderSentiment, MIT): positive, negative or neutral, in one word.")
        given = {**DEMO, "data_files": str(train), "output_path": output, "overwrite": overwrite}
        folder = finetune(given, screen)
        judge(folder, test, screen)
    print_result(folder, as_json)
    return 0


def judge(run: Path, test: Path, reporter: Reporter) -> None:
    """Compare a finished run with its base on the test rows.

    Args:
        run: The run.
        test: The file with the test rows.
        reporter: Shows the progress.

    Raises:
        Interrupted: If the user stops it, with the command that does it again.
    """
    from graft.commands.evaluate import evaluate_model

    try:
        evaluate_model(run, test, reporter=reporter)
    except KeyboardInterrupt:
        again = command("graft", "evaluate", run, "--data_files", test)
        what = f"interrupted during the evaluation; the training is finished, and the tuned model is in {run}"
        raise Interrupted(what, remedy=f"to evaluate it: {again}") from None


COMMAND = Command(
    "demo",
    run,
    usage="graft demo [-o OUT] [--overwrite]",
    options=(
        ("--output_path OUT", "the run folder (default: demo-run) [also -o]"),
        ("--overwrite", "replace an existing run"),
    ),
)
