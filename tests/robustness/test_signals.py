"""Signals end every command in good order: what is said, the exit code, the status, and a run that can be resumed."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torture import rounds, tally

from graft.cli.main import main
from graft.interruption import ending_by_signal, exit_code, handling, postponed
from graft.runs.view import RunView
from small_runs import tone_file
from tiny_models import tiny_model_folder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of these names")
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tone_file(tmp_path_factory.mktemp("data"), 12)


def graft(*words, **options):
    """Start a command in a process of its own."""
    command = [sys.executable, "-m", "graft.cli.main", *map(str, words)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen(command, **options)


def training(model, data, output, **more):
    words = {"max_steps": 5000, "eval_steps": 5000, "per_device_train_batch_size": 4, "evaluate": "false", **more}
    return ("finetune", model, data, "-o", output, *(word for name, to in words.items() for word in (f"--{name}", to)))


def wait_for(path, process):
    deadline = time.monotonic() + 120
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists(), process.stderr.read()


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_while_training_leaves_a_checkpoint_and_the_resume_line(model, data, tmp_path, name):
    number, run = getattr(signal, name), tmp_path / "run"
    with graft(*training(model, data, run)) as process:
        wait_for(run / "metrics.jsonl", process)
        assert RunView.read(run).status == "running"
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    check_stopped(process, run, number, said)


def check_stopped(process, run, number, said):
    assert process.returncode == 128 + number
    assert "the checkpoint is kept" in said and f"graft finetune --resume --output_path {run}" in said
    assert RunView.read(run).status == "interrupted" and list((run / "checkpoints").glob("checkpoint-*/complete.json"))


def test_signals_at_random_moments(model, data, tmp_path):
    """In every phase from the first import on: the exit code is the signal's, and nothing says that it is running."""
    chance = random.Random(18)
    with tally("signals") as tried:
        for number in range(rounds(2)):
            run, name = tmp_path / str(number), chance.choice(SIGNALS)
            times = chance.randint(1, 3)
            with graft(*training(model, data, run)) as process:
                time.sleep(chance.uniform(0.5, 6))
                for _ in range(times):
                    process.send_signal(getattr(signal, name))
                    time.sleep(chance.uniform(0, 0.2))
                _, said = process.communicate(timeout=120)
            tried.tried += 1
            # A process that Python has not yet begun, or is ending, is killed by the signal itself.
            codes = (128 + getattr(signal, name), -getattr(signal, name))
            status = RunView.read(run).status if (run / "manifest.json").is_file() else "interrupted"
            if process.returncode not in codes or status != "interrupted" or "Traceback" in said:
                tried.faults.append(f"{name} x {times}: exit {process.returncode}, {status}: {said[-300:]}")


def test_what_is_ignored_stays_ignored(model, data, tmp_path):
    """As ``nohup`` starts it."""
    run = tmp_path / "run"
    ignored = [
        sys.executable,
        "-c",
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, '-m', 'graft.cli.main', *sys.argv[1:]])",
    ]
    words = [*map(str, training(model, data, run))]
    with subprocess.Popen([*ignored, *words], stderr=subprocess.PIPE, text=True) as process:
        wait_for(run / "metrics.jsonl", process)
        process.send_signal(signal.SIGHUP)
        size = (run / "metrics.jsonl").stat().st_size
        deadline = time.monotonic() + 60
        while (run / "metrics.jsonl").stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() is None and (run / "metrics.jsonl").stat().st_size > size
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)
    check_stopped(process, run, signal.SIGTERM, said)


def test_a_reader_of_the_progress_that_leaves_ends_no_training(model, data, tmp_path):
    run = tmp_path / "run"
    with graft(*training(model, data, run, max_steps=4, eval_steps=2)) as process:
        process.stderr.close()
        process.stdout.close()
        assert process.wait(timeout=120) == 0
    assert RunView.read(run).status == "finished"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_to_a_full_disk_is_an_error_that_says_so():
    with Path("/dev/full").open("w", encoding="utf-8") as full, graft("devices", "--help", stdout=full) as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and said == "error: cannot write to standard output: No space left on device\n"


def test_a_closed_pipe_is_no_error():
    with graft("--help", stdout=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.wait(timeout=60) == 0 and not process.stderr.read()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_handlers_belong_to_the_command_line_alone(name, code):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    heard = []
    with pytest.raises(KeyboardInterrupt), ending_by_signal():  # noqa: PT012
        with handling(lambda number, frame: heard.append(number)):
            signal.raise_signal(number)
        with postponed():
            signal.raise_signal(number)
        assert heard == [number] and exit_code() == code
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    with handling(lambda number, frame: None):
        assert (signal.getsignal(number) is before) == (name != "SIGINT")  # only Ctrl-C is handled in a notebook


def test_main_restores_the_handlers_and_standard_error():
    before = [signal.getsignal(getattr(signal, name)) for name in SIGNALS], sys.stderr
    assert main(["--version"]) == 0
    assert before == ([signal.getsignal(getattr(signal, name)) for name in SIGNALS], sys.stderr)
