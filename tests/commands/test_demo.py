"""What ``graft demo`` says when it is stopped."""

import os
import signal

import pytest

from graft.cli.demo import judge
from graft.commands.evaluate import evaluate_model
from graft.errors import Interrupted
from graft.interruption import ending_by_signal
from graft.progress import Silent
from graft.shell import command
from small_runs import tone_file, tune


class Stopping(Silent):
    """Somebody who presses Ctrl-C while a model answers."""

    def advance(self, what, done, total, detail=""):
        os.kill(os.getpid(), signal.SIGINT)


def test_an_evaluation_that_is_stopped_names_the_command_that_does_it_again(tiny_llama, tmp_path):
    data, run = tone_file(tmp_path, 8), tmp_path / "demo run"
    tune(tiny_llama, data, run, max_steps=2)
    with ending_by_signal(), pytest.raises(Interrupted) as caught:
        judge(run, data, Stopping())
    assert command("graft", "evaluate", run, "--data_files", data) in str(caught.value)
    assert str(run) in str(caught.value.problems[0].what)
    assert not (run / "evaluation.json").exists()
    evaluate_model(run, data)  # which is what the command does
    assert (run / "evaluation.json").is_file()
