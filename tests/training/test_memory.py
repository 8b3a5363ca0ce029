"""What does not fit in memory is computed in parts, and the result is that of gradient accumulation."""

import json
import signal

import pytest

from graft.commands.finetune import finetune
from graft.errors import GraftError, Interrupted
from graft.progress import Silent
from graft.training.memory import Examples, Parts
from small_runs import tone_file
from tiny_models import tiny_model_folder

LOSS = """
import torch
from pathlib import Path
from torch.nn.functional import cross_entropy

def limited(logits, labels, batch, rows=8, after=0):
    '''Asks for a petabyte when more rows than fit are computed, from a number of calls on.'''
    log = Path(__file__).with_name("calls")
    calls = len(log.read_text()) if log.exists() else 0
    log.write_text("x" * (calls + 1))
    count = int(batch["target_rows"].max()) + 1
    if count > rows and calls >= after:
        torch.empty(1 << 50)
    return cross_entropy(logits, labels, reduction="none")
"""


class Notes(Silent):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def settings(tmp_path):
    loss = tmp_path / "own.py"
    loss.write_text(LOSS, encoding="utf-8")
    return {
        "model_name_or_path": str(tiny_model_folder(tmp_path, "llama")),
        "data_files": str(tone_file(tmp_path, 14)),
        "output_path": str(tmp_path / "run"),
        "max_steps": 6,
        "eval_steps": 3,
        "per_device_train_batch_size": 8,
        "learning_rate": 1e-2,
        "lora_dropout": 0.1,
        "early_stopping_patience": 0,
        "evaluate": False,
        "loss": f"{loss}:limited",
        "training_arguments": {"train_sampling_strategy": "random"},
    }


def weights(run):
    return (run / "adapter" / "adapter_model.safetensors").read_bytes()


def inferred(run):
    document = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    return {setting["name"]: setting["value"] for setting in document["inferred_settings"]}


@pytest.mark.parametrize(("batch", "fits", "at_once"), [(8, 3, 2), (7, 3, 1)])
def test_the_weights_are_those_of_accumulation(settings, tmp_path, batch, fits, at_once):
    """Evaluations, which may not fit either, are computed with fewer rows as well."""
    heard = Notes()
    parted = finetune(settings | {"per_device_train_batch_size": batch, "loss_arguments": {"rows": fits}}, heard)
    assert any(f"each batch is computed in {batch // at_once} parts" in note for note in heard.notes)
    assert inferred(parted)["rows_at_once"] == at_once
    accumulated = finetune(
        settings
        | {
            "output_path": str(tmp_path / "accumulated"),
            "per_device_train_batch_size": at_once,
            "gradient_accumulation_steps": batch // at_once,
        }
    )
    assert weights(parted) == weights(accumulated)


def test_a_step_that_runs_out_of_memory_in_its_middle_is_computed_again(settings, tmp_path):
    """Its first batch fits, its second does not: gradients and random numbers are those of the beginning."""
    parted = settings | {"gradient_accumulation_steps": 2, "loss_arguments": {"rows": 4, "after": 1}}
    accumulated = settings | {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    run = finetune(parted)
    assert weights(run) == weights(finetune(accumulated | {"output_path": str(tmp_path / "accumulated")}))


def test_a_resumed_run_keeps_the_parts(settings, tmp_path):

    class Stop(Notes):
        def step(self, step, steps, figures):
            if step == 3:
                signal.raise_signal(signal.SIGINT)

    given = settings | {"loss_arguments": {"rows": 4}}
    whole = finetune(given | {"output_path": str(tmp_path / "whole")})
    with pytest.raises(Interrupted):
        finetune(given, Stop())
    heard = Notes()
    run = finetune({"output_path": given["output_path"], "resume": True, "trust_remote_code": True}, heard)
    assert weights(run) == weights(whole) and inferred(run)["rows_at_once"] == 4
    assert not any("do not fit" in note for note in heard.notes)  # it was known


def test_a_row_that_does_not_fit_is_an_error_with_a_remedy(settings):
    with pytest.raises(GraftError, match=r"(?s)not enough memory.*--gradient_checkpointing true"):
        finetune(settings | {"loss_arguments": {"rows": 0, "after": 2}})


def test_parts_are_divisors_down_to_one_row():
    said = []
    parts = Parts(12, 12, list, said.append)
    assert len(parts.of({"examples": Examples(range(12))})) == 1
    while parts.reduce():
        pass
    assert said == [6, 3, 1] and len(parts.of({"examples": Examples(range(5))})) == 5
