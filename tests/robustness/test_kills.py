"""SIGKILL at random moments of every command that writes: no folder lies, nothing is left over, and nothing is lost."""

import hashlib
import json
import os
import random
import shutil
import signal
import time

import pytest
from graft_commands import Graft
from torture import FACTOR, rounds, tally

from graft.files import TEMPORARY
from small_runs import tone_file
from tiny_models import tiny_model_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks, and Windows has no SIGKILL")
CHANCE = random.Random(18)
TUNED = ("--learning_rate", "1e-2", "--lora_dropout", "0.1", "--per_device_train_batch_size", "8")
QUICK = ("--early_stopping_patience", "0", "--bootstrap_samples", "100", "--max_steps", "12", "--eval_steps", "3")
COMPLETE = ("report.html", "README.md", "evaluation.json", "predictions.jsonl", "adapter/adapter_model.safetensors")


@pytest.fixture(scope="module")
def graft(tmp_path_factory):
    with Graft(tmp_path_factory.mktemp("printed")) as found:
        yield found


class Inputs:
    """What the commands get, what an undisturbed run leaves, and the seconds that each command takes."""

    def __init__(self, folder, graft):
        self.model, self.data = tiny_model_folder(folder, "llama", width=64), tone_file(folder, 24)
        self.run = folder / "whole"
        self.training, _ = timed(lambda: graft.run(*self.finetune(self.run)))

    def finetune(self, run):
        return ("finetune", self.model, self.data, "-o", run, *TUNED, *QUICK)


def timed(call):
    began = time.monotonic()
    found = call()
    return time.monotonic() - began, found


@pytest.fixture(scope="module")
def inputs(graft, tmp_path_factory):
    return Inputs(tmp_path_factory.mktemp("inputs"), graft)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(folder):
    """Every file, but those of the lock and of the events, by its path."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() or path.is_symlink()}
    return found - {".lock", "events.jsonl"}


def leftovers(folder):
    return [str(path) for path in folder.rglob(f"*{TEMPORARY}*")]


def check_status(graft, run, faults):
    if not (run / "manifest.json").is_file():
        return
    status = graft.status(run)
    lacking = [name for name in COMPLETE if not (run / name).is_file()]
    if status not in {"interrupted", "finished"} or (status == "finished" and lacking):
        faults.append(f"after the kill the status is {status}, without {lacking}")


def test_a_killed_training_is_resumed_to_the_same_bytes(graft, inputs, tmp_path):
    with tally("SIGKILL") as tried:
        for number in range(rounds(3)):
            run, killed = tmp_path / str(number), 0
            words = inputs.finetune(run)
            for _ in range(CHANCE.choice((1, 1, 2, 3))):
                after = CHANCE.uniform(0, 1.1 * inputs.training)
                killed += graft.killed(words, after)
                tried.tried += 1
                check_status(graft, run, tried.faults)
                words = ("finetune", "--resume", "-o", run) if (run / "config.yaml").is_file() else words
            try:
                graft.run(*words)
            except AssertionError as error:
                tried.faults.append(f"{number}: {error}")
                continue
            tried.accepted += killed
            same = sha256(run / COMPLETE[-1]) == sha256(inputs.run / COMPLETE[-1])
            other = names(run) ^ names(inputs.run)
            if not same or other or leftovers(run) or graft.status(run) != "finished":
                tried.faults.append(f"{number}: same {same}, other files {other}, left {leftovers(run)}")
            shutil.rmtree(run)


def test_a_killed_evaluation_leaves_the_run_as_it_was_or_evaluated(graft, inputs, tmp_path):
    run = shutil.copytree(inputs.run, tmp_path / "run", symlinks=True)
    words = ("evaluate", run, "--bootstrap_samples", "100")
    seconds, _ = timed(lambda: graft.run(*words))
    with tally("SIGKILL") as tried:
        for number in range(rounds(1)):
            tried.accepted += graft.killed(words, CHANCE.uniform(0, 1.1 * seconds))
            tried.tried += 1
            check_status(graft, run, tried.faults)
            document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
            if set(document["predictors"]) != {"base", "tuned"} or graft.status(run) != "finished":
                tried.faults.append(f"{number}: {document['predictors']}")
        graft.run(*words)
        if leftovers(run) or names(run) != names(inputs.run):
            tried.faults.append(f"left {leftovers(run)}, {names(run) ^ names(inputs.run)}")


def test_a_signal_ends_every_command_with_its_exit_code(graft, inputs, tmp_path):
    run = shutil.copytree(inputs.run, tmp_path / "run", symlinks=True)
    commands = {
        "evaluate": ("evaluate", run),
        "auto-opt": ("auto-opt", run, "--format", "hf", "-o", tmp_path / "hf"),
        "doctor": ("doctor", run),
    }
    with tally("signals") as tried:
        for name, words in commands.items():
            number = CHANCE.choice((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
            process, output = graft.start(words)
            time.sleep(CHANCE.uniform(0.05, 0.4))
            os.kill(process, number)
            code, said = graft.ended(process), output.read_text(encoding="utf-8")
            tried.tried += 1
            ended = code in {128 + number, -number} or (code == 0 and "interrupted" not in said)
            if not ended or "Traceback" in said or (code > 0 and "interrupted" not in said):
                tried.faults.append(f"{name}: {number!r}: exit {code}: {said[-300:]}")
        if leftovers(tmp_path) or graft.status(run) != "finished":
            tried.faults.append(f"left {leftovers(tmp_path)}")


@pytest.mark.parametrize("command", ["auto-opt", "generate-adapter"])
def test_a_killed_export_leaves_no_folder_or_a_whole_one(graft, inputs, tmp_path, command):
    pytest.importorskip("onnxruntime")
    if FACTOR <= 1:
        pytest.skip("half a minute for each: `make torture` does it")
    output = tmp_path / "exports" / "bundle"
    run = shutil.copytree(inputs.run, tmp_path / "run", symlinks=True)
    words = {
        "auto-opt": ("auto-opt", run, "--precision", "float32", "--skip_parity"),
        "generate-adapter": (
            "generate-adapter",
            "--base_model_path",
            inputs.model,
            "--adapter_paths",
            run,
            "--skip_parity",
        ),
    }[command]
    words = (*words, "-o", output, "--overwrite")
    seconds, _ = timed(lambda: graft.run(*words))
    whole = names(output)
    shutil.rmtree(output)
    with tally("SIGKILL") as tried:
        for number in range(rounds(1)):
            tried.accepted += graft.killed(words, CHANCE.uniform(0, 1.1 * seconds))
            tried.tried += 1
            beside = sorted(path.name for path in output.parent.iterdir() if path != output)
            if output.exists() and names(output) != whole:
                tried.faults.append(f"{number}: a part of a bundle: {whole - names(output)}")
            if len(beside) > 1:
                tried.faults.append(f"{number}: they grow: {beside}")
        graft.run(*words)
        left = [path.name for path in output.parent.iterdir() if path != output]
        if names(output) != whole or left:
            tried.faults.append(f"left {left}, {names(output) ^ whole}")
