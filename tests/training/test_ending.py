"""However a training is stopped, resuming it gives the weights, evaluations and best step of one that was not."""

import json
import shutil
import signal

import pytest

from graft.commands.finetune import finetune
from graft.errors import Interrupted
from graft.progress import Silent
from tiny_models import tiny_model_folder

STEPS = {"max_steps": 6, "eval_steps": 2}
EPOCHS = {"num_train_epochs": 2, "eval_strategy": "epoch"}
EARLY = {"max_steps": 40, "eval_steps": 1, "early_stopping_patience": 2, "learning_rate": 0.2}
"""It stops after 14 steps."""
WORDS = {"good": ["fine day", "lovely cake", "so happy", "well done"], "bad": ["burnt toast", "so sad", "poor", "cold"]}
ROWS = [{"text": f"{text} {n}", "label": label} for n in range(6) for label, texts in WORDS.items() for text in texts]
RUNS = {"steps": STEPS, "epochs": EPOCHS, "early": EARLY}


class Killed(BaseException):
    """Ends a run as SIGKILL does: nothing is recorded."""


class At(Silent):
    """Does something when a step is reported: once when it is done, and again with its loss, before an evaluation."""

    def __init__(self, act, step=None, report=1):
        self.act, self.at, self.report = act, step, report

    def step(self, step, steps, figures):
        if step == self.at:
            self.report -= 1
            if self.report == 0:
                self.act()

    def advance(self, what, done, total, detail=""):
        if self.at is None and what != "checks":  # of the data, before the run
            self.act()


def interrupt():
    signal.raise_signal(signal.SIGINT)


def kill():
    raise Killed


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ending")
    data = folder / "tone.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    return {
        "model_name_or_path": str(tiny_model_folder(folder, "llama")),
        "data_files": str(data),
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "lora_dropout": 0.1,
        "early_stopping_patience": 0,
        "bootstrap_samples": 100,
        "evaluate": False,
    }


@pytest.fixture(scope="module")
def whole(settings, tmp_path_factory):
    """What the uninterrupted runs left, by name."""
    folder = tmp_path_factory.mktemp("whole")
    return {
        name: left(finetune(settings | more | {"output_path": str(folder / name)})) | {"folder": folder / name}
        for name, more in RUNS.items()
    }


def left(run):
    training = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["training"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "weights": (run / "adapter" / "adapter_model.safetensors").read_bytes(),
        "evaluations": [(line["step"], line["eval_loss"]) for line in lines if "eval_loss" in line],
        **{name: training[name] for name in ("steps", "best_step", "best_eval_loss", "early_stopped")},
    }


def same(run, whole):
    found = left(run)
    assert found == {name: whole[name] for name in found}
    assert json.loads((run / "manifest.json").read_text(encoding="utf-8"))["status"] == "finished"


@pytest.mark.parametrize(
    ("name", "step", "report"),
    [
        ("steps", 4, 1),  # an evaluation is due
        ("steps", 4, 2),  # while it is made
        ("steps", 6, 1),  # the last step
        ("steps", 6, 2),
        ("epochs", 2, 1),  # in the middle of an epoch, where nothing is evaluated
        ("epochs", 10, 1),
        ("early", 14, 1),  # the evaluation that stops the training
    ],
)
def test_an_interrupt_at_any_step_changes_nothing(settings, whole, tmp_path, name, step, report):
    output = {"output_path": str(tmp_path / "run")}
    with pytest.raises(Interrupted, match=f"after step {step}; the checkpoint is kept"):
        finetune(settings | RUNS[name] | output, At(interrupt, step, report))
    same(finetune({**output, "resume": True}), whole[name])


@pytest.mark.parametrize("name", RUNS)
def test_resuming_a_run_that_was_killed_in_its_evaluation_trains_nothing(settings, whole, tmp_path, name):
    output = {"output_path": str(tmp_path / "run")}
    with pytest.raises(Killed):
        finetune(settings | RUNS[name] | output | {"evaluate": True}, At(kill))
    seen = At(lambda: pytest.fail("a step was trained"), whole[name]["steps"] + 1)
    for _ in range(2):  # killed again at once
        with pytest.raises(Killed):
            finetune({**output, "resume": True}, At(kill))
    run = finetune({**output, "resume": True}, seen)
    same(run, whole[name])
    assert (run / "evaluation.json").is_file() and (run / "report.html").is_file()


def test_a_run_that_is_interrupted_at_each_step_comes_to_the_same_end(settings, whole, tmp_path):
    output = {"output_path": str(tmp_path / "run")}
    more = settings | STEPS
    for step in range(1, 7):
        with pytest.raises(Interrupted, match=f"after step {step};"):
            finetune(more | output, At(interrupt, step))
        more = {"resume": True}
    same(finetune({**output, "resume": True}), whole["steps"])


def test_an_extended_run_may_be_interrupted_before_and_after(settings, whole, tmp_path):
    longer = shutil.copytree(whole["steps"]["folder"], tmp_path / "longer")
    finetune({"output_path": str(longer), "resume": True, "max_steps": 9})
    output = {"output_path": str(tmp_path / "run")}
    with pytest.raises(Interrupted, match="after step 6"):
        finetune(settings | STEPS | output, At(interrupt, 6))
    with pytest.raises(Interrupted, match="after step 9"):
        finetune({**output, "resume": True, "max_steps": 9}, At(interrupt, 9))
    same(finetune({**output, "resume": True}), left(longer))
